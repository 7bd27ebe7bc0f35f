"""One function run in a forked child, its answer brought back."""

from __future__ import annotations

import os
import pickle
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from .fence import missing
from .forking import fork, leave, unnoticed
from .sandbox import close_off

Answer = TypeVar("Answer")
_ANSWERED, _NOT_FENCED = b"+", b"-"
_refused: list[str] = []


def can_fork() -> bool:
    """Whether a child can go on from here."""
    return not why_not()


def why_not() -> str:
    """Why no child can go on from here: it can't be fenced off, a CUDA context exists (it does not survive), this is not the main thread."""
    import torch

    if why := unfenced():
        return why
    if threading.current_thread() is not threading.main_thread():
        return "this is not the main thread"
    return "CUDA is in use" if torch.cuda.is_available() and torch.cuda.is_initialized() else ""


def unfenced() -> str:
    """Which part of the fence can't be had, on this machine or by this process."""
    return missing() or next(iter(_refused), "")


def in_child(function: Callable[[], Answer], seconds: float) -> Answer | None:
    """What `function` returns (it must pickle), run in a silent, closed-off child; None when it takes too long, dies or raises.

    None as well where the child could not be closed off: then it ran nothing, and `unfenced` tells the reason.
    """
    with unnoticed():
        data = _told(function, seconds)
    if data[:1] == _NOT_FENCED:
        _refused.append(data[1:].decode(errors="replace"))
    if data[:1] != _ANSWERED:
        return None
    answer: Answer = pickle.loads(data[1:])
    return answer


def _told(function: Callable[[], Any], seconds: float) -> bytes:
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = fork()
    if child == 0:
        _be_child(function, reader, writer, seconds)
    os.close(writer)
    try:
        return _read(reader, seconds)
    finally:
        os.close(reader)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(child, 0)


def _be_child(function: Callable[[], Any], reader: int, writer: int, seconds: float) -> None:
    """Never returns."""
    try:
        os.close(reader)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        signal.alarm(int(seconds) + 2)  # should the parent be killed, the child ends by itself
        os.setsid()  # without a terminal
        try:
            close_off((writer,))
        except Exception as fault:
            os.write(writer, _NOT_FENCED + str(fault).encode()[:500])
            return
        import torch

        torch.set_num_threads(1)  # OpenMP's other threads did not survive the fork
        data = pickle.dumps(function())
        with open(writer, "wb", closefd=False) as stream:
            stream.write(_ANSWERED + data)
    finally:
        os.kill(os.getpid(), signal.SIGKILL)  # no exit handler of the program runs a second time
        leave(1)


def _read(reader: int, seconds: float) -> bytes:
    chunks: list[bytes] = []
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        ready = select.poll()  # `select.select` knows the first 1024 descriptors only
        ready.register(reader, select.POLLIN)
        if not ready.poll(1000 * left):
            return b""
        chunk = os.read(reader, 1 << 20)
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)
    return b""
