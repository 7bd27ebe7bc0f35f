"""Backward is called on a tensor that has no graph.

Erroneous code (TW0404):

```python
{example}
```

Why: a gradient goes back along the operations that were recorded. This tensor has no such record: somewhere on the way the link to the
parameters was lost, by `detach()` or `.data`, by a detour through a Python number or numpy (`.item()`, `torch.tensor(losses)`), inside
`torch.no_grad()`, because gradients were turned off for good (`torch.set_grad_enabled(False)` in an evaluation), or because all
parameters behind it are frozen.

Fix: keep tensors as tensors up to the loss (`torch.stack(losses)`), let the forward pass run with gradients on, freeze only what is not
trained. `loss.requires_grad_()` ends the error and trains nothing: the link is still lost.

Messages: `element 0 of tensors does not require grad and does not have a grad_fn`; `One of the differentiated Tensors does not require grad`;
`cannot register a hook on a tensor that doesn't require gradient`; `can't retain_grad on Tensor that has requires_grad=False`.

Not to be confused with: `autograd.nondifferentiable`, where an operation such as `argmax` has no gradient to give; `autograd.detached`, a
`.grad` that is None.
"""

from __future__ import annotations

import ast
import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, Label, OpRecord, Span, TensorFacts, tensors_in
from ...reason import edits
from ...reason.backward import roots, wanted
from ...reason.cut_edits import edits_for_input, mended, thawed
from ...reason.cuts import Cut, behind, cut
from ...reason.reading import Reading, reading
from ...reason.wording import code, fitting, listed, place, plural, tensor_text


