"""A convolution gets a tensor with another number of dimensions than it takes.

Erroneous code (TW0104):

```python
{example}
```

Why: `nn.Conv2d` takes `[batch, channels, height, width]`, or one picture without the batch dimension; `nn.Conv1d` and `nn.Conv3d` have
one dimension less and more. Data of another rank has no channel dimension (grey pictures, one-dimensional signals), has its batch and
time dimensions apart (video), was flattened before, or lost a dimension to an index or a `squeeze`.

Fix: add the missing dimension with `unsqueeze`, merge two with `flatten(0, 1)`, or take the convolution of the right dimension.

Messages: `Expected 3D (unbatched) or 4D (batched) input to conv2d, but got input of size: [4, 10]`; before torch 1.11: `Expected
4-dimensional input for 4-dimensional weight [8, 3, 3, 3], but got 3-dimensional input of size [3, 28, 28] instead`.

Not to be confused with: `shape.conv-channels`, where the dimensions are right and the number of channels is not.
"""

from __future__ import annotations

import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Diagnosis, Evidence, Fix, Span, TensorFacts
from ...reason import edits
from ...reason.accounts import called, setting_account, tensor_account
from ...reason.fits import Kind, Shape, steps
from ...reason.following import added_axis
from ...reason.misfits import MOVES, broken_at
from ...reason.partings import data_origin, parted
from ...reason.provenance import path
from ...reason.reading import Cause, Reading, named, reading
from ...reason.shape_edits import without_method
from ...reason.texts import called_in_line
from ...reason.walk import Walk
from ...reason.wording import code, place, shape_text

_AXES = {1: "[batch, channels, length]", 2: "[batch, channels, height, width]", 3: "[batch, channels, depth, height, width]"}


