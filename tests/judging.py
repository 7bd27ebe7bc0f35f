"""What a family's examples and near misses must satisfy. The tests and `tools/try_family.py` ask the same questions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from laboratory import Laboratory, Trial, marked_line, without_marks

from torchwhy.catalogue import load
from torchwhy.diagnose import judge
from torchwhy.family import Example, Family, NearMiss
from torchwhy.incident import read_incident
from torchwhy.model import Diagnosis, Evidence, Report
from torchwhy.reason.diffs import patched
from torchwhy.reason.source import Sources
from torchwhy.render.terminal import text_of

GOLDEN = Path(__file__).parent / "golden"
_BANNED = ("illegal", "simply", "just", "sorry", "please", "obviously", "you", "wrongly")
_GUESSES = ("probably", "likely", "maybe", "perhaps", "possibly", "might", "seems")


@dataclass
class ExampleRun:
    """One example, run once; every question to it is a method that gives the faults found."""

    family: Family
    number: int
    laboratory: Laboratory

    @property
    def example(self) -> Example:
        return self.family.examples[self.number]

    @property
    def golden(self) -> Path:
        return GOLDEN / f"{self.family.slug}-{self.number + 1}.txt"

    @cached_property
    def trial(self) -> Trial:
        return self.laboratory.run(self.example.files)

    @cached_property
    def evidence(self) -> Evidence:
        """The evidence as it came out of the report file."""
        assert self.trial.report is not None, f"no report; exit code {self.trial.exit_code}\n{self.trial.stderr}"
        return read_incident(self.trial.report["incident"])

    @cached_property
    def report(self) -> Report:
        """The diagnosis made here, from the file alone, by all families."""
        families = load().families
        known = families if self.family in families else (*families, self.family)
        return judge(Report("run", "failed", 1, self.evidence), known)

    @property
    def diagnosis(self) -> Diagnosis | None:
        return self.report.diagnoses[0] if self.report.diagnoses else None

    @property
    def rendered(self) -> str:
        return text_of(self.diagnosis, self.evidence) if self.diagnosis else ""

    def faults(self) -> Iterator[str]:
        """Everything that is wrong with the answer; nothing for a good one."""
        yield from (f"problem: {problem}" for problem in self.report.problems)
        if self.diagnosis is None:
            yield f"no diagnosis; exit code {self.trial.exit_code}\n{self.trial.stderr}"
            return
        if self.diagnosis.code != self.family.code:
            yield f"{self.diagnosis.code} {self.diagnosis.family} won, not {self.family.code}"
        yield from self._cause_faults(self.diagnosis)
        yield from self._word_faults(self.diagnosis)
        yield from self._fix_faults(self.diagnosis)
        yield from headline_faults(self.diagnosis.headline)

    def _cause_faults(self, diagnosis: Diagnosis) -> Iterator[str]:
        marked, cause = marked_line(self.example.files), diagnosis.cause.span
        if marked is None:
            yield "no line of the example bears the mark `#~ cause`"
        elif marked != (cause.file, cause.line):
            yield f"the cause is {cause.file}:{cause.line}, marked is {marked[0]}:{marked[1]}"

    def _word_faults(self, diagnosis: Diagnosis) -> Iterator[str]:
        text = "\n".join((diagnosis.title, diagnosis.headline, self.rendered, *diagnosis.notes)).lower()
        yield from (f"it does not say {fact!r}" for fact in self.example.says if fact.lower() not in text)
        said = self.trial.report["diagnoses"] if self.trial.report else []
        if said and said[0]["code"] == diagnosis.code and said[0]["headline"] != diagnosis.headline:
            yield f"live the headline was {said[0]['headline']!r}, from the file it is {diagnosis.headline!r}"

    def _fix_faults(self, diagnosis: Diagnosis) -> Iterator[str]:
        if not self.example.becomes:
            return
        if not diagnosis.fixes:
            yield "no fix"
            return
        made = patched(diagnosis.fixes[0].edits, Sources(self.evidence))
        if not made:
            yield "the edits of the first fix can't be made"
            return
        lines = [line.strip() for text in made.values() for line in text.splitlines()]
        if self.example.becomes.strip() not in lines:
            yield f"the patched program has no line {self.example.becomes.strip()!r}:\n{diagnosis.fixes[0].diff}"
        after = self.laboratory.run({**without_marks(self.example.files), **made}, next(iter(self.example.files)))
        if after.exit_code:
            yield f"the patched program ends with exit code {after.exit_code}\n{after.stderr}"


def near_miss_faults(family: Family, miss: NearMiss, laboratory: Laboratory) -> Iterator[str]:
    """The family must leave it alone, and the one it belongs to (where that exists) must take it."""
    trial = laboratory.run(miss.files)
    if trial.report is None:
        yield f"no report; exit code {trial.exit_code}\n{trial.stderr}"
        return
    said = [diagnosis["family"] for diagnosis in trial.report["diagnoses"]]
    if family.slug in said:
        yield f"it claims a look-alike: {trial.report['diagnoses'][said.index(family.slug)]['headline']}"
    if miss.belongs_to and any(f.slug == miss.belongs_to for f in load().families) and said[:1] != [miss.belongs_to]:
        yield f"it belongs to {miss.belongs_to}, the answer is {said or 'none'}"


def headline_faults(headline: str) -> Iterator[str]:
    """The law of headlines."""
    bare = re.sub(r"`[^`]*`", "", headline)
    if len(headline) > 80:
        yield f"the headline has {len(headline)} characters: {headline!r}"
    if headline.endswith("."):
        yield "the headline ends in a full stop"
    if re.match(r"[A-Z][a-z]", headline):
        yield f"the headline starts with a capital: {headline!r}"
    if headline.count("`") % 2:
        yield f"a backtick is left open: {headline!r}"
    words = re.findall(r"[a-z]+", bare.lower())
    yield from (f"the headline says {word!r}: {headline!r}" for word in (*_BANNED, *_GUESSES) if word in words)
