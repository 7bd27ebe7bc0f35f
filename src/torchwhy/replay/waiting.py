"""The early self's own side: waits for requests, forks a child a trial, ends each in time, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, NoReturn

from .apart import part_from_files
from .forking import fork, leave
from .landlock import die_with_parent
from .pristine import Execute, Start
from .trial import Trial

_MOST_TOLD = 64 << 20
_SUBREAPER = 36


@dataclass
class _Running:
    process: int
    pipe: int
    scratch: str
    limit: float
    """Of CPU time."""
    until: float
    """By the clock."""
    look: float
    """When it may have used up its CPU time at the earliest."""
    told: bytes = b""
    bytes_told: int = 0


class Waiting:
    """Lives in the early self, from the fork to its end."""

    def __init__(self, connection: socket.socket, parent: int, execute: Execute, start: Start) -> None:
        self.connection, self.parent = connection, parent
        self.execute, self.start = execute, start
        self.running: dict[int, _Running] = {}
        self.asked = b""
        self.folder = ""
        self.forgotten: list[ModuleType] = []

    def serve(self) -> NoReturn:
        try:
            self._settle()
            while self._once():
                pass
        finally:
            for number in list(self.running):
                self._finish(number, "ended")
            if self.folder:
                shutil.rmtree(self.folder, ignore_errors=True)
            leave(0)

    def _settle(self) -> None:
        """Let go of all that is the program's: its terminal, its pipes, its signals, its half-done imports."""
        os.setsid()
        _control(_SUBREAPER)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        part_from_files((self.connection.fileno(), self.parent))
        self.forgotten = forget_program()
        gc.freeze()

    def _once(self) -> bool:
        pipes = {running.pipe: number for number, running in self.running.items()}
        now = time.monotonic()
        wait = min((min(r.until, r.look) - now for r in self.running.values()), default=None)
        sources: list[Any] = [self.connection, self.parent, *pipes]
        ready, _, _ = select.select(sources, [], [], None if wait is None else max(0.0, wait))
        if self.parent in ready:
            return False
        for pipe in ready:
            if pipe in pipes:
                self._hear(pipes[pipe])
        for number in [n for n, r in self.running.items() if _is_late(r)]:
            self._finish(number, "timed-out")
        return self._requests() if self.connection in ready else True

    def _requests(self) -> bool:
        data = self.connection.recv(1 << 20)
        self.asked += data
        *lines, self.asked = self.asked.split(b"\n")
        for line in lines:
            request = json.loads(line)
            if "prepare" in request:
                _load(request["prepare"])
            else:
                self._start(request["run"], Trial(**{**request["trial"], "files": tuple((p, t) for p, t in request["trial"]["files"])}))
        return bool(data)

    def _start(self, number: int, trial: Trial) -> None:
        if not self.folder:
            self.folder = os.path.realpath(tempfile.mkdtemp(prefix="torchwhy-"))
        scratch = os.path.join(self.folder, str(number))
        os.makedirs(scratch, exist_ok=True)
        reader, writer = os.pipe()
        now = time.monotonic()
        child = fork()
        if child == 0:
            try:
                self._be_trial(trial, scratch, writer)
            finally:
                leave(0)
        os.close(writer)
        self.running[number] = _Running(child, reader, scratch, trial.seconds, now + trial.wall, now + trial.seconds / _cores())

    def _be_trial(self, trial: Trial, scratch: str, writer: int) -> None:
        die_with_parent()
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.start.restore()
        from .confine import confine

        def tell(**said: Any) -> None:
            os.write(writer, json.dumps(said).encode() + b"\n")

        self.connection.close()
        os.close(self.parent)
        for running in self.running.values():
            os.close(running.pipe)
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
        try:
            confine(scratch, (writer,), trial.seconds, trial.memory, lambda what: tell(denied=what))
            from .rerun import rerun

            rerun(trial, tell, self.execute)
        except Exception as fault:
            tell(fault=str(fault) or type(fault).__name__)

    def _hear(self, number: int) -> None:
        running = self.running[number]
        data = os.read(running.pipe, 1 << 16)
        running.bytes_told += len(data)
        if not data or running.bytes_told > _MOST_TOLD:
            return self._finish(number, "ended")
        *lines, running.told = (running.told + data).split(b"\n")
        for line in lines:
            with contextlib.suppress(ValueError):
                said = json.loads(line)
                if isinstance(said, dict):
                    self._answer({**said, "trial": number})
                    if "end" in said:
                        return self._finish(number, "ended")

    def _finish(self, number: int, how: str) -> None:
        """End the trial and all that it started."""
        running = self.running.pop(number)
        spent = spent_by(running.process)
        os.close(running.pipe)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(running.process, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.kill(running.process, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(running.process, 0)
        self._end_strays()
        shutil.rmtree(running.scratch, ignore_errors=True)
        with contextlib.suppress(OSError):
            self._answer({"trial": number, "done": how, "seconds": spent})

    def _end_strays(self) -> None:
        """What a trial left behind has become our child."""
        known = {running.process for running in self.running.values()}
        for _ in range(100):
            strays = _children() - known
            if not strays:
                return
            for stray in strays:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(stray, signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(stray, 0)

    def _answer(self, message: dict[str, Any]) -> None:
        self.connection.sendall(json.dumps(message).encode() + b"\n")


def forget_program() -> list[ModuleType]:
    """Take out of `sys.modules` what belongs to the program, and what was half imported when torch came.

    It is given back, to be held: what the program would do when it goes is not ours to do.
    """
    from ..record.spans import origin

    forgotten = []
    for name, module in list(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        initializing = bool(getattr(spec, "_initializing", False))
        if spec is not None and name == "torch" and initializing:
            spec._initializing = False
        elif initializing or (isinstance(module, ModuleType) and name != "__main__" and _file(module) and origin(_file(module)) == "user"):
            forgotten.append(sys.modules.pop(name))
    return forgotten


def _file(module: ModuleType) -> str:
    file = vars(module).get("__file__")
    return file if isinstance(file, str) else ""


def _load(names: list[str]) -> None:
    import torch.utils.data  # noqa: F401

    for name in names:
        with contextlib.suppress(Exception):  # what can't be imported ahead is imported by the program
            import_module(name)
    from . import confine, rerun  # noqa: F401

    gc.freeze()


def _is_late(running: _Running) -> bool:
    """Whether it has used up its CPU time, or the clock's; what one that still runs may use is looked at only when it can be over."""
    now = time.monotonic()
    if now >= running.look:
        left = running.limit - spent_by(running.process)
        if left <= 0:
            return True
        running.look = now + max(0.05, left / _cores())
    return now >= running.until


def _cores() -> int:
    return os.cpu_count() or 1


def spent_by(process: int) -> float:
    """The seconds of CPU time of all that runs in the session that this process leads, and of their children that are over."""
    ticks = sum(sum(map(int, numbers[11:15])) for _, numbers in _processes() if int(numbers[3]) == process)
    return ticks / os.sysconf("SC_CLK_TCK")


def _children() -> set[int]:
    mine = os.getpid()
    return {process for process, numbers in _processes() if int(numbers[1]) == mine}


def _processes() -> Iterator[tuple[int, list[str]]]:
    """Each process, and what `/proc/PID/stat` says of it: its state, its parent, its group, its session, …, its times from the 12th on."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            with (
                contextlib.suppress(OSError),
                open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as file,
            ):
                numbers = file.read().rpartition(")")[2].split()
                if len(numbers) > 14:
                    yield int(name), numbers


def _control(option: int) -> None:
    from .landlock import _control as control

    control(option, 1)
