"""Tracebacks without torchwhy: what the program and its user see is what plain Python gives."""
from __future__ import annotations

import sys
import threading
import traceback as standard
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any

from .patches import Patches
from .spans import is_own_code


def _is_dispatch(tb: TracebackType) -> bool:
    code = tb.tb_frame.f_code
    return code.co_name == "handle_torch_function" and code.co_filename.replace("\\", "/").endswith("torch/overrides.py")


def _kept(entries: Iterable[Any], level: Callable[[Any], TracebackType]) -> list[Any]:
    """The entries without ours. A mode makes torch's Python functions run twice: outer function, `handle_torch_function`, ours, function again."""
    kept: list[Any] = []
    for entry in entries:
        if not is_own_code(level(entry).tb_frame.f_code):
            kept.append(entry)
        elif kept and _is_dispatch(level(kept[-1])):
            del kept[-2:]
    return kept


def _levels(tb: TracebackType | None) -> Iterator[TracebackType]:
    while tb is not None:
        yield tb
        tb = tb.tb_next


def strip_traceback(tb: TracebackType | None) -> TracebackType | None:
    """The traceback without torchwhy's frames and without the doubled frames that a torch function mode causes; the given one is left as it is."""
    stripped: TracebackType | None = None
    for entry in reversed(_kept(_levels(tb), lambda level: level)):
        stripped = TracebackType(stripped, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return stripped


def strip_exception(error: BaseException, seen: set[int] | None = None) -> None:
    """Strips the tracebacks of an exception and of all that it was raised from or while handling."""
    seen = set() if seen is None else seen
    if id(error) in seen:
        return
    seen.add(id(error))
    if error.__traceback__ is not None:
        error.__traceback__ = strip_traceback(error.__traceback__)
    for other in (error.__cause__, error.__context__, *getattr(error, "exceptions", ())):
        if isinstance(other, BaseException):
            strip_exception(other, seen)


def install_views(patches: Patches) -> None:
    """Lets Python's own traceback printing step over our frames, for tracebacks that the program prints itself."""
    for name in ("_walk_tb_with_full_positions", "walk_tb"):
        walk = getattr(standard, name, None)
        if walk is not None:
            patches.set(standard, name, _stepping_over(walk))
    hook = threading.excepthook

    def excepthook(args: Any) -> None:
        if args.exc_value is not None:
            strip_exception(args.exc_value)
            args = threading.ExceptHookArgs((args.exc_type, args.exc_value, args.exc_value.__traceback__, args.thread))
        hook(args)

    patches.set(threading, "excepthook", excepthook)


def _stepping_over(walk: Callable[[TracebackType | None], Iterator[Any]]) -> Callable[[TracebackType | None], Iterator[Any]]:
    def walked(tb: TracebackType | None) -> Iterator[Any]:
        return walk(strip_traceback(tb))

    return walked


def strip_active() -> None:
    """Strips the exception that is being handled now, if any."""
    error = sys.exc_info()[1]
    if error is not None:
        strip_exception(error)
