"""Backward is asked of a Python number.

Erroneous code (TW0415):

{example}

Why: `.item()` gives a plain Python number. It has no graph and no `backward`; what is computed from it has none either.

Fix: keep the loss a tensor until after `backward()`, and take `.item()` of it only to print or to add up.

Messages: `'float' object has no attribute 'backward'` · `'int' object has no attribute 'backward'`.

Not to be confused with: `autograd.no-grad-fn`, where the loss is a tensor without a graph.
"""

from __future__ import annotations

import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, OpRecord, Span
from ...reason.reading import Reading, reading
from ...reason.scopes import value_of
from ...reason.shape_edits import without_method
from ...reason.wording import code, fitting, place


class Number(Family):
    code = "TW0415"
    title = "backward is asked of a Python number"
    triggers = (Trigger(r"'(?P<kind>float|int)' object has no attribute '(?P<asked>backward)'", types=("AttributeError",)),)

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        text = run.frame.code if run.frame is not None else ""
        named = re.search(r"(?<![\w.])([\w.]{1,200})\.backward\b", text)
        name = named[1] if named else ""
        bound = value_of(run.sources, name, run.raised.file, run.raised.line) if name.isidentifier() else None
        op = _taken(run, bound)
        headline = fitting(f"{code(name or 'the loss')} is a Python {match['kind']}, which has no graph", "the loss is a Python number")
        if op is None or op.span is None:
            return run.diagnosis(self, headline, bound, "gives a plain number", confidence=Confidence.LIKELY)
        source = run.sources.segment(op.span)
        note = f"{code(source)} ({place(op.span)}) gives a plain number: the link to the graph ends there"
        fix = Fix("keep it a tensor: no `.item()` before backward", without_method(run.sources, op.span, "item"), "safe")
        return run.diagnosis(
            self,
            headline,
            op.span,
            "gives a plain number",
            trail=run.trail_of([op]),
            notes=[note],
            fixes=[fix],
            confidence=Confidence.CERTAIN,
        )

    examples = (
        Example(
            {
                "train.py": """\
import torch
from losses import error
from torch import nn

torch.manual_seed(0)
net = nn.Linear(4, 1)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for x in torch.randn(3, 8, 4):
    loss = error(net(x), x.sum(1, keepdim=True))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print("loss", float(loss))
""",
                "losses.py": """\
def error(guess, wanted):
    difference = (guess - wanted).abs()
    return difference.mean().item()  #~ cause
""",
            },
            says=("`loss`", "Python float", "`difference.mean().item()`"),
            becomes="return difference.mean()",
        ),
    )
    near_misses = (
        NearMiss(
            {"train.py": "import torch\nx = torch.ones(2, requires_grad=True)\nloss = x.sum()\nloss.backward()\nprint(loss.item())\n"}
        ),
        NearMiss({"train.py": "import torch\n\n\nclass Loss:\n    pass\n\n\nprint(torch.ones(1).item())\nLoss().backward()\n"}),
    )


def _taken(run: Reading, bound: Span | None) -> OpRecord | None:
    """The `.item()` that the name's value came through: the last on the line that bound it, or in a call made there; else the last of all."""
    taken = [op for op in run.evidence.ops if op.name == "item" and op.where]
    there = [op for op in taken if bound is not None and any(s.file == bound.file and s.line in bound.lines for s in op.where)]
    return next(iter([*reversed(there), *reversed(taken)]), None)
