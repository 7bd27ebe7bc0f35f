"""`view` is called on a tensor whose values do not lie in memory in the order that the new shape needs.

Erroneous code (TW0114):

{example}

Why: `view` never copies. After `transpose`, `permute`, `.t()` or a slice such as `x[:, :-1]` a tensor is not contiguous: neighbours in the
new shape are not neighbours in memory, so no strides describe it.

Fix: `reshape`, which copies where it has to, or `.contiguous()` before `view`.

Messages: `view size is not compatible with input tensor's size and stride (at least one dimension spans across two contiguous subspaces).
Use .reshape(...) instead.`; before torch 1.1: `Call .contiguous() before .view()` and `input is not contiguous`.

Not to be confused with: `shape.view-numel`, where the numbers of values differ.
"""

from __future__ import annotations

import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, Label, OpRecord, TensorFacts
from ...reason import edits
from ...reason.reading import Reading, reading
from ...reason.shape_edits import other_function
from ...reason.wording import code, first_fitting, place, shape_text, tensor_text


class ViewStride(Family):
    code = "TW0114"
    title = "view on a tensor that is not contiguous"
    triggers = (
        Trigger(r"view size is not compatible with input tensor's size and stride"),
        Trigger(r"Call \.contiguous\(\) before \.view\(\)|(input|tensor) is not contiguous"),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        x = run.tensor("input", "self")
        name = (run.name("input", "self") if x is not None else "") or self._receiver(run)
        span = run.op.span if run.op is not None and run.op.span is not None else run.raised
        fixes = [
            Fix("use reshape, which copies where it must", other_function(run.sources, span, "reshape"), "safe"),
            Fix("make the tensor contiguous first", self._contiguous(run, span), "safe"),
        ]
        if x is None:
            note = "`view` needs values that lie in order in memory; `reshape` or `.contiguous()` copies them into order"
            headline = first_fitting(
                f"{code(name)} is not contiguous, `view` can't regroup it", "`view` of a tensor that is not contiguous"
            )
            return run.diagnosis(self, headline, span, "view of a tensor that is not contiguous", notes=[note], fixes=fixes)
        maker = self._maker(run, x)
        by = f" after `{maker.name}`" if maker is not None else ""
        headline = first_fitting(
            f"{code(name)} {shape_text(x.shape)} is not contiguous{by}: `view` can't regroup it",
            f"`view` of a tensor that is not contiguous{by}",
        )
        notes = [f"{code(name)} is {tensor_text(x)} with strides {shape_text(x.stride)}: its values do not lie in order in memory"]
        trail = []
        if maker is not None and maker.span is not None:
            notes.append(f"{code(run.sources.segment(maker.span))} ({place(maker.span)}) moved its dimensions without moving the values")
            trail.append(Label(maker.span, f"{tensor_text(maker.outputs[0])}, strides {shape_text(maker.outputs[0].stride)}"))
        notes.append("`reshape` copies where `view` can't; `.contiguous()` makes such a copy first")
        trail.append(Label(run.raised, "raised here"))
        because = f"{name} is not contiguous{by.replace('`', '')}"[:60]
        return run.diagnosis(self, headline, span, because, trail=trail, notes=notes, fixes=fixes, confidence=Confidence.CERTAIN)

    def _maker(self, run: Reading, x: TensorFacts) -> OpRecord | None:
        """The op that made it so."""
        decision = run.decided(x, "layout")
        return decision.op if decision.how == "op" else None

    def _contiguous(self, run: Reading, span: object) -> edits.Edits:
        written = run.sources.operands(run.raised, "view")
        return edits.append_method(run.sources, written[0].span, ".contiguous()") if written else ()

    def _receiver(self, run: Reading) -> str:
        written = run.sources.operands(run.raised, "view")
        return written[0].text if written else "the tensor"

    examples = (
        Example(
            {
                "train.py": """\
import torch
from torch import nn


class Merge(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.proj = nn.Linear(dim, dim)

    def forward(self, x):
        b, h, t, d = x.shape
        merged = x.transpose(1, 2)
        return self.proj(merged.view(b, t, h * d))  #~ cause


print(Merge(24, 4)(torch.rand(2, 4, 5, 6)).shape)
""",
            },
            says=(
                "`merged`",
                "transpose",
                "contiguous",
                "reshape",
            ),
            becomes="return self.proj(merged.reshape(b, t, h * d))",
        ),
        Example(
            {
                "train.py": """\
import torch


def accuracy(output, target, topk=(1, 3)):
    maxk = max(topk)
    _, pred = output.topk(maxk, 1, True, True)
    pred = pred.t()
    correct = pred.eq(target.view(1, -1).expand_as(pred))
    return [correct[:k].view(-1).float().sum() / target.size(0) for k in topk]  #~ cause


print(accuracy(torch.rand(6, 5), torch.randint(0, 5, (6,))))
""",
            },
            says=(
                "correct[:k]",
                "pred.t()",
                "reshape",
            ),
            becomes="return [correct[:k].reshape(-1).float().sum() / target.size(0) for k in topk]",
        ),
    )
    near_misses = (
        NearMiss(
            {
                "train.py": """\
import torch

x = torch.rand(2, 3, 4).transpose(1, 2)
print(x.reshape(2, -1).shape, x.contiguous().view(-1).shape)
"""
            }
        ),
        NearMiss(
            {
                "train.py": """\
import torch

print(torch.rand(4, 3).t().view(5, 2))
"""
            },
            belongs_to="shape.view-numel",
        ),
    )
