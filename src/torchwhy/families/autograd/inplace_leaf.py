"""A leaf tensor that requires grad is written in place while gradients are recorded.

Erroneous code (TW0401):

```python
{example}
```

Why: a leaf is a tensor that no operation made: a parameter, or a tensor created with `requires_grad=True`. Its gradient is kept for the
value that it has. An in-place write (`+=`, `w[i] = …`, `w.clamp_()`) would turn it into the result of an operation, so PyTorch refuses
it, for views of the leaf too. The write is refused where it stands; no backward is needed for this error.

Fix: an update or an initialisation is no part of what is differentiated: put it in `with torch.no_grad():`. Where the new value should be
part of the computation, compute it into a new tensor: `y = x + 1`. (`x = x + 1` also ends the error, but then `x` is no leaf any more and
`x.grad` stays None.)

Messages: `a leaf Variable that requires grad is being used in an in-place operation.`; `a view of a leaf Variable that requires grad is being used in an in-place
operation.`; `leaf variable has been moved into the graph interior`.

Not to be confused with: `autograd.inplace-saved`, a write to a result that backward needs.
"""

from __future__ import annotations

import ast
import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, Label, Span, TensorFacts
from ...reason import edits
from ...reason.order import following
from ...reason.reading import Reading, reading
from ...reason.wording import code, fitting, place, tensor_text
from ...reason.writes import base_name, statement_base, without_writing, writes_in_place, written


