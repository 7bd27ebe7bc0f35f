"""Linux's own fences around a process: files (landlock) and the network (seccomp), both irrevocable and inherited by its children.

They hold for code in C++ too, which Python's audit hooks do not see. `fences()` says whether this machine has them.
"""

from __future__ import annotations

import ctypes
import os
import platform
import socket
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

_ARCHITECTURES = {"x86_64": (0xC000003E, 41, 0), "aarch64": (0xC00000B7, 198, 1)}
"""The audit number of the architecture, its number of the system call `socket`, and its column in the lists below."""
_NEVER = (
    (425, 59, 322, 141, 144, 142, 314, 251, 256, 279, 101, 311, 440, 438, 321, 248, 250, 308, 155, 163, 164, 165, 166, 169, 170, 171, 227),
    (425, 221, 281, 140, 119, 118, 274, 30, 238, 239, 117, 271, 440, 438, 280, 217, 219, 268, 41, 89, 170, 40, 39, 142, 161, 162, 112),
)
"""io_uring_setup (it could open a socket unseen), execve, execveat, setpriority, sched_setscheduler, -param, -attr, ioprio_set, migrate_pages,
move_pages, ptrace, process_vm_writev, process_madvise, pidfd_getfd, bpf, add_key, keyctl, setns, pivot_root, acct, settimeofday, mount,
umount2, reboot, sethostname, setdomainname, clock_settime."""
_ON_ITSELF = ((203, 302), (122, 261))
"""sched_setaffinity, prlimit64: not for another process."""
_SHARED = (
    (29, 30, 31, 64, 66, 68, 71, 240, 241, 90, 91, 92, 93, 94, 132, 188, 189, 190, 197, 198, 199, 235, 260, 261, 268, 280, 452, 463, 466),
    (194, 196, 195, 190, 191, 186, 187, 180, 181, 5, 6, 7, 14, 15, 16, 52, 53, 54, 55, 88, 452, 463, 466),
)
"""What reaches others where there are no namespaces: System V memory and queues, mq_open, mq_unlink; and what changes a file's rights, owner,
times and attributes, which landlock does not know."""
_SIGNALS = ((62, 200, 424), (129, 130, 424))
"""kill, tkill, pidfd_send_signal: where landlock does not keep signals in."""
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

    `network`: the process has namespaces of its own, so sockets of the Internet's kinds may open. Raises OSError.
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
    _refuse_calls(_FAMILIES if network else _FAMILIES[:1], network, version >= 6)


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


def _refuse_calls(families: Sequence[int], apart: bool, quiet: bool) -> None:
    """A filter of system calls: those of the lists above are refused, and `socket` for any other family and for datagrams by name.

    `apart`: this process has namespaces of its own; `quiet`: landlock keeps its signals in.
    """
    audit_number, socket_number, column = _ARCHITECTURES[platform.machine()]
    load, mask, equal, at_least, answer = 0x20, 0x54, 0x15, 0x35, 0x06
    refuse, allow = (answer, 0, 0, _REFUSE), (answer, 0, 0, _ALLOW)
    first, second = (load, 0, 0, 16), (load, 0, 0, 24)
    never = [*_NEVER[column], *(() if apart else _SHARED[column])]
    itself = [*_ON_ITSELF[column], *(() if quiet else _SIGNALS[column])]
    program = [
        (load, 0, 0, 4),  # the architecture
        (equal, 1, 0, audit_number),
        refuse,
        (load, 0, 0, 0),  # the system call
        (at_least, 0, 1, 0x40000000),
        refuse,
        *(step for number in never for step in ((equal, 0, 1, number), refuse)),
        *(
            step
            for number in itself
            for step in ((equal, 0, 5, number), first, (equal, 2, 0, 0), (equal, 1, 0, os.getpid()), refuse, allow)
        ),
        (equal, 1, 0, socket_number),
        allow,
        first,
        (equal, 0, 4, _FAMILIES[0]),
        second,
        (mask, 0, 0, 0xF),
        (equal, 0, 1, socket.SOCK_DGRAM),
        refuse,
        first,
        *(step for family in families for step in ((equal, 0, 1, family), allow)),
        refuse,
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
