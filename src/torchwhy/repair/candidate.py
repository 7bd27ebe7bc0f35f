"""A fix that can be run: the new text of each file that it touches; and one made of several, for a program with several faults."""

from __future__ import annotations

import ast
import difflib
import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ..model import Edit, Evidence, Fix, Span
from ..reason.diffs import check, diff, patched
from ..reason.source import Sources
from ..replay.trial import Trial

_MOST_DIMENSION = 3


@dataclass(frozen=True)
class Candidate:
    """`texts` are whole files by the name that the evidence has for them; `parts` counts the fixes in it."""

    fix: Fix
    texts: dict[str, str]
    parts: int = 1
    olds: Mapping[str, str] = field(default_factory=dict)

    def absolute(self) -> dict[str, str]:
        return {os.path.abspath(file): text for file, text in self.texts.items()}

    def trial(self, seconds: float, wall: float, past: int | None, grace: float, record: bool = False) -> Trial:
        return Trial(tuple(self.absolute().items()), seconds, wall, past, grace, record=record)

    def writes_a_size(self) -> bool:
        """Whether it puts a number in another's place, or a new one that is no dimension's."""
        if all(edit.text.strip("-").isdigit() for edit in self.fix.edits):
            return True
        new = sum((_numbers(text) for text in self.texts.values()), Counter())
        old = sum((_numbers(self.olds.get(file, "")) for file in self.texts), Counter())
        return any(abs(number) > _MOST_DIMENSION for number in new - old)


def candidate(fix: Fix, evidence: Evidence) -> Candidate | None:
    """The fix ready to run; None where it can't be made, or the text that it makes can't be read."""
    texts = patched(fix.edits, Sources(evidence)) if fix.edits else None
    if not texts or not all(check(text) for file, text in texts.items() if file.endswith(".py")):
        return None
    return Candidate(fix, texts, olds=_olds(texts, evidence))


def followed_by(first: Candidate, fix: Fix, after: Evidence, before: Evidence) -> Candidate | None:
    """Both fixes as one: the second was made for the failure that came with the first (`after`), the whole is for the files as they are."""
    second = candidate(fix, after)
    if second is None:
        return None
    texts = {**first.texts, **second.texts}
    olds = {file: before.source(file) for file in texts}
    edits = tuple(edit for file, old in olds.items() if old is not None for edit in edits_between(file, old, texts[file]))
    if None in olds.values():
        return None
    rank = ("safe", "unsafe", "display-only")
    whole = Fix(
        title=f"{first.fix.title}; then {fix.title}",
        edits=edits,
        applicability=max(first.fix.applicability, fix.applicability, key=rank.index),
        hides="; ".join(filter(None, dict.fromkeys([first.fix.hides, fix.hides]))),
        changes="; ".join(filter(None, dict.fromkeys([first.fix.changes, fix.changes]))),
    )
    shown = replace(whole, diff=diff(edits, Sources(before)))
    return Candidate(shown, texts, first.parts + 1, _olds(texts, before))


def _olds(texts: Mapping[str, str], evidence: Evidence) -> dict[str, str]:
    return {file: evidence.source(file) or "" for file in texts}


def _numbers(text: str) -> Counter[int]:
    try:
        nodes = ast.walk(ast.parse(text.removeprefix("\ufeff")))
    except (SyntaxError, ValueError):  # a file of another kind
        return Counter(map(int, re.findall(r"\d+", text)))
    values = (node.value for node in nodes if isinstance(node, ast.Constant))
    return Counter(value for value in values if type(value) is int)


def edits_between(file: str, old: str, new: str) -> tuple[Edit, ...]:
    """The edits, of whole lines, that make one text into another."""
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    return tuple(
        Edit(Span(file, first + 1, 0, last + 1, 0), "".join(after[start:end]))
        for kind, first, last, start, end in matcher.get_opcodes()
        if kind != "equal"
    )
