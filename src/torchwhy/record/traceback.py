"""Tracebacks without torchwhy: what the program and its user see is what plain Python gives."""

from __future__ import annotations

import sys
import threading
import traceback as standard
import warnings
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, FrameType, TracebackType
from typing import Any, TypeVar

from .own import HIDDEN, is_own_code
from .patches import Patches

T = TypeVar("T")


def is_dispatch(code: CodeType) -> bool:
    """Whether it is the function by which torch hands a call to a mode."""
    return code.co_name == "handle_torch_function" and code.co_filename.replace("\\", "/").endswith("torch/overrides.py")


def _kept(entries: Iterable[T], code_of: Callable[[T], CodeType]) -> list[T]:
    """The entries, outermost first, without ours.

    A mode makes torch's Python functions run twice: the function, `handle_torch_function`, ours, the function again.
    """
    kept: list[T] = []
    again = False
    for entry in entries:
        code = code_of(entry)
        if is_own_code(code):
            if kept and is_dispatch(code_of(kept[-1])):
                kept.pop()
                again = True
            continue
        if again:
            # usually the last one; where a function dispatches to another by a flag, one or two above it
            same = [place for place in range(len(kept) - 1, max(len(kept) - 4, -1), -1) if code_of(kept[place]) is code]
            del kept[same[0] if same else len(kept) - 1 :]
            again = False
        kept.append(entry)
    return kept[:-1] if again else kept


def _levels(tb: TracebackType | None) -> Iterator[TracebackType]:
    while tb is not None:
        yield tb
        tb = tb.tb_next


def strip_traceback(tb: TracebackType | None) -> TracebackType | None:
    """The traceback without torchwhy's frames and without those that a torch function mode doubles; the given one is left as it is."""
    stripped: TracebackType | None = None
    for entry in reversed(_kept(_levels(tb), lambda level: level.tb_frame.f_code)):
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
    patches.set(standard, "walk_stack", _stack_without(standard.walk_stack))
    hook = threading.excepthook

    def excepthook(args: Any) -> None:
        if args.exc_value is not None:
            strip_exception(args.exc_value)
            args = threading.ExceptHookArgs((args.exc_type, args.exc_value, args.exc_value.__traceback__, args.thread))
        hook(args)

    patches.set(threading, "excepthook", excepthook)


def install_warnings(patches: Patches) -> None:
    """Lets `stacklevel` count the program's frames and torch's, not ours or those that a mode doubles."""
    original = warnings.warn

    def warn(message: Any, category: Any = None, stacklevel: int = 1, source: Any = None, **kwargs: Any) -> None:
        level = stacklevel + 1
        if stacklevel > 1 and not kwargs:
            level = _level(sys._getframe(1), stacklevel)
        original(message, category, level, source, **kwargs)

    patches.set(warnings, "warn", warn)


def _level(frame: FrameType | None, stacklevel: int) -> int:
    """What to ask of `warnings.warn` from one frame deeper, so that it names the frame that it would name without us."""
    frames: list[FrameType] = []
    while frame is not None:
        if not ("importlib" in frame.f_code.co_filename and "_bootstrap" in frame.f_code.co_filename) or is_own_code(frame.f_code):
            frames.append(frame)
        frame = frame.f_back
    plain = _kept(reversed(frames), lambda frame: frame.f_code)
    if stacklevel > len(plain):
        return len(frames) + 2
    wanted = plain[-stacklevel]
    counted = [f for f in frames if not f.f_code.co_filename.endswith(HIDDEN)]
    return counted.index(wanted) + 2


def _stack_without(walk: Callable[[FrameType | None], Iterator[Any]]) -> Callable[[FrameType | None], Iterator[Any]]:
    def walked(frame: FrameType | None) -> Iterator[Any]:
        if frame is None:
            return walk(frame)
        return iter(_kept(reversed(list(walk(frame))), lambda entry: entry[0].f_code)[::-1])

    return walked


def _stepping_over(walk: Callable[[TracebackType | None], Iterator[Any]]) -> Callable[[TracebackType | None], Iterator[Any]]:
    def walked(tb: TracebackType | None) -> Iterator[Any]:
        return walk(strip_traceback(tb))

    return walked
