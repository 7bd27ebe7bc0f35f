"""A convolution gets another number of channels than it was built for.

Erroneous code (TW0103):

```python
{example}
```

Why: `nn.Conv2d(in_channels, out_channels, kernel_size)` sums over the channels of its input, dimension 1 of `[batch, channels, height,
width]`, so there must be `in_channels` of them. Another number comes from pictures in grey (1) or with transparency (4), from pictures
whose channels come last (`[batch, height, width, channels]`), from a `torch.cat` of skip connections, or from a layer before it with
another `out_channels`.

Fix: build the layer for the channels that reach it, or give the data the channels: convert the pictures (`convert("RGB")`), move the
channels with `permute(0, 3, 1, 2)`.

Messages: `Given groups=1, weight of size [8, 3, 3, 3], expected input[4, 1, 28, 28] to have 3 channels, but got 1 channels instead`.

Not to be confused with: `shape.conv-rank`, where the number of dimensions is another one; a batch of grey pictures without a channel
dimension (`[batch, height, width]`) is read as one picture with `batch` channels."""

from __future__ import annotations

import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, ModuleFacts, TensorFacts
from ...reason.accounts import called, size_account, tensor_account
from ...reason.edits import append_method
from ...reason.misfits import Misfit, explain
from ...reason.provenance import Size
from ...reason.reading import Reading, named, reading
from ...reason.texts import built_in_text, called_in_line, rebuilt
from ...reason.wording import layer_text, place, shape_text

_CHANNELS = (
    r"weight of size \[(?P<weight>[\d, ]*)\], expected input\[(?P<input>[\d, ]*)\] to have (?P<wants>\d+) channels, but got (?P<gets>\d+)"
)


