"""A tensor that requires grad is handed to numpy.

Erroneous code (TW0406):

```python
{example}
```

Why: numpy knows nothing of gradients, so a tensor with a graph can't become an array unnoticed. It happens by `.numpy()`, and unseen in
every numpy function that is given a tensor or a list of tensors (`np.mean(losses)`), in plotting and in metrics.

Fix: for a number to log or plot, take it when it is made: `losses.append(loss.item())`; for an array, `x.detach().numpy()`; in an
evaluation, run the model under `torch.no_grad()`. On the way to a loss neither is right: `detach()` ends the error and cuts the graph, so
that no gradient reaches what came before; there the computation must stay in torch.

Messages: `Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.`; before torch 1.0: `Can't call numpy() on
Variable that requires grad.`

Not to be confused with: `device.numpy`, a tensor on a GPU.
"""

from __future__ import annotations

import ast
import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, Label, Span, TensorFacts
from ...reason import edits
from ...reason.collected import collected
from ...reason.reading import Reading, reading
from ...reason.scopes import dotted
from ...reason.source import Expression
from ...reason.wording import code, fitting, place, tensor_text


class Numpy(Family):
    code = "TW0406"
    title = "a tensor that requires grad is handed to numpy"
    triggers = (Trigger(r"[Cc]an't call numpy\(\) on (?:Tensor|Variable) that requires grad"),)

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        tensor = next((t for _, t in run.tensors if t.requires_grad), None)
        call = run.sources.call_at(run.raised)
        direct = isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in ("numpy", "__array__")
        held, name = _argument(run, call, tensor) if not direct else (None, _receiver(run, call))
        asked = code(run.sources.segment(run.sources.span_of(run.raised.file, call.func))) if isinstance(call, ast.Call) else "numpy"
        asked = "`.numpy()`" if direct else asked
        graph = (
            f"with the graph of {_origin(run, tensor)} (`{tensor.grad_fn}`)"
            if tensor is not None and tensor.grad_fn
            else "a leaf that requires grad"
        )
        item = f"an item of {code(name)}" if held is not None else code(name) if name else "the tensor"
        notes = (
            f"{item} is {tensor_text(tensor)}, {graph}" if tensor is not None else "",
            f"{asked} turns {'each of its tensors' if held is not None else 'it'} into an array" if not direct else "",
        )
        trail = (*_source_of(run, tensor), Label(run.raised, "raised here"))
        sure = Confidence.CERTAIN if tensor is not None else Confidence.LIKELY
        if held is not None:
            headline = f"{code(name)} holds tensors that require grad, and {asked} turns them into numpy"
            headline = fitting(headline, f"{asked} gets tensors that still require grad", "numpy is given tensors that require grad")
            kept = f"{code(held.text)} goes into {code(name)} at {place(held.span)} with its graph, which stays in memory as well"
            fixes = (_taken_as_number(run, held, tensor),)
            return run.diagnosis(
                self,
                headline,
                held.span,
                f"{code(held.text)} is kept with its graph",
                trail=trail,
                notes=(*notes, kept),
                fixes=fixes,
                confidence=sure,
            )
        headline = f"{code(name) if name else 'a tensor'} requires grad, and {asked} would lose its graph"
        headline = fitting(headline, f"{asked} gets a tensor that requires grad", "numpy is given a tensor that requires grad")
        why, fixes_ = _direct_fixes(run, direct, call, name)
        return run.diagnosis(
            self, headline, run.raised, "no `detach()` before numpy", trail=trail, notes=(*notes, why), fixes=fixes_, confidence=sure
        )

    examples = (
        Example(
            {
                "train.py": """\
import numpy as np
import torch
from torch import nn

torch.manual_seed(0)
net = nn.Linear(3, 1)
history = []
for x in torch.randn(3, 4, 3):
    loss = net(x).pow(2).mean()
    loss.backward()
    history.append(loss)  #~ cause
print(np.mean(history))
"""
            },
            says=("`history`", "`np.mean`", "`loss`", ".item()", "float32 []"),
            becomes="    history.append(loss.item())",
        ),
        Example(
            {
                "evaluate.py": """\
import torch
from torch import nn


class Judge:
    def __init__(self, net):
        self.net = net.eval()

    def scores(self, pictures):
        found = torch.sigmoid(self.net(pictures)).squeeze(1)
        return found.cpu().numpy()  #~ cause


print(Judge(nn.Linear(3, 1)).scores(torch.rand(5, 3)))
"""
            },
            says=("`found`", "requires grad", "eval()", "torch.no_grad()", "float32 [5]"),
        ),
        Example(
            {
                "plot.py": """\
import numpy as np
import torch

net = torch.nn.Linear(3, 2)
out = net(torch.ones(4, 3))
curve = np.abs(out)  #~ cause
"""
            },
            says=("`out`", "`np.abs`", "detach"),
            becomes="curve = np.abs(out.detach())",
        ),
    )
    near_misses = (
        NearMiss({"ok.py": "import torch\n\nnet = torch.nn.Linear(3, 1)\nprint(net(torch.ones(1, 3)).detach().numpy())\n"}),
        NearMiss({"ok.py": "import torch\n\nwith torch.no_grad():\n    print(torch.nn.Linear(3, 1)(torch.ones(1, 3)).numpy())\n"}),
    )


