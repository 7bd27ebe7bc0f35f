"""Our own forks, as the program would not notice them: by the system's own function, without the program's handlers.

Python runs what was given to `os.register_at_fork` at every fork, and the handler of SIGCHLD when a child ends. Both are the
program's deeds: they are to be done for its own processes only.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from types import FunctionType, MethodType
from typing import Any

if sys.platform == "win32":
    from os import _exit as leave
else:
    from posix import _exit as leave  # what a program or a debugger puts into `os` in its place is met by nobody here

__all__ = ["fork", "leave", "out_of_the_way", "unnoticed"]

_HIGH = 200
"""The first number for descriptors of ours: the program's get the low ones, as without us."""


def fork() -> int:
    """The system's own fork; of the handlers for forks only those run that are not the program's."""
    import posix

    lists = _handlers()
    saved = [list(each) for each in lists]
    for each in lists:
        each[:] = [handler for handler in each if not _is_programs(handler)]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of other threads: the child never goes on with what they did
            return posix.fork()
    finally:
        for each, handlers in zip(lists, saved):
            each[:] = handlers


@contextlib.contextmanager
def unnoticed() -> Iterator[None]:
    """For a child of ours from its start until it was waited for: the program's handler of SIGCHLD does not hear of it."""
    handler = signal.getsignal(signal.SIGCHLD)
    if handler in (None, signal.SIG_DFL) or threading.current_thread() is not threading.main_thread():  # None: set by C, not to be read
        yield
        return
    before = _has_ended()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, handler)
        if _has_ended() and not before and callable(handler):
            os.kill(os.getpid(), signal.SIGCHLD)  # one of the program's ended meanwhile


def out_of_the_way(descriptor: int) -> int:
    """The descriptor under a high number, closed where it was."""
    import fcntl
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    least = _HIGH if soft == resource.RLIM_INFINITY else max(3, min(_HIGH, soft - 20))
    try:
        moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, least)
    except OSError:  # none is free there
        return descriptor
    os.close(descriptor)
    return moved


def _has_ended() -> bool:
    """Whether a child of this process has ended and was not waited for."""
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return False


def _before() -> None:
    """Marks Python's list of what it runs before a fork."""


def _in_parent() -> None:
    """Marks the one for the parent."""


def _in_child() -> None:
    """Marks the one for the child."""


@cache
def _handlers() -> tuple[list[Any], ...]:
    """The interpreter's own lists: they have no name in Python, but they hold what we give."""
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
    marks = (_before, _in_parent, _in_child)
    return tuple(held for held in gc.get_referrers(*marks) if type(held) is list and any(held[-1:] == [mark] for mark in marks))


def _is_programs(handler: Callable[..., Any]) -> bool:
    from ..record.spans import origin

    while type(handler) is MethodType:
        handler = handler.__func__
    return type(handler) is not FunctionType or origin(handler.__code__.co_filename) == "user"
