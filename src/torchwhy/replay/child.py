"""One function run in a forked child, its answer brought back."""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from .landlock import fences
from .sandbox import close_off

Answer = TypeVar("Answer")


def can_fork() -> bool:
    """Whether a child can go on from here: it can be fenced off, no CUDA context exists (it does not survive), and this is the main thread."""
    import torch

    return (
        fences()
        and threading.current_thread() is threading.main_thread()
        and not (torch.cuda.is_available() and torch.cuda.is_initialized())
    )


def in_child(function: Callable[[], Answer], seconds: float) -> Answer | None:
    """What `function` returns (it must pickle), run in a silent, closed-off child; None when it takes too long, dies or raises."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _be_child(function, reader, writer, seconds)
    os.close(writer)
    try:
        data = _read(reader, seconds)
    finally:
        os.close(reader)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if not data:
        return None
    answer: Answer = pickle.loads(data)
    return answer


def _be_child(function: Callable[[], Any], reader: int, writer: int, seconds: float) -> None:
    """Never returns."""
    try:
        os.close(reader)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        signal.alarm(int(seconds) + 2)  # should the parent be killed, the child ends by itself
        close_off((writer,))
        import torch

        torch.set_num_threads(1)  # OpenMP's other threads did not survive the fork
        data = pickle.dumps(function())
        with os.fdopen(writer, "wb") as stream:
            stream.write(data)
    finally:
        os.kill(os.getpid(), signal.SIGKILL)  # no exit handler of the program runs a second time


def _read(reader: int, seconds: float) -> bytes:
    chunks: list[bytes] = []
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        ready, _, _ = select.select([reader], [], [], left)
        if not ready:
            return b""
        chunk = os.read(reader, 1 << 20)
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)
    return b""
