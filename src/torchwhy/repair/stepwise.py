"""Fixes tried on the failing step alone, from its live state: where the failure came too late for
the program to be run once more for each.

What earlier steps left behind is as the old text made it. A run that fails says little, therefore:
a fix is verified here, or it counts as not run.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from ..model import Failure, Verification
from ..replay.again import Ran, Steps
from ..replay.trial import Outcome
from .budget import Budget, Spent, why_late
from .candidate import Candidate
from .judgement import is_reproduced, is_same_failure, shown_error

_SHARE = 3.0
"""One run gets a third of what is left: others shall be tried too."""
_LEAST = 1.0


@dataclass
class Stepwise:
    """The verdicts on a program's fixes."""

    steps: Steps
    failure: Failure
    budget: Budget
    took: Spent
    began: float = field(default_factory=time.monotonic)
    unpatched: dict[int, Ran | None] = field(default_factory=dict)

    def judged(self, made: Candidate) -> Verification:
        if made.writes_a_size():
            return self._not_run("another number must suit the steps before too")
        found, why = self._tried(made)
        if found is None:
            return self._not_run(why)
        trained = " (forward, backward, optimizer)" if found.steps else ""
        once_more = ", and so did another round of it" if found.rounds > 1 else ""
        said = f"the failing step, run again from its live state, came to its end with it{trained}"
        return Verification("gone", found.outcome.by, f"{said}{once_more}")

    def _tried(self, made: Candidate) -> tuple[Ran | None, str]:
        """The run that shows it, in the smallest piece that holds a whole training step; or why
        there is none."""
        if self.steps.why_not:
            return None, self.steps.why_not
        why = "the failing step alone does not show it"
        for number in range(len(self.steps.pieces)):
            before = self._before(number)
            if before is None:
                continue
            ran = self._run(number, made.absolute())
            if ran is None:
                why = "the failing step does not run all that it changes"
            elif ran.outcome.end != "ended" or ran.outcome.exit_code:
                why = self._said(ran)
            elif self._is_whole(number, before, ran):
                return ran, ""
            else:
                why = "what could be run again of it holds no step of an optimizer"
        return None, self.steps.why_not or why

    def _before(self, number: int) -> Ran | None:
        """How the unpatched piece failed; None where that was not as the program did."""
        if number not in self.unpatched:
            ran = self._run(number, {})
            again = ran is not None and not ran.rounds and is_reproduced(ran.outcome, self.failure)
            self.unpatched[number] = ran if again else None
        return self.unpatched[number]

    def _is_whole(self, number: int, before: Ran, ran: Ran) -> bool:
        """Whether training went on past the failure: by a step of an optimizer where the program
        has one, else by a backward pass. In the outermost loop (an epoch that ends with an
        evaluation) both may lie before it; and all to the end of the script is enough."""
        loops = [n for n, piece in enumerate(self.steps.pieces) if piece.loop is not None]
        now, then = (r.steps if ran.optimizers else r.backwards for r in (ran, before))
        if number not in loops:
            return now >= then
        return now > then or number == loops[-1] and now >= then and (now > 0 or not ran.optimizers)

    def _run(self, number: int, texts: dict[str, str]) -> Ran | None:
        left = self.budget.whole - self.steps.spent
        if left <= 0 or time.monotonic() - self.began > self.budget.wall:
            return Ran(Outcome())
        return self.steps.run(number, texts, max(_LEAST, left / _SHARE))

    def _said(self, ran: Ran) -> str:
        outcome = ran.outcome
        if outcome.end == "raised" and is_same_failure(outcome, self.failure):
            return "the failing step alone fails as before, which may be due to earlier steps"
        if outcome.end == "raised":
            return f"past the failure, the failing step alone ends in {shown_error(outcome)}"
        if outcome.end == "ended":
            return f"past the failure, the program ends with exit code {outcome.exit_code}"
        return "the failing step alone takes too long"

    def _not_run(self, why: str) -> Verification:
        return Verification("not-run", None, f"{why_late(self.took)}; {why}")
