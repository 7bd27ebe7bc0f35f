"""A tensor is to be made of a list whose items are tensors with several values.

Erroneous code:

{example}

Why: `torch.tensor` makes a new tensor of Python numbers. It takes a tensor with one element for a number; one with more it can't.

Fix: `torch.stack(rows)` joins tensors of one shape, and keeps their link to the graph; `torch.cat(rows)` puts them one behind the other.

Not to be confused with shape.scalar, where one number is asked of a tensor with several values.
"""

from __future__ import annotations

import re

from ..family import Example, Family, NearMiss, Trigger
from ..model import Confidence, Diagnosis, Evidence, Fix
from ..reason.reading import reading
from ..reason.shape_edits import other_function
from ..reason.wording import code


class TensorOfTensors(Family):
    code = "TW0000"
    title = "a tensor made of a list of tensors"
    triggers = (Trigger(r"only one element tensors can be converted to Python scalars", types=("ValueError",)),)
    examples = (
        Example(
            files={
                "report.py": """\
import torch

torch.manual_seed(0)
rows = [torch.rand(3) for _ in range(4)]
table = torch.tensor(rows)  #~ cause
print("mean", table.mean())
"""
            },
            says=("`torch.tensor`", "list of tensors"),
            becomes="table = torch.stack(rows)",
        ),
    )
    near_misses = (NearMiss(files={"report.py": "import torch\nprint(torch.tensor([torch.ones(1), torch.ones(1)]))\n"}),)

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        span = run.raised
        text = run.sources.segment(span)
        edits = other_function(run.sources, span, "stack") if text.startswith("torch.tensor(") and "," not in text else ()
        return run.diagnosis(
            self,
            f"{code('torch.tensor')} gets a list of tensors with several values each",
            span,
            "takes numbers, not tensors",
            fixes=[Fix("join them", edits, "safe")] if edits else (),
            confidence=Confidence.CERTAIN,
        )
