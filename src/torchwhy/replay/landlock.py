"""Linux's own fences around a process: files (landlock) and the network (seccomp), both irrevocable and inherited by its children.

They hold for code in C++ too, which Python's audit hooks do not see. `fences()` says whether this machine has them.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_NO_NEW_PRIVS, _SET_SECCOMP, _SET_PDEATHSIG = 38, 22, 1

_EXECUTE, _WRITE, _REFER, _TRUNCATE = 1 << 0, 1 << 1, 1 << 13, 1 << 14
_REMOVE_AND_MAKE = sum(1 << n for n in range(4, 13))
_OUTSIDE = 1 << 0 | 1 << 1
"""Abstract sockets of others, and signals to others."""

_ARCHITECTURES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
"""The audit number of the architecture, and its number of the system call `socket`."""
_IO_URING_SETUP = 425
_FAMILIES = (1, 2, 10, 16)
"""AF_UNIX, AF_INET, AF_INET6, AF_NETLINK (to list the devices)."""
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | 13


@cache
def fences() -> bool:
    """Whether this machine can keep a process from writing files, opening connections and starting programs."""
    return sys.platform == "linux" and platform.machine() in _ARCHITECTURES and hasattr(os, "pidfd_open") and abi() >= 1


@cache
def abi() -> int:
    """The version of landlock; 0 where there is none."""
    try:
        return int(max(0, _libc().syscall(ctypes.c_long(_CREATE_RULESET), None, ctypes.c_size_t(0), ctypes.c_uint32(1))))
    except (OSError, AttributeError):  # no such C library
        return 0


def fence_in(writable: Sequence[str], devices: Sequence[str], network: bool = False) -> None:
    """From here on files change only below `writable`, `devices` may be written to, no program starts, no socket but a local one opens.

    `network`: the process has a network of its own, so sockets of the Internet's kinds may open. Raises OSError.
    """
    version = abi()
    writing = _WRITE | _REMOVE_AND_MAKE | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    ruleset = _ruleset(writing | _EXECUTE, version)
    for path in writable:
        _allow(ruleset, path, writing)
    for path in devices:
        _allow(ruleset, path, _WRITE | (writing & _TRUNCATE))
    _control(_NO_NEW_PRIVS, 1)
    _checked(_libc().syscall(ctypes.c_long(_RESTRICT_SELF), ctypes.c_int(ruleset), ctypes.c_uint32(0)))
    os.close(ruleset)
    _refuse_sockets(_FAMILIES if network else _FAMILIES[:1])


def die_with_parent() -> None:
    """The kernel ends this process when the one that forked it ends."""
    _control(_SET_PDEATHSIG, 9)


def _ruleset(handled: int, version: int) -> int:
    fields = [handled, *([0] if version >= 4 else []), *([_OUTSIDE] if version >= 6 else [])]
    data = struct.pack(f"={len(fields)}Q", *fields)
    return _checked(_libc().syscall(ctypes.c_long(_CREATE_RULESET), ctypes.c_char_p(data), ctypes.c_size_t(len(data)), ctypes.c_uint32(0)))


def _allow(ruleset: int, path: str, access: int) -> None:
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", access, handle)
        _checked(
            _libc().syscall(ctypes.c_long(_ADD_RULE), ctypes.c_int(ruleset), ctypes.c_int(1), ctypes.c_char_p(rule), ctypes.c_uint32(0))
        )
    finally:
        os.close(handle)


def _refuse_sockets(families: Sequence[int]) -> None:
    """A filter of system calls: `socket` for any other family is refused, and io_uring, which could open one unseen."""
    audit_number, socket_number = _ARCHITECTURES[platform.machine()]
    load, equal, at_least, answer = 0x20, 0x15, 0x35, 0x06
    more = len(families)
    program = [
        (load, 0, 0, 4),  # the architecture
        (equal, 0, 5 + more, audit_number),
        (load, 0, 0, 0),  # the system call
        (at_least, 3 + more, 0, 0x40000000),
        (equal, 2 + more, 0, _IO_URING_SETUP),
        (equal, 0, 2 + more, socket_number),
        (load, 0, 0, 16),  # its first argument
        *((equal, more - number, 0, family) for number, family in enumerate(families)),
        (answer, 0, 0, _REFUSE),
        (answer, 0, 0, _ALLOW),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in program))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    _control(_SET_SECCOMP, 2, ctypes.addressof(header))


def _control(option: int, *arguments: int) -> None:
    padded = [*arguments, 0, 0, 0, 0][:4]
    _checked(_libc().prctl(ctypes.c_int(option), *(ctypes.c_ulong(a) for a in padded)))


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


@cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)
