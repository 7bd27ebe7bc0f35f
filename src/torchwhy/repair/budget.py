"""How much CPU time trials may take, and how long they may take by the clock.

CPU time decides: it is the same on a busy machine. The clock is a backstop for what sleeps or
waits, wide enough for a busy machine, and where it strikes nothing is said of a fix.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_LEAST, _MOST = 20.0, 60.0
_RUNS = 3.0
"""The default is as much as so many runs of the program take: the unpatched one, and two fixes.
With less, only its failing step is run again."""
_LEAST_TRIAL = 10.0
_WAIT, _WAITS = 30.0, 3.0
_MOST_WAIT, _MOST_WAITS = 60.0, 10.0
"""A program that took longer than that, and than so many times its CPU time, waits for something:
it is not begun anew."""


@dataclass(frozen=True)
class Spent:
    """What the program took to fail: seconds of CPU time, its children's too, and by the clock."""

    cpu: float
    wall: float


@dataclass(frozen=True)
class Budget:
    """Seconds of CPU time for all trials and for one, and by the clock."""

    whole: float = _LEAST
    trial: float = _LEAST_TRIAL
    wall: float = 90.0
    trial_wall: float = 60.0

    @classmethod
    def for_program(cls, took: Spent, asked: float | None = None) -> Budget:
        """What was asked for; else it grows with what the program took, within bounds."""
        own = max(_LEAST, min(_RUNS * took.cpu, _MOST))
        whole = asked if asked is not None else own
        trial = min(whole, max(_LEAST_TRIAL, _RUNS * took.cpu))
        waits = _WAITS * took.wall
        return cls(whole, trial, _WAIT + _WAITS * (whole + waits), _WAIT + _WAITS * trial + waits)

    def is_for_whole_runs(self, took: Spent) -> bool:
        """Whether the program can be begun anew for its fixes."""
        return _RUNS * took.cpu <= self.whole and not waits_long(took)


def waits_long(took: Spent) -> bool:
    """Whether it took so long by the clock that no busy machine explains it."""
    return took.wall > max(_MOST_WAIT, _MOST_WAITS * took.cpu)


def why_late(took: Spent) -> str:
    """Why the program can't be begun anew for its fixes, in words."""
    if waits_long(took):
        return f"the failure came after {took.wall:.0f} s, most of them spent waiting"
    needs = math.ceil(_RUNS * took.cpu)
    late = f"the failure came after {took.cpu:.0f} s of CPU time, too late for a run of the whole"
    return f"{late} (`--budget {needs}` allows it)"
