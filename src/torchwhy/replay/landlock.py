"""Linux's own fences around a process: files (landlock) and the network (seccomp), both irrevocable and inherited by its children.

They hold for code in C++ too, which Python's audit hooks do not see. `lacks()` says what this machine does not have of them.
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

_EXECUTE, _WRITE, _REFER, _TRUNCATE, _DEVICES = 1 << 0, 1 << 1, 1 << 13, 1 << 14, 1 << 15
_REMOVE_AND_MAKE = sum(1 << n for n in range(4, 13))
_OUTSIDE = 1 << 0 | 1 << 1
"""Abstract sockets of others, and signals to others."""

_ARCHITECTURES = {"x86_64": (0xC000003E, 41, 0), "aarch64": (0xC00000B7, 198, 1)}
"""The audit number of the architecture, its number of the system call `socket`, and its column in the lists below."""
_NEVER = (
    (425, 59, 322, 141, 144, 142, 314, 251, 256, 279, 101, 311, 440, 448, 438, 321, 248, 249, 250, 308, 272, 155, 163, 164, 165, 166, 169,
     170, 171, 227, 159, 305, 175, 313, 176, 246, 320, 167, 168, 179, 153, 428, 429, 430, 431, 432, 433, 442, 161, 300, 304),
    (425, 221, 281, 140, 119, 118, 274, 30, 238, 239, 117, 271, 440, 448, 438, 280, 217, 218, 219, 268, 97, 41, 89, 170, 40, 39, 142,
     161, 162, 112, 171, 266, 105, 273, 106, 104, 294, 224, 225, 60, 58, 428, 429, 430, 431, 432, 433, 442, 51, 262, 265),
)  # fmt: skip
"""io_uring_setup (it could open a socket unseen), execve, execveat, setpriority, sched_setscheduler, -param, -attr, ioprio_set, migrate_pages,
move_pages, ptrace, process_vm_writev, process_madvise, process_mrelease, pidfd_getfd, bpf, add_key, request_key, keyctl, setns, unshare,
pivot_root, acct, settimeofday, mount, umount2, reboot, sethostname, setdomainname, clock_settime, adjtimex, clock_adjtime, init_module,
finit_module, delete_module, kexec_load, kexec_file_load, swapon, swapoff, quotactl, vhangup, open_tree, move_mount, fsopen, fsconfig,
fsmount, fspick, mount_setattr, chroot, fanotify_init, open_by_handle_at."""
_ON_ITSELF = ((203, 302), (122, 261))
"""sched_setaffinity, prlimit64: not for another process."""
_SHARED = (
    (
        29,
        30,
        31,
        64,
        66,
        68,
        71,
        240,
        241,
        90,
        91,
        92,
        93,
        94,
        132,
        188,
        189,
        190,
        197,
        198,
        199,
        235,
        260,
        261,
        268,
        280,
        452,
        463,
        466,
        469,
    ),
    (194, 196, 195, 190, 191, 186, 187, 180, 181, 5, 6, 7, 14, 15, 16, 52, 53, 54, 55, 88, 452, 463, 466, 469),
)
"""What reaches others where there are no namespaces: System V memory and queues, mq_open, mq_unlink; and what changes a file's rights, owner,
times and attributes, which landlock does not know."""
_SIGNALS = ((62, 200, 234, 129, 297, 424), (129, 130, 131, 138, 240, 424))
"""kill, tkill, tgkill, rt_sigqueueinfo, rt_tgsigqueueinfo, pidfd_send_signal: where landlock does not keep signals in."""
_LOCKS = ((73, 72), (32, 25))
"""flock, fcntl."""
_LOCKING, _LEASING = (6, 7, 37, 38), (1024, 1026)
"""fcntl's F_SETLK, F_SETLKW, F_OFD_SETLK, F_OFD_SETLKW; F_SETLEASE, F_NOTIFY."""
_IOCTL = (16, 29)
_ON_READ_ONLY = (0x40086602, 0x40046602, 0x401C5820, 0x5402, 0x5403, 0x5404, 0x5410, 0x5412, 0x5414)
"""What `ioctl` changes by a descriptor that only reads: a file's flags; a terminal's settings, its input, its size."""
_PAIR = (53, 199)
_FAMILIES = (2, 10, 16)
"""AF_INET, AF_INET6, AF_NETLINK (to list the devices)."""
_UNIX = MARK = 1
"""AF_UNIX; and the protocol by which a socket of the UNIX kind is asked for whose address is looked at: the system takes it for 0, which all others ask for."""
_ALLOW, _REFUSE, _PRETEND = 0x7FFF0000, 0x00050000 | 13, 0x00050000


