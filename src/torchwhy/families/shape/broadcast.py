"""Two tensors meet in one elementwise operation, and their shapes do not broadcast.

Erroneous code (TW0110):

{example}

Why: elementwise operations lay the shapes on each other from the right. Two sizes go together when they are equal or when one of them
is 1. A shape with fewer dimensions gets ones on its left, never on its right: `[32]` goes with `[10, 32]`, not with `[32, 10]`.

Fix: change the side whose size is wrong (a table built for a shorter sequence, a convolution without padding in a residual block, the
head's number of outputs), or put the missing dimension of size 1 in its place: `keepdim=True` in a reduction, `x[:, None]`.

Messages: `The size of tensor a (30) must match the size of tensor b (28) at non-singleton dimension 3` · `The expanded size of the tensor
(5) must match the existing size (6) at non-singleton dimension 1` · `output with shape [1, 28, 28] doesn't match the broadcast shape
[3, 28, 28]` · `shape mismatch: value tensor of shape [6] cannot be broadcast to indexing result of shape [5]`; before torch 0.4:
`inconsistent tensor size`.

Not to be confused with: `shape.batch-mismatch`, where a loss gets another number of predictions than targets.
"""

from __future__ import annotations

import ast
import re
from dataclasses import replace

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, Label, OpRecord, TensorFacts
from ...reason import edits
from ...reason.batches import remainder_of
from ...reason.broadcasting import LOOKUPS, REDUCTIONS, Clash, Misplaced, clash, lost_rank, misplaced
from ...reason.conflict import conflict, size_fixes
from ...reason.layer_edits import resized_like
from ...reason.provenance import Size
from ...reason.reading import Reading, reading
from ...reason.wording import code, first_fitting, grouped, place, shape_text, tensor_text

_SIZES = r"The size of tensor a \((?P<a>\d+)\) must match the size of tensor b \((?P<b>\d+)\) at non-singleton dimension (?P<dim>\d+)"


