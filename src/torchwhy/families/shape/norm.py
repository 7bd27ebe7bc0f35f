"""A normalisation layer gets another number of channels or dimensions than it was built for.

Erroneous code (TW0105):

```python
{example}
```

Why: `nn.BatchNorm1d/2d/3d(num_features)`, `nn.InstanceNorm…` and `nn.GroupNorm(num_groups, num_channels)` keep one number for each
channel, and the channels are dimension 1 of their input; `nn.LayerNorm(normalized_shape)` counts from the right. Tokens (`[batch, tokens,
width]`) behind a BatchNorm1d, or convolution maps (`[batch, channels, height, width]`) behind a LayerNorm, have their channels in the
other place. In training, batch norm needs more than one value of each channel, so a batch of one sample has no variance.

Fix: build the layer for the channels that reach it, take the layer for the number of dimensions, or `transpose` around it. For a single
sample, `model.eval()`.

Messages: `running_mean should contain 8 elements not 16`; `expected 4D input (got 2D input)`; `Given normalized_shape=[64], expected
input with shape [*, 64], but got input of size[4, 32]`; `Expected more than 1 value per channel when training, got input size
torch.Size([1, 16])`.

Not to be confused with: `data.last-batch`, where the single sample is what a DataLoader had left.
"""

from __future__ import annotations

import math
import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, ModuleFacts, Span, TensorFacts
from ...reason import edits
from ...reason.accounts import setting_account, size_account, tensor_account
from ...reason.batches import last_batch
from ...reason.history import numbers
from ...reason.minibatches import left_over
from ...reason.misfits import MOVES, Misfit, broken_at, explain
from ...reason.norm_edits import other_norm
from ...reason.partings import parted
from ...reason.provenance import Size
from ...reason.reading import Cause, Reading, named, reading
from ...reason.shape_edits import without_method
from ...reason.texts import built_in_text, called_in_line, rebuilt
from ...reason.unbatched import unbatched
from ...reason.wording import code, layer_text, place, shape_text

_SETTINGS = ("num_features", "num_channels", "normalized_shape")
_LISTED = r"\[(?P<input>[\d, ]*)\]"


