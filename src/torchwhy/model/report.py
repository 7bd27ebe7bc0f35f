"""What is said of it: labels, edits, fixes with their proof, diagnoses, the report."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from .evidence import Evidence
from .facts import Span


# ── what is said of it ────────────────────────────────────────────────────────────────────────────────────────────────
class Confidence(str, Enum):
    """CERTAIN: the evidence entails it. LIKELY: it fits all the evidence and no other family spoke. POSSIBLE: something needed was not recorded."""

    CERTAIN = "certain"
    LIKELY = "likely"
    POSSIBLE = "possible"


@dataclass(frozen=True, slots=True)
class Label:
    """A place with a word about it, such as `float32 [32, 3136]`."""

    span: Span
    text: str = ""


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace the text of `span` in its file by `text`. An empty span inserts; an empty text deletes."""

    span: Span
    text: str


Applicability = Literal["safe", "unsafe", "display-only"]
"""safe: the meaning is what the user wants in all likelihood; unsafe: it changes results or weights, look first; display-only: not a patch that can be applied."""


@dataclass(frozen=True, slots=True)
class Verification:
    outcome: Literal["gone", "same", "other", "timed-out", "not-run"] = "not-run"
    by: Literal["run", "simulation"] | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Fix:
    """A proposed change. `hides` names the symptom it only hides; `changes` says what else it alters (weights, results, memory)."""

    title: str
    edits: tuple[Edit, ...] = ()
    applicability: Applicability = "unsafe"
    hides: str = ""
    changes: str = ""
    diff: str = ""
    verification: Verification = Verification()


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Cause and symptom are two things: `cause` is the line to blame, the last label of `trail` is where it was raised."""

    code: str
    family: str
    title: str
    headline: str
    cause: Label
    trail: tuple[Label, ...] = ()
    notes: tuple[str, ...] = ()
    fixes: tuple[Fix, ...] = ()
    confidence: Confidence = Confidence.LIKELY


Outcome = Literal["passed", "failed", "findings", "not-torch"]


@dataclass(frozen=True, slots=True)
class Timing:
    program_s: float = 0.0
    diagnosis_s: float = 0.0
    verification_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """What the renderers get, and what the report file holds (`torchwhy.report/1`)."""

    command: str
    outcome: Outcome
    exit_code: int | None = None
    evidence: Evidence = field(default_factory=Evidence)
    diagnoses: tuple[Diagnosis, ...] = ()
    timing: Timing = Timing()
    problems: tuple[str, ...] = ()
    memory: tuple[tuple[str, float], ...] = ()
    """Of an out-of-memory failure: what the allocator said, in bytes."""
    remarks: tuple[str, ...] = ()
    """Sentences about the whole: what an error is that PyTorch did not raise, which process failed first."""
    incident: bool = False
    """Whether `evidence` is all that was seen, and goes into the report file; else the file holds what is said, and the lines named."""
