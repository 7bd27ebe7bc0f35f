"""The page of a code, and the catalogue, as lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TextIO

from ..family import Family
from ..page import Block, Page, page_of
from .text import WIDTH, Line, put, styled, visible, width_of, wrap

SEEN = "As PyTorch prints it"


def show_page(family: Family, stream: TextIO, color: str) -> None:
    put(page_lines(page_of(family), width_of(stream)), stream, color)


def show_codes(families: Sequence[Family], stream: TextIO, color: str) -> None:
    put(codes_lines(families), stream, color)


def page_lines(page: Page, width: int = WIDTH) -> Iterator[Line]:
    """All blocks of the page in order, then the messages as they are printed."""
    yield ((f"{page.code} {page.slug}", "code"), (f": {page.title}", "headline"))
    yield ()
    yield from _wrapped(page.summary, width)
    for block in page.blocks:
        yield ()
        if block.is_example:
            yield ((f"{block.heading or 'Example'}:", "heading"),)
            yield ()
            yield from _example_lines(page)
        else:
            yield from _block_lines(block, width)
    if page.seen:
        yield ()
        yield ((f"{SEEN}:", "heading"),)
        for text in page.seen:
            yield from (((indent, ""), (words, "")) for indent, words in wrap(visible(" ".join(text.split())), width, "  ", "    "))


def codes_lines(families: Sequence[Family]) -> Iterator[Line]:
    wide = max((len(f.slug) for f in families), default=0)
    for family in families:
        yield ((family.code, "code"), (f"  {family.slug.ljust(wide)}  ", ""), *styled(family.title))


def _block_lines(block: Block, width: int) -> Iterator[Line]:
    lead = f"{block.heading}: " if block.heading else ""
    for number, line in enumerate(_wrapped(lead + block.text, width)):
        if number == 0 and lead and line and line[0][0].startswith(lead.rstrip()):
            head = line[0][0]
            yield ((lead.rstrip(), "heading"), (head[len(lead.rstrip()) :], line[0][1]), *line[1:])
        else:
            yield line


def _wrapped(text: str, width: int) -> Iterator[Line]:
    yield from (styled(words) for _, words in wrap(visible(text), width))


def _example_lines(page: Page) -> Iterator[Line]:
    for program in page.programs:
        if len(page.programs) > 1:
            yield ((f"    # {program.name}", "dim"),)
        for line in program.lines:
            code = (f"    {visible(line.text)}", "")
            yield (code, ("   ◀ cause", "cause")) if line.is_cause else (code,)
