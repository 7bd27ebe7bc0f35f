"""The diagnosis as a person reads it: what is wrong, the line to blame, the way from there to the error, what mends it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..model import Confidence, Diagnosis, Evidence, Fix, Report, Span
from ..reason.wording import value_text
from .text import WIDTH, Line, cells, cut, cut_front, plain, styled, visible, wrap

_PROOF = {
    "not-run": "proposed fix (not run yet)",
    "gone": "fix, verified",
    "same": "fix, run without success: the error stays",
    "other": "fix, run: another error comes in its place",
    "timed-out": "fix, not verified: its run took too long",
}
_HIDDEN = "tried, not a fix"
_UNPROVEN = "proposed fix, not verified"
_SHOWN_FIXES = 3
_SMALLEST = 24
_FACTS_AT = 46


def text_of(diagnosis: Diagnosis, evidence: Evidence, width: int = WIDTH) -> str:
    """One diagnosis, whole, without colour."""
    return plain(diagnosis_lines(diagnosis, evidence, width))


def report_lines(report: Report, width: int = WIDTH) -> Iterator[Line]:
    """The best diagnosis whole, the others in a line each; where there is none, what is known of the failing call."""
    yield ()
    if not report.diagnoses:
        yield from _unknown_lines(report, width) if report.outcome == "failed" else ()
        yield from _remark_lines(report, width)
        return
    best, *others = report.diagnoses
    yield from diagnosis_lines(best, report.evidence, width)
    for other in others:
        place = f"{visible(other.cause.span.file)}:{other.cause.span.line}"
        yield from _wrapped(f"or {other.code} {other.family}: {visible(other.headline)} ({place})", width, "  ", "     ", "dim")


def diagnosis_lines(diagnosis: Diagnosis, evidence: Evidence, width: int = WIDTH) -> Iterator[Line]:
    sure = "" if diagnosis.confidence is Confidence.CERTAIN else f" ({diagnosis.confidence.value})"
    yield from _head(diagnosis, sure, width)
    yield ()
    cause, *trail = _rows(diagnosis)
    grid = _Grid((cause, *trail), evidence, width)
    yield from grid.lines(cause)
    if trail:
        yield (("  on the way to the error", "heading"),)
    for row in trail:
        yield from grid.lines(row)
    for note in diagnosis.notes:
        yield from _wrapped(f"note: {visible(note)}", width, "  ", "        ")
    for fix in diagnosis.fixes[:_SHOWN_FIXES]:
        yield from _fix_lines(fix, diagnosis, width)
    program = script(evidence) if any(_can_be_written(fix) for fix in diagnosis.fixes) else ""
    if program:
        yield ((f"  apply it: torchwhy fix {visible(program)} --apply", "dim"),)
    yield ((f"  why: torchwhy explain {diagnosis.code}", "dim"),)


def _head(diagnosis: Diagnosis, sure: str, width: int) -> Iterator[Line]:
    name = f"{diagnosis.code} {diagnosis.family}"
    for number, (_, words) in enumerate(wrap(f"{name}{sure}: {visible(diagnosis.headline)}", width, "", "  ")):
        yield ((name, "code"), *styled(words[len(name) :], "headline")) if not number else (("  ", ""), *styled(words, "headline"))


@dataclass(frozen=True)
class _Row:
    """A place, the words beside its source, and whether the span is underlined."""

    span: Span
    facts: str
    style: str = "facts"
    carets: bool = False

    @property
    def place(self) -> str:
        return f"{visible(self.span.file)}:{self.span.line}"


def _rows(diagnosis: Diagnosis) -> tuple[_Row, ...]:
    """The cause, then the trail, whose last row says that the error was raised there; one row where both are the same line."""
    trail = [_Row(label.span, visible(label.text)) for label in diagnosis.trail]
    if trail:
        said = trail[-1].facts
        raised = said if "raise" in said else f"raised here: {said}" if said else "raised here"
        trail[-1] = _Row(trail[-1].span, raised, carets=True)
    cause = diagnosis.cause.span
    alone = len(trail) == 1 and (trail[0].span.file, trail[0].span.line) == (cause.file, cause.line)
    words = ("cause, raised here" if alone else "cause", visible(diagnosis.cause.text))
    return (_Row(cause, "◀ " + ": ".join(filter(None, words)), "cause", True), *([] if alone else trail))


class _Grid:
    """`file:line  source  facts` in columns, with carets below the span. What does not fit beside stands under it."""

    def __init__(self, rows: Sequence[_Row], evidence: Evidence, width: int) -> None:
        self.evidence = evidence
        self.width = width
        self.places = max(cells(row.place) for row in rows)
        self.stacked = self.places > width * 2 // 5
        self.start = 4 if self.stacked else 2 + self.places + 2
        self.room = width - self.start
        beside = [cells(row.facts) for row in rows if cells(row.facts) + 2 + _SMALLEST <= self.room]
        self.facts_at = min(_FACTS_AT, self.room - max(beside, default=0))

    def lines(self, row: _Row) -> Iterator[Line]:
        source, column, length = _excerpt(source_line(self.evidence, row.span), row.span, self.room)
        place = (f"  {row.place}" if self.stacked else f"  {row.place.ljust(self.places)}  ", "place")
        if self.stacked:
            yield (place,)
            place = (" " * self.start, "")
        gap = max(2, self.facts_at - cells(source))
        beside = cells(source) + gap + cells(row.facts) <= self.room
        yield (place, (source, ""), (" " * gap, ""), *styled(row.facts, row.style)) if beside else (place, (source, ""))
        if row.carets and length:
            yield ((" " * (self.start + column), ""), ("^" * length, "mark"))
        if row.facts and not beside:
            for indent, words in wrap(row.facts, self.width, " " * (self.start + 2), " " * (self.start + 4)):
                yield ((indent, ""), *styled(words, row.style))


def source_line(evidence: Evidence, span: Span) -> str:
    """The line on which a span begins, as its file has it or as the traceback shows it; empty where neither does."""
    lines = (evidence.source(span.file) or "").split("\n")
    return lines[span.line - 1].rstrip("\r") if 0 < span.line <= len(lines) else _printed_line(evidence, span)


def _printed_line(evidence: Evidence, span: Span) -> str:
    """The line as a traceback shows it, where its file is not at hand."""
    failure = evidence.failure
    while failure is not None:
        for frame in failure.frames:
            if (frame.span.file, frame.span.line) == (span.file, span.line) and frame.code:
                return " ".join(frame.code.split())
        failure = failure.caused_by
    return ""


def _excerpt(raw: str, span: Span, room: int) -> tuple[str, int, int]:
    """What is shown of a source line, and where the span lies in it (columns on the screen, and how many)."""
    if not raw.strip():
        return (f"in {visible(span.function)}" if span.function else "(source not at hand)"), 0, 0
    ends_here = span.end_line in (0, span.line)
    first = span.column
    last = span.end_column if ends_here else len(raw.rstrip())
    indent = len(raw) - len(raw.lstrip())
    text = visible(raw.strip())
    before = cells(visible(raw[:first])) - cells(visible(raw[:indent]))
    length = cells(visible(raw[:last])) - cells(visible(raw[:first])) if last > first >= indent else 0
    if cells(text) > room:
        skipped = max(0, min(before - 8, before + length + 4 - room)) if before + length > room - 2 else 0
        if skipped:
            gone = text[: len(text) - len(cut_front(text, skipped + 1))]
            text, before = "…" + text[len(gone) :], before - cells(gone) + 1
        text = cut(text, room)
    return text, max(0, before), max(0, min(length, room - before))


def _fix_lines(fix: Fix, diagnosis: Diagnosis, width: int) -> Iterator[Line]:
    hidden = fix.hides and fix.verification.outcome == "other"
    tried = fix.verification.outcome == "not-run" and fix.verification.detail
    proof = _HIDDEN if hidden else _UNPROVEN if tried else _PROOF[fix.verification.outcome]
    yield from _wrapped(f"{proof}: {visible(fix.title)}", width, "  ", "    ", "heading")
    if fix.verification.detail:
        yield from _wrapped(visible(fix.verification.detail), width, "    ", "    ", "dim")
    if fix.diff:
        yield from _diff_lines(fix.diff, diagnosis.cause.span, width)
    if fix.hides:
        yield from _wrapped(f"only hides: {visible(fix.hides)}", width, "    ", "    ")
    if fix.changes:
        yield from _wrapped(f"changes: {visible(fix.changes)}", width, "    ", "    ")


def _can_be_written(fix: Fix) -> bool:
    return fix.verification.outcome == "gone" and bool(fix.diff) and not fix.hides


def script(evidence: Evidence) -> str:
    """The script that was run, where the traceback begins in one."""
    frames = evidence.failure.frames if evidence.failure else ()
    return frames[0].span.file if frames and frames[0].origin == "user" and not frames[0].span.file.startswith("<") else ""


def _diff_lines(diff: str, cause: Span, width: int) -> Iterator[Line]:
    """The changed lines of a unified diff, under `file:line` where that is not the cause's own line."""
    changed: list[tuple[str, str]] = []
    file, line = "", 0
    for row in diff.splitlines():
        if row.startswith("+++ "):
            file = re.sub(r"^b/", "", row[4:].split("\t")[0])
        elif hunk := re.match(r"@@ -(\d+)", row):
            line = int(hunk[1])
        elif row.startswith(("-", "+")) and not row.startswith("--- "):
            place = f"{file}:{line}" if (file, line) != (cause.file, cause.line) and row[0] == "-" else ""
            changed.append((row, place))
            line += row[0] == "-"
        else:
            line += 1
    texts = [row[1:] for row, _ in changed if row[1:].strip()]
    shift = min((len(t) - len(t.lstrip()) for t in texts), default=0)
    for row, place in changed:
        shown = cut(f"    {row[0]} {visible(row[1 + shift :])}", width)
        style = "minus" if row[0] == "-" else "plus"
        apart = place and cells(shown) + cells(place) + 2 <= width
        yield ((shown, style), (f"  {visible(place)}", "dim")) if apart else ((shown, style),)


