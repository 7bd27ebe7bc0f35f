"""A gradient is asked of an operation that has none to give.

Erroneous code (TW0407):

```python
{example}
```

Why: some operations choose, compare, count or round to whole numbers (`argmax`, `>`, `==`, `.long()`, `topk`'s indices, sampling). A
small change of their input changes nothing or everything, so there is no gradient, and their result has no graph. A few others could have
one but PyTorch does not implement it, mostly for second derivatives (a gradient penalty with `create_graph=True`).

Fix: put a smooth operation in its place in the loss (`softmax` for `argmax`, `sigmoid` for a threshold, a sample's `log_prob`) and keep
the choice for metrics; for a missing derivative, write the same in operations that have one.

Messages: `element 0 of tensors does not require grad and does not have a grad_fn`; `derivative for aten::bucketize is not implemented`;
`the derivative for 'histc' is not implemented.`

Not to be confused with: `autograd.no-grad-fn`, a graph that was cut by `detach()`, a Python number or `no_grad`.
"""

from __future__ import annotations

import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, Label, OpRecord, Span
from ...reason import edits
from ...reason.backward import roots
from ...reason.cuts import Cut, cut
from ...reason.graph import maker, operands_of
from ...reason.reading import Reading, reading
from ...reason.smooth_edits import in_place_of_choice, in_place_of_comparison, twice_differentiable
from ...reason.wording import code, first_fitting, fitting, place, tensor_text

_SMOOTH = {
    **dict.fromkeys(("argmax", "topk", "sort", "argsort", "max"), "softmax"),
    **dict.fromkeys(("argmin", "min"), "softmin"),
    **dict.fromkeys(("gt", "ge", "lt", "le", "greater", "less"), "sigmoid"),
}
_COMPARES = {"eq": "==", "ne": "!=", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}


class Nondifferentiable(Family):
    code = "TW0407"
    title = "a gradient is asked of an operation that has none to give"
    triggers = (
        Trigger(r"element \d+ of tensors does not require grad and does not have a grad_fn"),
        Trigger(r"derivative for '?(?:aten::)?(?P<missing>\w+)(?:: \w+)?'? is not implemented"),
    )
    rank = 1

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        missing = match.groupdict().get("missing")
        if missing:
            return self._not_implemented(run, missing)
        tensor = next(iter(roots(run.failure)), None) or next((t for _, t in run.tensors), None)
        found = cut(run, tensor) if tensor is not None else None
        if tensor is None or found is None or not found.discrete or found.op is None or found.before is None or found.after is None:
            return None
        name, what = code(found.name) if found.name else "its input", _what(found.op)
        operand = run.operand("tensors", "outputs")
        root = code(operand.expression) if operand is not None and operand.expression else "the loss"
        kind = (
            "samples" if found.after.is_floating else "booleans" if found.after.dtype == "bool" else f"whole numbers ({found.after.dtype})"
        )
        headline = fitting(
            f"{root} has no graph: no gradient goes through {what} of {name}",
            f"{root} has no graph: no gradient goes through {what}",
            f"no gradient goes through {what}",
        )
        notes = (
            f"{name} is {tensor_text(found.before)} with a graph; {what} at {place(found.op.span)} makes {kind} of it",
            f"its result is {tensor_text(found.after)}",
            f"{what} is not differentiable: no gradient reaches what {name} was computed from",
        )
        trail = run.trail_of([op for op in found.trail if op.span is not None])
        fixes = _instead(run, found, what, name)
        return run.diagnosis(
            self,
            headline,
            found.span,
            f"no gradient goes through {what}",
            trail=trail,
            notes=notes,
            fixes=fixes,
            confidence=Confidence.CERTAIN,
        )

    def _not_implemented(self, run: Reading, missing: str) -> Diagnosis:
        twice = missing.lstrip("_").endswith("backward")
        plain = missing.strip("_").removesuffix("_backward")
        op = _called(run, plain)
        shown = code(plain) if twice else code(missing)
        second = "its second derivative" if twice else "a derivative"
        penalty = next(
            (o for o in run.evidence.ops if o.name == "backward" and o.argument("create_graph") is not None and _is_true(o)), None
        )
        operand = next((o for o in (operands_of(run.evidence, op) if op is not None else ()) if o.expression), None)
        notes = (
            f"`{op.name}` at {place(op.span)} is called with {code(operand.expression)}" if op is not None and operand is not None else "",
            f"the gradient taken at {place(penalty.span)} with `create_graph=True` is differentiated again"
            if penalty is not None and twice
            else "",
            f"PyTorch has no derivative for {code(missing)}"
            + (", the backward of it, so a gradient penalty can't go through it" if twice else ""),
        )
        headline = first_fitting(
            f"{shown} is asked for {second}, which PyTorch does not implement",
            f"{shown} has no {'second ' if twice else ''}derivative",
            f"an op has no {'second ' if twice else ''}derivative",
        )
        told = f"write {shown} in operations that can be differentiated{' twice' if twice else ''}"
        fixes = [Fix(title, made, changes="more memory") for title, made in twice_differentiable(run, op, plain)] or [Fix(told)]
        trail = (
            *(
                (Label(penalty.span, "differentiated with `create_graph=True`"),)
                if penalty is not None and penalty.span is not None
                else ()
            ),
            Label(run.raised, "raised here"),
        )
        cause: Span | None = op.span if op is not None else None
        return run.diagnosis(
            self,
            headline,
            cause,
            f"no {'second ' if twice else ''}derivative",
            trail=trail,
            notes=notes,
            fixes=fixes,
            confidence=Confidence.CERTAIN,
        )

    examples = (
        Example(
            {
                "segment.py": """\
import torch
from torch import nn

torch.manual_seed(0)


def overlap(scores, mask):
    chosen = scores.argmax(dim=1).float()  #~ cause
    return 1 - 2 * (chosen * mask).sum() / (chosen.sum() + mask.sum())


net = nn.Conv2d(1, 2, 3, padding=1)
mask = torch.randint(0, 2, (2, 8, 8)).float()
loss = overlap(net(torch.rand(2, 1, 8, 8)), mask)
loss.backward()
"""
            },
            says=("`loss`", "`argmax`", "`scores`", "softmax", "float32 [2, 2, 8, 8]"),
        ),
        Example(
            {
                "penalty.py": """\
import torch
from distances import nearest

points = torch.rand(5, 2, requires_grad=True)
near = nearest(points, torch.rand(7, 2))
slope = torch.autograd.grad(near.sum(), points, create_graph=True)[0]
(slope.norm() - 1).pow(2).backward()
""",
                "distances.py": """\
import torch


def nearest(points, centers):
    return torch.cdist(points, centers).min(dim=1).values  #~ cause
""",
            },
            says=("`cdist`", "second derivative", "create_graph=True", "`points`", "gradient penalty"),
        ),
        Example(
            {
                "count.py": """\
import torch

rates = torch.nn.Parameter(torch.rand(6) * 5)
counts = rates.long()  #~ cause
loss = (counts - 3).float().pow(2).sum()
loss.backward()
"""
            },
            says=("`loss`", "`long`", "`rates`", "int64"),
            becomes="counts = rates",
        ),
    )
    near_misses = (
        NearMiss({"ok.py": "import torch\n\nw = torch.ones(3, requires_grad=True)\nbest = w.argmax()\n(w * 2)[best].backward()\n"}),
        NearMiss(
            {"cut.py": "import torch\n\nw = torch.ones(3, requires_grad=True)\n(w * 2).detach().sum().backward()\n"},
            belongs_to="autograd.no-grad-fn",
        ),
    )


