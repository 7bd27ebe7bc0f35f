"""What a trial may do: change files below its scratch folder, and compute. For children only: nothing of it can be taken back.

Linux's fences hold for everything that runs here, also code in C++. Python's audit hook comes first and says what was tried;
it also stops what the fences do not know: changing rights of files, ending other processes, endless forking.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import resource
import socket
import stat
import sys
import tempfile
from collections.abc import Callable, Collection
from types import ModuleType
from typing import Any

from .fence import fence_off
from .landlock import MARK, die_with_parent
from .sandbox import CHANGES, CONNECTS, STARTS, WRITES

_FORKS = 64
_FILE_BYTES = 4 << 30


def confine(scratch: str, keep: Collection[int], seconds: float, memory: int, tell: Callable[[str], None]) -> None:
    """Close this process off; `tell` hears of what is refused. Raises OSError where the fences can't be put up."""
    os.environ["TMPDIR"] = os.environ["TORCHINDUCTOR_CACHE_DIR"] = tempfile.tempdir = scratch
    sys.dont_write_bytecode = True
    _limit(resource.RLIMIT_CPU, int(seconds * 4) + 2)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, _FILE_BYTES)
    limit_memory(memory)
    os.register_at_fork(after_in_child=die_with_parent)
    network = fence_off(keep, scratch)
    _mark_own_sockets()
    sys.addaudithook(_Guard(scratch, tell, network).hear)


def _mark_own_sockets() -> None:
    """Processes of the trial hand each other descriptors through sockets with a name: the fence knows these by their mark."""
    from multiprocessing import connection

    class Marked(socket.socket):
        def __init__(self, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None) -> None:
            asked = family == socket.AF_UNIX and fileno is None and proto in (-1, 0)
            super().__init__(family, type, MARK if asked else proto, fileno)

    own: Any = ModuleType("socket")
    vars(own).update(vars(socket))
    own.socket = Marked
    connection.socket = own  # type: ignore[attr-defined]


class _Guard:
    """Hears of what Python code is about to do."""

    def __init__(self, scratch: str, tell: Callable[[str], None], network: bool) -> None:
        self.scratch = os.path.realpath(scratch)
        self.tell = tell
        self.network = network
        self.forks = mmap.mmap(-1, 4)  # shared with all that fork from here

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            self._opens(*arguments)
        elif event in CHANGES:
            paths = _changed(event, arguments)
            if not all(self._is_inside(path, folder) for path, folder in paths):
                self._refuse(event, f"changes {_shown(paths[-1][0])}")
        elif event in STARTS:
            self._refuse(event, "starts another program")
        elif event in CONNECTS:
            if arguments[1] is not None and not self._is_local(arguments[1]):  # None: connected already
                self._refuse(event, "opens a connection")
        elif event in ("os.kill", "os.killpg"):
            self._kills(arguments[0])
        elif event == "os.fork":
            self._forks()

    def _opens(self, path: Any, mode: Any, flags: Any) -> None:
        writes = (isinstance(mode, str) and any(c in mode for c in "wax+")) or (isinstance(flags, int) and flags & WRITES)
        if writes and isinstance(path, (str, bytes, os.PathLike)) and os.fsdecode(path) != os.devnull and not self._is_inside(path):
            self._refuse("open", f"writes {_shown(path)}")
        if isinstance(path, (str, bytes, os.PathLike)) and _is_pipe(path):
            self._refuse("open", f"opens the pipe {_shown(path)}")

    def _kills(self, process: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            if process > 0 and os.getpgid(process) != os.getpgrp():
                self._refuse("os.kill", "ends another process")

    def _forks(self) -> None:
        count = int.from_bytes(self.forks[:], "little") + 1
        self.forks[:] = count.to_bytes(4, "little")
        if count > _FORKS:
            self._refuse("os.fork", f"starts more than {_FORKS} processes")

    def _is_inside(self, path: Any, folder: Any = None) -> bool:
        if isinstance(path, int):
            return True  # an open file: it was judged when it was opened
        base = os.readlink(f"/proc/self/fd/{folder}") if isinstance(folder, int) and folder >= 0 else ""
        real = os.path.realpath(os.path.join(base, os.fsdecode(path)))
        return real == self.scratch or real.startswith(self.scratch + os.sep)

    def _is_local(self, address: Any) -> bool:
        """Whether it is a socket between the trial's own processes, as the workers of a loader use them, or in its own network."""
        if isinstance(address, tuple):
            return self.network and _is_loopback(str(address[0]))
        text = os.fsdecode(address) if isinstance(address, (str, bytes)) else ""
        return text.startswith("\0listener-") or (bool(text) and not text.startswith("\0") and self._is_inside(text))

    def _refuse(self, event: str, what: str) -> None:
        self.tell(what)
        raise PermissionError(f"{event}: not allowed in a trial run")


def _is_pipe(path: Any) -> bool:
    """Whether others may write to it or wait for what is read from it: a pipe with a name."""
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def _is_loopback(host: str) -> bool:
    return host.startswith("127.") or host in ("", "0.0.0.0", "::", "::1", "localhost", socket.gethostname())


def _changed(event: str, arguments: tuple[Any, ...]) -> list[tuple[Any, Any]]:
    """The paths that an event is about to change, each with the open folder that it is relative to, if any."""
    if event in ("os.rename", "os.link"):
        return [(arguments[0], arguments[2]), (arguments[1], arguments[3])]
    if event == "shutil.move":
        return [(arguments[0], None), (arguments[1], None)]
    path = arguments[1] if event in ("os.symlink", "shutil.copyfile") else arguments[0]
    return [(path, arguments[-1] if event.startswith("os.") and len(arguments) > 1 else None)]


def _shown(path: Any) -> str:
    return os.path.basename(os.fsdecode(path)) if isinstance(path, (str, bytes, os.PathLike)) else "a file"


def limit_memory(more: int) -> None:
    """So many bytes of private memory beyond those that this process has, and no more; where the system tells how many it has."""
    if os.path.exists("/proc/self/status"):
        _limit(resource.RLIMIT_DATA, _data_bytes() + more)


def _limit(what: int, most: int) -> None:
    _, hard = resource.getrlimit(what)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, most))


def _data_bytes() -> int:
    """The private memory that this process has already."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        return next((int(line.split()[1]) << 10 for line in file if line.startswith("VmData:")), 0)
