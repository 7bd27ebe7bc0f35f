"""Which verdict a trial gives, and what two trials differ in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from torchwhy.model import Failure, Frame, Span
from torchwhy.repair.judgement import difference, is_reproduced, judge, pattern
from torchwhy.replay.trial import Outcome, Step

OLD = "a\nb\nc\n"
FAILED = Outcome("raised", error_type="RuntimeError", message="sizes 3 and 4", file="t.py", line=2, steps=1)
FAILURE = Failure("RuntimeError", "sizes 5 and 6", frames=(Frame(Span("t.py", 2)),))


@pytest.mark.parametrize(
    ("outcome", "new", "verdict"),
    [
        (Outcome("ended", steps=5), OLD, "gone"),
        (Outcome("stopped", steps=2), OLD, "gone"),
        (Outcome("timed-out", steps=2), OLD, "gone"),
        (Outcome("timed-out", steps=1), OLD, "timed-out"),
        (Outcome("ended", steps=0), OLD, "other"),
        (Outcome("ended", exit_code=3, steps=5), OLD, "other"),
        (Outcome("died", steps=5), OLD, "other"),
        (FAILED, OLD, "same"),
        (replace(FAILED, message="sizes 7 and 8"), OLD, "same"),
        (replace(FAILED, line=3), "new\na\nb\nc\n", "same"),
        (replace(FAILED, line=3), OLD, "other"),
        (replace(FAILED, error_type="IndexError"), OLD, "other"),
        (replace(FAILED, error_type="PermissionError", denied=("writes a.txt",)), OLD, "not-run"),
        (replace(FAILED, error_type="OSError", refused="OSError: Read-only file system"), OLD, "not-run"),
        (replace(FAILED, message="[c10d] The client socket has failed to connect"), OLD, "not-run"),
        (replace(FAILED, denied=("writes a.txt",)), OLD, "same"),
        (Outcome("ended", exit_code=3, steps=5, denied=("starts another program",)), OLD, "not-run"),
        (Outcome("died", fault="no landlock"), OLD, "not-run"),
    ],
)
def test_verdicts(outcome: Outcome, new: str, verdict: str) -> None:
    assert judge(outcome, FAILED, OLD, new).outcome == verdict


def test_the_failure_must_come_again() -> None:
    assert is_reproduced(FAILED, FAILURE)
    for other in (replace(FAILED, line=1), replace(FAILED, error_type="ValueError"), replace(FAILED, message="x"), Outcome("ended")):
        assert not is_reproduced(other, FAILURE)


def test_what_differs_by_chance_is_no_difference() -> None:
    assert pattern("no file /tmp/tmpab12cd_3/x at 0x7f00") == pattern("no file /tmp/tmpzz99qq11/x at 0x8f11")


def test_a_lost_peer_is_one_failure() -> None:
    closed = "[/src/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:33. This is typically"
    reset = "[/src/gloo/gloo/transport/tcp/pair.cc:537] Read error [127.0.0.1]:652: Connection reset by peer. This is typically"
    assert pattern(closed) == pattern(reset) != pattern("[/src/gloo/gloo/transport/tcp/pair.cc:446] op.preamble.length <= op.nbytes")


def test_differences_are_told() -> None:
    one = Outcome(seen=(Step((0.5,), 4, 2.0), Step((0.4,), 4, 1.0)))
    assert difference(one, one, 2) == ""
    assert difference(one, replace(one, seen=(Step((0.5,), 4, 9.0),)), 2) == "the gradients' norm in step 1: 2, not 9"
    assert difference(one, replace(one, seen=(Step((0.5,), 2, 2.0),)), 2) == "4 parameters get gradients in step 1, not 2"
    assert difference(one, replace(one, seen=(Step((0.5,), 4, 2.0), Step((0.6,), 4, 1.0))), 2) == "the loss in step 2: 0.4, not 0.6"
    assert difference(one, replace(one, seen=(Step((0.5,), 4, 2.0), Step((0.6,), 4, 1.0))), 1) == ""
