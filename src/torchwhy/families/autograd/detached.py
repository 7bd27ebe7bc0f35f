"""A gradient is used that was never computed: `.grad` is None.

Erroneous code (TW0405):

```python
{example}
```

Why: backward stores gradients in leaves only: parameters, and tensors created with `requires_grad=True`. The result of an operation is no
leaf, even of one as small as `torch.randn(3, requires_grad=True) * 0.1` or `.to(device)`, nor is a tensor that was assigned anew (`w = w
- lr * w.grad`). A leaf's `.grad` is None too when no backward ran, when `zero_grad()` has reset it, or when the link from the leaf to the
loss was cut on the way.

Fix: make the leaf last (`(torch.randn(3) * 0.1).requires_grad_()`), ask a result to keep its gradient with `retain_grad()`, update in
place under `torch.no_grad()`, and use gradients between `backward()` and `zero_grad()`.

Messages: `unsupported operand type(s) for *: 'float' and 'NoneType'`; `'NoneType' object has no attribute 'norm'`; `No inf checks were recorded
for this optimizer.`

Not to be confused with: `autograd.no-grad-fn`, where backward itself fails; `autograd.unused`, where `autograd.grad` says so.
"""

from __future__ import annotations

import ast
import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, Label, OpRecord, Span, TensorFacts, tensors_in
from ...reason import edits
from ...reason.gradients import Asked, asked_for
from ...reason.links import flow_into, lost
from ...reason.order import in_one_block, moved_after
from ...reason.reading import Reading, reading
from ...reason.scopes import dotted
from ...reason.wording import code, fitting, place, tensor_text