def _receiver(run: Reading, call: ast.Call | None) -> str:
    """The tensor's own expression, without `.cpu()` and the like before `.numpy()`."""
    node: ast.AST | None = call.func.value if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) else None
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and not node.args and dotted(node) is None:
        node = node.func.value
    return run.sources.segment(run.sources.span_of(run.raised.file, node)) if node is not None else ""


def _argument(run: Reading, call: ast.Call | None, tensor: TensorFacts | None) -> tuple[Expression | None, str]:
    """What the numpy function was given: the expression put into that list, or None for a single tensor; and its name."""
    passed = run.sources.arguments(run.raised) if call is not None else ()
    for one in passed:
        node = run.sources.node_at(one.span)
        name = dotted(node) if node is not None else None
        item = collected(run.sources, name, run.raised) if name else None
        if item is not None:
            return item, name or ""
    known = run.history.names.get(tensor.id, "") if tensor is not None else ""
    exact = next((one.text for one in passed if one.text == known), "")
    return None, exact or known or (passed[0].text if len(passed) == 1 else "")


def _origin(run: Reading, tensor: TensorFacts | None) -> str:
    decision = run.decided(tensor, "grad") if tensor is not None else None
    name = run.history.names.get(decision.tensor.id, "") if decision is not None else ""
    return code(name) if name else "what was computed before"


def _source_of(run: Reading, tensor: TensorFacts | None) -> tuple[Label, ...]:
    op = run.history.producer(tensor, run.before) if tensor is not None else None
    label = run.label(op) if op is not None else None
    return (label,) if label is not None and label.span.line != run.raised.line else ()


def _taken_as_number(run: Reading, held: Expression, tensor: TensorFacts | None) -> Fix:
    one = tensor is None or tensor.numel == 1
    text = ".item()" if one else ".detach().cpu().numpy()"
    title = f"keep {'the number' if one else 'an array'}: {code(held.text + text)}"
    return Fix(
        title, edits.append_method(run.sources, held.span, text), "safe", changes="the graphs of earlier steps are no longer kept in memory"
    )


def _direct_fixes(run: Reading, direct: bool, call: ast.Call | None, name: str) -> tuple[str, list[Fix]]:
    node = call.func.value if direct and isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) else None
    span = run.sources.span_of(run.raised.file, node) if node is not None else _passed_tensor(run, name)
    detached = edits.append_method(run.sources, span, ".detach()") if span is not None else ()
    detach = Fix(f"take it out of the graph: {code((name or 'x') + '.detach()')}", detached, "safe")
    if (
        run.op is not None
        and run.op.phase == "forward"
        and run.module is not None
        and run.module.defined is not None
        and run.raised.function.endswith("forward")
    ):
        hides = "the graph is cut here without a word: nothing before it gets a gradient"
        stay = Fix(f"compute it with torch instead of numpy, so that gradients reach {code(name or 'it')}")
        return f"this is in the forward pass of {code(run.module.fqn or run.module.kind)}", [
            stay,
            Fix(detach.title, detached, "unsafe", hides=hides),
        ]
    function = run.sources.function_at(run.raised.file, run.raised.line)
    if run.op is not None and run.op.phase == "evaluation" and function is not None and ".backward(" not in _text(run, function):
        made = edits.add_decorator(run.sources, run.raised.file, run.raised.line, "@torch.no_grad()")
        title = f"evaluate without gradients: `@torch.no_grad()` on {code(function.name)}"
        guard = Fix(title, made, "safe", changes="less memory: no graph is built")
        why = f"the model is in `eval()` mode, but {code(function.name)} runs it with gradients on: there is no `torch.no_grad()`"
        return why, [guard, detach]
    return "", [detach]


def _text(run: Reading, function: ast.AST) -> str:
    return run.sources.segment(run.sources.span_of(run.raised.file, function))


def _passed_tensor(run: Reading, name: str) -> Span | None:
    return next((one.span for one in run.sources.arguments(run.raised) if one.text == name), None)