class NoGradFn(Family):
    code = "TW0404"
    title = "backward is called on a tensor that has no graph"
    triggers = (
        Trigger(r"element (?P<number>\d+) of tensors does not require grad and does not have a grad_fn"),
        Trigger(r"(?P<inputs>[Oo]ne of the differentiated Tensors does not require grad)"),
        Trigger(
            r"(?P<hook>cannot register a hook on a tensor that doesn't require grad"
            r"|can't retain_grad on Tensor that has requires_grad=False)"
        ),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        asked = match.groupdict()
        tensor = _asked(run, asked)
        name = code(_name(run, tensor)) if _name(run, tensor) else "the tensor"
        found = cut(run, tensor) if tensor is not None else None
        if found is not None and found.discrete:
            return None
        if asked.get("inputs") and tensor is not None and (found is None or found.how == "never"):
            return self._input(run, name, tensor)
        if found is None or found.span is None:
            return self._unknown(run, name, tensor, found)
        lead = f"{name} does not require grad" if asked.get("inputs") else f"{name} has no graph"
        headline, because, notes = _words(run, found, lead)
        own = f"{name} is {tensor_text(tensor)} with `requires_grad=False` and no `grad_fn`" if tensor is not None else ""
        trail = run.trail_of([op for op in found.trail if op.span is not None])
        fixes = mended(run, found) or _others(run, found, name)
        sure = Confidence.CERTAIN if found.sure else Confidence.LIKELY
        headline = fitting(
            headline, headline.partition(": ")[0] + ": " + because if len(because) < 40 else lead, lead, "the loss has no graph"
        )
        return run.diagnosis(self, headline, found.span, because, trail=trail, notes=(*notes, own), fixes=fixes, confidence=sure)

    def _input(self, run: Reading, name: str, tensor: TensorFacts) -> Diagnosis:
        """`autograd.grad` for a tensor that was never told to require grad, such as data."""
        op = run.history.producer(tensor, run.before)
        made_at = op.span if op is not None else None
        span, target = _named_at(run, op) if op is not None else (None, "")
        headline = fitting(
            f"the gradient for {name} is asked for, but {name} does not require grad",
            f"{name} does not require grad",
            "an input does not require grad",
        )
        notes = (
            f"{name} is {tensor_text(tensor)} with `requires_grad=False`",
            f"it was made by `{op.name}` at {place(made_at)}, out of data alone" if op is not None else "",
        )
        told = edits.insert_after(run.sources, span.file, span.line, f"{target}.requires_grad_(True)") if span and target else ()
        told = told or edits_for_input(run, tensor)
        fix = Fix(f"let {name} require grad before the model runs on it: `requires_grad_(True)`", told, "safe")
        trail = (Label(run.raised, "raised here"),)
        return run.diagnosis(
            self, headline, span, "made without `requires_grad`", trail=trail, notes=notes, fixes=(fix,), confidence=Confidence.CERTAIN
        )

    def _unknown(self, run: Reading, name: str, tensor: TensorFacts | None, found: Cut | None) -> Diagnosis:
        leaves = [run.history.names.get(i, "") for i in found.parameters][:4] if found is not None else []
        notes = [f"{name} is {tensor_text(tensor)} with `requires_grad=False` and no `grad_fn`"] if tensor is not None else []
        if any(leaves):
            notes.append(f"it was computed from {listed([code(n) for n in leaves if n])}, none of which requires grad")
        if not run.evidence.environment.grad_enabled and not run.evidence.from_text:
            notes.append("gradients are off now (`no_grad`, `inference_mode` or `set_grad_enabled(False)`)")
        headline = fitting(f"{name} has no graph that backward could go through", "the tensor has no graph that backward could go through")
        return run.diagnosis(self, headline, None, notes=notes)

    examples = (
        Example(
            {
                "train.py": """\
import torch
from torch import nn
from scoring import score

torch.manual_seed(0)
net = nn.Linear(4, 3)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
x, y = torch.randn(8, 4), torch.randint(0, 3, (8,))
for epoch in range(2):
    loss = nn.functional.cross_entropy(net(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(score(net, x, y))
""",
                "scoring.py": """\
import torch


def score(net, x, y):
    torch.set_grad_enabled(False)  #~ cause
    return (net(x).argmax(1) == y).float().mean().item()
""",
            },
            says=("`loss`", "torch.set_grad_enabled(False)", "never set back", "net.weight"),
            becomes="@torch.no_grad()",
        ),
        Example(
            {
                "train.py": """\
import torch
from torch import nn

torch.manual_seed(0)
net = nn.Linear(4, 1)
parts = []
for x in torch.randn(3, 6, 4):
    parts.append(net(x).pow(2).mean().item())  #~ cause
total = torch.tensor(parts).sum()
total.backward()
"""
            },
            says=("`total`", "`.item()`", "net(x).pow(2).mean()", "train.py:9", "`net.weight`"),
            becomes="total = torch.stack(parts).sum()",
        ),
        Example(
            {
                "adapt.py": """\
import torch
from torch import nn

torch.manual_seed(0)


class Adapter(nn.Module):
    def __init__(self, inner, rank):
        super().__init__()
        self.inner = inner
        self.down = nn.Linear(4, rank, bias=False)
        self.up = nn.Linear(rank, 4, bias=False)

    def forward(self, x):
        return self.inner(x) + self.up(self.down(x))


model = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
model[0] = Adapter(model[0], 2)
for weight in model.parameters():
    weight.requires_grad = False  #~ cause
loss = model(torch.randn(2, 4)).sum()
loss.backward()
"""
            },
            says=("`loss`", "4 parameters", "frozen", "model.0.up.weight"),
        ),
    )
    near_misses = (
        NearMiss(
            {"ok.py": "import torch\n\nw = torch.ones(3, requires_grad=True)\nfixed = w.exp().detach()\n(w * fixed).sum().backward()\n"}
        ),
        NearMiss(
            {"choice.py": "import torch\n\nnet = torch.nn.Linear(2, 3)\nnet(torch.ones(4, 2)).argmax(1).float().mean().backward()\n"},
            belongs_to="autograd.nondifferentiable",
        ),
    )


def _asked(run: Reading, asked: dict[str, str | None]) -> TensorFacts | None:
    """The tensor that the message is about."""
    if asked.get("inputs"):
        return next((t for t in wanted(run.failure) or run.op.inputs if not t.requires_grad), None) if run.op is not None else None
    if asked.get("hook"):
        return run.tensor("input", "self") or next((t for _, t in run.tensors), None)
    found = roots(run.failure) or tuple(t for _, t in run.tensors)
    number = int(asked.get("number") or 0)
    return found[number] if number < len(found) else next(iter(found), None)


def _name(run: Reading, tensor: TensorFacts | None) -> str:
    if tensor is None:
        return run.sources.segment(run.raised).partition(".backward")[0] if ".backward" in run.sources.segment(run.raised) else ""
    root = run.operand("tensors", "outputs")
    if root is not None and root.expression and tensors_in(root.value) == (tensor,):
        return root.expression
    return run.name_of(tensor)


def _named_at(run: Reading, op: OpRecord) -> tuple[Span | None, str]:
    """Where what the op made got a name of the program's, which may be outside of the function that made it; with the name."""
    for span in op.where:
        statement = run.sources.statement_at(span.file, span.line)
        target = statement.targets[0] if isinstance(statement, ast.Assign) and len(statement.targets) == 1 else None
        if isinstance(target, ast.Name):
            return span, target.id
        if not isinstance(statement, ast.Return):
            break
    return op.span, ""


def _words(run: Reading, found: Cut, lead: str) -> tuple[str, str, tuple[str, ...]]:
    """The headline, the word at the cause, the notes."""
    op, name, lost = found.op, code(found.name) if found.name else "its input", _lost(run, found)
    what, at = (code(op.name), f"at {place(op.span)}") if op is not None else ("", "")
    if found.how == "op":
        note = f"{name} went into {what} {at} with a graph, what came out has none"
        return f"{lead}: {what} cut {name} off", f"{what} gives a tensor without a graph", (note, lost)
    if found.how in ("mode", "switch"):
        text = code(found.around.text) if found.around is not None else "`no_grad`"
        if found.how == "switch":
            note = f"{what} {at} ran with gradients off, although {name} requires grad"
            never = f"{text} at {place(found.span)} is a global switch: it was never set back"
            return f"{lead}: gradients are off since {text}", "turns gradients off, and nothing turns them on again", (note, never, lost)
        note = f"{name} requires grad, but {text} records nothing for backward"
        return f"{lead}: {what} {at} ran under {text}", "no gradients are recorded here", (note, lost)
    if found.how == "python":
        back = found.trail[0] if found.trail else None
        note = f"{name} had a graph; `.{what.strip('`')}()` {at} gives a Python number or array, which has none"
        again = f"{code(back.name)} at {place(back.span)} made a new tensor of it, without a history" if back is not None else ""
        return f"{lead}: `.{what.strip('`')}()` turned {name} into a plain value", "the graph ends here", (note, again, lost)
    if found.how == "checkpoint":
        note = f"a reentrant `checkpoint` gives a graph only when one of its inputs requires grad, and {name} does not"
        return (
            f"{lead}: no input of the checkpoint requires grad",
            "reentrant checkpoint",
            (note, "`use_reentrant=False` has no such condition"),
        )
    if found.how == "frozen":
        count, are = plural(len(found.parameters), "parameter"), "is" if len(found.parameters) == 1 else "are"
        shown = listed([code(n) for n in _parameter_names(run, found)[:4]]) + (" …" if len(found.parameters) > 4 else "")
        return (
            f"{lead}: the {count} behind it {are} frozen",
            "sets `requires_grad` to False",
            (f"{shown} do not require grad", f"{name} was frozen {at}"),
        )
    made = f"{what} {at}" if op is not None else "its creation"
    note = f"{name} comes from {made}"
    return f"{lead}: {name} was made without `requires_grad`", "no `requires_grad=True`, and no parameter behind it", (note, *_linked(run))


def _lost(run: Reading, found: Cut) -> str:
    """The parameters that get no gradient because of the cut."""
    if found.before is None or found.op is None:
        return ""
    owners, index = run.history.owner_of, found.op.index
    flow = dict.fromkeys(t for source in found.op.inputs for t in behind(run.history, source, index))
    names = [run.history.names.get(t.id, "") for t in flow if t.id in owners and t.requires_grad]
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"no gradient reaches {', '.join(code(n) for n in names[:3] if n)}{rest}" if names else ""


def _parameter_names(run: Reading, found: Cut) -> list[str]:
    return [name for i in found.parameters if (name := run.history.names.get(i, ""))]


def _linked(run: Reading) -> tuple[str, ...]:
    """Variables at the failing line that do have a graph and are no part of it."""
    known = {i: n for i, n in run.evidence.names if i not in run.history.owner_of}
    made = {t.id for op in run.evidence.ops for t in op.outputs if t.grad_fn}
    names = [n for i, n in known.items() if i in made][:3]
    have, are = ("has", "is") if len(names) == 1 else ("have", "are")
    return (f"{listed([code(n) for n in names])} {have} a graph, but {are} no part of it",) if names else ()


def _others(run: Reading, found: Cut, name: str) -> tuple[Fix, ...]:
    if found.how == "frozen":
        trained = next((a for a in _parameter_names(run, found)), "")
        told = f"leave out of the freezing what should be trained, such as {code(trained)}, or freeze before it is added"
        return (Fix(told, thawed(run, found, trained), changes="only what is named there is trained"),)
    if found.how == "never" and found.span is not None and found.op is not None and not _linked(run):
        made = (
            edits.set_keyword(run.sources, found.span, "requires_grad", "True") if found.op.name not in ("from_numpy", "as_tensor") else ()
        )
        return (Fix(f"let {code(found.name) if found.name else 'it'} require grad: `requires_grad=True`", made),)
    linked = _linked(run)
    return (Fix(f"compute {name} from what has a graph: {linked[0].partition(' ha')[0]}"),) if linked else ()
