"""A gradient is asked for with respect to a tensor that the result was not computed from.

Erroneous code (TW0410):

```python
{example}
```

Why: `torch.autograd.grad(outputs, inputs)` follows the graph from the outputs back. An input that it does not meet
has no gradient: a parameter that this loss does not go through, a tensor made anew (a slice, a clone, a
`requires_grad_()` on a copy) after the outputs were computed from the old one, or one that was cut off by `detach`.

Fix: compute the output from the very tensor that is asked for; or pass only the inputs that take part;
`allow_unused=True` gives None for the others.

Messages: `The differentiated Tensor at index 2 appears to not have been used in the graph. Set allow_unused=True if
this is the desired behavior.`; before torch 2.11: `One of the differentiated Tensors appears to not have been used in
the graph`.

Not to be confused with: `autograd.no-grad-fn`, where the output or the input has no link to any graph.
"""

from __future__ import annotations

import re
from dataclasses import replace

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, ModuleFacts, Span, TensorFacts
from ...reason.backward import roots, wanted
from ...reason.edits import set_keyword
from ...reason.links import flow_into, lost, remade, too_late, uses
from ...reason.origins import argument
from ...reason.part_edits import joined_again
from ...reason.reading import Reading, reading
from ...reason.shape_edits import without_method
from ...reason.wording import code, first_fitting, listed, place, tensor_text


