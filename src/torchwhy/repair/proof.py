"""Every fix of a report run in a child, judged, and put in order: those that hold first, one that only hides the error never."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..model import Diagnosis, Evidence, Failure, Fix, Label, Report, Verification
from ..reason.diffs import diff
from ..reason.source import Sources
from ..reason.wording import place
from ..replay.again import Steps
from ..replay.trial import Outcome, Trial
from .budget import Budget, Spent, why_late
from .candidate import Candidate, candidate, followed_by
from .effects import alteration
from .judgement import as_hiding, difference, is_reproduced, judge, why_not_reproduced
from .numbers import numbers
from .search import guesses, probes, sizes_of, solutions
from .stepwise import Stepwise
from .turns import like_others, place_of, steps, turns, written_apart

Run = Callable[[Sequence[Trial], int], list[Outcome]]
Diagnose = Callable[[Mapping[str, Any]], Report]
Ways = Callable[[Evidence, Failure, int], list[Fix]]
Again = Callable[[], "Steps | None"]
_MOST = 6
_DEEPEST = 3
_ONWARD = 3
_MOST_GUESSES = 12
_MOST_PROBES = 16
_MOST_TURNS = 32
_MOST_ODD = 6
_MOST_FOUND = 2
_SEARCHED = ("shape.", "dtype.", "device.")
_TURNED: tuple[tuple[str, Ways], ...] = (("shape.", turns), ("autograd.inplace", written_apart))
_BUILT = ("shape.linear", "shape.conv-channels", "shape.norm", "shape.view-numel")
_QUICK = 1.5
_LEAST = 0.5
_GRACE = 2.0


def prove(report: Report, run: Run, diagnose: Diagnose, again: Again, took: Spent, asked: float | None = None) -> Report:
    """The report with its fixes proven, in `asked` seconds of CPU time.

    `diagnose` tells what a failure is that comes in the place of the first. Where the program took
    too long to be begun anew, only its failing step is run again, as `again` gives it.
    """
    failure = report.evidence.failure.began if report.evidence.failure is not None else None
    wanted = {
        (d, f): made
        for d, diagnosis in enumerate(report.diagnoses)
        for f, fix in enumerate(diagnosis.fixes)
        if (made := candidate(fix, report.evidence)) is not None
    }
    if failure is None or not report.diagnoses:
        return report
    budget = Budget.for_program(took, asked)
    if not budget.is_for_whole_runs(took):
        steps = again()
        if steps is None:
            return unproven(report, why_late(took))
        return proven_by_steps(report, Stepwise(steps, failure, budget, took), wanted)
    proof = _Proof(report, failure, run, diagnose, budget, time.monotonic() + budget.wall)
    return proof.made(dict(list(wanted.items())[:_MOST]))


def proven_by_steps(report: Report, stepwise: Stepwise, wanted: Mapping[tuple[int, int], Candidate]) -> Report:
    """The fixes tried on the failing step alone, in their order; those that hold come first."""
    diagnoses = []
    for d, diagnosis in enumerate(report.diagnoses):
        fixes = [
            as_hiding(replace(fix, verification=stepwise.judged(made))) if (made := wanted.get((d, f))) else fix
            for f, fix in enumerate(diagnosis.fixes)
        ]
        fixes.sort(key=lambda fix: (bool(fix.hides), fix.verification.outcome != "gone"))
        diagnoses.append(_with(diagnosis, fixes))
    return replace(report, diagnoses=tuple(diagnoses))


def _with_fault(report: Report, fault: str) -> Report:
    """The report that tells of a fault of trials themselves."""
    return replace(report, problems=(*report.problems, f"no trial run could be made: {fault}")) if fault else report


def unproven(report: Report, why: str) -> Report:
    """The report whose fixes were not run, and the reason."""
    note = Verification("not-run", None, why)
    return replace(
        report, diagnoses=tuple(_with(d, [replace(f, verification=note) if f.edits else f for f in d.fixes]) for d in report.diagnoses)
    )


@dataclass(frozen=True)
class _Proven:
    """A candidate and what came of it."""

    candidate: Candidate
    outcome: Outcome
    fix: Fix

    @property
    def holds(self) -> bool:
        return self.fix.verification.outcome == "gone"


@dataclass(frozen=True)
class _Numbered(_Proven):
    """One that writes another number."""


@dataclass(frozen=True)
class _Turned(_Proven):
    """One that writes a step before the failure otherwise."""


@dataclass
class _Proof:
    report: Report
    failure: Failure
    run: Run
    diagnose: Diagnose
    budget: Budget
    until: float
    """By the clock: no trial is begun after it."""
    spent: float = 0.0
    """Seconds of CPU time."""
    altering: _Proven | None = None
    """The first variant with which the program goes on, but which changes something else."""

    def made(self, wanted: Mapping[tuple[int, int], Candidate]) -> Report:
        unpatched = self._runs([Trial(seconds=self._left(), wall=self.budget.trial_wall)], 1)[0]
        if not is_reproduced(unpatched, self.failure):
            return unproven(_with_fault(self.report, unpatched.fault), why_not_reproduced(unpatched))
        proven = dict(zip(wanted, self._tried(list(wanted.values()), unpatched)))
        diagnoses = []
        for d, diagnosis in enumerate(self.report.diagnoses):
            own = {f: proven[d, f] for f in range(len(diagnosis.fixes)) if (d, f) in proven}
            odd = self._turned(like_others, _MOST_ODD, unpatched) if not d and self._searches(("shape.",), unpatched) else []
            held = any(p.holds for p in own.values())
            more = odd if d or odd or held else self._more(list(own.values()), unpatched)
            rest = [fix for f, fix in enumerate(diagnosis.fixes) if f not in own]
            found = more if more is not odd else []
            fixes = ranked([*odd, *own.values(), *found, *self._set_aside(d)], rest, unpatched)
            diagnoses.append(self._blaming(_with(diagnosis, fixes), more, held))
        return replace(self.report, diagnoses=tuple(diagnoses))

    def _more(self, tried: list[_Proven], unpatched: Outcome) -> list[_Proven]:
        """Where nothing that was proposed holds: one step before the failure written otherwise, fixes in sequence, then other numbers."""
        for families, ways in _TURNED:
            if self._searches((families,), unpatched) and (turned := self._turned(ways, _MOST_TURNS, unpatched)):
                return turned
        search = self._searches(_SEARCHED, unpatched) and self._has_time()
        return self._deeper(tried, unpatched) or (self._searched(unpatched) if search else [])

    def _searches(self, families: tuple[str, ...], unpatched: Outcome) -> bool:
        return self.report.diagnoses[0].family.startswith(families) and unpatched.seconds < _QUICK

    def _turned(self, ways: Ways, most: int, unpatched: Outcome) -> list[_Proven]:
        tried = self._tried(self._ready(ways(self.report.evidence, self.failure, most)), unpatched)
        held = self._neutral([p for p in tried if self._holds_on(p, unpatched)], unpatched)
        said = f"found by trial: {len(tried)} changes were run"
        return [_Turned(p.candidate, p.outcome, self._shown(p, said)) for p in held[:_MOST_FOUND]]

    def _neutral(self, held: Sequence[_Proven], unpatched: Outcome) -> list[_Proven]:
        """Variants that change nothing else; one that does is kept to be shown last."""
        evidence, sound = self.report.evidence, list[_Proven]()
        for one in held:
            more = alteration(one.fix, one.outcome, unpatched, evidence, self.failure)
            if not more:
                sound.append(one)
            elif self.altering is None:
                fix = as_hiding(replace(one.fix, hides=more, changes=""))
                self.altering = _Proven(one.candidate, one.outcome, self._shown(one, "", fix))
        return sound

    def _set_aside(self, number: int) -> list[_Proven]:
        return [self.altering] if self.altering is not None and not number else []

    def _moves(self, more: Sequence[_Proven]) -> list[int]:
        """The number that the first fix changes, and what to."""
        texts = [text for edit in more[0].candidate.fix.edits for text in (Sources(self.report.evidence).segment(edit.span), edit.text)]
        return [int(text) for text in texts] if all(text.isdigit() for text in texts) else []

    def _shown(self, proven: _Proven, said: str, fix: Fix | None = None) -> Fix:
        made = diff(proven.fix.edits, Sources(self.report.evidence))
        return replace(fix or proven.fix, changes=said, diff=made)

    def _blaming(self, diagnosis: Diagnosis, more: Sequence[_Proven], held: bool) -> Diagnosis:
        """The step that, written otherwise, lets the run go on is to blame, where no other change does."""
        if not isinstance(more[0] if more else None, (_Turned, _Numbered)):
            return diagnosis
        at = place_of(more[0].candidate.fix.edits)
        on_the_way = {(op.span.file, op.span.line) for op in steps(self.report.evidence, self.failure) if op.span is not None}
        moves, told = self._moves(more), sizes_of(self.failure.message)
        built = diagnosis.family in _BUILT and bool(moves) and moves[0] in told and (moves[1] in told or abs(moves[1] - moves[0]) == 1)
        if isinstance(more[0], _Numbered) and not built and (at.file, at.line) not in on_the_way:
            return diagnosis
        if (at.file, at.line) == (diagnosis.cause.span.file, diagnosis.cause.span.line):
            return diagnosis
        source = Sources(self.report.evidence)
        statement = source.statement_at(at.file, at.line)
        span = source.span_of(at.file, statement) if statement is not None and statement.lineno == at.line else at
        rest = "" if held else f"; no change at {place(diagnosis.cause.span)} did that"
        note = f"trials decided between the lines: {more[0].fix.title}, and the run goes on{rest}"
        return replace(diagnosis, cause=Label(span, "written otherwise, the run goes on"), notes=(note, *diagnosis.notes))

    def _searched(self, unpatched: Outcome) -> list[_Proven]:
        """First guesses, and numbers moved a little; then the values that follow from what moved."""
        evidence, diagnosis = self.report.evidence, self.report.diagnoses[0]
        found = list(numbers(diagnosis, self.failure, Sources(evidence)))
        moves = probes(found)[:_MOST_PROBES]
        moved = [Fix("", number.becomes(value)) for number, value in moves]
        tried = self._tried(self._ready([*guesses(diagnosis, evidence, found, _MOST_GUESSES), *moved]), unpatched)
        good = [p for p in tried if p.fix.title and self._holds_on(p, unpatched)]
        held = self._neutral(good, unpatched)
        if not held and self._has_time():
            seen = {p.fix.edits: p.outcome.message for p in tried if p.fix.verification.outcome == "same"}
            solved = [
                fix
                for (number, value), move in zip(moves, moved)
                if move.edits in seen
                for fix in solutions(number, value, unpatched.message, seen[move.edits])
            ]
            more = self._tried(self._ready(solved)[:_MOST_GUESSES], unpatched)
            good = [p for p in more if self._holds_on(p, unpatched)]
            tried, held = [*tried, *more], self._neutral(good, unpatched)
        said = f"found by trial: {len(tried)} changes were run"
        return [_Numbered(p.candidate, p.outcome, self._shown(p, said)) for p in held[:_MOST_FOUND]]

    def _ready(self, fixes: Sequence[Fix]) -> list[Candidate]:
        return [made for fix in fixes if (made := candidate(fix, self.report.evidence)) is not None]

    def _holds_on(self, proven: _Proven, unpatched: Outcome) -> bool:
        if difference(proven.outcome, unpatched, unpatched.steps):
            return False
        later = proven.outcome.end == "ended" and proven.outcome.steps == unpatched.steps > 0  # it failed when the training was over
        return proven.holds and (proven.outcome.steps > unpatched.steps or later or not self.report.evidence.optimizers)

    def _tried(self, candidates: Sequence[Candidate], unpatched: Outcome) -> list[_Proven]:
        """Those that there was time for, a few at once."""
        found: list[_Proven] = []
        some = 2 * _at_once()
        for first in range(0, len(candidates), some):
            if not first or self._has_time():
                found += self._run_some(candidates[first : first + some], unpatched)
        return found

    def _run_some(self, candidates: Sequence[Candidate], unpatched: Outcome) -> list[_Proven]:
        trials = [self._trial(c, unpatched.steps, _GRACE) for c in candidates]
        outcomes = self._runs(trials, _at_once())
        for n, outcome in enumerate(outcomes):
            if outcome.end == "stopped" and difference(outcome, unpatched, unpatched.steps) and self._has_time():
                # other steps than before came first, so their number does not tell where the failure was
                outcomes[n] = self._runs([self._trial(candidates[n], None, 0.0)], 1)[0]
        return [_Proven(c, o, self._judged(c, o, unpatched)) for c, o in zip(candidates, outcomes)]

    def _judged(self, tried: Candidate, outcome: Outcome, unpatched: Outcome) -> Fix:
        old = self.report.evidence.source(unpatched.file) or ""
        new = tried.texts.get(unpatched.file, old)
        verification = judge(outcome, unpatched, old, new)
        return as_hiding(replace(tried.fix, verification=verification))

    def _deeper(self, tried: list[_Proven], unpatched: Outcome) -> list[_Proven]:
        """Where another failure comes in the place of the first, or the same at the next place: that one diagnosed and mended too."""
        while tried and tried[0].candidate.parts < _DEEPEST:
            onward = [p for p in tried if p.outcome.end == "raised" and not p.fix.hides and not p.outcome.denied][:_ONWARD]
            tried = self._tried([c for p in onward if self._has_time() for c in self._followers(p, unpatched)], unpatched)
            if any(p.holds for p in tried):
                return [p for p in tried if p.holds][:1]
        return []

    def _followers(self, first: _Proven, unpatched: Outcome) -> list[Candidate]:
        trial = self._trial(first.candidate, unpatched.steps, 0.0, record=True)
        outcome = self._runs([trial], 1)[0]
        if outcome.evidence is None:
            return []
        told = self.diagnose(outcome.evidence)
        fixes = [fix for diagnosis in told.diagnoses[:1] for fix in diagnosis.fixes if not fix.hides]
        fixes.sort(key=lambda fix: not _alike(fix.title, first.fix.title))  # the same again, at the next place
        made = [followed_by(first.candidate, fix, told.evidence, self.report.evidence) for fix in fixes]
        return [c for c in made if c is not None and c.texts != first.candidate.texts][:2]

    def _trial(self, made: Candidate, past: int | None, grace: float, record: bool = False) -> Trial:
        return made.trial(self._left(), self.budget.trial_wall, past, grace, record)

    def _runs(self, trials: Sequence[Trial], at_once: int) -> list[Outcome]:
        outcomes = self.run(trials, at_once)
        self.spent += sum(outcome.seconds for outcome in outcomes)
        return outcomes

    def _left(self) -> float:
        return max(_LEAST, min(self.budget.trial, self.budget.whole - self.spent))

    def _has_time(self) -> bool:
        return self.spent < self.budget.whole and time.monotonic() < self.until


def ranked(tried: Sequence[_Proven], rest: Sequence[Fix], unpatched: Outcome) -> list[Fix]:
    """Fixes that hold and agree first, then one that holds but is the odd one out, then those that
    were not run, those that do not hold, and those that only hide the error."""
    gone = [p for p in tried if p.holds]
    told: list[tuple[int, Fix]] = [(4 if fix.hides else 2, fix) for fix in rest]
    for one in tried:
        fix, place = one.fix, 4 if one.fix.hides else 3
        if one.holds:
            before = difference(one.outcome, unpatched, unpatched.steps)
            steps = unpatched.steps + 1
            others = [difference(one.outcome, p.outcome, steps) for p in gone if p is not one]
            place = 1 if before or (len(others) >= 2 and all(others)) else 0
            if before:
                said = f"what came before the failure: {before}"
                fix = replace(fix, changes="; ".join(filter(None, [fix.changes, said])))
        told.append((place, fix))
    return [fix for _, fix in sorted(told, key=lambda pair: pair[0])]


def _alike(title: str, before: str) -> bool:
    """Whether two titles say the same of different names."""
    return re.sub(r"`[^`]*`", "", title) == re.sub(r"`[^`]*`", "", before.rpartition("; then ")[2])


def _with(diagnosis: Diagnosis, fixes: Sequence[Fix]) -> Diagnosis:
    return replace(diagnosis, fixes=tuple(fixes))


def _at_once() -> int:
    return max(1, min(4, os.cpu_count() or 1))
