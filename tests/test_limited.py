"""The reasoning comes to an end: within its time, when it is interrupted, when its process dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from torchwhy import limited
from torchwhy.model import MESSAGE, Evidence, Failure, Frame, Operand, Plain, Report, Span
from torchwhy.model.cutting import shortened

FAILURE = Failure(
    "RuntimeError",
    "mat1 and mat2 shapes cannot be multiplied (4x20 and 30x5)",
    frames=(Frame(Span("train.py", 3, 0, 3, 6), code="net(x)"),),
    operands=(Operand("input", "", Plain("int", "3", 3)),),
)
REPORT = Report("run", "failed", 1, Evidence(FAILURE, sources=(("train.py", "\n\nnet(x)\n"),), from_text=True))
FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")


def _spin(report: Report) -> Report:
    while True:
        pass


def _die(report: Report) -> Report:
    os.kill(os.getpid(), signal.SIGSEGV)
    return report


def test_the_answer_is_that_of_the_reasoning() -> None:
    """What comes back from the child is what `judge` says here."""
    thought = limited.think(REPORT)
    assert thought.report == limited.judge(REPORT)
    assert not thought.ended


def test_a_new_interpreter_gives_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fork", raising=False)
    assert limited.think(REPORT).report == limited.judge(REPORT)


def test_no_process_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a child the reasoning is done here, and that is told."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(limited, "fork", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    thought = limited.think(REPORT)
    assert thought.report.diagnoses == limited.judge(REPORT).diagnoses
    assert "no more processes" in thought.report.problems[-1]


@FORKS
@pytest.mark.parametrize(("judge", "why"), [(_spin, "CPU time"), (_die, "died of signal 11")])
def test_it_is_ended(judge: Callable[[Report], Report], why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it does: what needs no reasoning is still known."""
    monkeypatch.setattr(limited, "judge", judge)
    thought = limited.think(REPORT, 0.2)
    assert why in thought.report.problems[-1]
    assert thought.report.diagnoses == ()
    assert thought.report.outcome == "failed"
    assert thought.report.evidence.failure == FAILURE
    assert thought.seconds < 1


@FORKS
def test_ctrl_c_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limited, "judge", _spin)
    hear = limited._hear

    def hear_and_interrupt(reader: int, said: bytearray, most: float) -> str:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        return hear(reader, said, most)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    started: list[int] = []
    fork = limited.fork

    def fork_and_note() -> int:
        started.append(fork())
        return started[-1]

    monkeypatch.setattr(limited, "_hear", hear_and_interrupt)
    monkeypatch.setattr(limited, "fork", fork_and_note)
    before = signal.signal(signal.SIGALRM, interrupt)
    began = time.monotonic()
    try:
        thought = limited.think(REPORT)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert thought.interrupted
    assert time.monotonic() - began < 2
    with pytest.raises(ChildProcessError):  # it has been waited for
        os.waitpid(started[0], os.WNOHANG)


def test_a_long_message_is_cut() -> None:
    """Head and tail are kept, and what is left out is counted."""
    failure = Failure("RuntimeError", "head" + "x" * 10 * MESSAGE + "tail")
    assert len(failure.message) <= MESSAGE
    assert failure.message.startswith("head")
    assert failure.message.endswith("tail")
    assert "characters left out" in failure.message
    assert shortened(failure.message, MESSAGE) == failure.message


@FORKS
def test_what_the_child_does_not_do() -> None:
    """Handlers of the program's, for signals and for its end, do not run in the child."""
    program = """
import atexit, os, signal, sys
from torchwhy import limited
from torchwhy.model import Evidence, Failure, Report
atexit.register(print, "at exit")
signal.signal(signal.SIGTERM, lambda *_: print("handled"))
sys.stdout.write("written once")
def judge(report):
    signal.raise_signal(signal.SIGTERM)
limited.judge = judge
thought = limited.think(Report("run", "failed", 1, Evidence(Failure("RuntimeError", "x"))))
print(thought.ended)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "written onceits process died of signal 15\nat exit\n"
    assert done.stderr == ""
