"""Processes started by `spawn` or `forkserver`, as a trial may have them: a trial starts no program, so they are forked instead.

What they are given is pickled all the same, so that what can't be pickled fails as it would. A script that starts them at its top level
starts itself in each of them: that is not what a fork does, so there it stays refused.
"""

from __future__ import annotations

import ast
import io
import linecache
import sys
from contextlib import suppress
from types import FrameType
from typing import Any


def fork_what_is_spawned() -> None:
    """From here on, in this process and those forked from it."""
    from multiprocessing import context, popen_fork, popen_forkserver, popen_spawn_posix, reduction, resource_tracker, synchronize

    names: Any = synchronize
    fork: Any = popen_fork
    unlink = names.sem_unlink

    def forked(started: Any) -> Any:
        def launch(self: Any, process: Any) -> None:
            context.set_spawning_popen(self)
            data = io.BytesIO()
            try:
                reduction.dump(process, data)
            finally:
                context.set_spawning_popen(None)
            if not _is_guarded(sys._getframe(), data.getvalue()):
                return started(self, process)  # type: ignore[no-any-return]
            fork.Popen._launch(self, process)

        return launch

    def forget(name: str, rtype: str) -> None:
        """A semaphore needs no name: it is handed on by the fork. Without one it is gone with the last process that has it."""
        if rtype == "semaphore":
            unlink_if_there(name)

    def unlink_if_there(name: str) -> None:
        with suppress(OSError):
            unlink(name)

    kinds: tuple[Any, ...] = (popen_spawn_posix.Popen, popen_forkserver.Popen)
    for kind in kinds:
        kind._launch = forked(kind._launch)
        kind.poll = fork.Popen.poll
    resource_tracker.register, resource_tracker.unregister = forget, lambda name, rtype: None  # type: ignore[assignment]
    names.sem_unlink = unlink_if_there


def _is_guarded(frame: FrameType | None, sent: bytes) -> bool:
    """Whether the script's own line is under `if __name__ == "__main__":`, or none of its top level runs; and what is sent by its name
    (a class, a function) is not defined there, where the new process would not find it."""
    while frame is not None and not (frame.f_code.co_name == "<module>" and frame.f_globals.get("__name__") == "__main__"):
        frame = frame.f_back  # further out lies the program's early self, which the trial was forked from
    if frame is None:
        return True
    try:
        tree = ast.parse("".join(linecache.getlines(frame.f_code.co_filename)).removeprefix("\ufeff"))
    except (SyntaxError, ValueError):
        return False
    guards = [n for n in tree.body if isinstance(n, ast.If) and "__name__" in ast.unparse(n.test)]
    there = {n.name for guard in guards for n in ast.walk(guard) if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    if b"__main__" in sent and any(name.encode() in sent for name in there):
        return False
    return any(n.lineno <= frame.f_lineno <= (n.end_lineno or n.lineno) for n in guards)
