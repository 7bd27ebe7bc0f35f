"""Every fix of a report run in a child, judged, and put in order: those that hold first, one that only hides the error never."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..model import Diagnosis, Failure, Fix, Report, Verification
from ..reason.diffs import check, patched
from ..reason.source import Sources
from ..replay.trial import Outcome, Trial
from .judgement import difference, is_reproduced, judge, why_not_reproduced

Run = Callable[[Sequence[Trial], int], list[Outcome]]
_MOST = 6
_GRACE = 2.0


@dataclass(frozen=True)
class Budget:
    """Seconds: for one trial, and for all."""

    trial: float = 6.0
    whole: float = 11.0


def prove(report: Report, run: Run, budget: Budget = Budget()) -> Report:
    """The report with its fixes proven."""
    failure = report.evidence.failure
    wanted = [(d, f) for d, diagnosis in enumerate(report.diagnoses) for f, fix in enumerate(diagnosis.fixes) if _can_run(fix, report)]
    if failure is None or not wanted:
        return report
    proof = _Proof(report, failure, run, time.monotonic() + budget.whole, budget)
    return proof.made(wanted[:_MOST])


def unproven(report: Report, why: str) -> Report:
    """The report whose fixes were not run, and the reason."""
    note = Verification("not-run", None, why)
    return replace(
        report, diagnoses=tuple(_with(d, [replace(f, verification=note) if f.edits else f for f in d.fixes]) for d in report.diagnoses)
    )


@dataclass
class _Proof:
    report: Report
    failure: Failure
    run: Run
    until: float
    budget: Budget

    def made(self, wanted: list[tuple[int, int]]) -> Report:
        unpatched = self.run([Trial(seconds=self._left())], 1)[0]
        if not is_reproduced(unpatched, self.failure):
            return unproven(self.report, why_not_reproduced(unpatched))
        trials = [self._trial(self._fix(*place), unpatched) for place in wanted]
        outcomes = self.run(trials, _at_once())
        fixes = {place: self._judged(self._fix(*place), o, unpatched) for place, o in zip(wanted, outcomes)}
        ran = dict(zip(wanted, outcomes))
        diagnoses = []
        for d, diagnosis in enumerate(self.report.diagnoses):
            own = [(fixes.get((d, f), fix), ran.get((d, f))) for f, fix in enumerate(diagnosis.fixes)]
            diagnoses.append(_with(diagnosis, ranked(own, unpatched)))
        return replace(self.report, diagnoses=tuple(diagnoses))

    def _fix(self, diagnosis: int, fix: int) -> Fix:
        return self.report.diagnoses[diagnosis].fixes[fix]

    def _left(self) -> float:
        return max(0.5, min(self.budget.trial, self.until - time.monotonic()))

    def _trial(self, fix: Fix, unpatched: Outcome) -> Trial:
        made = self._texts(fix)
        return Trial(tuple((os.path.abspath(file), text) for file, text in made.items()), self._left(), unpatched.steps, _GRACE)

    def _judged(self, fix: Fix, outcome: Outcome, unpatched: Outcome) -> Fix:
        old = self.report.evidence.source(unpatched.file) or ""
        new = self._texts(fix).get(unpatched.file, old)
        return replace(fix, verification=judge(outcome, unpatched, old, new))

    def _texts(self, fix: Fix) -> dict[str, str]:
        return patched(fix.edits, Sources(self.report.evidence)) or {}


def ranked(own: Sequence[tuple[Fix, Outcome | None]], unpatched: Outcome) -> list[Fix]:
    """Fixes that hold and agree first, then one that holds but is the odd one out, then those that only hide, then the rest."""
    gone = [(fix, o) for fix, o in own if o is not None and fix.verification.outcome == "gone" and not fix.hides]
    told = []
    for fix, outcome in own:
        place = 3 if fix.hides else 1 if fix.verification.outcome == "not-run" else 2
        if outcome is not None and fix.verification.outcome == "gone":
            place = place if fix.hides else 0
            before = difference(outcome, unpatched, unpatched.steps)
            others = [difference(outcome, o, unpatched.steps + 1) for f, o in gone if o is not outcome]
            if before:
                fix = replace(fix, changes="; ".join(filter(None, [fix.changes, f"what came before the failure: {before}"])))
                place = max(place, 1)
            elif len(others) >= 2 and all(others):
                place = max(place, 1)
        told.append((place, fix))
    return [fix for _, fix in sorted(told, key=lambda pair: pair[0])]


def _can_run(fix: Fix, report: Report) -> bool:
    made = patched(fix.edits, Sources(report.evidence)) if fix.edits else None
    return bool(made) and all(check(text) for file, text in made.items() if file.endswith(".py"))


def _with(diagnosis: Diagnosis, fixes: Sequence[Fix]) -> Diagnosis:
    return replace(diagnosis, fixes=tuple(fixes))


def _at_once() -> int:
    return max(1, min(4, os.cpu_count() or 1))
