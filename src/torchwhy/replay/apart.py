"""What a forked child still shares with others, and how it parts from it: open files, and memory mapped as shared.

For children only: nothing of it can be taken back.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Collection
from dataclasses import dataclass

_READ, _WRITE, _EXECUTE = 1, 2, 4
_PRIVATE, _FIXED, _ANONYMOUS = 0x2, 0x10, 0x20
_MAY_MOVE, _MOVE_TO = 1, 2
_FAILED = ctypes.c_void_p(-1).value
_MOST_COPIED = 2 << 30


def part_from_files(keep: Collection[int]) -> None:
    """Give every inherited descriptor's number to /dev/null, and those that only read a file to a reading of their own.

    Numbers so stay valid, and what the program has in its buffers reaches nobody.
    """
    silence = os.open(os.devnull, os.O_RDWR)
    for descriptor in _descriptors() - {silence, *keep}:
        try:
            own = _read_anew(descriptor)
            inheritable = os.get_inheritable(descriptor)
        except OSError:  # the one that listed the others, closed by now
            continue
        os.dup2(silence if own is None else own, descriptor, inheritable)
        if own is not None:
            os.close(own)
    os.close(silence)


def part_from_memory() -> None:
    """Make every shared mapping private, with its contents at its address. Raises OSError where that is not possible."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = libc.mremap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.mremap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p]
    copied = 0
    for one in _shared_mappings():
        handle = _opened(one)
        if handle is not None:
            try:
                _made(libc.mmap(one.start, one.size, one.access, _PRIVATE | _FIXED, handle, one.offset))
            finally:
                os.close(handle)
            continue
        if one.path.startswith("/dev/") and not one.path.startswith("/dev/shm/") and one.path[:9] != "/dev/zero":
            raise OSError(f"memory of a device can't be had privately: {one.path}")
        copied += one.size if one.access & _READ else 0
        if copied > _MOST_COPIED:
            raise OSError("there is too much shared memory to be copied")
        new = _made(libc.mmap(None, one.size, _READ | _WRITE, _PRIVATE | _ANONYMOUS, -1, 0))
        if one.access & _READ:
            ctypes.memmove(new, one.start, one.size)
        if libc.mprotect(ctypes.c_void_p(new), ctypes.c_size_t(one.size), one.access) != 0:
            raise OSError(ctypes.get_errno(), "mprotect")
        _made(libc.mremap(new, one.size, one.size, _MAY_MOVE | _MOVE_TO, one.start))


@dataclass(frozen=True)
class _Mapping:
    start: int
    size: int
    access: int
    offset: int
    inode: int
    path: str


def _shared_mappings() -> list[_Mapping]:
    found = []
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            place, rights, offset, _, inode, *path = line.rstrip("\n").split(None, 5)
            if rights[3] == "s":
                start, end = (int(number, 16) for number in place.split("-"))
                access = _READ * (rights[0] == "r") | _WRITE * (rights[1] == "w") | _EXECUTE * (rights[2] == "x")
                found.append(_Mapping(start, end - start, access, int(offset, 16), int(inode), "".join(path)))
    return found


def _opened(one: _Mapping) -> int | None:
    """The regular file that is mapped; None where it has no name (any more), or lies in memory, where others may cut it."""
    if not one.path.startswith("/") or one.path.startswith("/dev/"):
        return None
    try:
        handle = os.open(one.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    facts = os.fstat(handle)
    if stat.S_ISREG(facts.st_mode) and facts.st_ino == one.inode:
        return handle
    os.close(handle)
    return None


def _read_anew(descriptor: int) -> int | None:
    """A descriptor of one's own for a file or folder that is only read, at the same place in it."""
    import fcntl

    facts = os.fstat(descriptor)
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    if flags & os.O_ACCMODE != os.O_RDONLY or flags & os.O_PATH or not (stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode)):
        return None
    try:
        own = os.open(os.readlink(f"/proc/self/fd/{descriptor}"), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:  # its name is gone
        return None
    if not os.path.samestat(os.fstat(own), facts):
        os.close(own)
        return None
    if stat.S_ISREG(facts.st_mode):
        os.lseek(own, os.lseek(descriptor, 0, os.SEEK_CUR), os.SEEK_SET)
    return own


def _descriptors() -> set[int]:
    return {int(name) for name in os.listdir("/proc/self/fd")}


def _made(address: int | None) -> int:
    if address is None or address == _FAILED:
        raise OSError(ctypes.get_errno(), "a shared mapping can't be made private")
    return address
