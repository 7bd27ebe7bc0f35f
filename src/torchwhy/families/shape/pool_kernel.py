"""A pooling, convolution or padding window is larger than the map or sequence that it gets.

Erroneous code (TW0106):

```python
{example}
```

Why: every pooling and every convolution with a stride makes the maps smaller: 28 pixels halved four times are 1, and a fifth halving has
no output. A kernel that was chosen for one picture size (`avg_pool2d(x, 8)` for maps of 8x8) fails with a smaller one, and a text or
signal that is shorter than the kernel has no window at all.

Fix: larger pictures or longer (padded) sequences, fewer poolings, or `adaptive_avg_pool2d(x, 1)`, which takes maps of every size.

Messages: `Given input size: (64x1x1). Calculated output size: (64x0x0). Output size is too small`; `Calculated padded input size per
channel: (3). Kernel size: (5). Kernel size can't be greater than actual input size`; `max_pool1d() Invalid computed output size: 0`; `pad
should be at most half of effective kernel size`; `Padding size should be less than the corresponding input dimension`.

Not to be confused with: `shape.linear`, where the maps are all right and the layer behind them was built for another size.
"""

from __future__ import annotations

import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, ModuleFacts, Span, TensorFacts
from ...reason import edits
from ...reason.accounts import setting_account, tensor_account
from ...reason.history import numbers
from ...reason.layer_edits import padded
from ...reason.misfits import argument_cause
from ...reason.partings import data_origin, parted
from ...reason.provenance import Size
from ...reason.reading import Cause, Reading, named, reading
from ...reason.shape_edits import callee
from ...reason.shrinking import Shrinking, shrinking, window_of
from ...reason.texts import called_in_line
from ...reason.wording import code, place, shape_text


