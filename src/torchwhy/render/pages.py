"""The page of a code, and the catalogue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TextIO

from ..family import Family
from .text import Line, put, styled, visible


def show_page(family: Family, stream: TextIO, color: str) -> None:
    put(page_lines(family), stream, color)


def show_codes(families: Sequence[Family], stream: TextIO, color: str) -> None:
    put(codes_lines(families), stream, color)


def page_lines(family: Family) -> Iterator[Line]:
    """The family file's own docstring; `{example}` is its first example."""
    yield ((f"{family.code} {family.slug}", "code"), (f": {family.title}", "headline"))
    yield ()
    for line in family.page.splitlines():
        if line.strip() == "{example}":
            yield from _example_lines(family)
        else:
            yield styled(line)


def codes_lines(families: Sequence[Family]) -> Iterator[Line]:
    wide = max((len(f.slug) for f in families), default=0)
    for family in families:
        yield ((family.code, "code"), (f"  {family.slug.ljust(wide)}  ", ""), *styled(family.title))


def _example_lines(family: Family) -> Iterator[Line]:
    if not family.examples:
        for line in family.log_examples[0].text.strip("\n").splitlines() if family.log_examples else ():
            yield ((f"    {visible(line)}", ""),)
    for name, text in family.examples[0].files.items() if family.examples else ():
        if len(family.examples[0].files) > 1:
            yield ((f"    # {name}", "dim"),)
        for line in text.strip("\n").splitlines():
            code, cause, _ = line.partition("#~ cause")
            yield ((f"    {code.rstrip()}", ""), ("   ◀ cause", "cause")) if cause else ((f"    {line}", ""),)