class ConvChannels(Family):
    code = "TW0103"
    title = "a convolution gets another number of channels than it was built for"
    triggers = (
        Trigger(rf"Given (?:groups|transposed)=\d+, {_CHANNELS}"),
        Trigger(r"Need input(?:\.size\[1\]|_channels?) == (?P<wants>\d+) but got (?P<gets>\d+) instead"),
        Trigger(r"(?P<which>in|out)_channels must be divisible by groups", types=("ValueError",)),
    )
    rank = 1

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        if "which" in match.groupdict():
            return self._groups(run, match["which"])
        wants, gets = int(match["wants"]), int(match["gets"])
        x, layer, weight = run.tensor("input"), run.layer or run.owner("weight", "Conv"), run.tensor("weight")
        spatial = weight.rank - 2 if weight is not None else match["input"].count(",") - 1 if "input" in match.groupdict() else 2
        who = named(run, layer) if layer else called_in_line(run) or "the convolution"
        headline = f"{who} is built for {wants} input channels but gets {gets}"
        if x is None or x.shape is None:
            return self._told(run, match, who, headline, wants, gets)
        if x.rank == spatial + 1 and (wants == 1 or x.shape[0] != gets):
            return None  # no channel dimension at all: shape.conv-rank
        dim = x.rank - spatial - 1
        if layer is None or layer.number("in_channels") is None:
            return self._functional(run, x, weight, dim, headline)
        misfit = Misfit(layer, "in_channels", wants, x, dim, fits=lambda shape: self._fits(shape, x, dim, wants))
        found = explain(run, misfit)
        notes = [*found.notes, f"it is read as one picture of {gets} channels, without a batch" if dim == 0 else ""]
        fixes = [*found.fixes, *(self._data_fixes(run, x, dim, wants, gets) if found.why in ("layer", "news") else ())]
        return run.diagnosis(
            self, headline, found.cause, found.because, trail=found.trail, notes=notes, fixes=fixes, confidence=found.confidence
        )

    def _told(self, run: Reading, match: re.Match[str], who: str, headline: str, wants: int, gets: int) -> Diagnosis:
        """From the message and the text alone."""
        groups = match.groupdict()
        notes = (
            [f"the input is [{groups['input']}], the weight [{groups['weight']}]: [out_channels, in_channels, kernel]"]
            if groups.get("weight")
            else []
        )
        sizes = [int(n) for n in (groups.get("input") or "").split(",") if n.strip()]
        if wants in sizes[2:]:
            notes.append(
                f"{wants} stands in dimension {sizes.index(wants, 2)}: the channels come last, they belong in dimension 1 (`permute`)"
            )
        kinds = [f"{kind}{n}d" for kind in ("Conv", "ConvTranspose") for n in (1, 2, 3)]
        cause = built_in_text(run, kinds, "in_channels", 0, wants)
        return run.diagnosis(
            self,
            headline,
            cause,
            f"in_channels is {wants}",
            notes=notes,
            fixes=[rebuilt(run, cause, who, "in_channels", gets)],
            confidence=Confidence.POSSIBLE,
        )

    def _fits(self, shape: tuple[int, ...], x: TensorFacts, dim: int, wants: int) -> bool:
        """The right channels, and the batch left where it is."""
        return len(shape) == x.rank and shape[dim] == wants and (dim == 0 or x.shape is None or shape[0] == x.shape[0])

    def _data_fixes(self, run: Reading, x: TensorFacts, dim: int, wants: int, gets: int) -> list[Fix]:
        span = run.span_of("input")
        if span is None or x.shape is None:
            return []
        name = called(run, x, run.name_or_empty("input"))
        if gets == 1:
            sizes = ", ".join(str(wants) if d == dim else "-1" for d in range(x.rank))
            return [
                Fix(
                    f"show {name} to all {wants} channels",
                    append_method(run.sources, span, f".expand({sizes})"),
                    changes="the grey values are repeated",
                )
            ]
        if gets > wants and (gets, wants) in ((4, 3), (2, 1)):
            index = ", ".join(f":{wants}" if d == dim else ":" for d in range(dim + 1))
            return [
                Fix(
                    f"leave out the alpha channel of {name}",
                    append_method(run.sources, span, f"[{index}]"),
                    changes=f"{gets - wants} channel is dropped",
                )
            ]
        return []

    def _functional(self, run: Reading, x: TensorFacts, weight: TensorFacts | None, dim: int, headline: str) -> Diagnosis:
        """`F.conv2d(x, weight)` with a weight that is no layer's."""
        notes = [tensor_account(run, x, run.name_or_empty("input")), size_account(run, x, dim)]
        if weight is None or weight.shape is None:
            return run.diagnosis(self, headline, None, trail=run.trail(x, Size(dim)), notes=notes)
        groups = getattr(run.op.argument("groups"), "value", 1) if run.op is not None else 1
        wanted = 0 if run.op is not None and "transpose" in run.op.name else 1
        name = called(run, weight, run.name_or_empty("weight"))
        notes.append(f"the weight {name} is {shape_text(weight.shape)}" + (f", with groups={groups}" if groups != 1 else ""))
        decision = run.decided(weight, Size(wanted))
        cause = run.cause(decision, weight.shape[wanted])
        notes.append(f"the weight was made at {place(cause.span)}")
        return run.diagnosis(self, headline, cause, f"gives {weight.shape[wanted]}", trail=run.trail(x, Size(dim)), notes=notes)

    def _groups(self, run: Reading, which: str) -> Diagnosis:
        """The constructor refuses: the channels can't be dealt out to the groups."""
        layer = self._under_construction(run)
        channels, groups = (layer.number(f"{which}_channels"), layer.number("groups")) if layer is not None else (None, None)
        if layer is None or channels is None or groups is None:
            return run.diagnosis(self, f"{which}_channels is no multiple of groups", None)
        headline = f"{which}_channels={channels} is no multiple of groups={groups}"
        cause = run.setting(layer, f"{which}_channels", channels)
        notes = [
            f"{layer_text(layer, 'in_channels', 'out_channels', 'groups')} at {place(run.raised)}: "
            "each group takes an equal share of the channels"
        ]
        return run.diagnosis(self, headline, cause, f"{which}_channels is {channels}", notes=notes, confidence=Confidence.CERTAIN)

    def _under_construction(self, run: Reading) -> ModuleFacts | None:
        frame = next((f for f in reversed(run.failure.frames) if f.module is not None and f.origin == "torch"), None)
        return run.history.module(frame.module) if frame is not None else None

    examples = (
        Example(
            {
                "train.py": """\
import torch
from torch import nn

net = nn.Sequential(
    nn.Conv2d(3, 8, 3, padding=1),  #~ cause
    nn.ReLU(),
    nn.Conv2d(8, 4, 1),
)
grey = torch.rand(5, 1, 20, 20)
net(grey).mean().backward()
"""
            },
            says=("net.0", "3 input channels", "gets 1", "in_channels"),
            becomes="nn.Conv2d(1, 8, 3, padding=1),",
        ),
        Example(
            {
                "main.py": """\
import torch
from pictures import batch
from torch import nn


class Stem(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.first = nn.Conv2d(channels, 16, kernel_size=5)

    def forward(self, picture):
        return torch.relu(self.first(picture))  #~ cause


stem = Stem(channels=3)
for step in range(2):
    stem(batch(4)).sum().backward()
""",
                "pictures.py": """\
import torch


def batch(count):
    return torch.rand(count, 24, 32, 3)
""",
            },
            says=("stem.first", "picture", "[4, 24, 32, 3]", "permute(0, 3, 1, 2)"),
            becomes="return torch.relu(self.first(picture.permute(0, 3, 1, 2)))",
        ),
    )
    near_misses = (
        NearMiss({"train.py": "import torch\nprint(torch.nn.Conv2d(1, 2, 3)(torch.rand(1, 8, 8)).shape)\n"}),
        NearMiss(
            {"train.py": "import torch\nconv = torch.nn.Conv2d(1, 2, 3)\nconv(torch.rand(6, 8, 8))\n"},
            belongs_to="shape.conv-rank",
        ),
    )
