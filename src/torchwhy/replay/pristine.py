"""The program's early self: forked when torch has been imported and nothing was done yet, it waits, and forks a child for every trial.

A trial so starts with torch loaded, and with the arguments, the environment and the folder that the program was started with.
The early self is no child of the program's process (a program may wait for all its children), holds none of its streams, and ends with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any

from .fence import missing
from .forking import fork, leave, out_of_the_way, unnoticed
from .trial import Outcome, Trial, heard

Show = Callable[[dict[str, Any]], None]
Execute = Callable[[Mapping[str, bytes], "Show | None"], None]
"""Runs the program with new texts for some files; shows the evidence of its failure, as plain data, where that is asked for."""
_LATE = 3.0
_IMPORTS = re.compile(r"^[ \t]*(?:from|import)[ \t]+([\w.]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Start:
    """What a program is started with."""

    folder: str
    environment: dict[str, str]
    path: tuple[str, ...]

    @classmethod
    def now(cls) -> Start:
        return cls(os.getcwd(), dict(os.environ), tuple(sys.path))

    def restore(self) -> None:
        os.chdir(self.folder)
        os.environ.clear()
        os.environ.update(self.environment)
        sys.path[:] = self.path


class Pristine:
    """The program's process's side: asks for trials."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lines = connection.makefile("r", encoding="utf-8")

    def prepare(self, modules: Sequence[str]) -> None:
        """Have libraries loaded that the program uses, while there is something else to do."""
        self._send({"prepare": list(modules)})

    def run(self, trials: Sequence[Trial], at_once: int = 2) -> list[Outcome]:
        """Run them all, some at once; the outcomes in their order."""
        outcomes = [Outcome() for _ in trials]
        waiting = list(range(len(trials)))[::-1]
        running: dict[int, float] = {}
        while waiting or running:
            while waiting and len(running) < at_once:
                number = waiting.pop()
                running[number] = time.monotonic() + trials[number].wall + _LATE
                self._send({"run": number, "trial": asdict(trials[number])})
            self._connection.settimeout(max(0.01, min(running.values()) - time.monotonic()))
            said = json.loads(self._lines.readline() or '{"over": true}')
            if "over" in said:
                raise OSError("the waiting process is gone")
            number = said.pop("trial")
            outcomes[number] = heard(outcomes[number], said)
            if "done" in said:
                del running[number]
        return outcomes

    def close(self) -> None:
        """Let it end, and wait until it has put its things away."""
        with contextlib.suppress(OSError, ValueError):
            self._connection.shutdown(socket.SHUT_WR)
            self._connection.settimeout(2)
            while self._lines.readline():
                pass
        self._lines.close()
        self._connection.close()

    def _send(self, message: dict[str, Any]) -> None:
        self._connection.settimeout(5)
        self._connection.sendall(json.dumps(message).encode() + b"\n")


class Unfenced(Pristine):
    """Stands in the place of an early self that can't keep its trials from doing harm: it runs none, and says why."""

    def __init__(self, why: str) -> None:
        self.why = why

    def prepare(self, modules: Sequence[str]) -> None:
        pass

    def run(self, trials: Sequence[Trial], at_once: int = 2) -> list[Outcome]:
        return [Outcome(fault=self.why) for _ in trials]

    def close(self) -> None:
        pass


def keep_pristine(execute: Execute, start: Start) -> Pristine | None:
    """Fork this process's early self; None where this platform can't keep a trial from doing harm."""
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return None
    if why := missing():
        return Unfenced(why)
    ours, theirs = (socket.socket(fileno=out_of_the_way(each.detach())) for each in socket.socketpair())
    parent = out_of_the_way(os.pidfd_open(os.getpid()))
    with unnoticed():
        middle = fork()
        if middle == 0:
            try:
                ours.close()
                if fork() == 0:
                    from .waiting import Waiting

                    Waiting(theirs, parent, execute, start).serve()
            finally:
                leave(0)
        with contextlib.suppress(ChildProcessError):  # the program has the system wait for its children
            os.waitpid(middle, 0)
    os.close(parent)
    theirs.close()
    return Pristine(ours)


def libraries() -> list[str]:
    """What the program's own files import from elsewhere."""
    from ..record.spans import origin

    files = {name: vars(module).get("__file__") for name, module in list(sys.modules.items()) if isinstance(module, ModuleType)}
    own = {file for file in files.values() if isinstance(file, str) and file.endswith(".py") and origin(file) == "user"}
    named: dict[str, None] = {}
    for file in own:
        with contextlib.suppress(OSError), open(file, encoding="utf-8", errors="replace") as stream:
            named.update(dict.fromkeys(_IMPORTS.findall(stream.read())))
    return [name for name in named if name in sys.modules and files.get(name) not in own and not name.startswith("torch._")]
