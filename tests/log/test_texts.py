"""Printed failures of every family, as people paste them: the family, the place and the facts that each must give.

`texts/*.txt`: a head `#### FAMILY|OTHER @ FILE:LINE : FACT|ALTERNATIVE; FACT`, then the text as it was pasted.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from judging import headline_faults

from torchwhy.catalogue import load
from torchwhy.explain import explain
from torchwhy.model import Confidence
from torchwhy.render.terminal import text_of

_HEAD = re.compile(r"^#### (?P<families>[\w.|-]+)(?: @ (?P<cause>\S.*?))? : (?P<facts>.*)$")


@dataclass(frozen=True)
class Pasted:
    name: str
    text: str
    families: tuple[str, ...]
    cause: str
    facts: tuple[tuple[str, ...], ...]


def pasted(folder: Path) -> list[Pasted]:
    found = []
    for file in sorted(folder.glob("*.txt")):
        for number, part in enumerate(re.split(r"^(?=#### )", file.read_text(), flags=re.MULTILINE)[1:], 1):
            first, _, text = part.partition("\n")
            head = _HEAD.match(first)
            assert head is not None, first
            facts = tuple(tuple(choice.strip() for choice in fact.split("|") if choice.strip()) for fact in head["facts"].split(";"))
            families = tuple(head["families"].split("|"))
            found.append(Pasted(f"{file.stem}-{number}-{families[0]}", text, families, head["cause"] or "", facts))
    return found


TEXTS = pasted(Path(__file__).parent / "texts")


@pytest.mark.parametrize("one", TEXTS, ids=lambda one: one.name)
def test_a_pasted_failure_is_diagnosed(one: Pasted) -> None:
    assert faults(one) == []


def faults(one: Pasted) -> list[str]:
    report = explain(io.BytesIO(one.text.encode()))
    found = list(report.problems)
    if not report.diagnoses:
        return [*found, f"no diagnosis, {report.outcome}: {report.remarks}"]
    first = report.diagnoses[0]
    if first.family not in one.families:
        found.append(f"{first.family} won: {first.headline}")
    said = "\n".join((first.title, first.headline, *first.notes, text_of(first, report.evidence))).lower()
    found += [f"not said: {choices}" for choices in one.facts if choices and not any(c.lower() in said for c in choices)]
    place = f"{first.cause.span.file}:{first.cause.span.line}"
    if one.cause and not place.endswith(one.cause):
        found.append(f"blames {place}")
    if "Traceback" not in one.text and first.confidence is Confidence.CERTAIN and "line" not in one.text:
        found.append("certain of a bare line")
    return [*found, *headline_faults(first.headline)]


def test_every_family_has_printed_failures() -> None:
    told = [family for one in TEXTS for family in one.families]
    slugs = {family.slug for family in load().families}
    assert {slug for slug in slugs if told.count(slug) < 2} == set()
