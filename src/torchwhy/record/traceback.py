"""Tracebacks without torchwhy: what the program and its user see is what plain Python gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import CodeType, TracebackType
from typing import TypeVar

from .own import is_own_code

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
