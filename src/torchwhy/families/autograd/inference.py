"""A tensor that was made in inference mode is used where autograd has to keep track of it.

Erroneous code (TW0411):

```python
{example}
```

Why: under `torch.inference_mode()` tensors get no version counter and can never take part in autograd, also after the
block has ended. Such a tensor may be read, but an op that has to keep it for its backward, an in-place change outside
of the mode, and `requires_grad_()` are refused. Features cached by a frozen network, a teacher's logits, a buffer
that was set during validation, or a model built or loaded inside of the block come from there.

Fix: `torch.no_grad()` in the place of `inference_mode()`, whose tensors are ordinary ones; or take a copy with
`.clone()` where the tensor leaves the mode.

Messages: `Inference tensors cannot be saved for backward`; `Inplace update to inference tensor outside InferenceMode
is not allowed`; `Setting requires_grad=True on inference tensor outside InferenceMode is not allowed`; `Inference
tensors do not track version counter`.

Not to be confused with: `autograd.no-grad-fn`, where `backward` finds no graph because it was computed without
gradients.
"""

from __future__ import annotations

import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, OpRecord, Span, TensorFacts, tensors_in
from ...reason.edits import append_method, insert_before, replace_text
from ...reason.reading import Reading, reading
from ...reason.structure import Around, calls_of, decorator_of, with_around
from ...reason.wording import code, first_fitting, place, tensor_text

_MODE = ("inference_mode",)
_WHAT = {
    "saved": ("needed for backward", "an op that keeps it for its backward"),
    "Inplace": ("changed in place outside of it", "an in-place change outside of the mode"),
    "Setting": ("set to require grad", "`requires_grad` on a tensor of that mode"),
    "version": ("asked for its version", "its version counter, which it does not have"),
}