class Unused(Family):
    code = "TW0410"
    title = "a gradient is asked for a tensor that the output was not computed from"
    triggers = (Trigger(r"differentiated Tensors?(?: at index (?P<index>\d+))? appears to not have been used in the graph"),)

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        inputs, outputs = wanted(run.failure), roots(run.failure)
        leaves = {node.leaf for node in evidence.graph if node.leaf is not None}
        index = int(match["index"]) if match["index"] else next((i for i, t in enumerate(inputs) if t.is_leaf and t.id not in leaves), 0)
        if index >= len(inputs):
            return run.diagnosis(self, f"the input at index {index} takes no part in the output", None, fixes=self._fixes(run, ""))
        tensor = inputs[index]
        unused = [t for t in inputs if t.is_leaf and t.id not in leaves] if evidence.graph else [tensor]
        given = argument(run.sources, run.raised, "outputs", ("outputs", "inputs"))
        output = given.text if given is not None else run.name_of(outputs[0]) if outputs else ""
        name = run.name_of(tensor) or self._written(run, len(inputs), index)
        headline = first_fitting(
            f"{code(output or 'the output')} was not computed from {code(name or f'input {index}')}",
            f"the output was not computed from {code(name or f'input {index}')}",
            f"the output was not computed from the input at index {index}",
        )
        notes = [
            f"{code(name or f'the input at index {index}')} is {tensor_text(tensor)}"
            + (f", a parameter of {code(owner.fqn)}" if (owner := self._owner(run, tensor)) else "")
        ]
        if len(inputs) > 1:
            names = [code(run.name_of(t) or "?") for t in unused[:6]]
            notes.append(
                f"{len(unused)} of the {len(inputs)} inputs take no part"
                + (f": {listed(names)}" if len(unused) > 1 else f" (index {index})")
            )
        cause, because, more = self._cause(run, tensor, outputs, owner, name)
        notes += more
        return run.diagnosis(
            self,
            headline,
            cause,
            because,
            trail=run.trail(outputs[0], "grad") if outputs else (),
            notes=notes,
            fixes=self._fixes(run, name, cause, owner is not None),
            confidence=Confidence.CERTAIN if evidence.graph else Confidence.LIKELY,
        )

    def _owner(self, run: Reading, tensor: TensorFacts) -> ModuleFacts | None:
        owned = run.history.owner_of.get(tensor.id)
        return owned[0] if owned is not None else None

    def _written(self, run: Reading, count: int, index: int) -> str:
        """The expression of the input where the call shows it."""
        passed = argument(run.sources, run.raised, "inputs", ("outputs", "inputs"))
        if passed is None:
            return ""
        several = run.sources.operands(passed.span) if count > 1 else ()
        return several[index].text if len(several) == count else passed.text if count == 1 else ""

    def _cause(
        self, run: Reading, tensor: TensorFacts, outputs: tuple[TensorFacts, ...], owner: ModuleFacts | None, name: str
    ) -> tuple[Span, str, list[str]]:
        """Made anew after the output was computed from its source; set too late; cut off on the way; else no part of the output at all."""
        flow, told = flow_into(run, outputs), code(name or "it")
        again, late, cut, used = remade(run, tensor, flow), too_late(run, tensor, flow), lost(run, tensor, flow), uses(run, tensor)
        if again is not None and again.span is not None:
            made = flow.ops[0].span if flow.ops else None
            source = next((t for t in again.inputs if t.id in flow.tensors), None)
            of = code(run.name_of(source)) if source is not None and run.name_of(source) else "what it was made of"
            notes = [f"{code(again.name)} gives a new tensor at {place(again.span)}: the output was computed from {of}, not from {told}"]
            return again.span, "another tensor from here on", notes + ([f"the output comes from {place(made)}"] if made else [])
        if late is not None and late[1].span is not None:
            use, setter = late
            return late[1].span, "too late", [f"{told} was used at {place(use.span)}, before it required grad ({place(setter.span)})"]
        if cut is not None and cut.span is not None:
            return (
                cut.span,
                "the link ends here",
                [f"{told} took part, but {code(cut.name)} at {place(cut.span)} cut the graph between it and the output"],
            )
        if used and used[-1].span is not None:
            return run.raised, "asks for it", [f"{told} was used at {place(used[-1].span)}, in a result that is no part of the output"]
        whole = run.evidence.recording.full and not run.evidence.recording.dropped
        built = f"{code(owner.fqn)} was built at {place(owner.built[0])}" if owner is not None and owner.built else ""
        return run.raised, "asks for it", [f"no op of the forward used {told}" if whole else "", built]

    def _fixes(self, run: Reading, name: str, cause: Span | None = None, is_weight: bool = False) -> list[Fix]:
        allow = set_keyword(run.sources, run.raised, "allow_unused", "True")
        none = Fix("allow unused inputs: their gradients come as None", allow, "unsafe", changes="None in the place of a gradient")
        zeros = set_keyword(run.sources, run.raised, "materialize_grads", "True")
        as_zeros = Fix("take zeros as the gradients of unused inputs: `materialize_grads=True`", zeros, changes="zeros for a gradient")
        if is_weight and cause == run.raised:
            return [none, as_zeros, Fix(f"or leave {code(name)} out: pass only the parameters that take part", (), "display-only")]
        linked = without_method(run.sources, cause, "detach") if cause is not None else ()
        if linked:
            use = Fix("keep the graph: without `detach`", linked, "unsafe", changes="gradients flow through this line")
        elif cause is not None and (joined := joined_again(run, cause, name)) is not None:
            use = joined
        else:
            use = Fix(f"compute the output from {code(name or 'that tensor')} itself: make it before", (), "display-only")
        return [use, replace(none, hides="that it takes no part"), replace(as_zeros, hides="that it takes no part")]

    examples = (
        Example(
            {
                "plate.py": """\
import torch
from torch import nn

net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))
grid = torch.rand(64, 2, requires_grad=True)
heat = net(grid)
across = grid[:, 0:1]  #~ cause
slope = torch.autograd.grad(heat.sum(), across, create_graph=True)[0]
"""
            },
            says=("across", "grid", "heat.sum()", "getitem", "allow"),
        ),
        Example(
            {
                "meta.py": """\
import torch
from net import TwoHeads

model = TwoHeads()
loss = model(torch.rand(4, 6)).pow(2).mean()
weights = list(model.parameters())
gradients = torch.autograd.grad(loss, weights)  #~ cause
""",
                "net.py": """\
from torch import nn


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(6, 5)
        self.main, self.extra = nn.Linear(5, 2), nn.Linear(5, 3)

    def forward(self, x):
        return self.main(self.body(x).relu())
""",
            },
            says=("model.extra.weight", "model.extra.bias", "2 of the 6", "net.py:8", "only the parameters", "allow_unused"),
            becomes="gradients = torch.autograd.grad(loss, weights, allow_unused=True)",
        ),
    )
    near_misses = (
        NearMiss(
            {
                "ok.py": """\
import torch

x, y = torch.ones(2, 2, requires_grad=True).unbind()
print(torch.autograd.grad(x.sum(), [x, y], allow_unused=True))
"""
            }
        ),
        NearMiss(
            {"no.py": "import torch\nx = torch.ones(2, requires_grad=True)\ntorch.autograd.grad((x.detach() * 2).sum(), x)\n"},
            belongs_to="autograd.no-grad-fn",
        ),
    )
