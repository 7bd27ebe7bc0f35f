"""What a trial says of a fix: gone, same, other, timed out; and what the fix changed besides."""

from __future__ import annotations

import difflib
import math
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import replace

from ..model import Failure, Fix, Verification
from ..replay.trial import Outcome

_RANDOM_NAME = re.compile(r"\b(?:tmp|pymp-)[a-z0-9_]{8}\b|torchwhy-[a-z0-9_]{8}/\d+")
_NUMBER = re.compile(r"0x[\da-f]+|\d+(?:\.\d+)?(?:e[+-]?\d+)?")
_ALIKE = 1e-4
_PEER_LOST = re.compile(r"gloo/transport/.{0,400}(?:Connection (?:closed|reset) by peer|Broken pipe)")
_CONNECTS = re.compile(r"ProcessGroup(?:Gloo|NCCL|MPI)\(|\(local\) address|The (?:client|server) socket has failed")
"""A process group that could not be set up: its sockets are closed to a trial, in processes that say so only in their text."""


def pattern(message: str) -> str:
    """A message without what differs from run to run: numbers, addresses, names of temporary files, in which way a peer was lost."""
    if _PEER_LOST.search(message):
        return "a peer was lost"
    text = _RANDOM_NAME.sub("#", message.strip())
    text = text.replace(os.path.realpath(tempfile.gettempdir()) + os.sep, "").replace("#/#", "#")
    return _NUMBER.sub("#", text)[:400]


def is_reproduced(outcome: Outcome, failure: Failure) -> bool:
    """Whether the unpatched program failed in the trial as it did before: type, message and line."""
    if not is_same_failure(outcome, failure):
        return False
    at = failure.user_frames[-1].span if failure.user_frames else None
    return at is None or not outcome.file or (at.file, at.line) == (outcome.file, outcome.line)


def is_same_failure(outcome: Outcome, failure: Failure) -> bool:
    """The same type and message."""
    return outcome.end == "raised" and outcome.error_type == failure.error_type and pattern(outcome.message) == pattern(failure.message)


def as_hiding(fix: Fix) -> Fix:
    """A fix that only hides the error is not called verified, whatever its run shows."""
    if not fix.hides or fix.verification.outcome != "gone":
        return fix
    said = "the program goes on with it; the error is hidden, not mended"
    return replace(fix, verification=Verification("other", fix.verification.by, said))


def why_not_reproduced(outcome: Outcome) -> str:
    """In words, after `not run: `."""
    if outcome.fault:
        return f"the trial run could not be made: {outcome.fault}"
    if outcome.denied:
        return f"the program {outcome.denied[0]}, which a trial run may not"
    if outcome.end == "timed-out":
        return "the failure takes too long to come again"
    if outcome.end == "raised" and _CONNECTS.search(outcome.message):
        return "the program opens a connection, which a trial run may not"
    if outcome.refused:
        return f"a trial run may not do what the program needs ({outcome.refused})"
    if outcome.end == "raised":
        return f"run again, the program fails in another way ({outcome.error_type})"
    if outcome.end == "ended":
        return "run again, the program does not fail"
    return "the trial run was ended by the system"


def judge(outcome: Outcome, unpatched: Outcome, old: str, new: str) -> Verification:
    """The verdict on one fix. `old` and `new` are the texts of the file in which the unpatched program raised."""
    if outcome.end == "stopped" or (
        outcome.end == "timed-out" and outcome.steps > unpatched.steps and not difference(outcome, unpatched, unpatched.steps)
    ):
        return Verification("gone", outcome.by, "the step ran to its end with it (forward, backward, optimizer)")
    if outcome.end == "timed-out":
        return Verification("timed-out", outcome.by, "its run took too long")
    if outcome.end == "ended" and outcome.exit_code == 0:
        if outcome.steps < unpatched.steps:
            return Verification("other", outcome.by, "the program ends earlier with it")
        trained = outcome.steps > unpatched.steps
        return Verification(
            "gone", outcome.by, "the program ran to its end with it" + (" (forward, backward, optimizer)" if trained else "")
        )
    if outcome.end == "raised" and _is_same(outcome, unpatched, old, new):
        return Verification("same", outcome.by)  # it comes without the fence too
    if why := why_refused(outcome):
        return Verification("not-run", None, why)
    if outcome.end == "ended":
        return Verification("other", outcome.by, f"the program ends with exit code {outcome.exit_code}")
    if outcome.end == "died":
        return Verification("other", outcome.by, "the process died")
    return Verification("other", outcome.by, f"{outcome.file}:{outcome.line}: {shown_error(outcome)}")


def why_refused(outcome: Outcome) -> str:
    """What the fence did that may be why it ended so."""
    if outcome.fault:
        return f"the trial run could not be made: {outcome.fault}"
    if outcome.denied:
        return f"past the failure the program {outcome.denied[-1]}, which a trial run may not"
    if outcome.refused or outcome.end == "raised" and _CONNECTS.search(outcome.message):
        return f"past the failure a trial run may not do what the program needs ({outcome.refused or 'a connection'})"
    return ""


def shown_error(outcome: Outcome) -> str:
    """What a run raised, in a line."""
    return f"{outcome.error_type}: {_first_line(outcome.message)}"


def _is_same(outcome: Outcome, unpatched: Outcome, old: str, new: str) -> bool:
    """The same error at the same line, which the edit may have moved."""
    if outcome.error_type != unpatched.error_type or pattern(outcome.message) != pattern(unpatched.message):
        return False
    return outcome.file == unpatched.file and unpatched.line in _before(outcome.line, old, new)


def _before(line: int, old: str, new: str) -> range:
    """The lines of the old text that a line of the new one was."""
    if old == new:
        return range(line, line + 1)
    matcher = difflib.SequenceMatcher(None, old.splitlines(), new.splitlines(), autojunk=False)
    for kind, first, last, start, end in matcher.get_opcodes():
        if start < line <= end:
            return range(first + line - start, first + line - start + 1) if kind == "equal" else range(first + 1, max(last, first + 1) + 1)
    return range(0)


def _first_line(message: str) -> str:
    line = message.strip().split("\n")[0]
    return line if len(line) <= 160 else f"{line[:159]}…"


# ── what should not change ────────────────────────────────────────────────────────────────────────────────────────────
def difference(one: Outcome, other: Outcome, steps: int) -> str:
    """In which of the first steps, and how, two runs differ in loss, gradients or their norm; empty where they agree."""
    for number, (a, b) in enumerate(zip(one.seen[:steps], other.seen[:steps])):
        if not _agree(a.losses, b.losses):
            return f"the loss in step {number + 1}: {_said(a.losses)}, not {_said(b.losses)}"
        if a.gradients != b.gradients:
            return f"{a.gradients} parameters get gradients in step {number + 1}, not {b.gradients}"
        if not _alike(a.norm, b.norm):
            return f"the gradients' norm in step {number + 1}: {a.norm:.4g}, not {b.norm:.4g}"
    if len(one.seen) == len(other.seen) < steps and not _agree(one.losses, other.losses):
        return f"the loss: {_said(one.losses)}, not {_said(other.losses)}"
    return ""


def _agree(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(_alike(a, b) for a, b in zip(one, other))


def _alike(one: float, other: float) -> bool:
    return (math.isnan(one) or math.isnan(other)) or math.isclose(one, other, rel_tol=_ALIKE, abs_tol=1e-7)


def _said(losses: Sequence[float]) -> str:
    return ", ".join(f"{loss:.4g}" for loss in losses[:3]) or "none"
