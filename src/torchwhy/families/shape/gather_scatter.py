"""The index of a gather or scatter does not go with the tensor: its shape, or a value beyond the dimension.

Erroneous code (TW0118):

{example}

Why: `x.gather(dim, index)` picks along one dimension: `index` needs as many dimensions as `x`, no other dimension may be larger than that
of `x` (for scatter: nor than that of `src`), and its values lie in 0 to size - 1 of `dim`. An index of shape [N] for scores [N, C] lacks a
dimension; labels and node numbers may exceed the number of columns or nodes.

Fix: give the index the missing dimension, `index.unsqueeze(1)`; make the output as large as the largest index needs; mask padding labels
such as -1 or 255 before scattering.

Messages: `Index tensor must have the same number of dimensions as input tensor` · `Size does not match at dimension 0 expected index
[8, 2] to be no larger than self [5, 10] apart from dimension 1` · `index 12 is out of bounds for dimension 1 with size 10`; before torch
1.6: `Invalid index in gather`, `Invalid index in scatter`.

Not to be confused with: `shape.index-range`, indexing with brackets.
"""

from __future__ import annotations

import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Diagnosis, Evidence, Fix, OpRecord, TensorFacts
from ...reason import edits
from ...reason.accounts import size_account, tensor_account
from ...reason.broadcasting import lost_rank, placements
from ...reason.conflict import conflict
from ...reason.history import number
from ...reason.ranges import beyond_told, enlarged, index_cause, maker_told, outlier, position_told, read_as_written
from ...reason.reading import Reading, reading
from ...reason.wording import code, first_fitting, place, plural, shape_text

_OPS = ("gather", "scatter", "index_add", "index_copy", "take_along", "index_fill", "index_reduce", "put_along")