class Inference(Family):
    code = "TW0411"
    title = "a tensor made in inference mode meets autograd"
    triggers = (
        Trigger(r"Inference tensors cannot be (?P<what>saved) for backward"),
        Trigger(r"(?P<what>Inplace) update to inference tensor outside InferenceMode"),
        Trigger(r"(?P<what>Setting) requires_grad=True on inference tensor"),
        Trigger(r"Inference tensors do not track (?P<what>version) counter"),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        happens, meant = _WHAT[match["what"]]
        tensor = self._tensor(run)
        if tensor is None:
            return run.diagnosis(self, f"a tensor of `inference_mode` is {happens}", None, notes=[f"refused: {meant}"])
        name = run.name_of(tensor) or run.history.names.get(tensor.id, "")
        if (
            not name
            and (operand := next((o for o in run.operands if any(t.id == tensor.id for t in tensors_in(o.value))), None)) is not None
        ):
            name = operand.expression
        made = self._made(run, tensor)
        mode, call = self._mode(run, tensor, made)
        where = f" at {place(mode.span)}" if mode is not None else ""
        headline = first_fitting(
            f"{code(name or 'a tensor')} was made in `inference_mode`{where} and is {happens}",
            f"{code(name or 'a tensor')} was made in `inference_mode` and is {happens}",
            f"a tensor made in `inference_mode`{where} is {happens}",
        )
        notes = [f"{code(name or 'the tensor')} is {tensor_text(tensor)}, an inference tensor: it stays one after the block"]
        if call is not None:
            notes.append(f"it was made at {place(call)} by {code(run.sources.segment(call))}")
        if mode is not None:
            notes.append(f"{code(mode.text)} at {place(mode.span)} was in force there; with `no_grad` it would be an ordinary tensor")
        return run.diagnosis(
            self,
            headline,
            mode.span if mode is not None else call,
            "inference mode begins here" if mode is not None else "made in inference mode",
            trail=run.trail(tensor, "grad"),
            notes=notes,
            fixes=self._fixes(run, tensor, name, mode, match["what"]),
            confidence=Confidence.CERTAIN if mode is not None else Confidence.LIKELY,
        )

    def _tensor(self, run: Reading) -> TensorFacts | None:
        """The inference tensor among the operands, then among what the failing module holds, then in the frames, innermost first."""
        found = [t for _, t in run.tensors if t.is_inference]
        if not found and run.module is not None:
            found = [t for a in (*run.module.buffers, *run.module.parameters) for t in tensors_in(a.value) if t.is_inference]
        for frame in reversed(run.failure.frames) if not found else ():
            found += [t for a in frame.locals for t in tensors_in(a.value) if t.is_inference]
        return found[0] if found else None

    def _made(self, run: Reading, tensor: TensorFacts) -> OpRecord | None:
        """The op that gave it out in the mode: the one that made it, or the last whose result shares its memory."""
        made = run.history.producer(tensor, run.before)
        while (
            made is not None and not made.inference_mode and (source := next((t for t in made.inputs if t.is_inference), None)) is not None
        ):
            before = made
            made = run.history.producer(source, made.index)
            if made is None:
                return before
        return made

    def _mode(self, run: Reading, tensor: TensorFacts, made: OpRecord | None) -> tuple[Around | None, Span | None]:
        """The `with` item or decorator that put the mode in force, and the program's call inside of it."""
        owned = run.history.owner_of.get(tensor.id)
        calls = made.where if made is not None else owned[0].built if owned is not None else ()
        for call in calls:
            mode = with_around(run.sources, call, _MODE) or decorator_of(run.sources, call, _MODE)
            if mode is not None:
                return mode, call
        if not calls and (only := self._only_mode(run)) is not None:
            return only, None
        return None, calls[0] if calls else None

    def _only_mode(self, run: Reading) -> Around | None:
        """For a tensor that was made while the recorder stood aside: the program's one place that turns the mode on."""
        uses = calls_of(run.sources, "inference_mode")
        if len(uses) != 1:
            return None
        statement = run.sources.file(uses[0].file)
        node = run.sources.node_at(uses[0])
        holder = statement.statement(node) if statement is not None and node is not None else None
        return (
            Around(uses[0], run.sources.segment(uses[0]), statement.span(holder)) if statement is not None and holder is not None else None
        )

    def _fixes(self, run: Reading, tensor: TensorFacts, name: str, mode: Around | None, what: str) -> list[Fix]:
        fixes: list[Fix] = []
        if mode is not None:
            text = mode.text.replace("inference_mode", "no_grad")
            text = re.sub(r"no_grad\(.+\)$", "no_grad()", text, flags=re.DOTALL)
            fixes.append(Fix(f"use {code(text)} there", replace_text(mode.span, text), "safe"))
        operand = next((o for o in run.operands if o.span is not None and any(t.id == tensor.id for t in tensors_in(o.value))), None)
        if operand is not None and operand.span is not None and what == "saved" and operand.expression.isidentifier():
            fixes.append(
                Fix(f"or use a copy: {code(operand.expression + '.clone()')}", append_method(run.sources, operand.span, ".clone()"), "safe")
            )
        elif name.isidentifier() and what in ("Inplace", "Setting"):
            copy = insert_before(run.sources, run.raised.file, run.raised.line, f"{name} = {name}.clone()")
            fixes.append(
                Fix(f"or change a copy: {code(name + '.clone()')}", copy, "unsafe", changes="the tensor of the mode keeps its value")
            )
        else:
            fixes.append(
                Fix(f"or take a copy: {code((name or 'it') + '.clone()')} outside of the mode is an ordinary tensor", (), "display-only")
            )
        return fixes

    examples = (
        Example(
            {
                "distill.py": """\
import torch
from torch import nn
from teacher import soft_labels

student = nn.Linear(10, 4)
x = torch.rand(6, 10)
targets = soft_labels(x)
loss = nn.functional.mse_loss(student(x), targets)
loss.backward()
""",
                "teacher.py": """\
import torch
from torch import nn

expert = nn.Sequential(nn.Linear(10, 4), nn.Softmax(-1))


@torch.inference_mode()  #~ cause
def soft_labels(x):
    return expert(x)
""",
            },
            says=("targets", "inference_mode", "teacher.py:9", "[6, 4]", "no_grad", "clone"),
            becomes="@torch.no_grad()",
        ),
        Example(
            {
                "track.py": """\
import torch
from torch import nn


class Center(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))

    def forward(self, x):
        return x - self.mean


center = Center(5)
with torch.inference_mode():  #~ cause
    center.mean = torch.rand(100, 5).mean(0)
for step in range(2):
    center.mean += 0.1 * torch.rand(5)
"""
            },
            says=("center.mean", "inference_mode", "[5]", "changed in place"),
            becomes="with torch.no_grad():",
        ),
    )
    near_misses = (
        NearMiss(
            {
                "ok.py": """\
import torch

with torch.inference_mode():
    x = torch.ones(2)
(torch.ones(2, requires_grad=True) + x).sum().backward()
"""
            }
        ),
        NearMiss(
            {"no.py": "import torch\nw = torch.ones(2, requires_grad=True)\nwith torch.inference_mode():\n    y = w.sum()\ny.backward()\n"},
            belongs_to="autograd.no-grad-fn",
        ),
    )
