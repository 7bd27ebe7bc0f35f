"""Tracebacks without our frames, and an exception described without torch."""

from __future__ import annotations

import linecache
import os
import sysconfig
from collections.abc import Iterator
from types import TracebackType

from . import arrival
from .model import Evidence, Failure, Frame, Span
from .program import without_us
from .record.kinds import group_of, message_of, module_of, qualname_of

_LIBRARIES = tuple(os.path.normcase(p) for p in {sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")} if p)


def take_us_off(error: BaseException) -> TracebackType | None:
    """Change the tracebacks of an exception and of all that hang on it to what plain python would have; gives the first."""
    for each in _all_of(error):
        each.__traceback__ = _without_ours(without_us(each.__traceback__))
    return error.__traceback__


def _all_of(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [each.__cause__, each.__context__, *group_of(each)]


def _without_ours(trace: TracebackType | None) -> TracebackType | None:
    from .record.traceback import strip_traceback

    return strip_traceback(_without_arrival(trace))


def _without_arrival(trace: TracebackType | None) -> TracebackType | None:
    """An import that we watched and that failed: Python would have trimmed the importing frames that led to ours."""
    kept: list[TracebackType] = []
    step = trace
    while step is not None:
        if step.tb_frame.f_code.co_filename == arrival.__file__:
            while kept and kept[-1].tb_frame.f_code.co_filename.startswith("<frozen importlib"):
                kept.pop()
        else:
            kept.append(step)
        step = step.tb_next
    for one, following in zip(kept, [*kept[1:], None]):
        if one.tb_next is not following:
            one.tb_next = following
    return kept[0] if kept else None


def describe(error: BaseException) -> Evidence:
    """The little that every failure has: its type, message and frames."""
    return Evidence(failure=_failure(error, 8))


def _failure(error: BaseException, depth: int) -> Failure:
    inner = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    kind = type(error)
    return Failure(
        error_type=qualname_of(kind),
        message=message_of(error),
        error_module=module_of(kind),
        frames=tuple(_frames(error.__traceback__)),
        caused_by=_failure(inner, depth - 1) if inner is not None and depth else None,
    )


def _frames(trace: TracebackType | None) -> Iterator[Frame]:
    while trace is not None:
        code = trace.tb_frame.f_code
        file = os.path.normcase(code.co_filename)
        library = file.startswith(_LIBRARIES) or file.startswith("<frozen")
        span = Span(_shown(code.co_filename), trace.tb_lineno, function=code.co_name)
        yield Frame(span, "library" if library else "user", linecache.getline(code.co_filename, trace.tb_lineno).strip())
        trace = trace.tb_next


def _shown(file: str) -> str:
    here = os.getcwd() + os.sep
    return file[len(here) :] if file.startswith(here) else file
