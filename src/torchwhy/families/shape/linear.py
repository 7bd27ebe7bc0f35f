"""A linear layer gets another number of features than it was built for.

Erroneous code (TW0102):

```python
{example}
```

Why: `nn.Linear(in_features, out_features)` multiplies the last dimension of its input, so that dimension must be `in_features`.
The number usually comes from somewhere else: the picture size and the convolutions before a `flatten`, the width of an earlier layer,
columns that were joined by `torch.cat`, or a `flatten`, `permute` or `squeeze` that is missing.

Fix: make the layer as wide as what reaches it, or mend the step before it that changed the size. `nn.LazyLinear(out_features)` takes
the number from the first batch.

Messages: `mat1 and mat2 shapes cannot be multiplied (32x3136 and 1024x128)`; before torch 1.8: `size mismatch, m1: [32 x 3136], m2: [1024
x 128]`.

Not to be confused with: `shape.matmul`, a product of two tensors without a layer.
"""

from __future__ import annotations

import math
import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, TensorFacts
from ...reason.accounts import called, tensor_account
from ...reason.edits import append_method, replace_text
from ...reason.layers import base_kind
from ...reason.misfits import Misfit, explain
from ...reason.provenance import Size
from ...reason.reading import Reading, named, reading
from ...reason.texts import built_in_text, called_in_line, rebuilt
from ...reason.unbatched import unbatched
from ...reason.wording import code, place, shape_text