class Norm(Family):
    code = "TW0105"
    title = "a normalisation layer gets another number of channels or dimensions than it was built for"
    triggers = (
        Trigger(r"(?:running_mean|running_var|weight|bias) should contain (?P<gets>\d+) elements not (?P<wants>\d+)"),
        Trigger(
            rf"Given normalized_shape=\[(?P<normalized>[\d, ]*)\], expected input with shape .{0, 400}?, but got input of size ?{_LISTED}"
        ),
        Trigger(
            rf"Expected weight to be a vector of size equal to the number of channels in input, "
            rf"but got weight of shape \[(?P<wants>\d+)\] and input of shape {_LISTED}"
        ),
        Trigger(r"expected input's size at dim=\d to match num_features \((?P<wants>\d+)\), but got: (?P<gets>\d+)"),
        Trigger(
            r"Expected number of channels in input to be divisible by num_groups, "
            r"but got input of shape \[(?P<input>[\d, ]*)\] and num_groups=(?P<groups>\d+)"
        ),
        Trigger(r"expected (?P<takes>(?:at least )?\dD(?: or \dD)*) input \(got (?P<rank>\d)D input\)", types=("ValueError",)),
        Trigger(r"Expected (?P<takes>3D or higher) dimensionality\s+input \(got (?P<rank>\d) dimensions\)", types=("ValueError",)),
        Trigger(
            rf"Expected more than 1 (?P<single>value per channel|spatial element) when training, got input size torch\.Size\({_LISTED}\)"
        ),
        Trigger(r"num_channels (?:\(\d+\) )?must be divisible by num_groups", types=("ValueError",)),
    )
    rank = 1

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        told = match.groupdict()
        if not told or match[0].startswith("num_channels"):
            return self._groups(run, run.constructing)
        if told.get("single"):
            return self._single(run, match)
        x, layer = run.tensor("input"), run.layer
        if told.get("takes"):
            return self._rank(run, x, layer, told["takes"], int(told["rank"]))
        return self._size(run, x, layer, told)

    # ── another number of channels ────────────────────────────────────────────────────────────────────────────────────
    def _size(self, run: Reading, x: TensorFacts | None, layer: ModuleFacts | None, told: dict[str, str | None]) -> Diagnosis:
        setting = next((s for s in _SETTINGS if layer is not None and layer.setting(s) is not None), "")
        wanted = numbers(layer.setting(setting)) if layer is not None and setting else None
        if layer is None or x is None or x.shape is None or not wanted:
            return self._told(run, x, told)
        dim = 1 if setting != "normalized_shape" or x.rank < len(wanted) else self._unlike(x.shape, wanted)
        wants = wanted[dim - x.rank + len(wanted)] if setting == "normalized_shape" else wanted[0]
        gets = x.shape[dim]
        if wants == gets:
            return self._groups(run, layer)
        counted = "from the right" if setting == "normalized_shape" else "in dimension 1"
        headline = f"{named(run, layer)} is built for {setting}={shape_text(wanted) if len(wanted) > 1 else wants} but gets {gets}"
        misfit = Misfit(layer, setting, wants, x, dim)
        found = explain(run, misfit)
        notes = [*found.notes, f"{layer.kind} reads its channels {counted}: {gets} in {shape_text(x.shape)}"]
        fixes, cause = list(found.fixes), found.cause
        if found.why == "missing":
            fixes, cause = self._around(run, fixes), run.kind(layer)
            fixes += [fix for fix in [other_norm(run, layer, setting)] if fix is not None]
            notes.append(f"{layer.kind} was chosen at {place(cause.span)}")
        elif len(wanted) > 1:
            fixes = [
                Fix(
                    f"build {named(run, layer)} with {setting}={shape_text(x.shape[-len(wanted) :])}",
                    self._shape_edit(run, layer, x, len(wanted)),
                )
            ]
        return run.diagnosis(self, headline, cause, found.because, trail=found.trail, notes=notes, fixes=fixes, confidence=found.confidence)

    def _told(self, run: Reading, x: TensorFacts | None, told: dict[str, str | None]) -> Diagnosis:
        """From the message and the text alone."""
        who = called_in_line(run) or "the normalisation"
        sizes = [int(n) for n in re.findall(r"\d+", told.get("input") or "")]
        wants = told.get("wants") or told.get("normalized") or told.get("groups") or "?"
        gets = told.get("gets") or (str(sizes[-1 if told.get("normalized") else 1]) if len(sizes) > 1 else "?")
        kinds = [f"{kind}Norm{n}" for kind in ("Batch", "Instance") for n in ("1d", "2d", "3d")] + ["LayerNorm", "RMSNorm"]
        cause = built_in_text(run, kinds, "num_features", 0, int(wants)) if wants.isdigit() else None
        notes = (
            [tensor_account(run, x, run.name_or_empty("input"))]
            if x is not None
            else [f"its input is {shape_text(sizes)}"]
            if sizes
            else []
        )
        fixes = [rebuilt(run, cause, who, "num_features", int(gets))] if gets.isdigit() and not told.get("groups") else []
        if told.get("groups"):
            return run.diagnosis(self, f"{gets} channels are no multiple of num_groups={wants}", None, notes=notes)
        return run.diagnosis(
            self,
            f"{who} is built for {wants} channels but gets {gets}",
            cause,
            f"is built for {wants}",
            notes=notes,
            fixes=fixes,
            confidence=Confidence.POSSIBLE,
        )

    def _unlike(self, shape: tuple[int, ...], wanted: tuple[int, ...]) -> int:
        """The last dimension that is not as wanted."""
        return next((len(shape) - i for i in range(1, len(wanted) + 1) if shape[-i] != wanted[-i]), len(shape) - 1)

    def _shape_edit(self, run: Reading, layer: ModuleFacts, x: TensorFacts, count: int) -> edits.Edits:
        cause = run.setting(layer, "normalized_shape")
        return edits.set_value(run.sources, cause.span, shape_text((x.shape or ())[-count:])) if cause.origins else ()

    def _around(self, run: Reading, fixes: list[Fix]) -> list[Fix]:
        """A norm gives out the shape that it gets: what is transposed before it is transposed back behind it."""
        span = run.span_of("input")
        step = re.search(r"\.transpose\(\d, \d\)", fixes[0].edits[-1].text) if fixes and fixes[0].edits else None
        if span is None or step is None or run.sources.call_at(run.raised) is None:
            return fixes
        both = (*fixes[0].edits, *edits.append_method(run.sources, run.raised, step[0]))
        return [Fix("transpose the input, and what comes out back", both), *fixes[1:]]

    # ── another number of dimensions ──────────────────────────────────────────────────────────────────────────────────
    def _rank(self, run: Reading, x: TensorFacts | None, layer: ModuleFacts | None, takes: str, rank: int) -> Diagnosis:
        headline = f"{named(run, layer) if layer is not None else 'the normalisation'} takes {takes} input but gets {rank}D"
        if x is None or x.shape is None or layer is None:
            return run.diagnosis(self, headline, None)
        headline += f": {shape_text(x.shape)}" if len(headline) < 60 else ""
        ranks = tuple(int(n) for n in re.findall(r"\d", takes))
        about = [
            tensor_account(run, x, run.name_or_empty("input")),
            f"{named(run, layer)} is a {layer_text(layer, *_SETTINGS)}, for {takes}",
        ]
        channels = layer.number("num_features")
        broken = broken_at(
            run, x, lambda s: len(s) in ranks and (channels is None or len(s) < 2 or s[1] == channels), 0, MOVES | {"flatten"}
        )
        if broken is not None and broken[0].span is not None:
            span, before = broken[0].span, broken[1]
            removed = without_method(run.sources, span, broken[0].name)
            fixes = [Fix(f"leave out {code('.' + broken[0].name)}", removed)] if removed else []
            about.append(f"before {code(run.sources.segment(span))} at {place(span)} it was {shape_text(before.shape)}")
            return run.diagnosis(
                self, headline, span, f"makes {rank} dimensions of {before.rank}", trail=run.trail(x, "rank"), notes=about, fixes=fixes
            )
        lone = unbatched(run, x.rank) if x.rank + 1 in ranks and x.rank > 2 and channels == x.shape[0] else None
        if lone is not None:
            about.append(lone.note)
            because = f"is {shape_text(lone.tensor.shape)}"
            return run.diagnosis(self, headline, lone.expression.span, because, trail=run.trail(x, "rank"), notes=about, fixes=[lone.fix])
        cause, right = run.kind(layer), {4: "2d", 5: "3d"}.get(x.rank, "1d" if x.rank < 4 else "")
        kind = re.sub(r"[123]d$", right, layer.kind)
        fixes = []
        if kind != layer.kind and right:
            text = run.sources.segment(cause.span)
            fixes = [
                Fix(f"take {code(kind)}, which is for {x.rank}D input", edits.replace_text(cause.span, text.replace(layer.kind, kind)))
            ]
        return run.diagnosis(self, headline, cause, f"{layer.kind} is for {takes}", trail=run.trail(x, "rank"), notes=about, fixes=fixes)

    # ── one value ─────────────────────────────────────────────────────────────────────────────────────────────────────
    def _single(self, run: Reading, match: re.Match[str]) -> Diagnosis | None:
        shape = tuple(int(n) for n in match["input"].split(",") if n.strip())
        if last_batch(run.evidence, shape[0]) is not None:
            return None
        layer, x = run.layer, run.tensor("input")
        if x is not None and shape[0] == 1 and left_over(run, x) is not None:
            return None
        spatial = match["single"] == "spatial element"
        what = "spatial element" if spatial else "value per channel"
        headline = f"{named(run, layer) if layer is not None else 'the normalisation'} in training gets one {what}: {shape_text(shape)}"
        notes = [tensor_account(run, x, run.name_or_empty("input"))] if x is not None else []
        notes.append(
            f"in train mode {layer.kind if layer is not None else 'it'} takes mean and variance from the batch; one value has no variance"
        )
        if spatial and x is not None:
            return run.diagnosis(
                self,
                headline,
                run.kind(layer) if layer is not None else None,
                f"gets maps of {shape_text(shape[2:])}",
                trail=run.trail(x, Size(-1)),
                notes=notes,
            )
        call = self._outer_call(run)
        root = layer.fqn.split(".")[0] if layer is not None else "model"
        fix = Fix(
            f"switch {code(root)} to eval mode before it is given one sample",
            edits.insert_before(run.sources, call.file, call.line, f"{root}.eval()"),
            changes="batch norm then uses its running mean and variance, dropout is off",
        )
        if run.op is not None and not run.op.grad_enabled or x is None:
            return run.diagnosis(self, headline, call, f"{root} is still in train mode", notes=notes, fixes=[fix])
        decision, before = run.decided(x, Size(0)), run.earlier_input(x)
        if decision.how == "given" and before is not None and before.shape and before.shape[0] > 1:
            notes.append(f"in earlier calls it got {shape_text(before.shape)}")
            cause = parted(run, x, before) or Cause(call)
            return run.diagnosis(self, headline, cause, "gives one sample", trail=run.trail(x, Size(0)), notes=notes, fixes=[fix])
        notes.append(size_account(run, x, 0, decision))
        cause = run.cause(decision, 1) if decision.how in ("created", "op") else Cause(call)
        return run.diagnosis(self, headline, cause, "gives one sample", trail=run.trail(x, Size(0)), notes=notes, fixes=[fix])

    def _outer_call(self, run: Reading) -> Span:
        """The program's line outside of the model's own methods that called the model."""
        frames = run.failure.user_frames
        return next((f.span for f in reversed(frames) if f.module is None), run.raised)

    # ── groups ────────────────────────────────────────────────────────────────────────────────────────────────────────
    def _groups(self, run: Reading, layer: ModuleFacts | None) -> Diagnosis:
        channels, groups = (layer.number("num_channels"), layer.number("num_groups")) if layer is not None else (None, None)
        if layer is None or channels is None or groups is None:
            return run.diagnosis(self, "the channels are no multiple of num_groups", None)
        headline = f"num_channels={channels} is no multiple of num_groups={groups}"
        cause = run.setting(layer, "num_groups", groups)
        last = cause.origins[-1] if cause.origins else None
        divisor = math.gcd(channels, groups)
        fixes = [Fix(f"make it {divisor} groups", edits.replace_text(cause.span, str(divisor)), changes="each group has more channels")]
        notes = [setting_account(run, layer, "num_groups", "num_channels"), "each group takes an equal share of the channels"]
        return run.diagnosis(
            self,
            headline,
            cause,
            f"num_groups is {groups}",
            notes=notes,
            fixes=fixes if last and last.form == "literal" else (),
            confidence=Confidence.CERTAIN,
        )

    examples = (
        Example(
            {
                "train.py": """\
import torch
from torch import nn


class Mixer(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.embed = nn.Linear(6, width)
        self.norm = nn.BatchNorm1d(width)  #~ cause

    def forward(self, tokens):
        return self.norm(self.embed(tokens))


mixer = Mixer()
mixer(torch.rand(8, 10, 6)).sum().backward()
"""
            },
            says=("mixer.norm", "24", "10", "[8, 10, 24]", "transpose", "BatchNorm1d"),
            becomes="return self.norm(self.embed(tokens).transpose(1, 2)).transpose(1, 2)",
        ),
        Example(
            {
                "main.py": """\
import torch
from layers import block

net = torch.nn.Sequential(block(3, 8), block(8, 16))
net(torch.rand(2, 3, 9, 9)).mean().backward()
""",
                "layers.py": """\
from torch import nn


def block(inside, outside):
    return nn.Sequential(nn.Conv2d(inside, outside, 3), nn.BatchNorm2d(inside), nn.ReLU())  #~ cause
""",
            },
            says=("net.0.1", "num_features=3", "gets 8", "net.0.0"),
        ),
        Example(
            {
                "train.py": """\
import torch
from torch import nn

features = [20, 12]
net = nn.Sequential()
net.append(nn.Linear(*features))
net.append(nn.BatchNorm2d(12))  #~ cause
net(torch.rand(5, 20))
"""
            },
            says=("net.1", "4D", "2D", "[5, 12]", "BatchNorm1d"),
            becomes="net.append(nn.BatchNorm1d(12))",
        ),
    )
    near_misses = (
        NearMiss({"train.py": "import torch\nprint(torch.nn.BatchNorm1d(4).eval()(torch.rand(1, 4)).shape)\n"}),
        NearMiss({"train.py": "import torch\nprint(torch.nn.LayerNorm((3, 4))(torch.rand(2, 3, 4)).shape)\n"}),
    )
