"""Namespaces of its own for a child: a network with a loopback device only, System V memory and queues, and a view of the files.

In that view all is read-only but the scratch folder, /dev/shm is empty and the child's own, and named pipes in the working folder are covered.
Linux's user namespaces (`man 7 user_namespaces`). Where a container or the system's settings forbid them, there are none.
"""

from __future__ import annotations

import ctypes
import os
import socket
import stat
import struct
from contextlib import suppress
from itertools import islice
from typing import Any

_NEW_MOUNTS, _NEW_IPC, _NEW_USER, _NEW_NETWORK = 0x20000, 0x08000000, 0x10000000, 0x40000000
_NO_SUID, _NO_DEVICES, _BIND, _RECURSIVE, _SLAVE = 0x2, 0x4, 0x1000, 0x4000, 0x80000
_MOUNT_SETATTR, _AT_RECURSIVE, _HERE, _READ_ONLY = 442, 0x8000, -100, 1
_SET_FLAGS, _UP = 0x8914, 1
_SHARED = "/dev/shm"
_MOST_ENTRIES = 10_000


def private_spaces(scratch: str | None) -> bool:
    """Leave the machine's namespaces for empty ones, and say whether that was done. For a process with one thread; can't be taken back."""
    user, group = os.geteuid(), os.getegid()
    try:
        pipes = _pipes()
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_NEW_USER | _NEW_NETWORK | _NEW_IPC | _NEW_MOUNTS) != 0:
            return False
    except (OSError, AttributeError):  # no such C library
        return False
    with suppress(OSError):  # names of users only: what may be read and written does not depend on it
        _write("setgroups", "deny")
        _write("uid_map", f"{user} {user} 1")
        _write("gid_map", f"{group} {group} 1")
    try:
        _part_from_mounts(libc, scratch, pipes)
        _raise_loopback()
    except OSError:
        return False
    return True


def _part_from_mounts(libc: Any, scratch: str | None, pipes: list[str]) -> None:
    _mount(libc, None, "/", None, _RECURSIVE | _SLAVE)
    for name in pipes:
        with suppress(OSError):  # gone by now
            _mount(libc, os.devnull, name, None, _BIND)
    if scratch is not None:
        _mount(libc, scratch, scratch, None, _BIND)
    _set_read_only(libc, "/", True, _AT_RECURSIVE)
    if scratch is not None:
        _set_read_only(libc, scratch, False, 0)
    if os.path.isdir(_SHARED):
        _mount(libc, "tmpfs", _SHARED, "tmpfs", _NO_SUID | _NO_DEVICES)
    os.chdir(os.getcwd())


def _mount(libc: Any, source: str | None, target: str, kind: str | None, flags: int) -> None:
    encoded = [os.fsencode(text) if text is not None else None for text in (source, target, kind)]
    if libc.mount(*encoded, ctypes.c_ulong(flags), None) != 0:
        raise OSError(ctypes.get_errno(), f"mount {target}")


def _set_read_only(libc: Any, path: str, on: bool, flags: int) -> None:
    change = struct.pack("=4Q", _READ_ONLY if on else 0, 0 if on else _READ_ONLY, 0, 0)
    number, length = ctypes.c_long(_MOUNT_SETATTR), ctypes.c_size_t(len(change))
    if libc.syscall(number, ctypes.c_int(_HERE), ctypes.c_char_p(os.fsencode(path)), ctypes.c_uint(flags), ctypes.c_char_p(change), length):
        raise OSError(ctypes.get_errno(), f"read-only {path}")


def _pipes() -> list[str]:
    """The pipes with a name in the working folder: read by others, they would give away what is meant for the program."""
    with os.scandir(".") as entries:
        odd = [e for e in islice(entries, _MOST_ENTRIES) if not (e.is_symlink() or e.is_file() or e.is_dir())]
        return [os.path.abspath(entry.path) for entry in odd if stat.S_ISFIFO(entry.stat().st_mode)]


def _write(name: str, text: str) -> None:
    with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
        file.write(text)


def _raise_loopback() -> None:
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        fcntl.ioctl(handle, _SET_FLAGS, struct.pack("16sH14x", b"lo", _UP))
