"""The machine judged: one line for each thing that can be wrong, in the order in which torch comes to it."""

from __future__ import annotations

from .judge_gpu import judge_gpu
from .judge_import import judge_import
from .judge_known import judge_known
from .judge_packages import judge_packages
from .judge_paths import judge_paths
from .judge_python import judge_python
from .judge_system import judge_system
from .machine import VERDICTS, Check, Machine, Verdict


def judge(machine: Machine) -> tuple[Check, ...]:
    """All that can be said of the machine."""
    parts = (judge_python, judge_import, judge_packages, judge_known, judge_gpu, judge_paths, judge_system)
    return tuple(check for part in parts for check in part(machine))


def worst(checks: tuple[Check, ...]) -> Verdict:
    """The verdict on the whole; what is not known does not make it worse than ok."""
    said = {check.verdict for check in checks}
    return next((verdict for verdict in VERDICTS if verdict in said and verdict != "unknown"), "ok")
