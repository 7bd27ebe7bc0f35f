"""The page of a code, read once from its family's docstring: `torchwhy explain CODE` and the site show the same blocks.

A docstring is paragraphs: the first is one sentence, others may begin with a heading (`Why: …`), and `{example}` stands for the family's
first example. The messages that lead to the code are those that the page names under `Messages:`, those that its printed examples end
with, and those that its programs were seen to raise (`messages.json`, written by `tools/messages.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .family import Family

RECORDED = Path(__file__).with_name("messages.json")
_HEADING = re.compile(r"([A-Z][A-Za-z -]{1,40})(?: \(TW\d+\))?:(?:\s+|$)")
_PIECE = re.compile(r"``(.+?)``|`([^`]+)`|((?:[^`]|`(?![^`]*`))+)")
_RAISED = re.compile(r"^(?:[\w.]*\.)?([A-Z]\w*(?:Error|Exception|Unsupported|Failed|Interrupt|Exit)): \S.*", re.M)


@dataclass(frozen=True, slots=True)
class ProgramLine:
    text: str
    is_cause: bool = False


@dataclass(frozen=True, slots=True)
class Program:
    """A file of the example, or a printed text."""

    name: str
    lines: tuple[ProgramLine, ...]
    is_python: bool = True


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, with its heading where it has one; or the place of the example."""

    heading: str = ""
    text: str = ""
    is_example: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    code: str
    slug: str
    title: str
    summary: str
    blocks: tuple[Block, ...]
    programs: tuple[Program, ...]
    named: tuple[str, ...]
    """Messages that the page names; `…` stands for what differs."""
    seen: tuple[str, ...]
    """Messages as they were printed, the type first."""
    raised_in: tuple[str, ...] = ()
    """Files of torch that were seen to raise them."""

    @property
    def group(self) -> str:
        return self.slug.partition(".")[0]


def page_of(family: Family) -> Page:
    """The page of a family, parsed."""
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", _without_fences(family.page)) if part.strip()]
    blocks = tuple(_blocks(paragraphs[1:]))
    named = tuple(span for block in blocks if block.heading == "Messages" for span, is_code in pieces(block.text) if is_code)
    seen = dict.fromkeys((*recorded().get(family.slug, ()), *_printed(family)))
    summary = paragraphs[0] if paragraphs else family.title
    return Page(
        family.code,
        family.slug,
        family.title,
        summary,
        blocks,
        tuple(_programs(family)),
        named,
        tuple(seen),
        recorded("raised_in").get(family.slug, ()),
    )


def recorded_with() -> str:
    """The version of torch that raised the recorded messages."""
    return str(_recorded()["torch"])


def recorded(what: str = "messages") -> dict[str, tuple[str, ...]]:
    """What the examples' programs raised, by family; or, for `raised_in`, the files of torch that raised it."""
    return {slug: tuple(texts) for slug, texts in _recorded()[what].items()}


@cache
def _recorded() -> dict[str, Any]:
    told: dict[str, Any] = json.loads(RECORDED.read_text(encoding="utf-8"))
    return told


def pieces(text: str) -> list[tuple[str, bool]]:
    """The text in pieces, and whether each is inline code; two backticks enclose code that has a backtick in it."""
    found = [(double or single or plain, not plain) for double, single, plain in _PIECE.findall(text)]
    return [(piece, is_code) for piece, is_code in found if piece]


def _without_fences(text: str) -> str:
    return re.sub(r"^```\w*$", "", text, flags=re.M)


def _blocks(paragraphs: list[str]) -> Iterator[Block]:
    heading = ""
    for paragraph in paragraphs:
        match = _HEADING.match(paragraph)
        if match is not None:
            heading = match[1]
            paragraph = paragraph[match.end() :]
        elif paragraph.startswith("Not to be confused with "):
            heading, paragraph = "Not to be confused with", paragraph[len("Not to be confused with ") :]
        if paragraph == "{example}":
            yield Block(heading, is_example=True)
            heading = ""
        elif paragraph:
            yield Block(heading, paragraph)
            heading = ""


def _programs(family: Family) -> Iterator[Program]:
    if family.examples:
        for name, text in family.examples[0].files.items():
            yield Program(name, tuple(_program_lines(text)))
    elif family.log_examples:
        lines = family.log_examples[0].text.strip("\n").splitlines()
        yield Program("", tuple(map(ProgramLine, lines)), is_python=False)


def _program_lines(text: str) -> Iterator[ProgramLine]:
    for line in text.strip("\n").splitlines():
        code, cause, _ = line.partition("#~ cause")
        yield ProgramLine(code.rstrip(), bool(cause))


def _printed(family: Family) -> Iterator[str]:
    """The exceptions in the family's printed examples."""
    for example in family.log_examples:
        yield from (match[0].strip() for match in _RAISED.finditer(example.text))
