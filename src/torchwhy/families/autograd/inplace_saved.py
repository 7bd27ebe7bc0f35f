"""A tensor that backward needs was overwritten between forward and backward.

Erroneous code (TW0402):

```python
{example}
```

Why: to compute gradients an operation keeps tensors from the forward pass: its inputs (`mul`, `matmul`, a layer's weight) or its result
(`exp`, `sigmoid`, `tanh`, `relu`, `softmax`). An in-place write (`+=`, `x[i] = …`, a method that ends in `_`, `inplace=True`, `out=`, an
optimizer's step) puts other numbers in the same memory. Each write raises the tensor's version counter, and backward compares it with the
one it kept. An in-place write to a tensor that nothing keeps is allowed.

Fix: write to a new tensor (`x = x + y`), leave `inplace=True` out, write into a `clone()`; or change parameters only after the backward
that needs their old values, and compute a second loss from the new ones.

Messages: `one of the variables needed for gradient computation has been modified by an inplace operation: [torch.FloatTensor [4, 8]], which is
output 0 of ReluBackward0, is at version 1; expected version 0 instead.`

Not to be confused with: `autograd.inplace-leaf` and `autograd.inplace-view`, which are raised at the write itself.
"""

from __future__ import annotations

import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Label
from ...reason.graph import Overwritten, overwritten
from ...reason.reading import Reading, named, reading
from ...reason.wording import code, fitting, place, plural, shape_text
from ...reason.writes import Written, in_order, is_update, saved_name, without_writing, written


