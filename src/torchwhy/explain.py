"""`torchwhy explain`: the diagnosis of a printed failure. Reads a text, runs nothing, needs no torch."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from typing import BinaryIO

from .catalogue import load
from .diagnose import chain, judge, with_notes
from .evidence.log import BinaryText, read_log
from .family import Trigger
from .model import Confidence, Diagnosis, Evidence, Failure, Report
from .program import BadInput
from .reason.foreign import ended_by_scheduler, is_another_frameworks, untold, what_it_is
from .reason.from_text import failure_of, told
from .reason.sayings import said_alone, said_more
from .reason.sayings.surroundings import with_surroundings

_SHORT, _WORDS = 60, 3
_KINDS = ("RuntimeError", "ValueError", "TypeError", "IndexError", "AttributeError", "UserWarning")


def explain_file(file: str) -> Report:
    """The report on a file, or on standard input for `-`. Raises `BadInput`."""
    try:
        if file == "-":
            return explain(sys.stdin.buffer)
        with open(file, "rb") as stream:
            return explain(stream)
    except OSError as error:
        raise BadInput(f"can't open {file!r}: {error.strerror or error}") from None
    except BinaryText:
        raise BadInput(f"can't read {file!r}: it is no text") from None


def explain(stream: BinaryIO) -> Report:
    """The report on a text: its first cause with the diagnosis, then its other failures with theirs."""
    log = read_log(stream)
    return explain_evidence(log.evidence, log.remarks)


def explain_evidence(evidence: Evidence, remarks: tuple[str, ...] = ()) -> Report:
    """The report on what a text told."""
    if evidence.failure is None:
        return bare_message(evidence) or Report("explain", "passed", None, evidence, remarks=("the text holds no failure",))
    if scheduler := ended_by_scheduler(evidence):
        return Report("explain", "not-torch", None, evidence, remarks=(scheduler,))
    first = _judged(evidence)
    others = [_judged(replace(evidence, failure=other, others=(), consequences=())) for other in evidence.others]
    if (
        not first.diagnoses
        and (better := next((o for o in others if o.diagnoses and _same_printer(evidence.failure, o)), None)) is not None
    ):
        left = tuple(f for f in (evidence.failure, *evidence.others) if f is not better.evidence.failure)
        others = [o for o in others if o is not better]
        first = replace(better, evidence=replace(better.evidence, others=left))
    rest = [d for report in others for d in report.diagnoses[:1] if d.headline not in {known.headline for known in first.diagnoses}]
    foreign = (what_it_is(evidence),) if first.outcome == "not-torch" else (untold(evidence),) if not first.diagnoses else ()
    notes = (*remarks, *(f"because of it: {line}" for line in evidence.consequences[:4]))
    first = with_notes(first, notes)
    return replace(first, diagnoses=(*first.diagnoses, *rest), remarks=(*foreign, *notes) if foreign else ())


def bare_message(evidence: Evidence) -> Report | None:
    """The report on an error's words alone, pasted without its type or traceback; only of a short text, and never sure."""
    if len(evidence.context) > _SHORT:
        return None
    for line in evidence.context:
        if not any(_is_message(trigger, line) for family in load().families for trigger in family.triggers):
            continue
        for kind in _KINDS:
            report = _judged(replace(evidence, failure=Failure(kind, line, "builtins")))
            if report.diagnoses:
                sure = tuple(replace(d, confidence=Confidence.POSSIBLE) for d in report.diagnoses)
                return replace(
                    report,
                    diagnoses=sure,
                    remarks=("read from the words of the error alone: its type and its traceback are not in the text",),
                )
    return None


def _is_message(trigger: Trigger, line: str) -> bool:
    """Whether a line has enough of a trigger's words to be that error."""
    found = re.search(trigger.pattern, line) if not trigger.types and not trigger.raised_in else None
    return found is not None and len(re.findall(r"[A-Za-z]{2,}", found[0])) >= _WORDS


def _judged(evidence: Evidence) -> Report:
    report = judge(Report("explain", "failed", None, evidence))
    if is_another_frameworks(evidence):
        return replace(report, outcome="not-torch", diagnoses=())
    alone = _from_message(evidence, winning=bool(report.diagnoses))
    if alone is not None and alone.family not in [d.family for d in report.diagnoses[:1]]:
        report = replace(report, outcome="failed", diagnoses=(alone, *(d for d in report.diagnoses if d.family != alone.family)))
    return replace(report, diagnoses=tuple(_with_text(d, report.evidence) for d in report.diagnoses[:3]))


def _from_message(evidence: Evidence, winning: bool) -> Diagnosis | None:
    """What the message alone tells, of the deepest exception of the chain that says anything."""
    families = {family.slug: family for family in load().families}
    said = [said_alone(evidence, failure, families, winning) for failure in chain(evidence.failure)]
    return next((diagnosis for diagnosis in reversed(said) if diagnosis is not None), None)


def _with_text(diagnosis: Diagnosis, evidence: Evidence) -> Diagnosis:
    """With what the message tells beyond it, and what the text around it does."""
    failure = failure_of(diagnosis, evidence.failure)
    if failure is None:
        return diagnosis
    return told(with_surroundings(said_more(diagnosis, failure), failure, evidence), evidence)


def _same_printer(failure: Failure, report: Report) -> bool:
    other = report.evidence.failure
    return other is not None and other.rank == failure.rank
