"""A program that handles its failure by leaving with an exit code has failed, in a trial too."""

from __future__ import annotations

import pytest
from trying import Trials

LEAVES = """\
import sys

def step():
    raise RuntimeError("no size fits")

try:
    step()
except RuntimeError as error:
    {leave}
"""
FAILING = ["sys.exit(1)", "sys.exit('stopped')", "raise SystemExit(2) from None", "sys.exit(error)"]


@pytest.mark.parametrize("leave", FAILING)
def test_what_was_handled_is_the_failure(trials: Trials, leave: str) -> None:
    outcome = trials.run(LEAVES.format(leave=leave))
    assert (outcome.end, outcome.error_type, outcome.message) == (
        "raised",
        "RuntimeError",
        "no size fits",
    )
    assert (outcome.file, outcome.line, outcome.function) == ("/program.py", 4, "step")


@pytest.mark.parametrize("leave", ["sys.exit(0)", "sys.exit()", "sys.exit(False)"])
def test_a_good_end_is_none(trials: Trials, leave: str) -> None:
    outcome = trials.run(LEAVES.format(leave=leave))
    assert (outcome.end, outcome.exit_code) == ("ended", 0)


def test_an_exit_for_no_failure_is_none(trials: Trials) -> None:
    outcome = trials.run("import sys\nsys.exit(3)\n")
    assert (outcome.end, outcome.exit_code) == ("ended", 3)
