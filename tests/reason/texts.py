"""Small programs as texts, and the span of a piece of one."""

from __future__ import annotations

from textwrap import dedent

from torchwhy.model import Span
from torchwhy.reason.source import Sources


def program(main: str, **others: str) -> Sources:
    """`main.py` and other files by their names without `.py` (`_in_` is a folder: `sizes_in_pkg`)."""
    files = {"main.py": main} | {f"{'/'.join(reversed(name.split('_in_')))}.py": text for name, text in others.items()}
    return Sources({name: dedent(text).lstrip("\n") for name, text in files.items()})


def span(sources: Sources, piece: str, nth: int = 1, file: str = "main.py") -> Span:
    """The place of the nth occurrence of a piece of text."""
    text = sources.evidence.source(file) or ""
    start = -1
    for _ in range(nth):
        start = text.index(piece, start + 1)
    before, whole = text[:start], text[: start + len(piece)]
    return Span(
        file,
        before.count("\n") + 1,
        start - (before.rfind("\n") + 1),
        whole.count("\n") + 1,
        len(whole) - (whole.rfind("\n") + 1),
    )