def _remark_lines(report: Report, width: int) -> Iterator[Line]:
    head = {"not-torch": "torchwhy: not an error of PyTorch's: "}.get(report.outcome, "torchwhy: ")
    for number, remark in enumerate(report.remarks):
        yield from _wrapped((head if not number else "") + visible(remark), width, "" if not number else "  ", "  ")


def _unknown_lines(report: Report, width: int) -> Iterator[Line]:
    """No family knows it: say so, and what the failing call was given."""
    failure = report.evidence.failure
    if failure is None:
        return
    yield (("torchwhy", "code"), (": no cause is known for this error", "headline"))
    if failure.raised_at is not None:
        row = _Row(failure.raised_at, "raised here", carets=True)
        yield ()
        yield from _Grid([row], report.evidence, width).lines(row)
    module = next((m for m in report.evidence.modules if m.id == failure.module), None)
    if module is not None:
        yield from _wrapped(f"in module `{visible(module.fqn)}` ({visible(module.kind)})", width, "  ", "    ")
    for operand in failure.operands:
        if operand.expression:
            given = f"`{visible(operand.expression)}`: {visible(value_text(operand.value))}"
            yield from _wrapped(f"{visible(operand.parameter)} = {given}", width, "  ", "    ")


def _wrapped(text: str, width: int, first: str, rest: str, style: str = "") -> Iterator[Line]:
    for indent, words in wrap(text, width, first, rest):
        yield ((indent, ""), *styled(words, style))
