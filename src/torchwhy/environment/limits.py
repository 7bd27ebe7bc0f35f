"""What the system grants a process: shared memory, memory, files, threads. Where a system has no such limit, nothing is said."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from .machine import Limits

SHARED = Path("/dev/shm")
_NO_LIMIT = 2**60
"""Control groups write a number near 2^63 where there is no limit."""


def shared_memory() -> tuple[int, int] | None:
    """Size and free bytes of `/dev/shm`, through which workers of a DataLoader pass their batches."""
    if sys.platform != "linux":
        return None
    try:
        room = os.statvfs(SHARED)
    except OSError:
        return None
    return room.f_blocks * room.f_frsize, room.f_bavail * room.f_frsize


def limits() -> Limits:
    if sys.platform == "win32":
        return Limits()
    import resource

    def soft(name: str) -> int | None:
        if not hasattr(resource, name):
            return -1
        value = resource.getrlimit(getattr(resource, name))[0]
        return None if value == resource.RLIM_INFINITY else value

    names = ("RLIMIT_NOFILE", "RLIMIT_MEMLOCK", "RLIMIT_STACK", "RLIMIT_AS", "RLIMIT_NPROC")
    return Limits(*map(soft, names))


def memory() -> int | None:
    if sys.platform == "win32" or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def memory_limit() -> int | None:
    """The control group's, which ends a process that the machine itself would have room for."""
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(file).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
        if text.isdigit() and int(text) < _NO_LIMIT:
            return int(text)
    return None
