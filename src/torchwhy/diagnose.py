"""Asks the families whose trigger matched, ranks their answers, and decides whether PyTorch was the reason at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from .catalogue import load
from .family import Family
from .model import Confidence, Diagnosis, Evidence, Failure, Fix, Outcome, Report
from .reason.compiled import inside
from .reason.diffs import diff
from .reason.foreign import is_torchs_text
from .reason.imports import with_imports
from .reason.memory import memory_numbers
from .reason.operands import expressions
from .reason.parameters import with_parameters
from .reason.source import Sources

_CONFIDENCE = (Confidence.CERTAIN, Confidence.LIKELY, Confidence.POSSIBLE)
_NEVER_TORCH = ("StopIteration", "StopAsyncIteration", "KeyboardInterrupt", "SystemExit", "GeneratorExit")


@dataclass(frozen=True)
class Answer:
    diagnoses: tuple[Diagnosis, ...]
    problems: tuple[str, ...]


def judge(report: Report, families: Sequence[Family] = ()) -> Report:
    """The report of a failure, with its diagnoses and its outcome. Asks the whole catalogue, or the families given."""
    catalogue = load()
    answer = diagnose(report.evidence, families or catalogue.families)
    outcome: Outcome = "failed" if answer.diagnoses or is_torchs(report.evidence) else "not-torch"
    problems = (*report.problems, *report.evidence.problems, *catalogue.problems, *answer.problems)
    told = [replace(d, notes=with_parameters(d, report.evidence)) for d in answer.diagnoses]
    diagnoses = tuple(_with_diffs(_told_replay(diagnosis, report.evidence), Sources(report.evidence)) for diagnosis in told)
    memory = next((numbers.known() for f in chain(report.evidence.failure) if (numbers := memory_numbers(f.message)) is not None), {})
    return replace(
        report, evidence=named(report.evidence), outcome=outcome, diagnoses=diagnoses, problems=problems, memory=tuple(memory.items())
    )


def with_notes(report: Report, notes: Sequence[str]) -> Report:
    """The report with more to say in its first diagnosis."""
    if not report.diagnoses or not notes:
        return report
    first, *rest = report.diagnoses
    return replace(report, diagnoses=(replace(first, notes=(*first.notes, *notes)), *rest))


def diagnose(evidence: Evidence, families: Sequence[Family]) -> Answer:
    """Every family's answer, best first: of the deepest exception of the chain first, then by rank, confidence and code.

    A family that a `caused_by` matched gets the evidence with that one as its failure. A family of negative rank is a last resort: it is
    asked about the exception that came out, where torch raised it and no other family answered.
    """
    found: list[tuple[tuple[int, int, int, int], Diagnosis]] = []
    problems: list[str] = []
    asked = [*takewhile(lambda f: f.error_type not in _NEVER_TORCH, chain(evidence.failure))]
    asked += [own for f in asked if (own := inside(evidence, f)) is not None]
    for depth, failure in reversed(list(enumerate(asked))):
        told, _, again = failure.message.partition("\nOriginal Traceback")
        if again and failure.caused_by is not None:  # a worker's exception raised again: all of its text was asked about already
            if found:
                break
            failure = replace(failure, message=told)
        seen_so = replace(evidence, failure=failure)
        for place, family in enumerate(families):
            if family.rank < 0:
                continue
            try:
                diagnosis = _ask(family, failure, seen_so)
            except Exception as error:
                problems.append(f"{family.slug} raised {type(error).__name__}: {error}")
                continue
            if diagnosis is not None:
                found.append(((-depth, -family.rank, _CONFIDENCE.index(diagnosis.confidence), place), diagnosis))
    if not found and evidence.failure is not None and is_torchs(evidence):
        for place, family in enumerate(_last(families)):
            try:
                diagnosis = _ask(family, evidence.failure, evidence)
            except Exception as error:
                problems.append(f"{family.slug} raised {type(error).__name__}: {error}")
                continue
            if diagnosis is not None:
                found.append(((0, -family.rank, _CONFIDENCE.index(diagnosis.confidence), place), diagnosis))
    best: dict[str, Diagnosis] = {}
    for _, diagnosis in sorted(found, key=lambda pair: pair[0]):
        best.setdefault(diagnosis.code, diagnosis)
    return Answer(tuple(best.values()), tuple(problems))


def needs(failure: Failure | None, families: Sequence[Family] = (), found: Sequence[Diagnosis] = ()) -> tuple[str, ...]:
    """The dear evidence that the families whose trigger matched ask for; a last resort asks only where no other family has answered."""
    families = families or load().families
    answered = {d.code for d in found} - {family.code for family in _last(families)}
    asked = [family for family in families if family.rank >= 0 or not answered]
    wanted = (need for f in chain(failure) for family in asked if _match(family, f) for need in family.needs)
    return tuple(dict.fromkeys(wanted))


def _last(families: Sequence[Family]) -> list[Family]:
    return [family for family in families if family.rank < 0]


def chain(failure: Failure | None) -> Iterator[Failure]:
    """The exception that came out, then those it was raised from."""
    while failure is not None:
        yield failure
        failure = failure.caused_by


def is_torchs(evidence: Evidence) -> bool:
    """Whether torch raised it, by what was recorded, or by what a text says."""
    if evidence.from_text:
        return evidence.failure is not None and is_torchs_text(evidence.failure)
    return is_torchs_doing(evidence.failure) or _refused_at_once(evidence)


def _refused_at_once(evidence: Evidence) -> bool:
    """Whether the program's line called into torch, and the call was refused before any code of torch's ran that a traceback would show."""
    failure = evidence.failure.began if evidence.failure is not None else None
    innermost = failure.frames[-1] if failure is not None and failure.frames else None
    return evidence.call is not None and innermost is not None and innermost.origin == "user"


def is_torchs_doing(failure: Failure | None) -> bool:
    """Whether torch raised it: an error type of its own, code of its own, or a call into it made by the innermost frame."""
    failure = failure.began if failure is not None else None
    if failure is None or failure.error_type in _NEVER_TORCH:
        return False
    if failure.error_type == "ProcessRaisedException" and failure.caused_by is not None:
        return is_torchs_text(failure.caused_by)
    if failure.error_module.partition(".")[0] == "torch":
        return True
    innermost = failure.frames[-1] if failure.frames else None
    if innermost is None or innermost.origin == "torch":
        return innermost is not None or failure.op is not None
    call = failure.op.span if failure.op is not None else None
    return call is not None and call.file == innermost.span.file and innermost.span.line in call.lines


def named(evidence: Evidence) -> Evidence:
    """The failing call's operands with the program's own expressions for them."""
    failure = evidence.failure
    if failure is None or failure.op is None:
        return evidence
    return replace(evidence, failure=replace(failure, operands=expressions(evidence, failure)))


def _told_replay(diagnosis: Diagnosis, evidence: Evidence) -> Diagnosis:
    """A late failure's evidence comes from a second run of the piece that failed, and says so."""
    if not evidence.recording.replayed:
        return diagnosis
    if evidence.failure is not None and evidence.failure.worker is not None:
        note = f"replayed: what worker {evidence.failure.worker} raised came as text, so its batch was fetched again in a child process"
        return replace(diagnosis, notes=(*diagnosis.notes, note))
    note = (
        f"replayed: the recorder had stepped aside (step {evidence.recording.steps}), so the failing piece was run again in a child process"
    )
    return replace(diagnosis, notes=(*diagnosis.notes, note))


def _with_diffs(diagnosis: Diagnosis, sources: Sources) -> Diagnosis:
    """The fixes with their unified diffs; a fix whose edits can't be made is only for display."""
    return replace(diagnosis, fixes=tuple(_with_diff(fix, sources) for fix in diagnosis.fixes))


def _with_diff(fix: Fix, sources: Sources) -> Fix:
    edits = with_imports(fix.edits, sources) if not fix.diff else fix.edits
    made = diff(edits, sources) if edits and not fix.diff else fix.diff
    return replace(fix, edits=edits, diff=made, applicability=fix.applicability if made else "display-only")


def _ask(family: Family, failure: Failure, evidence: Evidence) -> Diagnosis | None:
    for trigger in family.triggers:
        match = trigger.match(failure)
        if match is not None:
            diagnosis = family.diagnose(evidence, match)
            if diagnosis is not None:
                return diagnosis
    return None


def _match(family: Family, failure: Failure) -> bool:
    return any(trigger.match(failure) for trigger in family.triggers)
