"""A run of the program with some of its files changed, asked for and told as data. Imports no torch: the asking process uses it too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ..record.kinds import is_a

End = Literal["ended", "raised", "stopped", "timed-out", "died"]
"""ended: the script ran to its end; stopped: it was past the point that mattered; died: killed, or it left without a word."""
_MOST_PARAMETERS = 4096


@dataclass(frozen=True, slots=True)
class Trial:
    """What to run: new texts for some files (by absolute path), and when to stop."""

    files: tuple[tuple[str, str], ...] = ()
    seconds: float = 10.0
    """Of CPU time, its processes together."""
    wall: float = 60.0
    """Seconds by the clock, for one that sleeps or waits: generous, since a busy machine makes it late too."""
    past: int | None = None
    """The number of optimizer steps before the failure: with one more it is passed."""
    grace: float = 2.0
    """Seconds of CPU time that it may go on after that."""
    threads: int = 1
    memory: int = 8 << 30
    record: bool = False
    """Record the run, and tell the evidence of its failure."""


@dataclass(frozen=True, slots=True)
class Step:
    """What training looked like just before an optimizer's step: the losses since the last one, the gradients."""

    losses: tuple[float, ...] = ()
    gradients: int = 0
    norm: float = 0.0
    parameters: int = 0
    """How many of the optimizer's could get one."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a trial ended."""

    end: End = "died"
    by: Literal["run", "simulation"] = "run"
    exit_code: int = 0
    error_type: str = ""
    message: str = ""
    file: str = ""
    line: int = 0
    function: str = ""
    steps: int = 0
    seen: tuple[Step, ...] = ()
    losses: tuple[float, ...] = ()
    """Losses after the last step."""
    parameters: tuple[tuple[int, ...], ...] = ()
    """The sizes of what its optimizers were given, in that order."""
    denied: tuple[str, ...] = ()
    """What the program tried and a trial may not do."""
    refused: str = ""
    """What the exception says where the system refused something: where it does not come without the fence, it is the fence's."""
    seconds: float = 0.0
    """Of CPU time."""
    fault: str = ""
    """What went wrong on our side."""
    evidence: dict[str, Any] | None = field(default=None, compare=False)


class Elsewhere(Exception):
    """The program failed in a process that it started: there such an exception came out, at such a place."""

    def __init__(self, error_type: str, message: str, file: str = "", line: int = 0, function: str = "") -> None:
        super().__init__(message)
        self.said = {"error_type": error_type, "message": message, "file": file, "line": line, "function": function}


def failure_in(end: BaseException) -> BaseException:
    """The failure that a program ended by: what it was handling when it left with an exit code other than 0, or what came out."""
    if not is_a(end, SystemExit) or end.code is None:
        return end
    if type(end.code) in (int, bool) and not end.code:
        return end
    handled = (end.__context__, end.code)  # `sys.exit(error)` has no context
    return next((error for error in handled if is_a(error, Exception)), end)


def heard(outcome: Outcome, said: Mapping[str, Any]) -> Outcome:
    """The outcome with one more thing that the trial told. It is the program's process that tells: what has the wrong form is left out."""
    try:
        if "fault" in said:
            return replace(outcome, fault=str(said["fault"]))
        if "denied" in said:
            return replace(outcome, denied=(*outcome.denied, str(said["denied"]))[:8])
        if "step" in said:
            return replace(outcome, seen=(*outcome.seen, _step(said))[:64])
        if "parameters" in said:
            sizes = tuple(tuple(int(size) for size in shape) for shape in said["parameters"])
            return replace(outcome, parameters=(*outcome.parameters, *sizes)[:_MOST_PARAMETERS])
        if "done" in said:
            end: End = "timed-out" if said["done"] == "timed-out" and outcome.end == "died" else outcome.end
            return replace(outcome, seconds=float(said["seconds"]), end=end)
        if "evidence" in said:
            return replace(outcome, evidence=dict(said["evidence"]))
        if "end" in said:
            return _ended(outcome, said)
        return replace(outcome, steps=int(said["steps"])) if "steps" in said else outcome
    except (KeyError, TypeError, ValueError):
        return outcome


def _step(said: Mapping[str, Any]) -> Step:
    losses = tuple(float(loss) for loss in said["losses"])
    return Step(losses, int(said["gradients"]), float(said["norm"]), int(said["of"]))


def _ended(outcome: Outcome, said: Mapping[str, Any]) -> Outcome:
    ends: dict[str, End] = {"ended": "ended", "raised": "raised", "stopped": "stopped"}
    return replace(
        outcome,
        end=ends.get(said["end"], "died"),
        exit_code=int(said.get("exit_code", 0)),
        error_type=str(said.get("error_type", "")),
        message=str(said.get("message", "")),
        refused=str(said.get("refused", "")),
        file=str(said.get("file", "")),
        line=int(said.get("line", 0)),
        function=str(said.get("function", "")),
        steps=int(said.get("steps", 0)),
        losses=tuple(float(loss) for loss in said.get("losses", ())),
    )
