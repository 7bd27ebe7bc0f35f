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

from ..record.kinds import forget_messages, is_a

if TYPE_CHECKING:
    from ..evidence.refused import Refused
    from ..model import Evidence
    from ..record.recorder import Recorder
    from .folder import Kind

_NAMES = ("print_exc", "format_exc", "format_exception")
_ENDS = (("multiprocessing/process.py", "_bootstrap"), ("torch/multiprocessing/spawn.py", "_wrap"))
"""Where a process that ends by an exception prints it, or writes it down for its parent."""


def tell_what_is_printed(path: str, recorder: Callable[[], Recorder | None]) -> None:
    """For a process of `multiprocessing`, from here to its end: what it ends by, and the first exception of torch's that it sends home as a text.

    A pool's worker lives on after its exception, and so may a process that puts a traceback into a queue: whoever reads it judges that.
    """
    printing = _Printing(path, recorder)
    for name in _NAMES:
        setattr(traceback, name, printing.watched(getattr(traceback, name)))
    futures: Any = sys.modules.get("concurrent.futures.process")
    if hasattr(futures, "format_exception"):
        futures.format_exception = traceback.format_exception


class _Printing:
    """The functions of `traceback` that turn an exception into text, and what was told of it."""

    def __init__(self, path: str, recorder: Callable[[], Recorder | None]) -> None:
        self.path, self.recorder = path, recorder
        self.told: tuple[int, Evidence] | None = None

    def watched(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def __torchwhy__(*args: Any, **kwargs: Any) -> Any:
            at, caller = time.time(), sys._getframe(1).f_code
            printed = original(*args, **kwargs)
            given = next((a for a in (*args, *kwargs.values()) if is_a(a, BaseException)), None)
            error = given if given is not None else sys.exc_info()[1]
            if is_a(error, Exception) and caller.co_filename != traceback.__file__:
                self._printed(error, at, (caller.co_filename.replace("\\", "/"), caller.co_name))
            return printed

        __torchwhy__.__name__, __torchwhy__.__doc__ = original.__name__, original.__doc__
        return __torchwhy__

    def _printed(self, error: Exception, at: float, caller: tuple[str, str]) -> None:
        ends = any(caller[0].endswith(file) and caller[1] == function for file, function in _ENDS)
        if not ends and (self.told is not None or not _is_torchs(error, self.recorder())):
            return
        known = self.told[1] if self.told is not None and self.told[0] == id(error) else None
        evidence = tell(self.path, error, self.recorder(), at, "process" if ends else "caught", known)
        if evidence is not None:
            self.told = id(error), evidence


def _is_torchs(error: Exception, recorder: Recorder | None) -> bool:
    from ..record.spans import origin

    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is not None and origin(last.tb_frame.f_code.co_filename) == "torch":
        return True
    return recorder is not None and recorder.failing(error) is not None


def tell(
    path: str, error: BaseException, recorder: Recorder | None, at: float, kind: Kind, known: Evidence | None = None
) -> Evidence | None:
    """Gather what is known of the failure, if it is not known already, and tell it; a fault of ours is told instead."""
    from . import folder

    try:
        folder.announce(path, at)
        if known is None:
            refused = _note(error, recorder)
            known = in_full(gathered(error, recorder, refused), error, refused)
        folder.write(path, folder.Told(at, _name(), kind, known))
    except Exception as fault:
        folder.write_fault(path, f"{type(fault).__name__}: {fault}")
        return None
    finally:
        forget_messages()
    return known


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

    if "torch" not in sys.modules or not is_a(error, Exception):
        return ranked(describe(error))
    from dataclasses import replace

    from ..evidence.children import with_children
    from ..evidence.gather import gather
    from ..model import Recording

    if recorder is None:
        return ranked(with_children(replace(describe(error), recording=Recording(mode="off", full=False))))
    return ranked(with_children(gather(error, recorder, refused)))


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
