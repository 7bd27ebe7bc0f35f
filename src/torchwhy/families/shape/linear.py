"""A linear layer gets another number of features than it was built for.

Erroneous code (TW0102):

```python
{example}
```

Why: `nn.Linear(in_features, out_features)` multiplies the last dimension of its input, so that dimension must be `in_features`.
The number usually comes from somewhere else: the picture size and the convolutions before a `flatten`, the width of an earlier layer,
a column that was added to the data, or a `flatten`, `permute` or `squeeze` that is missing.

Fix: make the layer as wide as what reaches it, or mend the step before it that changed the size. `nn.LazyLinear(out_features)` takes
the number from the first batch.

Messages: `mat1 and mat2 shapes cannot be multiplied (32x3136 and 1024x128)`; before torch 1.8: `size mismatch, m1: [32 x 3136], m2: [1024 x 128]`.

Not to be confused with: `shape.matmul`, a product of two tensors without a layer.
"""

from __future__ import annotations

import math
import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix
from ...reason import edits
from ...reason.provenance import Size
from ...reason.reading import Reading, named, reading
from ...reason.wording import code, place, shape_text


class Linear(Family):
    code = "TW0102"
    title = "a linear layer gets another number of features than it was built for"
    triggers = (
        Trigger(r"mat1 and mat2 shapes cannot be multiplied|size mismatch, (m1|got)|mat2 must be a matrix|must have same reduction dim"),
    )
    rank = 1

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        layer, x, weight = run.layer, run.tensor("input"), run.tensor("weight")
        if layer is None or run.op is None or run.op.name != "linear" or x is None or weight is None or not x.shape or not weight.shape:
            return None
        wants, gets = weight.shape[1], x.shape[-1]
        headline = f"{named(run, layer)} is built for {wants} input features but gets {gets}"
        trail = run.trail(x, Size(-1))
        if (fix := self._missing_step(run, x.shape, wants)) is not None:
            note = f"the input {code(run.name('input'))} is {shape_text(x.shape)}; {fix.changes}"
            return run.diagnosis(self, headline, run.span_of("input") or run.raised, fix.changes, trail=trail, notes=(note,), fixes=(fix,))
        decision = run.decided(weight, Size(1))
        cause = run.cause(decision, wants)
        product = run.decided(x, Size(-1)).product
        notes = [f"{gets} is {' · '.join(map(str, product))}, the sizes that were flattened"] if product else []
        notes.append(f"{named(run, layer)} was built at {place(layer.built[0])}" if layer.built else "")
        fixes = [
            Fix(
                f"build the layer for {gets} features",
                edits.replace_text(cause.span, str(gets)),
                changes="the layer's weight has another size",
            )
        ]
        return run.diagnosis(
            self, headline, cause, f"in_features is {wants}", trail=trail, notes=notes, fixes=fixes, confidence=Confidence.CERTAIN
        )

    def _missing_step(self, run: Reading, shape: tuple[int, ...], wants: int) -> Fix | None:
        """A flatten or transpose in the call that would make the sizes agree, when there is exactly that."""
        span = run.span_of("input")
        if span is None:
            return None
        if len(shape) > 2 and math.prod(shape[1:]) == wants:
            return Fix(
                "flatten the input", edits.append_method(run.sources, span, ".flatten(1)"), changes=f"flattened it has the {wants} features"
            )
        return None

    examples = (
        Example(
            {
                "train.py": """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(512, 10)  #~ cause

    def forward(self, x):
        x = self.pool(torch.relu(self.conv(x)))
        x = x.flatten(1)
        return self.fc1(x)


net = Net()
loss = net(torch.rand(4, 1, 28, 28)).sum()
loss.backward()
"""
            },
            says=("net.fc1", "512", "1568", "8 · 14 · 14"),
            becomes="        self.fc1 = nn.Linear(1568, 10)  #~ cause",
        ),
    )
    near_misses = (NearMiss({"train.py": "import torch\nprint((torch.ones(2, 3) @ torch.ones(3, 4)).sum())\n"}),)
