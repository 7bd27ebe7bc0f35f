"""The one fence for children that run the program's code again: whatever they do, the world stays as if they had not run.

For children only, with one thread: nothing of it can be taken back. Where a part of it can't be had, the child is not run.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Collection
from contextlib import suppress
from functools import cache

from .apart import part_from_files, part_from_memory
from .forking import fork, leave, unnoticed
from .landlock import fence_in, lacks
from .spaces import private_spaces

_SHARED = "/dev/shm"


@cache
def missing() -> str:
    """Which part of the fence this machine does not give, tried out in a child; empty where it gives all."""
    why = lacks()
    if why:
        return why
    try:
        with unnoticed():
            return _tried_out()
    except OSError as fault:
        return f"no process could be started ({fault})"


def fence_off(keep: Collection[int], scratch: str | None = None) -> bool:
    """Keep this process from changing anything outside of `scratch`; whether it has namespaces of its own. Raises OSError."""
    part_from_memory()
    apart = private_spaces(scratch)  # before any thread starts, and while /proc may be written to
    part_from_files(keep)  # what is opened anew is opened in the view of the files that is its own
    writable = [*([scratch] if scratch else []), *([_SHARED] if apart and os.path.isdir(_SHARED) else [])]
    fence_in(writable, [d for d in (os.devnull, *glob.glob("/dev/nvidia*")) if not os.path.isdir(d)], apart)
    return apart


def _tried_out() -> str:
    reader, writer = os.pipe()
    child = fork()
    if child == 0:
        try:
            os.close(reader)
            fence_off((writer,))
        except Exception as fault:
            os.write(writer, (str(fault) or type(fault).__name__).encode()[:500])
        finally:
            leave(0)
    os.close(writer)
    with open(reader, "rb") as told:
        said = told.read()
    with suppress(ChildProcessError):  # the program has the system wait for its children
        os.waitpid(child, 0)
    return said.decode(errors="replace")
