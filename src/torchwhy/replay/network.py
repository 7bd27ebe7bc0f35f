"""A network of its own for a trial: a loopback device and nothing else, so that processes of one program can meet and nobody outside is reached.

Linux's user and network namespaces (`man 7 network_namespaces`). Where a container or the system's settings forbid them, there is none.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from contextlib import suppress

_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000
_SET_FLAGS, _UP = 0x8914, 1


def private_network() -> bool:
    """Leave the machine's network for an empty one, and say whether that was done. For a process with one thread; nothing of it can be taken back."""
    user, group = os.geteuid(), os.getegid()
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_NEW_USER | _NEW_NETWORK) != 0:
            return False
    except (OSError, AttributeError):  # no such C library
        return False
    with suppress(OSError):  # names of users only: what may be read and written does not depend on it
        _write("setgroups", "deny")
        _write("uid_map", f"{user} {user} 1")
        _write("gid_map", f"{group} {group} 1")
    return _raise_loopback()


def _write(name: str, text: str) -> None:
    with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
        file.write(text)


def _raise_loopback() -> bool:
    import fcntl

    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
            fcntl.ioctl(handle, _SET_FLAGS, struct.pack("16sH14x", b"lo", _UP))
    except OSError:
        return False
    return True