class ConvRank(Family):
    code = "TW0104"
    title = "a convolution gets a tensor with another number of dimensions than it takes"
    triggers = (
        Trigger(r"Expected \d+D \(unbatched\) or \d+D \(batched\) input to (?P<op>conv\w+), but got input of size: \[(?P<input>[\d, ]*)\]"),
        Trigger(
            r"Expected \d+-dimensional input for \d+-dimensional weight \[?(?P<weight>[\d, ]+)\]?, "
            r"but got \d+-dimensional input of size \[(?P<input>[\d, ]*)\]"
        ),
        Trigger(
            r"Given groups=\d+, weight of size \[(?P<weight>[\d, ]*)\], "
            r"expected input\[(?P<input>[\d, ]*)\] to have (?P<wants>\d+) channels"
        ),
    )
    rank = 2

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        x, groups = run.tensor("input"), match.groupdict()
        shape = x.shape if x is not None else tuple(int(n) for n in match["input"].split(",") if n.strip())
        digit = re.search(r"[123](?=d)", groups.get("op") or (run.op.name if run.op is not None else ""))
        spatial = int(digit[0]) if digit else (groups.get("weight") or ",,,").count(",") - 1
        if shape is None or "wants" in groups and (x is None or len(shape) != spatial + 1 or match["wants"] != "1"):
            return None
        layer = run.layer
        who = named(run, layer) if layer else called_in_line(run) or code(f"conv{spatial}d")
        headline = f"{who} takes {spatial + 2} dimensions but gets {len(shape)}: {shape_text(shape)}"
        if "wants" in groups:
            headline = f"{called(run, x, run.name_or_empty('input')) if x else 'the input'} has no channel dimension: {shape_text(shape)}"
        if x is None:
            return run.diagnosis(self, headline, None, notes=[f"conv{spatial}d reads {_AXES[spatial]}, or that without the batch"])
        wants = layer.number("in_channels") if layer is not None else None
        cause, because, fixes, notes = self._blame(run, x, spatial, wants)
        about = [setting_account(run, layer, "in_channels", "kernel_size")] if layer is not None else []
        axes = f"conv{spatial}d reads {_AXES[spatial]}" + (f": one picture with {shape[0]} channels" if "wants" in groups else "")
        notes = [tensor_account(run, x, run.name_or_empty("input")), *notes, *about, axes]
        return run.diagnosis(self, headline, cause, because, trail=run.trail(x, "rank"), notes=notes, fixes=fixes)

    def _blame(self, run: Reading, x: TensorFacts, spatial: int, wants: int | None) -> tuple[Cause | Span, str, list[Fix], list[str]]:
        """The step that took the dimension away, else the call in which one is missing."""

        def fits(shape: Shape) -> bool:
            return len(shape) == spatial + 2 and (wants is None or shape[1] == wants)

        earlier = run.earlier_input(x)
        if earlier is not None and earlier.rank != x.rank and (parting := parted(run, x, earlier)) is not None:
            told = f"in earlier calls it was {shape_text(earlier.shape)}; what came now parts from that at {place(parting.span)}"
            return parting, f"gives {shape_text(x.shape)}", [], [told]
        found = broken_at(run, x, fits, 0, MOVES | {"flatten"})
        if found is not None and found[0].span is not None:
            op, before = found
            span, text = found[0].span, run.sources.segment(found[0].span)
            removed = without_method(run.sources, span, op.name)
            fixes = [Fix(f"leave out {code('.' + op.name)}", removed)] if removed else []
            return (
                span,
                f"makes {shape_text(op.outputs[0].shape)} of {shape_text(before.shape)}",
                fixes,
                [f"before {code(text)} at {place(span)} it was {shape_text(before.shape)}"],
            )
        kinds: tuple[Kind, ...] = ("add", "drop", "merge")
        possible = steps(x.shape or (), fits, kinds)
        span_here = run.span_of("input")
        fixes = [Fix(s.title, edits.append_method(run.sources, span_here, s.text) if span_here else (), changes=s.said) for s in possible]
        cause: Cause | Span = span_here or run.raised
        if (made := self._made_of_data(run, x, spatial)) is not None:
            cause = made
        return cause, f"is {shape_text(x.shape)}", fixes, [possible[0].said] if possible else []

    def _made_of_data(self, run: Reading, x: TensorFacts, spatial: int) -> Cause | Span | None:
        """For data with a dimension too many that reaches a layer deep in the model: the line that gave it that dimension."""
        made = path(run.evidence, x, "rank", run.before, limit=200)
        if len({f.module for f in run.failure.user_frames if f.module is not None}) < 2 or x.rank < spatial + 3 or not made:
            return None
        origin = data_origin(run, made[0])
        axis = added_axis(Walk(run.sources), origin.origins) if origin is not None else None
        return axis or made[0].span

    examples = (
        Example(
            {
                "train.py": """\
import torch
from torch import nn

conv = nn.Conv2d(1, 6, 5)
digits = torch.rand(32, 28, 28)
features = conv(digits)  #~ cause
print(features.shape)
"""
            },
            says=("`digits`", "[32, 28, 28]", "channel dimension", "unsqueeze(1)"),
            becomes="features = conv(digits.unsqueeze(1))",
        ),
        Example(
            {
                "main.py": """\
import torch
from torch import nn


class Clip(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)

    def forward(self, frames):
        return self.stem(frames).mean((2, 3))  #~ cause


clip = Clip()
for video in [torch.rand(2, 4, 3, 16, 16)]:
    clip(video).sum().backward()
"""
            },
            says=("clip.stem", "frames", "[2, 4, 3, 16, 16]", "flatten(0, 1)"),
            becomes="return self.stem(frames.flatten(0, 1)).mean((2, 3))",
        ),
    )
    near_misses = (
        NearMiss({"train.py": "import torch\nprint(torch.nn.Conv2d(3, 2, 3)(torch.rand(3, 8, 8)).shape)\n"}),
        NearMiss(
            {"train.py": "import torch\ntorch.nn.Conv2d(3, 2, 3)(torch.rand(5, 4, 8, 8))\n"},
            belongs_to="shape.conv-channels",
        ),
    )
