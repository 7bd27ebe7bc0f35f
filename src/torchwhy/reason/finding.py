"""What is to be said of one failure, before a family puts its name to it."""

from __future__ import annotations

from dataclasses import dataclass

from ..family import Family
from ..model import Confidence, Diagnosis, Fix, Label, Span
from .reading import Cause, Reading


@dataclass(frozen=True)
class Finding:
    """A headline, the place to blame with a word about it, and the facts; `lead`: places on the way to the failing line."""

    headline: str
    cause: Cause | Span | None
    because: str = ""
    notes: tuple[str, ...] = ()
    fixes: tuple[Fix, ...] = ()
    lead: tuple[Label, ...] = ()
    confidence: Confidence = Confidence.LIKELY
    raised: str = "raised here"

    def by(self, family: Family, run: Reading) -> Diagnosis:
        """As a diagnosis of this family."""
        trail = [label for label in self.lead if (label.span.file, label.span.line) != (run.raised.file, run.raised.line)]
        return run.diagnosis(
            family,
            self.headline,
            self.cause,
            self.because,
            trail=[*trail, Label(run.raised, self.raised)],
            notes=self.notes,
            fixes=self.fixes,
            confidence=self.confidence,
        )
