"""The reasoning within limits: evidence is plain data, so it is thought over in a child process that is
ended when its time is up. What is known without it is then said.

The child is a fork of this process, so nothing has to be loaded again. It touches nothing of the program's:
it closes the descriptors, forgets the signal handlers, collects nothing and runs nothing at its end. Where
the system has no fork (Windows), or refuses one, a new interpreter gets the evidence as JSON. Where that
can't be started either, the reasoning is done here without a limit, and `problems` says so.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .catalogue import load
from .diagnose import is_torchs, judge, named, needs
from .incident import from_plain, to_plain
from .model import Evidence, Operand, Outcome, Report
from .replay.forking import fork, unnoticed

SECONDS = 5.0
"""CPU time that the reasoning has."""
_MEMORY = 2 << 30
"""Bytes that it may take beyond what the process has when it begins."""
_ANSWER = 64 << 20
_DEPTH = 3000
"""Calls within calls: the program may have allowed itself more than its stack holds."""
_FRESH = """
import json, sys
given = json.load(sys.stdin.buffer)
sys.path[:] = given["path"]
from torchwhy.limited import answer
answer(given)
"""

INTERRUPTED = "interrupted"

Tell = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Thought:
    """What the reasoning came to, the dear evidence that families ask for, and the CPU time it took.

    `ended` says why it was given up, where it was.
    """

    report: Report
    needs: tuple[str, ...] = ()
    seconds: float = 0.0
    ended: str = ""

    @property
    def interrupted(self) -> bool:
        return self.ended == INTERRUPTED


@dataclass(frozen=True)
class _Heard:
    """What a child told, line by line; `ended` says why it did before it was through."""

    said: bytes
    ended: str = ""
    seconds: float = 0.0


def think(report: Report, seconds: float = SECONDS) -> Thought:
    """The report judged. Where that takes longer or is interrupted: without diagnoses, with the reason."""
    try:
        if hasattr(os, "fork"):
            with unnoticed():
                heard = _forked(report, seconds)
        else:
            heard = _asked_anew(report, seconds)
    except OSError:
        try:
            heard = _asked_anew(report, seconds)
        except OSError as fault:
            return _unlimited(report, f"the reasoning had no limit, for no process could be started: {fault}")
    first, last = [*(json.loads(line) for line in heard.said.split(b"\n")[:2] if line), None, None][:2]
    if last is not None:
        return Thought(_judged(report, first, last), tuple(last["needs"]), heard.seconds)
    return Thought(unjudged(report, heard.ended, first), (), heard.seconds, heard.ended)


def _unlimited(report: Report, problem: str) -> Thought:
    told = judge(report)
    told = replace(told, problems=(*told.problems, problem))
    return Thought(told, needs(report.evidence.failure, found=told.diagnoses))


def _judged(report: Report, first: Mapping[str, Any], last: Mapping[str, Any]) -> Report:
    told = from_plain(last["report"], Report)
    return replace(told, evidence=_with_operands(report.evidence, first))


def unjudged(report: Report, why: str, first: Mapping[str, Any] | None = None) -> Report:
    """Where it was raised, the innermost line of the user's and the operands: what needs no reasoning.

    Whether PyTorch was the reason may be unknown then; that it was not is said of no program that has it.
    """
    evidence = _with_operands(report.evidence, first)
    is_ours = first["torchs"] if first is not None else evidence.environment.torch is not None or is_torchs(evidence)
    problems = (*report.problems, *evidence.problems, f"the reasoning was ended: {why}")
    outcome: Outcome = "failed" if is_ours else "not-torch"
    return replace(report, evidence=evidence, outcome=outcome, problems=problems)


def _with_operands(evidence: Evidence, first: Mapping[str, Any] | None) -> Evidence:
    if first is None or evidence.failure is None:
        return evidence
    operands = tuple(from_plain(each, Operand) for each in first["operands"])
    return replace(evidence, failure=replace(evidence.failure, operands=operands))


# ── in the child ──────────────────────────────────────────────────────────────────────────────────────────
def _reason(report: Report, tell: Tell) -> None:
    """First what is told quickly, then the whole."""
    evidence = named(report.evidence)
    operands = evidence.failure.operands if evidence.failure is not None else ()
    tell({"torchs": is_torchs(evidence), "operands": [to_plain(each) for each in operands]})
    told = judge(report)
    wanted = needs(report.evidence.failure, found=told.diagnoses)
    tell({"report": to_plain(replace(told, evidence=Evidence())), "needs": wanted})


def answer(given: Mapping[str, Any]) -> None:
    """Of a new interpreter: reason about the report given, and print what it comes to."""

    def tell(said: Mapping[str, Any]) -> None:
        sys.stdout.buffer.write(json.dumps(said).encode() + b"\n")
        sys.stdout.buffer.flush()

    load()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _limit(given["seconds"])
    _reason(from_plain(given["report"], Report), tell)


def _limit(seconds: float) -> None:
    """End this process when it has used so much CPU time from now on, and bound what it holds."""
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF})
        signal.setitimer(signal.ITIMER_PROF, seconds)
    else:
        until = time.process_time() + seconds
        threading.Thread(target=_end_at, args=(until,), daemon=True).start()
    sys.setrecursionlimit(_DEPTH)
    if sys.platform == "linux":
        import resource

        held = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        if most == resource.RLIM_INFINITY or held + _MEMORY < most:
            resource.setrlimit(resource.RLIMIT_DATA, (held + _MEMORY, most))


def _end_at(until: float) -> None:
    while time.process_time() < until:
        time.sleep(0.05)
    os._exit(1)


def _be_child(report: Report, writer: int, seconds: float) -> None:
    """Never returns."""
    try:
        for number in signal.valid_signals():
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when the user interrupts
        sys.settrace(None)
        sys.setprofile(None)
        gc.disable()  # nothing of the program's is finalized here
        gc.freeze()
        if sys.platform == "linux":
            from .replay.landlock import die_with_parent

            die_with_parent()
        _close_all_but(writer)
        _limit(seconds)

        def tell(said: Mapping[str, Any]) -> None:
            left = memoryview(json.dumps(said).encode() + b"\n")
            while left:
                left = left[os.write(writer, left) :]

        gc.enable()
        _reason(report, tell)
    finally:
        os.kill(os.getpid(), signal.SIGKILL)  # no exit handler of the program runs a second time


def _close_all_but(kept: int) -> None:
    silence = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        if descriptor != kept:
            os.dup2(silence, descriptor)
    os.closerange(3, kept)
    os.closerange(max(3, kept + 1), os.sysconf("SC_OPEN_MAX"))


# ── in the parent ─────────────────────────────────────────────────────────────────────────────────────────
def _forked(report: Report, seconds: float) -> _Heard:
    load()  # once and for all children
    reader, writer = os.pipe()
    try:
        child = fork()
    except OSError:
        os.close(reader)
        os.close(writer)
        raise
    if child == 0:
        _be_child(report, writer, seconds)
    os.close(writer)
    said = bytearray()
    try:
        ended = _hear(reader, said, _most_wall_time(seconds))
    except KeyboardInterrupt:
        ended = INTERRUPTED
    os.close(reader)
    if ended:
        os.kill(child, signal.SIGKILL)  # it is not waited for yet, so the number is still its own
    try:
        _, status, used = os.wait4(child, 0)
    except ChildProcessError:  # the program has the system, or a handler of its own, wait for its children
        return _Heard(bytes(said), ended or _too_long(seconds))
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    how = _too_long(seconds) if number == signal.SIGPROF else f"its process died of signal {number}"
    return _Heard(bytes(said), ended or how, used.ru_utime + used.ru_stime)


def _hear(reader: int, said: bytearray, most: float) -> str:
    """Read all that the child says; why it was given up before, if it was."""
    until = time.monotonic() + most
    ready = select.poll()  # `select.select` knows the first 1024 descriptors only
    ready.register(reader, select.POLLIN)
    while (left := until - time.monotonic()) > 0 and ready.poll(1000 * left):
        chunk = os.read(reader, 1 << 20)
        if not chunk:
            return ""
        said += chunk
        if len(said) > _ANSWER:
            return "it had too much to say"
    return "it came to a stop"


def _most_wall_time(seconds: float) -> float:
    """Decides only where the child hangs: on a loaded machine CPU time takes long to be used up."""
    return 30 + 10 * seconds


def _too_long(seconds: float) -> str:
    return f"it took more than {seconds:g} s of CPU time (`--budget SECONDS` gives it more)"


def _asked_anew(report: Report, seconds: float) -> _Heard:
    """Asks a new interpreter, without torch."""
    path = [str(Path(__file__).resolve().parent.parent), *sys.path]
    given = {"path": path, "seconds": seconds, "report": to_plain(report)}
    command = [sys.executable, "-I", "-c", _FRESH]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    said, ended = b"", _too_long(seconds)
    try:
        said, _ = child.communicate(json.dumps(given).encode(), timeout=_most_wall_time(seconds))
    except KeyboardInterrupt:
        ended = INTERRUPTED
    except subprocess.TimeoutExpired:
        ended = "it came to a stop"
    finally:
        child.kill()
        with contextlib.suppress(OSError, ValueError):
            said = said or child.communicate()[0]
    return _Heard(said, ended)
