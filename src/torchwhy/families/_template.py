"""One Python number is asked of a tensor that has several values.

Erroneous code:

{example}

Why: `.item()` gives the value of a tensor with exactly one element. This one has more, so there is no single number to give.

Fix: say which number is meant, `x.mean().item()` or `x[0].item()`; for all of them, `x.tolist()`.

Not to be confused with autograd.nonscalar, where `backward()` is called on a tensor with several values.
"""

from __future__ import annotations

import re

from ..family import Example, Family, NearMiss, Trigger
from ..model import Confidence, Diagnosis, Evidence, Fix
from ..reason.edits import replace_text
from ..reason.reading import reading
from ..reason.wording import code, tensor_text


class ItemOfMany(Family):
    code = "TW0000"
    title = "one number asked of a tensor with several values"
    triggers = (Trigger(r"a Tensor with (?P<count>\d+) elements cannot be converted to Scalar", types=("RuntimeError",)),)
    examples = (
        Example(
            files={
                "report.py": """\
import torch

torch.manual_seed(0)
errors = torch.rand(8)
worst = errors.item()  #~ cause
print("worst", worst)
"""
            },
            says=("`errors`", "8 values", "float32 [8]"),
            becomes="worst = errors.tolist()",
        ),
    )
    near_misses = (NearMiss(files={"report.py": "import torch\nprint(torch.ones(1).item())\n"}),)

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        name, count = run.name("input", "self"), int(match["count"])
        tensor = run.tensor("input", "self")
        span = run.raised
        call = run.sources.segment(span)
        edits = replace_text(span, call[: -len("item()")] + "tolist()") if call.endswith(".item()") else ()
        return run.diagnosis(
            self,
            f"{code(name)} has {count} values, one number is asked of it",
            span,
            tensor_text(tensor) if tensor is not None else "",
            fixes=[Fix("take all of its values, as a list", edits, changes="a list of numbers takes the place of one number")]
            if edits
            else (),
            confidence=Confidence.CERTAIN if tensor is not None else Confidence.LIKELY,
        )
