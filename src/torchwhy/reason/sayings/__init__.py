"""What torch's messages tell by themselves, for texts that hold no more: the fact in the message's own numbers, why it is so, what mends it."""

from __future__ import annotations

import re
from dataclasses import replace

from ...family import Family
from ...model import Confidence, Diagnosis, Evidence, Failure, Fix
from ..reading import reading
from ..wording import dtype_name, first_fitting
from . import arguments, kinds, machine, shapes, training
from .saying import Saying

SAYINGS: tuple[Saying, ...] = (*shapes.SAYINGS, *kinds.SAYINGS, *training.SAYINGS, *machine.SAYINGS, *arguments.SAYINGS)

_READ = 3000
"""Characters of a message that are read: what it says stands at its head."""


def saying_of(failure: Failure, family: str = "", winning: bool = False) -> tuple[Saying, re.Match[str]] | None:
    """The first saying (of that family, or of those that win) that the failure's text matches."""
    lines = "\n".join([*(f.span.file.replace("\\", "/") for f in failure.frames[-3:]), *(f.code for f in failure.user_frames[-2:])])
    for saying in SAYINGS:
        if (
            family
            and saying.family != family
            or winning
            and not saying.wins
            or not (family or saying.alone)
            or saying.types
            and failure.error_type not in saying.types
        ):
            continue
        found = re.search(saying.pattern, failure.message[:_READ], re.DOTALL)
        if found is not None and (not saying.near or re.search(saying.near, lines)):
            return saying, found
    return None


def said_more(diagnosis: Diagnosis, failure: Failure) -> Diagnosis:
    """A diagnosis made from a text, with what the message tells beyond it; a headline without a number gives way to one that has the numbers."""
    found = saying_of(failure, diagnosis.family)
    if found is None:
        return diagnosis
    saying, match = found
    headline, notes, fix = _put(saying, match)
    known = re.search(r"\d", diagnosis.headline) or not re.search(r"\d|`", headline)
    return replace(
        diagnosis,
        headline=diagnosis.headline if known else headline,
        notes=(*diagnosis.notes, *notes),
        fixes=diagnosis.fixes if len(diagnosis.fixes) > 1 else (*diagnosis.fixes, Fix(fix, (), "display-only")),
    )


def said_alone(evidence: Evidence, failure: Failure, families: dict[str, Family], winning: bool = False) -> Diagnosis | None:
    """The diagnosis of a text that no family answers otherwise (`winning`: or answers worse)."""
    found = saying_of(failure, winning=winning)
    if found is None or found[0].family not in families:
        return None
    saying, match = found
    headline, notes, fix = _put(saying, match)
    run = reading(replace(evidence, failure=failure))
    return run.diagnosis(
        families[saying.family],
        headline,
        run.raised,
        "raised here",
        notes=notes,
        fixes=[Fix(fix, (), "display-only")],
        confidence=Confidence.LIKELY if failure.frames else Confidence.POSSIBLE,
    )


def _put(saying: Saying, match: re.Match[str]) -> tuple[str, list[str], str]:
    """Headline, notes and remedy with the message's own words in their places; what names a group that is not there is left out."""
    groups = {
        name: dtype_name(text) if name.startswith("dtype") else " ".join(text.replace("`", "'").split())[:200]
        for name, text in match.groupdict().items()
        if text is not None
    }
    said = [text.format_map(groups) for text in (*saying.headlines, "", *saying.notes, saying.fix) if _fillable(text, groups)]
    cut = said.index("")
    return first_fitting(*said[:cut]), said[cut + 1 : -1], said[-1]


def _fillable(text: str, groups: dict[str, str]) -> bool:
    return set(re.findall(r"\{(\w+)\}", text)) <= set(groups)
