"""A child that runs the program's code again changes nothing that it shares with others."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import multiprocessing
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from trying import in_own_spaces

from torchwhy.replay import child as child_module
from torchwhy.replay import fence
from torchwhy.replay.child import can_fork, in_child, why_not
from torchwhy.replay.fence import missing
from torchwhy.replay.pristine import Start, keep_pristine
from torchwhy.replay.trial import Trial

pytestmark = pytest.mark.skipif(bool(missing()), reason="this platform has no fences")


def _done(deed: Callable[[], object]) -> str:
    """What came of it in a child: empty, or the exception's name."""

    def attempt() -> str:
        try:
            deed()
        except OSError as error:
            return type(error).__name__
        return ""

    said = in_child(attempt, 60.0)
    assert said is not None
    return said


def test_open_files_are_not_written(outside: Path) -> None:
    kept = outside / "kept.txt"
    with kept.open("a") as stream:
        stream.write("buffered")
        assert _done(lambda: (stream.write("more"), stream.flush(), os.write(stream.fileno(), b"raw"))) == ""
        assert kept.read_text() == "kept"
    assert kept.read_text() == "keptbuffered"


def test_a_file_that_is_read_is_read_on_from_its_place(outside: Path) -> None:
    with (outside / "kept.txt").open("rb", buffering=0) as stream:
        assert stream.read(2) == b"ke"
        assert in_child(lambda: stream.read(), 60.0) == b"pt"
        assert stream.read() == b"pt"


def test_pipes_and_sockets_say_nothing() -> None:
    reader, writer = os.pipe()
    here, there = socket.socketpair()
    here.setblocking(False)
    _done(lambda: os.write(writer, b"x"))
    _done(lambda: there.send(b"x"))
    os.close(writer)
    assert os.read(reader, 1) == b""
    with pytest.raises(BlockingIOError):
        here.recv(1)
    os.close(reader)
    here.close()
    there.close()


def test_shared_memory_is_copied(outside: Path) -> None:
    tensor, value = torch.ones(3).share_memory_(), multiprocessing.Value("i", 1)
    area, file = mmap.mmap(-1, 4096), np.memmap(outside / "map.bin", dtype="int32", mode="w+", shape=(4,))

    def change() -> list[float]:
        tensor.add_(1)
        with value.get_lock():
            value.value += 1  # type: ignore[attr-defined]
        area[0] = 1
        file[0] += 1
        file.flush()
        return [tensor[0].item(), value.value, area[0], int(file[0])]  # type: ignore[attr-defined]

    assert in_child(change, 60.0) == [2, 2, 1, 1]
    assert [tensor[0].item(), value.value, area[0], int(file[0])] == [1, 1, 0, 0]  # type: ignore[attr-defined]


def test_rights_and_times_stay_also_by_a_descriptor_and_by_c(outside: Path) -> None:
    kept = outside / "kept.txt"
    before, libc = kept.stat(), ctypes.CDLL(None)
    with kept.open() as stream:
        _done(lambda: os.fchmod(stream.fileno(), 0o777))
        _done(lambda: os.utime(stream.fileno(), (1, 1)))
        _done(lambda: os.setxattr(stream.fileno(), "user.a", b"1"))
    assert in_child(lambda: libc.chmod(os.fsencode(kept), 0o777), 60.0) == -1
    assert (kept.stat().st_mode, kept.stat().st_mtime) == (before.st_mode, before.st_mtime)
    assert os.listxattr(kept) == []


def test_other_processes_stay_as_they_are() -> None:
    parent, libc = os.getpid(), ctypes.CDLL(None)
    priority, allowed = os.getpriority(os.PRIO_PROCESS, parent), os.sched_getaffinity(parent)
    _done(lambda: os.setpriority(os.PRIO_PROCESS, parent, priority + 1))
    _done(lambda: os.sched_setaffinity(parent, {min(allowed)}))
    assert in_child(lambda: libc.kill(parent, 15), 60.0) == -1
    assert (os.getpriority(os.PRIO_PROCESS, parent), os.sched_getaffinity(parent)) == (priority, allowed)


