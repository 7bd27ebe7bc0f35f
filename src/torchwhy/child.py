"""The doors of the processes that a watched program starts: they run as they would, and tell what they raise."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from .arrival import Arrival
from .processes.watch import Watch

if TYPE_CHECKING:
    from .record.recorder import Recorder


def watch(given: Mapping[str, Any]) -> None:
    """In a process that `multiprocessing` spawned, before anything of the program's is there. A fault of ours is told, never raised."""
    try:
        _watch(given)
    except Exception as fault:
        from .processes import folder

        folder.write_fault(given["path"], f"{type(fault).__name__}: {fault}")


def _watch(given: Mapping[str, Any]) -> None:
    from .processes.tell import tell_what_is_printed

    recorders: list[Recorder] = []

    def recorder() -> Recorder | None:
        return recorders[0] if recorders else None

    def begin() -> None:
        import atexit

        from .record.recorder import Recorder

        recorders.append(Recorder(given["record"]))
        recorders[0].start()
        atexit.register(recorders[0].stop)

    def forked(path: str) -> None:
        if recorders:
            recorders[0].go_on()

    tell_what_is_printed(given["path"], recorder)
    Watch({"record": given["record"]}, forked, given["path"]).begin()
    if given["record"] != "off":
        Arrival("torch", begin).await_it()


def run(given: Mapping[str, Any]) -> NoReturn:
    """A program that `subprocess` started. `line`: the words of its command line, the program from the place `program` on."""
    from .program import BadInput, Program
    from .session import Options, Session

    first, *rest = given["line"][given["program"] :]
    program = Program(rest[0], tuple(rest[1:]), is_module=True) if first == "-m" else Program(first, tuple(rest))
    try:
        session = Session(program, Options(record=given["record"], verify=False, quiet=True, told_in=given["path"]))
    except BadInput:
        os.execv(sys.executable, given["line"])
    session.run()
    sys.exit(0)
