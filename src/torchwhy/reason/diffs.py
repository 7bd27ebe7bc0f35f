"""Edits made to text, and shown as a unified diff that `patch -p1` takes."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable

from ..model import Edit
from .source import UNREADABLE, Sources, split_lines


def apply(edits: Iterable[Edit], text: str) -> str | None:
    """The text of one file with its edits made; None where two of them overlap or lie outside of the text."""
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    text = text[len(mark) :]
    starts = [0]
    for line in split_lines(text):
        starts.append(starts[-1] + len(line))

    def offset(line: int, column: int) -> int:
        return starts[line - 1] + column if 0 < line <= len(starts) else len(text) if line == len(starts) + 1 else -1

    placed = []
    for number, edit in enumerate(edits):
        start = offset(edit.span.line, edit.span.column)
        end = offset(edit.span.end_line or edit.span.line, edit.span.end_column if edit.span.end_line else edit.span.column)
        placed.append((start, end, number, edit.text))
    placed.sort()
    made, at = "", 0
    for start, end, _, new in placed:
        if not at <= start <= end <= len(text):
            return None
        made += text[at:start] + new
        at = end
    return mark + made + text[at:]


def patched(edits: Iterable[Edit], sources: Sources) -> dict[str, str] | None:
    """The new text of every file that the edits touch; None where they can't be made."""
    by_file: dict[str, list[Edit]] = {}
    for edit in edits:
        by_file.setdefault(edit.span.file, []).append(edit)
    made: dict[str, str] = {}
    for file, own in by_file.items():
        text = sources.evidence.source(file)
        new = None if text is None else apply(own, text)
        if new is None:
            return None
        made[file] = new
    return made


def diff(edits: Iterable[Edit], sources: Sources) -> str:
    """The edits as a unified diff with a/ and b/ before the names; empty where they can't be made or change nothing."""
    made = patched(edits, sources) or {}
    return "".join(unified(file, sources.evidence.source(file) or "", new) for file, new in sorted(made.items()))


def unified(file: str, old: str, new: str) -> str:
    """The unified diff of one file. Lines end only at a line feed here, as they do for `patch`, so that other ends are kept."""
    name = file.replace("\\", "/")
    before, after = old.split("\n"), new.split("\n")
    rows = difflib.unified_diff(_rows(before), _rows(after), f"a/{name}", f"b/{name}")
    return "".join(row if row.endswith("\n") else f"{row}\n\\ No newline at end of file\n" for row in rows)


def _rows(parts: list[str]) -> list[str]:
    return [f"{part}\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def check(text: str) -> bool:
    """Whether the text parses."""
    try:
        ast.parse(text.removeprefix("\ufeff"))
    except UNREADABLE:
        return False
    return True
