"""`torchwhy explain`: the diagnosis of a printed failure. Reads a text, runs nothing, needs no torch."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import BinaryIO

from .catalogue import load
from .diagnose import judge
from .evidence.log import BinaryText, read_log
from .family import Family
from .model import Diagnosis, Evidence, Failure, Report
from .program import BadInput
from .reason.foreign import what_it_is
from .reason.from_text import told


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
    evidence = log.evidence
    if evidence.failure is None:
        return Report("explain", "passed", None, evidence, remarks=("the text holds no failure",))
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
    foreign = (what_it_is(evidence),) if first.outcome == "not-torch" else ()
    notes = (*log.remarks, *(f"because of it: {line}" for line in evidence.consequences[:4]))
    return replace(first, diagnoses=(*_with_notes(first.diagnoses, notes), *rest), remarks=(*foreign, *notes) if foreign else ())


def _judged(evidence: Evidence) -> Report:
    report = judge(Report("explain", "failed", None, evidence))
    best = report.diagnoses[:3]
    return replace(report, diagnoses=tuple(told(d, report.evidence, _family(d)) for d in best))


def _family(diagnosis: Diagnosis) -> Family | None:
    return load().by_code(diagnosis.code)


def _same_printer(failure: Failure, report: Report) -> bool:
    other = report.evidence.failure
    return other is not None and other.rank == failure.rank


def _with_notes(diagnoses: tuple[Diagnosis, ...], notes: tuple[str, ...]) -> tuple[Diagnosis, ...]:
    if not diagnoses or not notes:
        return diagnoses
    return (replace(diagnoses[0], notes=(*diagnoses[0].notes, *notes)), *diagnoses[1:])