class Linear(Family):
    code = "TW0102"
    title = "a linear layer gets another number of features than it was built for"
    triggers = (
        Trigger(r"mat1 and mat2 shapes cannot be multiplied(?: \((?P<rows>\d+)x(?P<gets>\d+) and (?P<wants>\d+)x(?P<out>\d+)\))?"),
        Trigger(r"size mismatch, m1: \[(?P<rows>\d+) x (?P<gets>\d+)\], m2: \[(?P<wants>\d+) x (?P<out>\d+)\]"),
        Trigger(r"must have same reduction dim, but got \[(?P<rows>\d+), (?P<gets>\d+)\] X \[(?P<wants>\d+), (?P<out>\d+)\]"),
        Trigger(r"mat1 dim 1 must match mat2 dim 0|size mismatch, got|mat2 must be a matrix|must have same reduction dim"),
    )
    rank = 1

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        x, weight = run.tensor("input"), run.tensor("weight")
        layer = run.layer if run.layer is not None and base_kind(run.layer) == "Linear" else run.owner("weight", "Linear")
        if run.op is not None and run.op.name != "linear":
            return None
        if x is None or not x.shape:
            return self._told(run, match) if run.op is None else None
        if layer is None:
            return self._functional(run, x, weight) if weight is not None and weight.rank == 2 else None
        wants = layer.number("in_features")
        if weight is not None and weight.rank == 2 and weight.shape is not None:
            wants = weight.shape[1]
        gets = x.shape[-1]
        if wants is None or wants == gets:
            return None
        headline = f"{named(run, layer)} is built for {wants} input features but gets {gets}"
        lone = unbatched(run, 3) if x.rank == 2 and math.prod(x.shape) == wants else None
        if lone is not None:
            notes = [lone.note, tensor_account(run, x, run.name_or_empty("input")), f"{wants} is {x.shape[0]} · {gets}: all of one sample"]
            because = f"is {shape_text(lone.tensor.shape)}"
            return run.diagnosis(self, headline, lone.expression.span, because, trail=run.trail(x, Size(-1)), notes=notes, fixes=[lone.fix])
        misfit = Misfit(
            layer, "in_features", wants, x, x.rank - 1, could_miss=("flatten", "move"), fits=lambda shape: self._fits(shape, wants)
        )
        found = explain(run, misfit)
        notes = [*found.notes, self._picture(run, x, gets, wants)]
        return run.diagnosis(
            self, headline, found.cause, found.because, trail=found.trail, notes=notes, fixes=found.fixes, confidence=found.confidence
        )

    def _fits(self, shape: tuple[int, ...], wants: int) -> bool:
        return len(shape) > 1 and shape[-1] == wants

    def _picture(self, run: Reading, x: TensorFacts, gets: int, wants: int) -> str:
        """Which picture size the layer was built for, where a flattened square map is too large or too small for it."""
        product = run.decided(x, Size(-1)).product
        if len(product) == 3 and product[1] == product[2] and wants % product[0] == 0:
            side = math.isqrt(wants // product[0])
            if side * side * product[0] == wants:
                return f"{wants} would be {product[0]} · {side} · {side}, maps of {side}x{side} instead of {product[1]}x{product[2]}"
        return ""

    def _told(self, run: Reading, match: re.Match[str]) -> Diagnosis | None:
        """From the message and the text alone: `(32x3136 and 1024x128)` is the input and the transposed weight."""
        inside = run.failure.frames[-1].span.file.replace("\\", "/") if run.failure.frames else ""
        text = run.sources.segment(run.raised) or (run.frame.code if run.frame is not None else "")
        if not inside.endswith(("nn/modules/linear.py", "nn/functional.py")) and "linear(" not in text or not match.groupdict().get("gets"):
            return None
        rows, gets, wants, out = (int(match[name]) for name in ("rows", "gets", "wants", "out"))
        who = called_in_line(run) or "the linear layer"
        cause = built_in_text(run, ("Linear",), "in_features", 0, wants)
        notes = [f"the input has {rows} rows of {gets} features, the layer is a Linear(in_features={wants}, out_features={out})"]
        if rows * gets == wants or gets and wants % gets == 0 and rows % (wants // gets) == 0:
            notes.append(f"{wants} is {wants // gets} · {gets}: if these are {wants // gets} parts of one sample, a `flatten` is missing")
        headline = f"{who} is built for {wants} input features but gets {gets}"
        return run.diagnosis(
            self,
            headline,
            cause,
            f"in_features is {wants}",
            notes=notes,
            fixes=[rebuilt(run, cause, who, "in_features", gets)],
            confidence=Confidence.POSSIBLE,
        )

    def _functional(self, run: Reading, x: TensorFacts, weight: TensorFacts) -> Diagnosis | None:
        """`F.linear(x, weight)` with a weight of the program's own: it is used as `x @ weight.T`."""
        assert x.shape is not None and weight.shape is not None
        wants, gets = weight.shape[1], x.shape[-1]
        name = called(run, weight, run.name_or_empty("weight"))
        notes = [
            tensor_account(run, x, run.name_or_empty("input")),
            f"{name} is {shape_text(weight.shape)}, read as [out_features, in_features]",
        ]
        headline = f"the weight {name} takes {wants} features, its input has {gets}"
        span = run.span_of("weight")
        if weight.shape[0] == gets and span is not None:
            text = run.sources.segment(span)
            plain = next((text.removesuffix(end) for end in (".T", ".t()", ".transpose(0, 1)", ".mT") if text.endswith(end)), "")
            edit = replace_text(span, plain) if plain else append_method(run.sources, span, ".T")
            fix = Fix(f"pass {code(plain or text + '.T')}", edit)
            notes.append("`linear` transposes the weight itself")
            return run.diagnosis(
                self, headline, span, f"is {shape_text(weight.shape)}", trail=run.trail(x, Size(-1)), notes=notes, fixes=[fix]
            )
        decision = run.decided(weight, Size(1))
        cause = run.cause(decision, wants)
        notes.append(f"the weight was made at {place(cause.span)}")
        return run.diagnosis(
            self, headline, cause, f"gives {wants}", trail=run.trail(x, Size(-1)), notes=notes, confidence=Confidence.LIKELY
        )

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
            becomes="self.fc1 = nn.Linear(1568, 10)",
        ),
    )
    near_misses = (NearMiss({"train.py": "import torch\nprint((torch.ones(2, 3) @ torch.ones(3, 4)).sum())\n"}),)