class Broadcast(Family):
    code = "TW0110"
    title = "two shapes that do not broadcast"
    triggers = (
        Trigger(_SIZES),
        Trigger(
            r"The expanded size of the tensor \((?P<a>\d+)\) must match the existing size \((?P<b>\d+)\)"
            r" at non-singleton dimension (?P<dim>\d+)"
        ),
        Trigger(r"output with shape (?P<a>\[.*?\]) doesn't match the broadcast shape (?P<b>\[.*?\])"),
        Trigger(
            r"shape mismatch: .{0,400}? of shape (?P<b>\[[^\]]{0,400}\]),? cannot be broadcast to indexing result of shape (?P<a>\[[^\]]{0,400}\])"
        ),
        Trigger(r"[Ss]hape mismatch: .*could(n't| not) be broadcast|inconsistent tensor size|shape mismatch: objects cannot be broadcast"),
        Trigger(
            r"The number of sizes provided \((?P<a>\d+)\) must be greater or equal to the number of dimensions in the tensor \((?P<b>\d+)\)"
        ),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        if run.op is not None and run.op.name == "setitem" and match[0].startswith("The expanded"):
            return self._into_a_slice(run, run.op, int(match["a"]), int(match["b"]), int(match["dim"]))
        found = clash(run.tensors, in_place=match[0].startswith("output with"))
        if found is None:
            return self._from_text(run, match)
        a, b = (tensor.shape[found.dim] for _, tensor in (found.left, found.right) if tensor.shape)
        where = f"in dimension {max(found.left[1].rank, found.right[1].rank) + found.dim}"
        headline = first_fitting(
            f"{code(found.left[0])} has {a} {where}, {code(found.right[0])} has {b}: no broadcast",
            f"{shape_text(found.left[1].shape)} and {shape_text(found.right[1].shape)} do not broadcast: {a} and {b} meet",
            f"sizes {a} and {b} meet {where} and do not broadcast",
        )
        clashing = conflict(run, [(name, tensor, found.dim) for name, tensor in (found.left, found.right)])
        lying = misplaced(found) if clashing.blame.reason != "otherwise" else None
        if lying is not None and (answer := self._missing_dimension(run, headline, lying)) is not None:
            return answer
        notes = [*clashing.notes, self._transposed(found)]
        fixes = size_fixes(run, clashing)
        if clashing.side.decision.how == "created" and self._others_clash(found):  # no one number mends it
            fixes = [replace(fix, edits=(), applicability="display-only") for fix in fixes]
        if not any(fix.edits for fix in fixes):
            fixes = [*self._scaled(run, found), *fixes]
        return run.diagnosis(
            self, headline, clashing.cause, clashing.because, trail=clashing.trail, notes=notes, fixes=fixes, confidence=Confidence.LIKELY
        )

    def _scaled(self, run: Reading, found: Clash) -> list[Fix]:
        """The smaller maps in the larger ones' height and width."""
        small, large = sorted((found.left[1], found.right[1]), key=lambda t: t.numel)
        places = [next((o.span for o in run.operands if o.span is not None and o.value == t), None) for t in (small, large)]
        if small.rank != large.rank or small.rank != 4 or (small.shape or ())[:2] != (large.shape or ())[:2] or None in places:
            return []
        made = resized_like(run, places[0], places[1], 4) if places[0] is not None and places[1] is not None else ()
        return [Fix("bring the smaller maps to the size of the larger: `F.interpolate(…, size=…)`", made, changes="the maps are scaled")]

    def _into_a_slice(self, run: Reading, op: OpRecord, takes: int, gets: int, dim: int) -> Diagnosis:
        """`buffer[:, a:b] = value`: the slice and the value are not of one size."""
        statement = run.sources.statement_at(run.raised.file, run.raised.line)
        written = isinstance(statement, ast.Assign) and len(statement.targets) == 1
        source = run.sources.file(run.raised.file)
        target, value = (
            (source.segment(statement.targets[0]), source.segment(statement.value))
            if written and source is not None and isinstance(statement, ast.Assign)
            else ("the slice", "the value")
        )
        given = op.argument("value")
        tensor = given if isinstance(given, TensorFacts) else None
        headline = first_fitting(
            f"{code(value)} has {gets} in dimension {dim}, {code(target)} takes {takes}",
            f"{gets} values in dimension {dim} do not fit a slice of {takes}",
        )
        last = remainder_of(run.evidence, takes, gets)
        notes = [
            f"{code(value)} is {tensor_text(tensor)}" if tensor is not None else "",
            f"{code(target)} is {takes} long in dimension {dim}",
        ]
        fixes = [Fix(f"make the slice as long as what is written to it, {gets}")]
        if last is not None and gets == last.rows:
            built = last.loader.built[0] if last.loader.built else None
            notes.append(
                f"the last batch has {last.rows} of {last.size} samples: the loader built at {place(built)} keeps it (no drop_last)"
            )
            dropped = edits.set_keyword(run.sources, built, "drop_last", "True") if built is not None else ()
            fixes.append(
                Fix("leave the smaller last batch out: drop_last=True", dropped, changes=f"{last.rows} samples of an epoch not used")
            )
        trail = run.trail(tensor, Size(dim)) if tensor is not None else ()
        return run.diagnosis(self, headline, run.raised, f"a slice of {takes}", trail=trail, notes=notes, fixes=fixes)

    def _others_clash(self, found: Clash) -> bool:
        """Whether the shapes differ in more dimensions than the one that torch names."""
        a, b = (tuple(reversed(tensor.shape or ())) for _, tensor in (found.left, found.right))
        return sum(x != y and 1 not in (x, y) for x, y in zip(a, b)) > 1

    def _missing_dimension(self, run: Reading, headline: str, lying: Misplaced) -> Diagnosis | None:
        name, tensor = lying.small
        op = lost_rank(run.evidence, tensor, run.before)
        operand = next((o for o in run.operands if o.value == tensor), None)
        at = operand.span if operand is not None else None
        span = op.span if op is not None and op.span is not None else at or run.raised
        if at is not None and op is not None and op.name in LOOKUPS and span.function != run.raised.function:
            span = at  # a helper that looks up a number for each index is right for its other callers
        notes = [
            f"{code(lying.large[0])} is {tensor_text(lying.large[1])}, {code(name)} is {tensor_text(tensor)};"
            " shapes are laid on each other from the right",
        ]
        fixes = []
        if op is not None and op.name in REDUCTIONS and op.span is not None:
            notes.append(
                f"{code(run.sources.segment(op.span))} ({place(op.span)}) drops the dimension it reduces; keepdim=True keeps it as 1"
            )
            fixes.append(Fix("keep the reduced dimension as 1", edits.set_keyword(run.sources, op.span, "keepdim", "True"), "safe"))
            because = f"{op.name} drops a dimension: {shape_text(op.inputs[0].shape)} → {shape_text(tensor.shape)}"
        else:
            because = f"{shape_text(tensor.shape)} needs to be {shape_text(lying.shape)}"
            if op is not None and op.span is not None:
                notes.append(f"{code(run.sources.segment(op.span))} ({place(op.span)}) gave it the shape {shape_text(op.outputs[0].shape)}")
        notes.append(
            f"with {code(grouped(name) + lying.index)} (unsqueeze) it is {shape_text(lying.shape)}"
            f" and broadcasts over {shape_text(lying.large[1].shape)}"
        )
        if at is not None:
            fixes.append(
                Fix(
                    f"give it the missing dimensions of size 1: {shape_text(lying.shape)}",
                    edits.append_method(run.sources, at, lying.index),
                )
            )
        trail = [
            *([Label(op.span, tensor_text(op.outputs[0]))] if op is not None and op.span is not None else []),
            Label(run.raised, "raised here"),
        ]
        return run.diagnosis(self, headline, span, because[:60], trail=trail, notes=notes, fixes=fixes)

    def _transposed(self, found: Clash) -> str:
        left, right = found.left[1].shape or (), found.right[1].shape or ()
        if left != right and sorted(left) == sorted(right):
            return f"{shape_text(left)} and {shape_text(right)} hold the same sizes in another order: one of them is transposed"
        return ""

    def _from_text(self, run: Reading, match: re.Match[str]) -> Diagnosis:
        a, b = match.groupdict().get("a"), match.groupdict().get("b")
        written = [code(e.text) for e in run.sources.operands(run.raised)][:3]
        headline = f"{a} and {b} do not broadcast" if a and b else "two shapes do not broadcast"
        if match.groupdict().get("dim"):
            headline = f"sizes {a} and {b} meet in dimension {match['dim']} and do not broadcast"
        note = f"the operands are {' and '.join(written)}" if written else ""
        return run.diagnosis(self, headline, None, "the two sizes meet here", notes=[note])

    examples = (
        Example(
            {
                "train.py": """\
import torch
from torch import nn


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.mix = nn.Conv2d(width, width, kernel_size=3)  #~ cause
        self.act = nn.GELU()

    def forward(self, x):
        return x + self.act(self.mix(x))


net = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), Residual(12), Residual(12))
out = net(torch.rand(2, 3, 30, 30))
print(out.shape)
""",
            },
            says=(
                "`x`",
                "30",
                "28",
                "net.1.mix",
                "padding",
            ),
            becomes="self.mix = nn.Conv2d(width, width, kernel_size=3, padding=1)",
        ),
        Example(
            {
                "train.py": """\
import torch
from config import cfg
from encoder import Encoder

torch.manual_seed(0)
model = Encoder(cfg)
tokens = torch.randint(0, 100, (8, cfg.seq_len))
print(model(tokens).shape)
""",
                "config.py": """\
from dataclasses import dataclass


@dataclass
class Config:
    dim: int = 32
    seq_len: int = 64
    max_len: int = 48  #~ cause


cfg = Config()
""",
                "encoder.py": """\
import torch
from torch import nn


class Encoder(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.tok = nn.Embedding(100, cfg.dim)
        self.pos_table = nn.Parameter(torch.zeros(1, cfg.max_len, cfg.dim))
        self.layer = nn.TransformerEncoderLayer(cfg.dim, 4, batch_first=True)

    def forward(self, tokens):
        x = self.tok(tokens)
        x = x + self.pos_table
        return self.layer(x)
""",
            },
            says=(
                "model.pos_table",
                "48",
                "64",
                "max_len",
            ),
            becomes="max_len: int = 64",
        ),
        Example(
            {
                "train.py": """\
import torch


def unit_rows(table):
    norms = table.norm(dim=1)  #~ cause
    return table / norms


rows = torch.rand(6, 10)
print(unit_rows(rows).shape)
""",
            },
            says=(
                "`norms`",
                "[6, 10]",
                "keepdim",
            ),
            becomes="norms = table.norm(dim=1, keepdim=True)",
        ),
    )
    near_misses = (
        NearMiss(
            {
                "train.py": """\
import torch

print((torch.rand(6, 1) * torch.rand(1, 4) - torch.rand(4)).shape)
"""
            }
        ),
        NearMiss(
            {
                "train.py": """\
import torch
from torch import nn

nn.Linear(6, 2)(torch.rand(3, 5))
"""
            },
            belongs_to="shape.linear",
        ),
    )