class Detached(Family):
    code = "TW0405"
    title = "a gradient is used that was never computed"
    triggers = (
        Trigger(r"NoneType", types=("TypeError", "AttributeError")),
        Trigger(r"No inf checks were recorded for this optimizer", types=("AssertionError",)),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        if "inf checks" in match[0]:
            notes = ("none of the optimizer's parameters has a gradient: no `backward()` ran, or the loss is detached from them",)
            return run.diagnosis(self, "the gradient scaler saw no gradients of this optimizer's parameters", None, notes=notes)
        asked = asked_for(run)
        written = (
            re.search(r"(?<![\w.])([\w.]{1,200})\.grad\b(?!\s*=)", run.frame.code) if evidence.from_text and run.frame is not None else None
        )
        if written is not None:
            note = f"{code(written[1])} is no leaf, does not require grad, or no backward has reached it"
            return run.diagnosis(self, f"{code(written[1] + '.grad')} is None where it is used", None, notes=(note,))
        if asked is None or asked.tensor is None:
            return None
        name, tensor = asked.name, asked.tensor
        lead = f"{code(name + '.grad')} is None"
        if not tensor.is_leaf:
            return self._not_a_leaf(run, asked, lead, tensor)
        if not tensor.requires_grad:
            decision = run.decided(tensor, "grad")
            span = decision.span or run.raised
            notes = (f"{code(name)} is {tensor_text(tensor)} with `requires_grad=False`, decided at {place(span)}",)
            made = edits.set_keyword(run.sources, span, "requires_grad", "True") if decision.how == "created" else ()
            fix = Fix(f"let {code(name)} require grad: `requires_grad=True`", made)
            return run.diagnosis(
                self,
                fitting(f"{lead}: {code(name)} does not require grad", f"{lead}: no `requires_grad`"),
                span,
                "no `requires_grad=True`",
                notes=notes,
                fixes=(fix,),
            )
        return self._leaf(run, asked, lead, tensor)

    def _not_a_leaf(self, run: Reading, asked: Asked, lead: str, tensor: TensorFacts) -> Diagnosis:
        op = run.history.producer(tensor, run.before)
        name = asked.name
        source = next((t for t in op.inputs if t.requires_grad), None) if op is not None else None
        came = f"`{op.name}` at {place(op.span)}" if op is not None else f"an operation (`{tensor.grad_fn}`)"
        from_ = run.history.names.get(source.id, "") if source is not None else ""
        notes = (
            f"{code(name)} is {tensor_text(tensor)}, the result of {came}: no leaf (`grad_fn` is `{tensor.grad_fn}`)",
            "backward keeps gradients for leaves only",
            f"the leaf is what went into {came}" + (f", {code(from_)}" if from_ else "") if source is not None and source.is_leaf else "",
        )
        caller = op.where[1] if op is not None and len(op.where) > 1 and op.where[0].function else None
        called = run.sources.line_text(caller.file, caller.line).strip() if caller is not None else ""
        told = (*notes, f"called by {code(called)} at {place(caller)}" if called else "")
        span = op.span if op is not None else None
        fixes = _leaf_fixes(run, name, op)
        headline = f"{lead}: {code(name)} is not a leaf, it came out of `{op.name if op else tensor.grad_fn}`"
        headline = fitting(headline, f"{lead}: it is not a leaf", "a gradient is None: its tensor is not a leaf")
        trail = (
            *((Label(asked.span, f"{code(name + '.grad')} is read"),) if asked.span.line != run.raised.line else ()),
            Label(run.raised, "raised here"),
        )
        return run.diagnosis(
            self,
            headline,
            span,
            "the result of an operation is no leaf",
            trail=trail,
            notes=told,
            fixes=fixes,
            confidence=Confidence.CERTAIN,
        )

    def _leaf(self, run: Reading, asked: Asked, lead: str, tensor: TensorFacts) -> Diagnosis:
        name = asked.name
        ops = [op for op in run.evidence.ops if not op.raised]
        back = next((op for op in reversed(ops) if op.name == "backward"), None)
        reset = next((op for op in reversed(ops) if op.name in ("optimizer.zero_grad", "zero_grad")), None)
        if back is None:
            note = f"{code(name)} is a leaf that requires grad, but no `backward()` has run before {place(run.raised)}"
            return run.diagnosis(self, f"{lead}: no backward has run yet", run.raised, "before any backward", notes=(note,))
        outputs = tensors_in(value) if (value := back.argument("tensors")) is not None else ()
        flow = flow_into(run, outputs)
        if (cut := lost(run, tensor, flow)) is not None and cut.span is not None:
            path = run.history.names.get(tensor.id, name)
            also = f", the parameter {code(path)}," if path != name else ""
            notes = (
                f"the loss of {place(back.span)} was computed from {code(name)}{also}",
                f"but {code(cut.name)} at {place(cut.span)} gives a result without a graph",
            )
            headline = fitting(f"{lead}: `{cut.name}` cuts {code(name)} off from the loss", f"{lead}: `{cut.name}` cuts the graph")
            fixes = (Fix(f"keep {code(name)} in the graph: no `{cut.name}`"),)
            sure = Confidence.CERTAIN
            return run.diagnosis(self, headline, cut.span, "the graph ends here", notes=notes, fixes=fixes, confidence=sure)
        if tensor.id not in flow.tensors:
            headline = fitting(f"{lead}: the loss does not depend on {code(name)}", f"{lead}: the loss does not use it")
            told = f"the backward at {place(back.span)} went through a loss that was not computed from {code(name)}"
            return run.diagnosis(self, headline, back.span or run.raised, "a loss without it", notes=(told,))
        if reset is not None and reset.index > back.index:
            notes = (
                f"the backward at {place(back.span)} filled it",
                f"`zero_grad()` at {place(reset.span)} set it to None (`set_to_none` is True by default)",
            )
            because, after = "sets gradients to None", _after(run, reset)
            headline = f"{lead}: `zero_grad()` has reset it"
            return run.diagnosis(self, headline, reset.span or run.raised, because, notes=notes, fixes=after, confidence=Confidence.CERTAIN)
        return run.diagnosis(self, f"{lead} where it is used", None, notes=(f"{code(name)} is a leaf that requires grad",))

    examples = (
        Example(
            {
                "fit.py": """\
import torch

torch.manual_seed(0)
weight = torch.randn(3, requires_grad=True) * 0.1  #~ cause
for x in torch.randn(4, 8, 3):
    loss = (x @ weight).pow(2).mean()
    loss.backward()
    with torch.no_grad():
        weight -= 0.1 * weight.grad
        weight.grad.zero_()
"""
            },
            says=("`weight.grad`", "not a leaf", "`mul`", "float32 [3]"),
            becomes="weight = (torch.randn(3, requires_grad=True) * 0.1).detach().requires_grad_()",
        ),
        Example(
            {
                "attack.py": """\
import torch
from steps import push

torch.manual_seed(0)
net = torch.nn.Linear(4, 2)
picture = torch.rand(2, 4, requires_grad=True)
scaled = picture * 2 - 1  #~ cause
net(scaled).sum().backward()
print(push(scaled, scaled.grad, 0.1))
""",
                "steps.py": """\
def push(picture, slope, size):
    return picture + size * slope.sign()
""",
            },
            says=("`scaled.grad`", "not a leaf", "`sub`", "retain_grad"),
        ),
        Example(
            {
                "watch.py": """\
import torch

torch.manual_seed(0)
net = torch.nn.Linear(4, 2)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
net(torch.rand(3, 4)).sum().backward()
optimizer.step()
optimizer.zero_grad()  #~ cause
print(net.weight.grad.norm())
"""
            },
            says=("`net.weight.grad`", "zero_grad", "set_to_none", "watch.py:6"),
            becomes="optimizer.zero_grad()",
        ),
    )
    near_misses = (
        NearMiss(
            {
                "ok.py": """\
import torch

w = torch.ones(3, requires_grad=True)
if w.grad is None:
    w.sum().backward()
print(w.grad.sum())
"""
            }
        ),
        NearMiss({"own.py": "import torch\n\n\nclass Slope:\n    grad = None\n\n\nprint(torch.ones(2), Slope().grad.norm())\n"}),
        NearMiss({"other.py": "import torch\n\nfound = {'x': torch.ones(2)}.get('y')\nprint(found.shape)\n"}),
    )


def _leaf_fixes(run: Reading, name: str, op: OpRecord | None) -> list[Fix]:
    if op is None or op.span is None:
        return [Fix(f"ask for its gradient before backward: `{name}.retain_grad()`")]
    if f"{name}.grad" in run.sources.line_text(op.span.file, op.span.line):
        return [
            Fix(f"update {code(name)} in place under `torch.no_grad()`, so that it stays the leaf", _updated(run, name, op.span), "safe")
        ]
    statement = run.sources.statement_at(op.span.file, op.span.line)
    here = isinstance(statement, ast.Assign) and any(dotted(target) == name for target in statement.targets)
    kept = edits.insert_after(run.sources, op.span.file, op.span.line, f"{name}.retain_grad()") if here else ()
    made = edits.append_method(run.sources, op.span, ".detach().requires_grad_()")
    keeping = "the gradient is kept, but an optimizer can't train it"
    return [
        Fix(f"make {code(name)} itself the leaf", made, "safe"),
        Fix(f"ask for its gradient as well: `{name}.retain_grad()`", kept, changes=keeping),
    ]


def _updated(run: Reading, name: str, span: Span) -> edits.Edits:
    """`w -= …` in a `with torch.no_grad():` for `w = w - …`."""
    statement = run.sources.statement_at(span.file, span.line)
    value = statement.value if isinstance(statement, ast.Assign) and len(statement.targets) == 1 else None
    sign = {ast.Sub: "-", ast.Add: "+"}.get(type(value.op)) if isinstance(value, ast.BinOp) else None
    if statement is None or not isinstance(value, ast.BinOp) or sign is None or dotted(value.left) != name:
        return ()
    whole, right = (run.sources.span_of(span.file, node) for node in (statement, value.right))
    indent = " " * whole.column
    return edits.replace_text(whole, f"with torch.no_grad():\n{indent}    {name} {sign}= {run.sources.segment(right)}")


def _after(run: Reading, reset: OpRecord) -> tuple[Fix, ...]:
    pair = in_one_block(run.sources, reset.span, run.raised) if reset.span is not None else None
    made = moved_after(run.sources, run.raised.file, [pair[0]], pair[1]) if pair is not None and pair[0].lineno < pair[1].lineno else ()
    return (Fix("use the gradient before `zero_grad()`", made),)
