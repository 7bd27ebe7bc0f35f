"""A diagnosis before it has a family: what a helper of several answers found."""

from __future__ import annotations

from dataclasses import dataclass

from ..family import Family
from ..model import Confidence, Diagnosis, Fix, Label, Span
from .reading import Cause, Reading


@dataclass(frozen=True, slots=True)
class Told:
    """The parts of a diagnosis; no cause: the raising line is blamed, as possible."""

    headline: str
    cause: Cause | Span | None
    because: str = ""
    notes: tuple[str, ...] = ()
    fixes: tuple[Fix, ...] = ()
    trail: tuple[Label, ...] = ()
    confidence: Confidence = Confidence.LIKELY


def tell(run: Reading, family: Family, told: Told | None) -> Diagnosis | None:
    """The diagnosis of a family, or None."""
    if told is None:
        return None
    return run.diagnosis(
        family, told.headline, told.cause, told.because, trail=told.trail, notes=told.notes, fixes=told.fixes, confidence=told.confidence
    )


def text_at(run: Reading, span: Span) -> str:
    """What stands at a place: from the source, else the line that the traceback shows."""
    text = run.sources.segment(span)
    return text or next((f.code for f in reversed(run.failure.frames) if (f.span.file, f.span.line) == (span.file, span.line)), "")