class GatherScatter(Family):
    code = "TW0118"
    title = "an index that does not go with its gather or scatter"
    triggers = (
        Trigger(
            r"[Ii]ndex tensor must have the same number of dimensions as"
            r"|Index tensor must be (either )?empty or have same number of dimensions"
        ),
        Trigger(
            r"[Ee]xpected index (?P<index>\[.*?\]) to be (no larger|smaller) than self (?P<self>\[.*?\])"
            r"( apart from dimension (?P<dim>\d+))?"
        ),
        Trigger(r"index (?P<value>-?\d+) is out of bounds for dimension (?P<dim>\d+) with size (?P<size>\d+)"),
        Trigger(
            r"Invalid index in (gather|scatter)|index_(add|copy|fill|reduce)_?\(\): (?!.{0,400}same d(type|evice)).{0,400}([Dd]imension|size|elements)"
            r"|source tensor shape must match self tensor shape"
        ),
        Trigger(r"index out of range in self"),
    )
    rank = 1

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        op = run.op
        if op is None:
            return self._from_text(run, match)
        x, index = run.tensor("input", "self"), run.tensor("index", "indices")
        if not op.name.startswith(_OPS) or x is None or index is None or not x.shape:
            return None
        dim = (number(op.argument("dim")) or 0) % x.rank
        name, table = run.name("index", "indices"), run.name("input", "self")
        size = x.shape[dim]
        found = outlier(index, size)
        if ("out of bounds" in match[0] or "in self" in match[0] or "Invalid index" in match[0]) and found is not None:
            headline = first_fitting(
                f"{code(table)} has {size} in dimension {dim}, {found.value} in {code(name)} is out of range",
                f"index {found.value} is out of range for {size}",
            )
            low, high = (index.values.low, index.values.high) if index.values is not None else (None, None)
            cause, because = index_cause(run, table, x, dim, index)
            notes = [
                position_told(run, found, name),
                f"{code(name)} runs from {low} to {high}; 0 to {size - 1} exist",
                maker_told(run, found, name),
                beyond_told(found),
                tensor_account(run, x, table),
                size_account(run, x, dim),
            ]
            again = read_as_written(run, cause, found)
            fixes = [again] if again is not None else []
            if found.value < 2**31:
                made = enlarged(run, cause, size, found.value + 1)
                fixes = [Fix(f"give {code(table)} {found.value + 1} in dimension {dim}", made)]
            if found.is_negative or found.value == 255:
                notes.append(f"{found.value} is no index: a label to leave out has to be masked before")
                fixes.insert(0, Fix(f"mask {found.value} before it is an index: clamp it and zero its row"))
            return run.diagnosis(self, headline, cause, because, trail=run.trail(index, "values"), notes=notes, fixes=fixes)
        headline = first_fitting(
            f"{op.name}: the index {code(name)} is {shape_text(index.shape)} for {code(table)} {shape_text(x.shape)}",
            f"{op.name}: the index is {shape_text(index.shape)} for {shape_text(x.shape)}",
        )
        if index.rank != x.rank and index.rank > 0 and not op.name.startswith("index_"):
            return self._ranks(run, op, headline, x, index)
        return self._sizes(run, op, headline, x, index, dim)

    def _ranks(self, run: Reading, op: OpRecord, headline: str, x: TensorFacts, index: TensorFacts) -> Diagnosis:
        name, dim = run.name("index", "indices"), (number(op.argument("dim")) or 0) % x.rank
        dropped, operand = lost_rank(run.evidence, index, run.before), run.operand("index", "indices")
        span = dropped.span if dropped is not None and dropped.span is not None else run.span_of("index", "indices") or run.raised
        notes = [
            f"{tensor_account(run, x, run.name('input', 'self'))}: {plural(x.rank, 'dimension')}",
            f"{tensor_account(run, index, name)}: {plural(index.rank, 'dimension')}; {op.name} needs as many as the tensor has",
        ]
        notes.append(size_account(run, x, dim))
        if dropped is not None and dropped.span is not None:
            notes.append(f"{code(run.sources.segment(dropped.span))} ({place(dropped.span)}) gave it the shape {shape_text(index.shape)}")
        fixes = []
        if index.rank == x.rank - 1:
            others = tuple(s for d, s in enumerate(x.shape or ()) if d != dim)
            if not placements(index.shape or (), others):
                notes.append(f"without dimension {dim} {code(run.name('input', 'self'))} is {shape_text(others)}")
            made = (
                edits.append_method(run.sources, operand.span, f".unsqueeze({dim})")
                if operand is not None and operand.span is not None
                else ()
            )
            fixes.append(Fix(f"give the index dimension {dim}: {code(f'{name}.unsqueeze({dim})')}", made))
        fixes = fixes or [Fix(f"give the index {plural(x.rank, 'dimension')}")]
        because = f"{plural(index.rank, 'dimension')} for {x.rank}"
        return run.diagnosis(self, headline, span, because, trail=run.trail(index, "rank"), notes=notes, fixes=fixes)

    def _sizes(self, run: Reading, op: OpRecord, headline: str, x: TensorFacts, index: TensorFacts, dim: int) -> Diagnosis | None:
        """The index is larger than the tensor, or than what is scattered, in a dimension of no choice."""
        name, table = run.name("index", "indices"), run.name("input", "self")
        source = run.tensor("src", "source")
        sides = []
        if source is not None and source.rank == index.rank:
            over = next((d for d in range(index.rank) if (index.shape or ())[d] > (source.shape or ())[d]), None)
            sides = [(name, index, over), (run.name("src", "source"), source, over)] if over is not None else []
        if not sides and index.rank == x.rank:
            over = next((d for d in range(x.rank) if d != dim and (index.shape or ())[d] > (x.shape or ())[d]), None)
            sides = [(name, index, over), (table, x, over)] if over is not None else []
        if not sides and source is not None and index.rank == 1 and source.rank > dim and (source.shape or ())[dim] != index.numel:
            sides = [(name, index, 0), (run.name("src", "source"), source, dim)]
        if not sides and op.name.startswith("index_") and source is not None and source.rank == x.rank:
            over = next((d for d in range(x.rank) if d != dim and (x.shape or ())[d] != (source.shape or ())[d]), None)
            sides = [(table, x, over), (run.name("src", "source"), source, over)] if over is not None else []
        if not sides:
            told = [tensor_account(run, t, n) for n, t in run.tensors]
            fix = Fix(f"give the index the shape that {op.name} asks for")
            return run.diagnosis(self, headline, run.span_of("index") or run.raised, "the index", notes=told, fixes=[fix])
        found = conflict(run, [(n, t, d) for n, t, d in sides if d is not None])
        fixes = [Fix(f"give {code(sides[0][0])} and {code(sides[1][0])} the same sizes apart from dimension {dim}")]
        return run.diagnosis(
            self,
            headline,
            found.cause,
            found.because,
            trail=found.trail,
            notes=[*found.notes, f"{op.name} works along dimension {dim}"],
            fixes=fixes,
        )

    def _from_text(self, run: Reading, match: re.Match[str]) -> Diagnosis | None:
        line = run.sources.segment(run.raised) + (run.frame.code if run.frame is not None else "")
        if not any(f".{name}" in line for name in _OPS) and ("out of bounds" in match[0] or "in self" in match[0]):
            return None
        written = [code(e.text) for e in run.sources.operands(run.raised)][:3]
        return run.diagnosis(self, "the index does not go with the tensor that it indexes", None, "the index is used here",
                             notes=[f"the operands are {', '.join(written)}" if written else ""])  # fmt: skip

    examples = (
        Example(
            {
                "train.py": """\
import torch
from torch import nn
from replay import sample

q_net = nn.Linear(4, 3)
states, actions = sample(6)
chosen = torch.gather(q_net(states), 1, actions)  #~ cause
print(chosen.shape)
""",
                "replay.py": """\
import torch


def sample(n):
    return torch.rand(n, 4), torch.randint(0, 3, (n,))
""",
            },
            says=(
                "`actions`",
                "[6, 3]",
                "unsqueeze(1)",
            ),
            becomes="chosen = torch.gather(q_net(states), 1, actions.unsqueeze(1))",
        ),
        Example(
            {
                "train.py": """\
import torch


def aggregate(messages, target, num_nodes):
    out = torch.zeros(num_nodes, messages.size(1))
    return out.index_add(0, target, messages)


edges = torch.tensor([[0, 1, 2, 5], [1, 2, 3, 0]])
print(aggregate(torch.rand(4, 3), edges[0], num_nodes=5))  #~ cause
""",
            },
            says=(
                "`out`",
                "num_nodes",
                "5",
            ),
            becomes="print(aggregate(torch.rand(4, 3), edges[0], num_nodes=6))",
        ),
    )
    near_misses = (
        NearMiss(
            {
                "train.py": """\
import torch

print(torch.rand(3, 4).gather(1, torch.tensor([[0], [3], [1]])))
"""
            }
        ),
        NearMiss(
            {
                "train.py": """\
import torch

print(torch.rand(3, 4)[torch.tensor([0, 3])])
"""
            },
            belongs_to="shape.index-range",
        ),
    )
