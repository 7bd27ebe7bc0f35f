"""A program that fails in this process, and fixes of it tried on its failing step."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from torchwhy.model import Edit, Failure, Fix, Frame, Span, Verification
from torchwhy.record.spans import relative
from torchwhy.repair.budget import Budget, Spent
from torchwhy.repair.candidate import Candidate
from torchwhy.repair.stepwise import Stepwise
from torchwhy.replay.again import Steps

TOOK = Spent(60.0, 60.0)


def fail(path: Path, program: str) -> tuple[list[TracebackType], Failure]:
    """Run the program till it fails; the levels of its traceback, and the failure as evidence."""
    path.write_text(program)
    script = {"__name__": "__main__", "__file__": str(path)}
    try:
        exec(compile(program, str(path), "exec", dont_inherit=True), script)
    except Exception as error:
        levels = list(_levels(error.__traceback__))[1:]
        at = [x for x in levels if x.tb_frame.f_code.co_filename == str(path)][-1]
        span = Span(relative(str(path)), at.tb_lineno)
        return levels, Failure(type(error).__name__, str(error), frames=(Frame(span),))
    raise AssertionError("it did not fail")


def _levels(trace: TracebackType | None) -> list[TracebackType]:
    return [trace, *_levels(trace.tb_next)] if trace is not None else []


def verdict(path: Path, program: str, old: str, new: str, budget: float = 60.0) -> Verification:
    """What the failing step says of the program with the new text in the place of the old."""
    levels, failure = fail(path, program)
    assert old in program
    stepwise = Stepwise(Steps(levels), failure, Budget(whole=budget, wall=120.0), TOOK)
    fix = Fix("a change", (Edit(Span(str(path), 1), new),))
    text = program.replace(old, new)
    return stepwise.judged(Candidate(fix, {str(path): text}, olds={str(path): program}))
