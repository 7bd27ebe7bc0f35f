"""Lets the processes that this one starts tell what they raise. Nothing of it is seen by a program that starts none.

Forked ones (`multiprocessing`) go on with this process's recorder; spawned ones and programs get one of their own.
Workers of a DataLoader are left alone: what they raise is fetched again in this process.
"""

from __future__ import annotations

import functools
import os
import sys
import weakref
from collections.abc import Callable, Mapping
from types import FrameType, ModuleType
from typing import Any

from ..arrival import Arrival
from ..record.patches import Patches

_SPAWNED = """\
import sys
found = sys.path[:]
try:
    sys.path.append({root!r})
    from torchwhy.child import watch
    watch({given!r})
except Exception:
    pass
finally:
    sys.path[:] = found
"""
"""A process in which we are not to be found starts as it would; a fault of ours is told by `watch` itself."""
_NOT_THE_PROGRAMS = ("torch.", "multiprocessing.", "concurrent.futures.")
_ITS_STARTERS = (
    "torch.multiprocessing.spawn",
    "torch.distributed.elastic.multiprocessing",
    "multiprocessing.pool",
    "concurrent.futures.process",
)
_watches: weakref.WeakSet[Watch] = weakref.WeakSet()
_at_fork: list[bool] = []


class _Given:
    """Unpickled in a new process, before anything of the program's is: it watches that process. What goes wrong there stays there."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return exec, (self.text, {})


class Watch:
    """Of one process, and of those that it starts. `path`: the folder where failures are told."""

    def __init__(self, given: Mapping[str, object], forked: Callable[[str], None], path: str = "") -> None:
        self.given = dict(given)
        self.forked = forked
        self.process = os.getpid()
        self._path = path
        self._arrivals: list[Arrival] = []
        self._started: list[weakref.ref[Any]] = []
        self._patches = Patches()

    @property
    def path(self) -> str:
        if not self._path:
            import tempfile

            self._path = os.path.join(tempfile.gettempdir(), f"torchwhy-{os.urandom(12).hex()}")  # a name that nobody guesses
        return self._path

    @property
    def started_any(self) -> bool:
        """Whether there may be something to read."""
        return bool(self._path)

    def begin(self) -> None:
        for name, then in (("subprocess", self._watch_programs), ("multiprocessing.spawn", self._watch_spawned)):
            arrival = Arrival(name, then)
            arrival.await_it()
            self._arrivals.append(arrival)
        if hasattr(os, "register_at_fork"):
            _watches.add(self)
            if not _at_fork:
                _at_fork.append(True)
                os.register_at_fork(before=_before_fork, after_in_parent=_note_fork, after_in_child=_after_fork)

    def end(self) -> None:
        """Everything as it was."""
        _watches.discard(self)
        for arrival in self._arrivals:
            arrival.give_up()
        self._patches.clear()

    def ended_by_signal(self) -> list[tuple[str, str]]:
        """The names of the processes that a signal ended, each with the signal's; those that were only asked to end (SIGTERM) are left out."""
        import signal

        running = [(one, getattr(one, "_popen", None)) for ref in self._started if (one := ref()) is not None]
        codes = [(one.name, popen.returncode) for one, popen in running if popen is not None]
        known = {-number: number.name for number in signal.Signals if number not in (signal.SIGTERM, signal.SIGINT)}
        return [(name, known[code]) for name, code in codes if code in known]

    def note_started(self, process: Any) -> None:
        self._started.append(weakref.ref(process))

    def is_on(self) -> bool:
        """Not in a forked process, which has a copy of all this."""
        return os.getpid() == self.process

    # ── the ways to start one ─────────────────────────────────────────────────────────────────────────────────────────
    def _watch_programs(self) -> None:
        import inspect
        import subprocess

        original = subprocess.Popen._execute_child  # type: ignore[attr-defined]
        signature = inspect.signature(original)

        @functools.wraps(original)
        def _execute_child(started: Any, args: Any, *rest: Any, **named: Any) -> Any:
            changed = None
            if self.is_on() and isinstance(args, (list, tuple)) and all(isinstance(word, str) for word in args):
                given = signature.bind(started, args, *rest, **named).arguments
                if not given.get("shell") and not given.get("executable"):
                    from . import commands

                    where = given.get("cwd")
                    changed = commands.watched(
                        args, os.fsdecode(where) if where else None, given.get("env"), {**self.given, "path": self.path}
                    )
            try:
                return original(started, changed or args, *rest, **named)
            except BaseException as error:  # a start that failed: its traceback is the program's
                error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
                raise

        self._patches.set(subprocess.Popen, "_execute_child", _execute_child)

    def _watch_spawned(self) -> None:
        spawn: ModuleType = sys.modules["multiprocessing.spawn"]
        original: Callable[[str], dict[str, Any]] = spawn.get_preparation_data

        @functools.wraps(original)
        def get_preparation_data(name: str) -> dict[str, Any]:
            data = original(name)
            started = sys._getframe(1).f_locals.get("process_obj")
            if self.is_on() and started is not None and _is_the_programs(started):
                from . import commands

                text = _SPAWNED.format(root=commands.root(), given={**self.given, "path": self.path})
                data = {"torchwhy": _Given(text), **data}
                self.note_started(started)
            return data

        self._patches.set(spawn, "get_preparation_data", get_preparation_data)


def _before_fork() -> None:
    for watch in _watches:
        if watch.is_on():
            watch.path  # noqa: B018  (both sides must have the same)


def _note_fork() -> None:
    frame = sys._getframe(1)
    if _is_followed(frame):
        for watch in _watches:
            if watch.is_on():
                watch.note_started(frame.f_locals["process_obj"])


def _after_fork() -> None:
    followed = _is_followed(sys._getframe(1))
    for watch in list(_watches):
        if followed and watch.process == os.getppid():
            watch.process = os.getpid()
            watch.forked(watch.path)


def _is_followed(frame: FrameType | None) -> bool:
    """Whether the fork that happens in this frame starts a process of the program's own by `multiprocessing`."""
    if frame is None or frame.f_code.co_name != "_launch" or not frame.f_code.co_filename.endswith("popen_fork.py"):
        return False
    return _is_the_programs(frame.f_locals.get("process_obj"))


def _is_the_programs(process: Any) -> bool:
    """Whether a process runs what the program wrote: no loader's worker, no server of Python's own."""
    target = getattr(process, "_target", None)
    module = str(getattr(target, "__module__", "") or type(process).__module__)
    return module.startswith(_ITS_STARTERS) or not f"{module}.".startswith(_NOT_THE_PROGRAMS)