class InplaceLeaf(Family):
    code = "TW0401"
    title = "a leaf tensor that requires grad is written in place"
    triggers = (
        Trigger(r"(?P<view>a view of )?a leaf Variable that requires grad (?:is being|has been) used in an in-place operation"),
        Trigger(r"leaf variable has been moved into the graph interior"),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        name = base_name(run, run.raised) or run.name_or_empty("input")
        leaf = _leaf(run)
        owner = run.history.owner_of.get(leaf.id) if leaf is not None else None
        path = f"{owner[0].fqn}.{owner[1]}" if owner is not None else ""
        write = written(run, run.op) if run.op is not None else None
        called = code(name) if name else code(path) if path else "a leaf"
        is_parameter = owner is not None or (leaf is not None and leaf.kind == "Parameter")
        what = (
            f"the parameter {called}" if is_parameter else f"{called}, a leaf that requires grad," if name else "a leaf that requires grad"
        )
        short = f"{what} is written in place"
        headline = fitting(f"{short} by {write.by}" if write is not None else short, short, "a leaf that requires grad is written in place")
        born = run.decided(leaf, "grad").span if leaf is not None else None
        update = is_parameter or _is_update(run)
        way = "a view of it" if match.groupdict().get("view") else "it"
        parameter = f", the parameter {code(path)}" if path not in ("", name) else ""
        notes = (
            f"{called} is {tensor_text(leaf)}, a leaf with `requires_grad=True`{parameter}" if leaf else "",
            f"it was made at {place(born)}" if born is not None else "",
            f"{code(run.sources.segment(run.raised))} writes to {way} with gradients on: there is no `torch.no_grad()` around it",
        )
        cause = write.cause if write is not None else run.raised
        because = "a write to a parameter outside of `torch.no_grad()`" if update else "an in-place write to a leaf"
        fixes = _fixes(run, name, update)
        if write is not None and write.module is not None:
            because = f"`{write.setting}` makes {write.by} write into its input"
            fixes = [fix for fix in (without_writing(run, write),) if fix is not None]
        made = (Label(born, f"{called} is made, a leaf that requires grad"),) if born is not None else ()
        return run.diagnosis(
            self,
            headline,
            cause,
            because,
            trail=(*made, Label(run.raised, "raised here")),
            notes=notes,
            fixes=fixes,
            confidence=Confidence.CERTAIN if run.op is not None else Confidence.LIKELY,
        )

    examples = (
        Example(
            {
                "position.py": """\
import torch
from torch import nn


class Position(nn.Module):
    def __init__(self, length, width):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(length, width))
        steps = torch.arange(length).unsqueeze(1) / torch.arange(1, width // 2 + 1)
        self.table[:, 0::2] = torch.sin(steps)  #~ cause
        self.table[:, 1::2] = torch.cos(steps)

    def forward(self, x):
        return x + self.table[: x.shape[1]]


Position(10, 6)
"""
            },
            says=("`self.table`", "parameter", "float32 [10, 6]", "torch.no_grad()", "a view of it"),
            becomes="with torch.no_grad():",
        ),
        Example(
            {
                "fit.py": """\
import torch

torch.manual_seed(0)
weights = {"slope": torch.randn(3, requires_grad=True), "shift": torch.zeros(1, requires_grad=True)}
for step in range(2):
    x = torch.randn(8, 3)
    loss = (x @ weights["slope"] + weights["shift"]).pow(2).mean()
    loss.backward()
    for name, weight in weights.items():
        weight -= 0.1 * weight.grad  #~ cause
        weight.grad = None
"""
            },
            says=("`weight`", "leaf", "`weight -= …`", "torch.no_grad()"),
            becomes="weight -= 0.1 * weight.grad",
        ),
    )
    near_misses = (
        NearMiss(
            {"fit.py": "import torch\n\nw = torch.ones(3, requires_grad=True)\nwith torch.no_grad():\n    w += 1\nw.sum().backward()\n"}
        ),
        NearMiss(
            {
                "fit.py": """\
import torch

w = torch.ones(3, requires_grad=True)
y = torch.sigmoid(w)
y.mul_(2)
y.sum().backward()
"""
            },
            belongs_to="autograd.inplace-saved",
        ),
    )


def _is_update(run: Reading) -> bool:
    """A write that sets the leaf's value (an initialisation, a step of one's own), not one on the way through a forward pass."""
    function = run.raised.function.rpartition(".")[2]
    statement = run.sources.statement_at(run.raised.file, run.raised.line)
    text = run.sources.segment(run.sources.span_of(run.raised.file, statement)) if statement is not None else ""
    return ".grad" in text or "init" in function or "reset" in function


def _leaf(run: Reading) -> TensorFacts | None:
    """The leaf itself: the operand, or what it is a view of."""
    tensor = next((t for _, t in run.tensors if t.requires_grad), None)
    before = run.before
    for _ in range(8):
        if tensor is None or tensor.is_leaf:
            return tensor
        op = run.history.producer(tensor, before)
        tensor, before = (next((t for t in op.inputs if t.requires_grad), None), op.index) if op is not None else (None, None)
    return None


def _fixes(run: Reading, name: str, update: bool) -> list[Fix]:
    guard = edits.wrap_with(run.sources, run.raised, "with torch.no_grad():", _last(run, name))
    outside = Fix("write to it in `with torch.no_grad():`", guard, "safe" if update else "unsafe",
                  changes="" if update else "the write is no longer part of what is differentiated")  # fmt: skip
    if update:
        return [outside]
    new = edits.out_of_place(run.sources, run.raised)
    node = run.sources.node_at(run.raised) or run.sources.statement_at(run.raised.file, run.raised.line)
    if not new or isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Subscript):
        new = edits.insert_before(run.sources, run.raised.file, run.raised.line, f"{name} = {name}.clone()") if name else ()
        computed = Fix(f"write into a copy: {code(f'{name} = {name}.clone()')} first", new)
    else:
        computed = Fix("compute the new value into a new tensor", new)
    lost = f"{code(name)} is then no leaf: its `.grad` stays None, the gradient goes to the tensor it was" if name else ""
    return [Fix(computed.title, new, "unsafe", changes=lost), outside]


def _last(run: Reading, name: str) -> Span | None:
    """The last of the statements that follow at once and write to the same leaf."""
    last = None
    for statement in following(run.sources, run.raised):
        if not name or statement_base(statement) != name or not writes_in_place(statement):
            break
        last = run.sources.span_of(run.raised.file, statement)
    return last
