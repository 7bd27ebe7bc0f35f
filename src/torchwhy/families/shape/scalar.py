"""One Python number is asked of a tensor that has several values.

Erroneous code (TW0120):

{example}

Why: `.item()`, `float(x)` and formats such as `{x:.3f}` give the value of a tensor with exactly one element. This one has more: it was
not reduced, or along another dimension than meant.

Fix: say which number is meant: `x.mean().item()`, `x.sum().item()`, `x[0].item()`; for all of them, `x.tolist()`.

Messages: `a Tensor with 32 elements cannot be converted to Scalar`; before torch 2.1: `only one element tensors can be converted to Python
scalars`.

Not to be confused with: `autograd.nonscalar`, where `backward()` is called on a tensor with several values.
"""

from __future__ import annotations

import math
import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, Span, TensorFacts
from ...reason import edits
from ...reason.misfits import otherwise
from ...reason.reading import Reading, reading
from ...reason.scopes import value_of
from ...reason.wording import code, first_fitting, shape_text, tensor_text


class Scalar(Family):
    code = "TW0120"
    title = "one number asked of a tensor with several values"
    triggers = (Trigger(r"a Tensor with (?P<count>\d+) elements cannot be converted to Scalar", types=("RuntimeError",)),)

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        x, name, count = run.tensor("input", "self"), run.name("input", "self"), match["count"]
        headline = first_fitting(
            f"{code(name)} has {count} values, one number is asked of it", f"one number is asked of a tensor with {count} values"
        )
        found = otherwise(run, x, lambda shape: math.prod(shape) == 1) if x is not None else None
        if found is not None and found[0].span is not None:
            made, ways = found
            note = f"as {code(ways[0].text)} it would be {shape_text(ways[0].shape)}: one value"
            fixes = [Fix(f"write {code(way.text)}", way.edits) for way in ways[:2]]
            return run.diagnosis(self, headline, made.span, f"makes {shape_text(made.outputs[0].shape)}", trail=run.trail_of([made]),
                                 notes=[note], fixes=fixes, confidence=Confidence.CERTAIN)  # fmt: skip
        notes = [f"{code(name)} is {tensor_text(x)}"] if x is not None else []
        because = shape_text(x.shape) if x is not None else ""
        at, source = run.span_of("input", "self"), run.history.producer(x, run.before) if x is not None else None
        computed = source.span if source is not None else value_of(run.sources, name, run.raised.file, run.raised.line)
        if name.isidentifier() and computed is not None and computed.function == run.raised.function:
            at = computed  # computed under a name: there the reduction is missing
        cause = at if at is not None and at == computed else run.raised
        trail = run.trail_of([source]) if source is not None else ()
        fixes = self._reduced(run, x, at)
        return run.diagnosis(self, headline, cause, because, trail=trail, notes=notes, fixes=fixes, confidence=Confidence.CERTAIN)

    def _reduced(self, run: Reading, x: TensorFacts | None, at: Span | None) -> list[Fix]:
        """The mean of real values, the number of those that hold; the other of the two second."""
        if x is None or at is None:
            return []
        ways = [(".mean()", "take their mean"), (".sum()", "take their sum")]
        if not x.is_floating:
            ways = [(".sum()", "take their sum"), (".float().mean()", "take their mean")]
        return [Fix(what, edits.append_method(run.sources, at, method)) for method, what in ways]

    examples = (
        Example(
            {
                "report.py": """\
import torch

torch.manual_seed(0)
scores, labels = torch.rand(8, 3), torch.randint(0, 3, (8,))
right = (scores.argmax(dim=1) == labels).item()  #~ cause
print("right", right)
"""
            },
            says=("8 values", "one number is asked", "bool [8]"),
            becomes="right = (scores.argmax(dim=1) == labels).sum().item()",
        ),
        Example(
            {
                "report.py": """\
import torch

torch.manual_seed(0)
guess, wanted = torch.rand(6), torch.rand(6)
error = (guess - wanted).abs()  #~ cause
print(f"error {error.item():.3f}")
"""
            },
            says=("`error`", "6 values"),
            becomes="error = (guess - wanted).abs().mean()",
        ),
        Example(
            {
                "play.py": """\
import torch
from torch import nn

torch.manual_seed(0)
policy = nn.Linear(4, 3)


def act(state):
    values = policy(state.unsqueeze(0))
    best = values.argmax(dim=0)  #~ cause
    return best.item()


print(act(torch.rand(4)))
"""
            },
            says=("`best`", "3 values", "dim=1"),
            becomes="best = values.argmax(dim=1)",
        ),
    )
    near_misses = (NearMiss({"report.py": "import torch\nprint(torch.ones(1).item(), float(torch.ones(1, 1)))\n"}),)