def _is_true(op: OpRecord) -> bool:
    return getattr(op.argument("create_graph"), "value", False) is True


def _what(op: OpRecord) -> str:
    bare = op.name.rstrip("_")
    indices = bare in ("max", "min", "sort", "topk", "kthvalue", "mode", "median", "cummax", "cummin") and len(op.outputs) > 1
    return f"the indices of `{bare}`" if indices else code(_COMPARES.get(bare, bare))


def _called(run: Reading, plain: str) -> OpRecord | None:
    """The call whose derivative is missing: by its name, else by the graph node of that name."""
    wanted = plain.replace("_", "").lower()
    for op in reversed(run.evidence.ops):
        if op.name.strip("_").replace("_", "").lower() == wanted and any(t.requires_grad for t in (*op.inputs, *op.outputs)):
            return op
    node = next((n for n in run.evidence.graph if n.name.lower().startswith(wanted)), None)
    return maker(run.evidence, node) if node is not None else run.op if run.op is not None and run.op.name != "backward" else None


def _instead(run: Reading, found: Cut, what: str, name: str) -> tuple[Fix, ...]:
    bare = found.op.name.rstrip("_") if found.op is not None else ""
    smooth = _SMOOTH.get(bare, "")
    made: edits.Edits = ()
    if (
        found.to_integer
        and bare in ("long", "int", "short", "byte", "char")
        and found.span is not None
        and (call := run.sources.call_at(found.span))
    ):
        receiver = getattr(call.func, "value", None)
        text = run.sources.segment(run.sources.span_of(found.span.file, receiver)) if receiver is not None else ""
        made = edits.replace_text(found.span, text) if text else ()
        return (Fix(f"leave {name} floating: no `.{bare}()`", made, changes="the values are no longer cut to whole numbers"),)
    if bare == "multinomial":
        return (Fix("use the sample's `log_prob` in the loss: the sample itself has no gradient"),)
    if found.op is not None and found.before is not None:
        made = (in_place_of_comparison if bare in _COMPARES else in_place_of_choice)(run, found.op, found.before) if smooth else ()
    changes = "the loss is no longer taken of a hard choice" if made else ""
    if found.before is not None and (found.before.grad_fn or "").lower().startswith(smooth or "-"):
        return (Fix(f"use {name} itself in the loss, and keep {what} for metrics", made, changes=changes),)
    return (
        Fix(
            f"use a smooth value in the loss, `{smooth}` of {name}, and keep {what} for metrics"
            if smooth
            else f"keep {what} out of the loss",
            made,
            changes=changes,
        ),
    )