class InplaceSaved(Family):
    code = "TW0402"
    title = "a tensor that backward needs was overwritten in place"
    triggers = (
        Trigger(
            r"one of the variables needed for gradient computation has been modified by an inplace operation"
            r"(?:: \[(?P<kind>[\w.]+) \[(?P<shape>[\d, ]*)\]\])?(?:, which is output \d+ of (?P<maker>\w+),)?"
            r"(?:.*?is at version (?P<current>\d+); expected version (?P<expected>\d+))?"
        ),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        shape = tuple(int(n) for n in match["shape"].split(",") if n.strip()) if match["shape"] is not None else None
        versions = (int(match["current"]), int(match["expected"])) if match["current"] else None
        found = overwritten(evidence, shape, versions) or overwritten(evidence, shape)
        told = f"it is at version {versions[0]}, backward needs version {versions[1]}" if versions else ""
        what = f"{_maker(match)}{shape_text(shape)}" if shape is not None else "a tensor"
        if found is None or not found.writes:
            saver = (
                f"{code(found.saver.name)} at {place(found.saver.span)} saved it" if found is not None and found.saver is not None else ""
            )
            headline = f"a saved tensor {what} was overwritten before its backward"
            return run.diagnosis(
                self,
                fitting(headline, "a saved tensor was overwritten before its backward"),
                None,
                notes=(saver, told, "the write itself was not recorded"),
            )
        write = written(run, found.writes[0])
        called = _called(run, found, write) or f"a tensor {what}"
        saver = found.saver.name if found.saver is not None else found.node.name.rstrip("0").removesuffix("Backward")
        headline = fitting(
            f"{called}, saved for the backward of {code(saver)}, is overwritten by {write.by}",
            f"{called}, which backward needs, is overwritten by {write.by}",
            f"{called}, which backward needs, is overwritten",
            f"a tensor that backward needs is overwritten by {write.by}",
            "a tensor that backward needs is overwritten in place",
        )
        saved_at = found.saver.span if found.saver is not None else None
        trail = [Label(saved_at, f"{code(saver)} saves {called} {shape_text(found.saved.shape)} for backward")] if saved_at else []
        trail += [Label(write.op.span, "overwritten here")] if write.op.span is not None and write.op.span != write.cause.span else []
        fixes = in_order(run, found, write) if is_update(run, write.op) else (without_writing(run, write, found),)
        return run.diagnosis(
            self,
            headline,
            write.cause,
            _because(write),
            trail=(*trail, Label(run.raised, "raised here")),
            notes=(_saves(found, saver, called, saved_at), told, *_about(run, write, found)),
            fixes=[fix for fix in fixes if fix is not None],
            confidence=Confidence.CERTAIN,
        )

    examples = (
        Example(
            {
                "gate.py": """\
import torch
from torch import nn


class Gate(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.inner = nn.Linear(width, width)

    def forward(self, x):
        gate = torch.sigmoid(self.inner(x))
        out = x * gate
        gate *= 0.5  #~ cause
        return out + gate


Gate(4)(torch.randn(2, 4)).sum().backward()
"""
            },
            says=("`gate`", "`sigmoid`", "[2, 4]", "version 1", "in place"),
            becomes="gate = gate * 0.5",
        ),
        Example(
            {
                "train.py": """\
import torch
from blocks import block

torch.manual_seed(0)
net = torch.nn.Sequential(*[block(4) for _ in range(2)], torch.nn.Linear(4, 1))
net(torch.randn(2, 4)).sum().backward()
""",
                "blocks.py": """\
from torch import nn


def block(width, squash=nn.Tanh):
    return nn.Sequential(nn.Linear(width, width), squash(), nn.LeakyReLU(0.2, inplace=True))  #~ cause
""",
            },
            says=("`tanh`", "inplace=True", "LeakyReLU", "net.1.2"),
            becomes="return nn.Sequential(nn.Linear(width, width), squash(), nn.LeakyReLU(0.2))",
        ),
        Example(
            {
                "gan.py": """\
import torch
from torch import nn

torch.manual_seed(0)
maker, judge = nn.Linear(4, 3), nn.Linear(3, 1)
maker_steps = torch.optim.Adam(maker.parameters())
judge_steps = torch.optim.Adam(judge.parameters())
for real in torch.randn(2, 6, 3):
    fake = maker(torch.randn(6, 4))
    judge_loss = judge(fake.detach()).mean() - judge(real).mean()
    maker_loss = -judge(fake).mean()
    judge_steps.zero_grad()
    judge_loss.backward()
    judge_steps.step()  #~ cause
    maker_steps.zero_grad()
    maker_loss.backward()
    maker_steps.step()
"""
            },
            says=("`judge.weight`", "`Adam.step`", "`linear`", "between forward and backward"),
        ),
    )
    near_misses = (
        NearMiss(
            {"add.py": "import torch\n\nx = torch.ones(3, requires_grad=True)\ny = x * 2\ny.add_(x)\ny.sum().backward()\nprint(x.grad)\n"}
        ),
        NearMiss({"copy.py": "import torch\n\nx = torch.ones(3, requires_grad=True)\ny = x.clone()\ny += 1\ny.exp().sum().backward()\n"}),
        NearMiss(
            {"leaf.py": "import torch\n\nx = torch.ones(3, requires_grad=True)\ny = x.exp()\nx += 1\n"}, belongs_to="autograd.inplace-leaf"
        ),
    )


def _called(run: Reading, found: Overwritten, write: Written) -> str:
    """The program's name for what was saved; for a layer's own result or input, the layer's."""
    if name := saved_name(run, found) or ("" if write.module is not None else write.target):
        return code(name)
    layer = run.history.module(found.saver.module) if found.saver is not None else None
    part = "output" if found.saved.name.startswith(("result", "output")) else "input"
    return f"the {part} of {named(run, layer)}" if layer is not None and layer.defined is None else ""


def _maker(match: re.Match[str]) -> str:
    return f"from {code(match['maker'].rstrip('0').removesuffix('Backward'))} " if match["maker"] else ""


def _because(write: Written) -> str:
    if write.module is not None:
        return (
            f"`{write.setting}` makes it write into its input" if write.setting == "inplace" else "`max_norm` rescales the weight in place"
        )
    return "changes the parameters in place" if write.op.name == "optimizer.step" else "writes in place"


def _saves(found: Overwritten, saver: str, called: str, at: object) -> str:
    part = "result" if found.saved.name in ("result", "output", "result0", "result1") else "input"
    where = f" at {place(found.saver.span)}" if found.saver is not None else ""
    what = f"its {part} {called}" if called.startswith("`") else called
    return f"{code(saver)}{where} saved {what}, shape {shape_text(found.saved.shape)}, for its backward"


def _about(run: Reading, write: Written, found: Overwritten) -> tuple[str, ...]:
    op = write.op
    if op.name == "optimizer.step":
        names = [run.history.names.get(w.tensor, "") for w in op.writes]
        shown = [code(n) for n in names if n][:4]
        changed = ", ".join(shown) or plural(len(names), "parameter")
        rest = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
        return (f"`{op.qualname}.step` at {place(op.span)} changed {changed}{rest}, between forward and backward",)
    if write.module is not None:
        return (f"{write.by} is a `{write.module.kind}` built with `{write.setting}={_setting(write)}` at {place(write.cause.span)}",)
    others = sorted({place(o.span) for o in found.writes[1:] if o.span is not None and o.span.line != (op.span.line if op.span else 0)})
    line = f"{code(run.sources.segment(op.span))} at {place(op.span)} writes into the same memory, in place" if op.span is not None else ""
    return (line, f"it is written again at {', '.join(others)}" if others else "")


def _setting(write: Written) -> str:
    value = write.module.setting(write.setting) if write.module is not None else None
    return getattr(value, "text", "?")