def lacks() -> str:
    """What this machine lacks to keep a process from writing files, opening connections and starting programs; empty: nothing."""
    if sys.platform != "linux":
        return "this system has no fence for a process"
    if platform.machine() not in _ARCHITECTURES or not hasattr(os, "pidfd_open"):
        return f"system calls are not known of this processor or Python ({platform.machine()}, {platform.python_version()})"
    return "" if abi() >= 1 else "the kernel has no landlock"


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
    if not network and version < 3:
        raise OSError(f"there are no namespaces, and landlock {version} lets files be cut")
    writing = _WRITE | _REMOVE_AND_MAKE | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    using = _DEVICES if version >= 5 else 0
    ruleset = _ruleset(writing | _EXECUTE | using, version)
    for path in writable:
        _allow(ruleset, path, writing)
    for path in devices:
        _allow(ruleset, path, _WRITE | using | (writing & _TRUNCATE))
    _control(_NO_NEW_PRIVS, 1)
    _checked(_libc().syscall(ctypes.c_long(_RESTRICT_SELF), ctypes.c_int(ruleset), ctypes.c_uint32(0)))
    os.close(ruleset)
    _refuse_calls(_FAMILIES if network else (), network, version >= 6)


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
    """A filter of system calls: those of the lists above are refused, and `socket` for any other family.

    A socket that has a name in the file system is reached through any namespace: one of its kind opens only with the mark, for streams.
    Locks are granted and not taken: they would keep others waiting, and who has them refused goes another way.
    `apart`: this process has namespaces of its own; `quiet`: landlock keeps its signals in.
    """
    audit_number, socket_number, column = _ARCHITECTURES[platform.machine()]
    load, mask, equal, at_least, answer = 0x20, 0x54, 0x15, 0x35, 0x06
    refuse, allow, pretend = (answer, 0, 0, _REFUSE), (answer, 0, 0, _ALLOW), (answer, 0, 0, _PRETEND)
    first, second, third = ((load, 0, 0, at) for at in (16, 24, 32))
    never = [*_NEVER[column], *(() if apart else _SHARED[column])]
    itself = [*_ON_ITSELF[column], *(() if quiet else _SIGNALS[column])]
    whole, some = _LOCKS[column]
    by_command = [
        second,
        *(step for command in _LOCKING for step in ((equal, 0, 1, command), pretend)),
        *(step for command in _LEASING for step in ((equal, 0, 1, command), refuse)),
        allow,
    ]
    by_request = [second, *(step for request in _ON_READ_ONLY for step in ((equal, 0, 1, request), refuse)), allow]
    is_no_letter = [second, (mask, 0, 0, 0xF), (equal, 0, 1, socket.SOCK_DGRAM), refuse]
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
        (equal, 0, 1, whole),
        pretend,
        (equal, 0, len(by_command), some),
        *by_command,
        (equal, 0, len(by_request), _IOCTL[column]),
        *by_request,
        (equal, 0, len(is_no_letter) + 1, _PAIR[column]),
        *is_no_letter,
        allow,
        (equal, 1, 0, socket_number),
        allow,
        first,
        (equal, 0, len(is_no_letter) + 4, _UNIX),
        *is_no_letter,
        third,
        (equal, 1, 0, MARK),
        refuse,
        allow,
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