class PoolKernel(Family):
    code = "TW0106"
    title = "a pooling, convolution or padding window is larger than its input"
    triggers = (
        Trigger(r"Given input size: \((?P<input>[\dx]+)\)\. Calculated output size: \([-\dx]+\)\. Output size is too small"),
        Trigger(
            r"Calculated padded input size per channel: \((?P<padded>[\d x]+)\)\. "
            r"Kernel size: \((?P<kernel>[\d x]+)\)\. Kernel size can't be greater"
        ),
        Trigger(r"max_pool1d\(\) Invalid computed output size: (?P<output>-?\d+)"),
        Trigger(r"pool (?:height|width|time) (?P<large>\d+) too large relative to input"),
        Trigger(
            r"Padding size should be less than the corresponding input dimension, "
            r"but got: padding \((?P<pads>[\d, ]+)\) at dimension (?P<dim>\d+)"
        ),
        Trigger(
            r"pad(?:ding)? should be (?:at most|smaller than) half of (?:effective )?kernel size"
            r"(?:, but got pad=(?P<pad>\d+), kernel_size=(?P<size>\d+))?"
        ),
        Trigger(r"maximum size for tensor at dimension (?P<unfolded>\d+) is (?P<has>\d+) but size is (?P<wants>\d+)"),
    )
    rank = 1

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        told = match.groupdict()
        if "pad" in told:
            return self._half(run, told)
        x = run.tensor("input", "self")
        who = (
            f"{named(run, run.layer)}"
            if run.layer is not None
            else code(run.sources.segment(run.raised) or (run.op.name if run.op else "the call"))
        )
        if x is None or x.shape is None:
            has, kernel = (
                told.get("input") or told.get("padded") or told.get("has") or "?",
                told.get("kernel") or told.get("wants") or told.get("pads"),
            )
            what = f"a window of {kernel}" if kernel else "the window"
            return run.diagnosis(self, f"{called_in_line(run) or 'the layer'}: {what} is larger than its input of {has}", None)
        window, axis, count = self._window(run, x, told)
        dim = x.rank - count + axis if "unfolded" not in told else int(told["unfolded"])
        if not 0 <= dim < x.rank:
            return None
        size = x.shape[dim]
        maps = "x".join(map(str, x.shape[x.rank - count :]))
        what = f"maps of {maps}" if count > 1 else f"a length of {size}"
        kind = "padding" if "pads" in told else "kernel"
        headline = f"{self._short(who, run)} has a {kind} of {window} but gets {what}"
        way = shrinking(run, x, dim)
        notes = [tensor_account(run, x, run.name_or_empty("input"))]
        notes += [f"on its way it became {way.text}" if len(way.sizes) > 1 else ""]
        notes += [self._built(run, run.layer, kind)]
        cause, because, fixes = self._blame(run, x, dim, window, axis, count, way, notes, kind)
        return run.diagnosis(self, headline, cause, because, trail=run.trail(x, Size(dim)), notes=notes, fixes=fixes)

    def _short(self, who: str, run: Reading) -> str:
        return who if len(who) < 40 else code(run.op.name) if run.op is not None else "the layer"

    def _built(self, run: Reading, layer: ModuleFacts | None, kind: str) -> str:
        if layer is None:
            return ""
        return setting_account(run, layer, *(("padding",) if kind == "padding" else ("kernel_size", "stride", "padding")))

    def _window(self, run: Reading, x: TensorFacts, told: dict[str, str | None]) -> tuple[int, int, int]:
        """The window's size, the spatial axis in which it does not fit, and how many spatial axes there are."""
        name = run.op.name if run.op is not None else run.layer.kind if run.layer is not None else ""
        digit = re.search(r"[123](?=d)", name)
        if told.get("pads") and x.shape is not None:
            pads = [int(n) for n in (told["pads"] or "").split(",")]
            dim = min(int(told["dim"] or x.rank - 1), x.rank - 1)
            return max(pads), 0, x.rank - dim
        if told.get("wants"):
            return int(told["wants"] or 0), 0, 1
        count = int(digit[0]) if digit else max(1, x.rank - 2)
        largest = 0
        for axis in range(count):
            window = window_of(run.op, axis, count) if run.op is not None else None
            if window is None:
                kernels = [int(n) for n in re.findall(r"\d+", told.get("kernel") or "")] or list(self._settings(run, "kernel_size") or (1,))
                window = (kernels[axis] if len(kernels) == count else kernels[0], 1, 0, 1)
            size, _, padding, dilation = window
            largest = max(largest, size)
            if x.shape is not None and dilation * (size - 1) + 1 > x.shape[x.rank - count + axis] + 2 * padding:
                return dilation * (size - 1) + 1, axis, count
        return largest, 0, count

    def _settings(self, run: Reading, name: str) -> tuple[int, ...] | None:
        return numbers(run.layer.setting(name)) if run.layer is not None else None

    def _blame(
        self, run: Reading, x: TensorFacts, dim: int, window: int, axis: int, count: int, way: Shrinking, notes: list[str], kind: str
    ) -> tuple[Cause | Span, str, list[Fix]]:
        """What came in, where that was made smaller on the way or is smaller than before; else the window."""
        fixes = self._pooling_fixes(run, window, x, count)
        given = run.span_of("input", "self") or run.written_at(x)
        if kind == "kernel" and given is not None and (made := padded(run, given, window, count)):
            fixes.append(Fix("fill the input with zeros where it is smaller than the window", made, changes="zeros in short inputs"))
        first = way.sizes[0]
        padding = (window_of(run.op, axis, count) or (0, 0, 0, 0))[2] if run.op is not None and kind == "kernel" else 0
        least = way.least(window - 2 * padding if kind == "kernel" else window + 1, axis, count)
        size = run.cause(way.root, first) if way.root.how in ("created", "op") and way.root.op is not None else None
        literal = size is not None and size.origins and size.origins[-1].form == "literal" and size.origins[-1].value == first
        if least is not None and least > first:
            notes.append(f"the least size that fits is {least}, here it is {first}")
            if size is not None and literal:
                fixes.append(
                    Fix(
                        f"make {first} at {place(size.span)} {least}",
                        edits.replace_text(size.span, str(least)),
                        changes="the data is larger",
                    )
                )
        before = run.earlier_input(x)
        if before is not None and before.shape and x.shape and before.rank == x.rank and before.shape[dim] > x.shape[dim]:
            notes.append(f"in earlier calls it got {shape_text(before.shape)}")
            return parted(run, x, before) or run.raised, f"gives {first}", fixes
        if len(way.sizes) > 1 or run.layer is None and size is not None and literal:
            if size is not None and size.origins:
                return size, f"gives {first}", fixes
            if way.root.op is not None:
                return data_origin(run, way.root.op) or run.raised, f"gives {first}", fixes
        if run.layer is not None:
            setting = "padding" if kind == "padding" else "kernel_size"
            return argument_cause(run, run.layer, setting), f"{setting} is {window}", fixes
        return run.span_of("kernel_size") or run.raised, f"needs {window}", fixes

    def _pooling_fixes(self, run: Reading, window: int, x: TensorFacts, count: int) -> list[Fix]:
        """A functional average or maximum over a whole map: the adaptive one takes every size."""
        name = run.op.name if run.op is not None else ""
        call = run.sources.call_at(run.raised)
        span = callee(run.sources, run.raised)
        source = run.sources.file(run.raised.file)
        if (
            run.layer is not None
            or not re.fullmatch(r"(avg|max)_pool[123]d", name)
            or call is None
            or span is None
            or source is None
            or window < 4
        ):
            return []
        kernel = next((k.value for k in call.keywords if k.arg == "kernel_size"), call.args[1] if len(call.args) == 2 else None)
        if kernel is None or len(call.args) + len(call.keywords) != 2:
            return []
        written = source.span(kernel)
        keyword = edits.replace_argument(run.sources, run.raised, "kernel_size", "1") if call.keywords else edits.replace_text(written, "1")
        return (
            [Fix(f"pool maps of every size: {code(f'adaptive_{name}')}", (*edits.replace_text(span, f"adaptive_{name}"), *keyword))]
            if not call.keywords
            else []
        )

    def _half(self, run: Reading, told: dict[str, str | None]) -> Diagnosis:
        """The padding is larger than half of the kernel: both are in the same call."""
        layer = run.layer
        padding, kernel = told.get("pad") or "?", told.get("size") or "?"
        who = named(run, layer) if layer is not None else code(run.op.name if run.op is not None else "the pooling")
        headline = f"{who} has padding {padding}, more than half of its kernel of {kernel}"
        if layer is None:
            return run.diagnosis(self, headline, run.span_of("padding") or run.raised, f"padding is {padding}")
        cause = argument_cause(run, layer, "padding")
        largest = str(int(kernel) // 2) if kernel.isdigit() else ""
        fixes = (
            [Fix(f"pad by {largest}", edits.set_value(run.sources, cause.span, largest), changes="the output has another size")]
            if largest
            else []
        )
        return run.diagnosis(
            self,
            headline,
            cause,
            f"padding is {padding}",
            notes=[setting_account(run, layer, "padding", "kernel_size")],
            fixes=fixes,
            confidence=Confidence.CERTAIN,
        )

    examples = (
        Example(
            {
                "train.py": """\
import torch
from torch import nn


def stages(count):
    layers, channels = [], 3
    for _ in range(count):
        layers += [nn.Conv2d(channels, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        channels = 8
    return nn.Sequential(*layers)


SIZE = 12  #~ cause
net = stages(4)
net(torch.rand(2, 3, SIZE, SIZE)).sum().backward()
"""
            },
            says=("net.11", "kernel of 2", "12 → 6 → 3 → 1", "16"),
            becomes="SIZE = 16",
        ),
        Example(
            {
                "main.py": """\
import torch
from model import Words

words = Words(vocabulary=40)
for length in (9, 6, 3):  #~ cause
    words(torch.randint(0, 40, (2, length)))
""",
                "model.py": """\
import torch
from torch import nn


class Words(nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, 10)
        self.filters = nn.ModuleList(nn.Conv1d(10, 4, width) for width in (2, 4))

    def forward(self, ids):
        e = self.embed(ids).transpose(1, 2)
        return torch.cat([f(e).amax(2) for f in self.filters], 1)
""",
            },
            says=("words.filters.1", "kernel of 4", "length of 3", "in earlier calls"),
        ),
    )
    near_misses = (
        NearMiss({"train.py": "import torch\nprint(torch.nn.MaxPool2d(2, ceil_mode=True)(torch.rand(1, 1, 3, 3)).shape)\n"}),
        NearMiss({"train.py": "import torch\nprint(torch.nn.functional.adaptive_avg_pool2d(torch.rand(1, 1, 2, 2), 1).shape)\n"}),
    )