def test_nothing_stays_in_shared_memory_with_a_name() -> None:
    before = set(os.listdir("/dev/shm"))
    assert in_child(lambda: torch.ones(3).share_memory_().sum().item(), 60.0) == 3
    assert set(os.listdir("/dev/shm")) == before
    libc = ctypes.CDLL(None)
    key = 0x74770001
    in_child(lambda: libc.shmget(key, 4096, 0o1666), 60.0)
    assert libc.shmget(key, 4096, 0o666) == -1


def test_a_listener_hears_nothing_from_c(outside: Path) -> None:
    path = str(outside / "s")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        server.setblocking(False)
        address = b"\x01\x00" + os.fsencode(path) + b"\0"
        libc = ctypes.CDLL(None)
        assert in_child(lambda: libc.connect(libc.socket(1, 1, 0), address, len(address)), 60.0) == -1
        with pytest.raises(BlockingIOError):
            server.accept()


def test_no_socket_with_a_name_is_reached_whatever_it_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    libc = ctypes.CDLL(None)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as letters:
        letters.bind("relative")
        letters.setblocking(False)
        address = b"\x01\x00relative\0"

        def send(handle: int) -> int:
            return int(libc.sendto(handle, b"x", 1, 0, address, len(address)))

        assert send(libc.socket(1, 2, 0)) == 1 and letters.recv(1) == b"x"
        assert in_child(lambda: send(libc.socket(1, 2, 0)), 60.0) == -1
        pair = (ctypes.c_int * 2)()
        assert in_child(lambda: libc.socketpair(1, 2, 0, pair), 60.0) == -1
        assert in_child(lambda: libc.socketpair(1, 1, 0, pair) or send(pair[0]), 60.0) == -1
        with pytest.raises(BlockingIOError):
            letters.recv(1)


def test_a_lock_is_not_taken_from_others(outside: Path) -> None:
    with (outside / "kept.txt").open("r+") as held, (outside / "kept.txt").open() as again:
        fcntl.lockf(held, fcntl.LOCK_EX)
        fcntl.flock(held, fcntl.LOCK_EX)
        assert _done(lambda: fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)) == ""
        fcntl.flock(held, fcntl.LOCK_UN)

        def lock() -> str:
            fcntl.flock(again, fcntl.LOCK_EX)
            time.sleep(1)
            return ""

        child = threading.Thread(target=lambda: fcntl.flock(held, fcntl.LOCK_EX))
        child.start()
        assert in_child(lock, 60.0) == ""
        child.join(0.5)
        assert not child.is_alive()


def test_a_named_pipe_in_the_folder_is_not_read_from_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if os.waitstatus_to_exitcode(os.waitpid(in_own_spaces(), 0)[1]):
        pytest.skip("no process may have a view of the files of its own here")
    os.mkfifo("pipe")
    handle, libc, read = os.open("pipe", os.O_RDWR | os.O_NONBLOCK), ctypes.CDLL(None), ctypes.create_string_buffer(9)
    os.write(handle, b"x")
    assert in_child(lambda: libc.read(libc.open(b"pipe", os.O_NONBLOCK), read, 9), 60.0) in (0, -1)
    assert os.read(handle, 9) == b"x"
    os.close(handle)


@pytest.mark.parametrize("part", ["private_spaces", "part_from_memory", "fence_in"])
def test_without_a_part_of_the_fence_nothing_is_run(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    def refuse(*_: object) -> bool:
        raise OSError(f"no {part}")

    monkeypatch.setattr(fence, part, refuse)
    monkeypatch.setattr(child_module, "_refused", [])
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    assert in_child(lambda: os.write(writer, b"x"), 60.0) is None
    assert child_module.unfenced() == f"no {part}"
    assert not can_fork() and why_not() == f"no {part}"
    fence.missing.cache_clear()
    try:
        assert fence.missing() == f"no {part}"
        unfenced = keep_pristine(lambda *_: None, Start.now())
        assert unfenced is not None and unfenced.run([Trial()])[0].fault == f"no {part}"
        unfenced.close()
    finally:
        fence.missing.cache_clear()
    os.close(reader)
    os.close(writer)
