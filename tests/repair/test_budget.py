"""CPU time decides how long a trial may run; the clock is a backstop that says nothing of a fix."""

from __future__ import annotations

import time

import pytest
from trying import Trials

from torchwhy.model import Failure
from torchwhy.repair.budget import Budget, Spent, why_late
from torchwhy.repair.judgement import is_reproduced, judge, why_not_reproduced
from torchwhy.replay.fence import missing

SLEEPS = "import time\ntime.sleep(1.2)\nraise ValueError('here')\n"
WORKS = "while True:\n    pass\n"
WORKS_ELSEWHERE = "import os, time\nif os.fork() == 0:\n    while True:\n        pass\ntime.sleep(30)\n"
WAITS = "import os, time\nif os.fork() == 0:\n    time.sleep(30)\nos.wait()\n"

needs_fences = pytest.mark.skipif(bool(missing()), reason="this platform has no fences")


@needs_fences
def test_sleep_costs_nothing(trials: Trials) -> None:
    outcome = trials.run(SLEEPS, seconds=0.5, wall=30.0)
    assert (outcome.end, outcome.error_type) == ("raised", "ValueError")
    assert outcome.seconds < 0.5


@needs_fences
@pytest.mark.parametrize("program", [WORKS, WORKS_ELSEWHERE], ids=["itself", "a child of it"])
def test_work_is_ended(trials: Trials, program: str) -> None:
    began = time.monotonic()
    outcome = trials.run(program, seconds=0.5, wall=60.0)
    assert outcome.end == "timed-out" and outcome.seconds >= 0.5
    assert time.monotonic() - began < 30


@needs_fences
def test_a_child_that_sleeps_for_ever_is_no_verdict(trials: Trials) -> None:
    outcome = trials.run(WAITS, seconds=10.0, wall=1.0)
    assert outcome.end == "timed-out" and outcome.seconds < 1
    assert not is_reproduced(outcome, Failure("ValueError", "here"))
    assert "takes too long" in why_not_reproduced(outcome)
    assert judge(outcome, outcome, "", "").outcome == "timed-out"


def test_it_grows_with_the_program() -> None:
    assert Budget.for_program(Spent(0.5, 0.5)).whole == 20
    assert Budget.for_program(Spent(15.0, 50.0)).whole == 45
    assert Budget.for_program(Spent(40.0, 50.0)).whole == 60
    assert Budget.for_program(Spent(40.0, 50.0), 7.0).whole == 7


def test_which_programs_are_begun_anew() -> None:
    quick, slept, busy = Spent(1.0, 1.0), Spent(1.0, 30.0), Spent(5.0, 49.0)
    assert all(Budget.for_program(took).is_for_whole_runs(took) for took in (quick, slept, busy))
    late, waited = Spent(40.0, 50.0), Spent(1.0, 600.0)
    assert not any(Budget.for_program(took).is_for_whole_runs(took) for took in (late, waited))
    assert Budget.for_program(late, 120.0).is_for_whole_runs(late)
    assert "`--budget 120`" in why_late(late) and "waiting" in why_late(waited)
