"""A process's own side: what it raises is gathered while it is alive, and told to the one that started it.

Every process that is watched imports this, and few ever have something to tell: what telling needs is imported then.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..evidence.refused import Refused
    from ..model import Evidence
    from ..record.recorder import Recorder
    from .folder import Kind

_PRINTERS = (
    ("print_exc", "multiprocessing/process.py", "_bootstrap"),
    ("format_exc", "torch/multiprocessing/spawn.py", "_wrap"),
)
"""Where a process that ends by an exception prints it, or writes it down for its parent: the function of `traceback`, and who calls it."""


def tell_what_is_printed(path: str, recorder: Callable[[], Recorder | None]) -> None:
    """For a process of `multiprocessing`, from here to its end."""
    for name, file, function in _PRINTERS:
        setattr(traceback, name, _telling(getattr(traceback, name), file, function, path, recorder))


def _telling(
    original: Callable[..., Any], file: str, function: str, path: str, recorder: Callable[[], Recorder | None]
) -> Callable[..., Any]:
    def __torchwhy__(*args: Any, **kwargs: Any) -> Any:
        at, error, code = time.time(), sys.exc_info()[1], sys._getframe(1).f_code
        printed = original(*args, **kwargs)
        if isinstance(error, Exception) and code.co_name == function and code.co_filename.replace("\\", "/").endswith(file):
            tell(path, error, recorder(), at, "process")
        return printed

    __torchwhy__.__name__, __torchwhy__.__doc__ = original.__name__, original.__doc__
    return __torchwhy__


def tell(path: str, error: BaseException, recorder: Recorder | None, at: float, kind: Kind) -> None:
    """Gather what is known of the failure, and tell it; a fault of ours is told instead."""
    from . import folder

    try:
        folder.announce(path, at)
        refused = _note(error, recorder)
        folder.write(path, folder.Told(at, _name(), kind, in_full(gathered(error, recorder, refused), error, refused)))
    except Exception as fault:
        folder.write_fault(path, f"{type(fault).__name__}: {fault}")


def _note(error: BaseException, recorder: Recorder | None) -> Refused | None:
    from ..trace import take_us_off

    take_us_off(error)
    if recorder is None:
        return None
    from ..evidence.refused import refused_call

    recorder.failing(error)
    return refused_call(error, recorder)


def gathered(error: BaseException, recorder: Recorder | None, refused: Refused | None) -> Evidence:
    """All that is known of a failure in this process; leaves the recorder stopped."""
    from ..trace import describe

    if "torch" not in sys.modules or not isinstance(error, Exception):
        return ranked(describe(error))
    from ..evidence.children import with_children
    from ..evidence.gather import gather

    return ranked(with_children(gather(error, recorder, refused) if recorder is not None else describe(error)))


def in_full(evidence: Evidence, error: BaseException, refused: Refused | None) -> Evidence:
    """With the dear evidence that families ask for."""
    from dataclasses import replace

    from ..diagnose import judge, needs
    from ..model import Report

    report = judge(Report("run", "failed", 1, evidence))
    if report.outcome != "failed" or refused is None or "tried" not in needs(evidence.failure, found=report.diagnoses):
        return evidence
    from ..evidence.trying import tried

    return replace(evidence, tried=tried(refused, error))


def ranked(evidence: Evidence) -> Evidence:
    """With this process's rank in a distributed job, where it has one."""
    from dataclasses import replace

    failure, rank = evidence.failure, _rank()
    if failure is None or rank is None or failure.rank is not None:
        return evidence
    return replace(evidence, failure=replace(failure, rank=rank))


def _rank() -> int | None:
    c10d = sys.modules.get("torch.distributed.distributed_c10d")
    try:
        if c10d is not None and c10d.is_initialized():
            return int(c10d.get_rank())
        return int(os.environ["RANK"])
    except (KeyError, ValueError, AttributeError, RuntimeError):
        return None


def _name() -> str:
    multiprocessing = sys.modules.get("multiprocessing.process")
    name = multiprocessing.current_process().name if multiprocessing is not None else ""
    return name if name not in ("", "MainProcess") else f"process {os.getpid()}"
