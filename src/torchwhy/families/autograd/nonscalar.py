"""`backward()` on a tensor with several values.

Erroneous code (TW0409):

```python
{example}
```

Why: a gradient is that of one number. `loss.backward()` starts with a gradient of 1, which only a tensor with one
element has by itself. A loss with `reduction="none"`, a loss written by hand without `.mean()`, losses of several
devices that were gathered, or the network's output itself have more.

Fix: make it one number with `.mean()` or `.sum()`, or say with which gradient to start:
`y.backward(gradient=torch.ones_like(y))`, of the shape of `y`.

Messages: `grad can be implicitly created only for scalar outputs`; `Mismatch in shape: grad_output[0] has a shape of
torch.Size([3]) and output[0] has a shape of torch.Size([4])`; `Expected f(*args) to return a scalar Tensor, got
tensor with 2 dims` (torch.func.grad).

Not to be confused with: `autograd.no-grad-fn`, where the tensor has no graph at all.
"""

from __future__ import annotations

import ast
import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, OpRecord, Plain, Span, TensorFacts
from ...reason.backward import autograd_frame, gradients, roots, unbroken
from ...reason.edits import append_method, replace_text
from ...reason.provenance import Size
from ...reason.reading import Cause, Reading, reading
from ...reason.scopes import value_of
from ...reason.wording import code, first_fitting, place, plural, shape_text, tensor_text

_ARITHMETIC = ("add", "sub", "mul", "div", "pow", "where", "neg", "rsub")


class Nonscalar(Family):
    code = "TW0409"
    title = "`backward` on a tensor with several values"
    triggers = (
        Trigger(r"grad can be implicitly created only for (?:real )?scalar outputs"),
        Trigger(
            r"Mismatch in shape: grad_output\[(?P<index>\d+)\] has a shape of .*and output\[\d+\] has a shape of", types=("RuntimeError",)
        ),
        Trigger(
            r"Expected f\(\*args\) to return a scalar|The Tensor returned by the function given to \w+ should contain a single element"
        ),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        index = int(match.groupdict().get("index") or 0)
        outputs, given = roots(run.failure), gradients(run.failure)
        if match.groupdict().get("index") and given and index < len(outputs):
            return self._mismatched(run, outputs[index], given[min(index, len(given) - 1)])
        several = [t for t in outputs if t.numel != 1]
        if not several:
            return self._told_only(run, match, outputs)
        tensor = several[0]
        name = self._name(run, tensor)
        headline = first_fitting(
            f"{code(name or 'the loss')} is {shape_text(tensor.shape)}, {tensor.numel} values; `backward` starts from one",
            f"a tensor of {tensor.numel} values, {shape_text(tensor.shape)}, where `backward` starts from one",
        )
        cause, because, notes = self._cause(run, tensor, name)
        return run.diagnosis(
            self,
            headline,
            cause,
            because,
            trail=run.trail(tensor, "grad"),
            notes=notes,
            fixes=self._fixes(run, tensor, name, cause),
            confidence=Confidence.CERTAIN,
        )

    def _name(self, run: Reading, tensor: TensorFacts) -> str:
        call = run.sources.call_at(run.raised)
        if call is not None and isinstance(call.func, ast.Attribute) and call.func.attr == "backward":
            source = run.sources.file(run.raised.file)
            if source is not None and not (isinstance(call.func.value, ast.Attribute) and call.func.value.attr == "autograd"):
                return source.segment(call.func.value)
        return run.name_of(tensor)

    def _cause(self, run: Reading, tensor: TensorFacts, name: str) -> tuple[Cause | Span, str, list[str]]:
        """The loss that was told not to reduce; else the program's line that computed the values unreduced; else the call itself."""
        kind = ", a vector" if tensor.rank == 1 else ""
        told = f"{code(name or 'it')} is {tensor_text(tensor)}{kind}: one value per element, not reduced by `.mean()` or `.sum()`"
        made = unbroken(run, tensor)
        for op in made:
            reduction = op.argument("reduction")
            if isinstance(reduction, Plain) and reduction.value == "none":
                layer = run.history.module(op.module)
                is_layer = layer is not None and layer.setting("reduction") is not None
                cause = (
                    run.setting(layer, "reduction", "none")
                    if layer is not None and is_layer
                    else run.argument_origins(op.where, "reduction", value="none")
                )
                whose = code(layer.fqn if layer is not None and is_layer else op.name)
                keeps = f'{whose} has reduction="none": it keeps the loss of each element'
                notes = [told, keeps + (f" ({place(op.span)})" if op.span else "")]
                if op is not made[0] and made[0].span is not None:
                    return made[0].span, "not reduced after this", notes
                return cause or op.span or run.raised, 'reduction is "none"', notes
        last, first = (made[0], made[-1].span) if made else (None, None)
        source = f"the {tensor.numel} values come from {code(run.sources.segment(first))} at {place(first)}" if first is not None else ""
        if last is not None and last.span is not None and self._is_written(run, last):
            return last.span, f"{shape_text(tensor.shape)} from here on", [told, source if first != last.span else ""]
        out = f"it comes out of {code(last.name)} at {place(last.span)}" if last is not None and last.span is not None else ""
        return run.raised, f"{tensor.numel} values", [told, out]

    def _is_written(self, run: Reading, op: OpRecord) -> bool:
        """Whether the program computes the values itself: not what a layer gave out."""
        layer = run.history.module(op.module)
        return (layer is None or layer.defined is not None) and (
            op.name.rstrip("_") in _ARITHMETIC or op.name.endswith("loss") or op.span != run.raised
        )

    def _fixes(self, run: Reading, tensor: TensorFacts, name: str, cause: Cause | Span) -> list[Fix]:
        at = cause.span if isinstance(cause, Cause) else cause
        fixes: list[Fix] = []
        if run.sources.segment(at).strip("'\"") == "none":
            fixes.append(Fix("reduce the loss to its mean", replace_text(at, '"mean"'), "unsafe", changes="one number for the batch"))
        if (mean := self._mean(run, name)) is not None:
            fixes.append(mean)
        made = value_of(run.sources, name, run.raised.file, run.raised.line) if name.isidentifier() else None
        if made is not None and made != at and (edits := append_method(run.sources, made, ".mean()")):
            fixes.append(Fix(f"take the mean where {code(name)} is made", edits, changes="one number for the batch"))
        ones = f"torch.ones_like({name})" if name else "torch.ones_like(…)"
        fixes.append(Fix(f"or pass the gradient to start from: {code(f'gradient={ones}')}, the same as a sum", (), "display-only"))
        return fixes

    def _mean(self, run: Reading, name: str) -> Fix | None:
        call, source = run.sources.call_at(run.raised), run.sources.file(run.raised.file)
        if call is None or source is None or not isinstance(call.func, ast.Attribute):
            return None
        if call.func.attr == "backward" and source.segment(call.func.value) == name:
            edits = append_method(run.sources, source.span(call.func.value), ".mean()")
            return Fix(f"take the mean: {code(f'{name}.mean().backward()')}", edits)
        if call.func.attr == "grad" and call.args:
            edits = append_method(run.sources, source.span(call.args[0]), ".sum()")
            return Fix("take the gradient of the sum, which keeps each row's own", edits)
        return None

    def _mismatched(self, run: Reading, tensor: TensorFacts, given: TensorFacts) -> Diagnosis | None:
        name, other = self._name(run, tensor) or run.name_of(tensor), run.name_of(given)
        if tensor.shape == given.shape:
            return None
        call = run.sources.arguments(run.raised)
        written = next((e for e in call if e.keyword in ("gradient", "grad_outputs", "grad_tensors")), None) or next(
            (e for e in call[-1:]), None
        )
        decision = run.decided(given, Size(0)) if given.rank else None
        cause = run.cause(decision, given.shape[0]) if decision is not None and given.shape and decision.how != "given" else None
        shapes = f"{shape_text(given.shape)} for an output of {shape_text(tensor.shape)}"
        fix = replace_text(written.span, f"torch.ones_like({name})") if written is not None and name else ()
        return run.diagnosis(
            self,
            first_fitting(f"the gradient {code(other or 'given')} is {shapes}", f"the gradient given is {shapes}"),
            cause or (written.span if written else run.raised),
            shape_text(given.shape),
            trail=run.trail(given, "rank"),
            notes=[
                f"{code(name or 'the output')} is {tensor_text(tensor)}, the gradient is {tensor_text(given)}; the shapes must be equal"
            ],
            fixes=[Fix("pass a gradient of the output's shape", fix, "unsafe")],
            confidence=Confidence.CERTAIN,
        )

    def _told_only(self, run: Reading, match: re.Match[str], outputs: tuple[TensorFacts, ...]) -> Diagnosis:
        """No operand with several values was seen: a complex number, `torch.func.grad`, or a log."""
        number = next((t for t in outputs if t.dtype.startswith("complex")), None)
        if number is not None:
            name = self._name(run, number)
            return run.diagnosis(
                self,
                f"{code(name or 'the loss')} is {number.dtype}; `backward` starts from a real number",
                run.decided(number, "dtype").span or run.raised,
                f"{number.dtype} from here on",
                trail=run.trail(number, "dtype"),
                notes=[f"{code(name or 'it')} is {tensor_text(number)}"],
                fixes=[Fix("take `.abs()` or `.real` of it before `backward`", (), "display-only")],
            )
        dims = re.search(r"got tensor with (\d+) dims", run.failure.message)
        what = plural(int(dims[1]), "dimension") if dims else "several values"
        inner = next((f for f in reversed(run.failure.frames) if f.local("func") is not None), None)
        function = inner.local("func") if inner is not None else None
        name = function.text.rpartition(".")[2] if isinstance(function, Plain) else ""
        source = run.sources.file(run.raised.file)
        found = (
            next(
                (n for n in source.nodes if isinstance(n, ast.Return) and name and run.sources.span_of(source.file, n).function == name),
                None,
            )
            if source
            else None
        )
        cause = source.span(found.value) if source is not None and found is not None and found.value is not None else None
        frame = autograd_frame(run.failure)
        fixes = (
            [Fix("return its mean", append_method(run.sources, cause, ".mean()"))]
            if cause
            else [Fix("take `.mean()` or `.sum()` of the loss first", (), "display-only")]
        )
        return run.diagnosis(
            self,
            f"{code(name) + ' returns' if name and not frame else 'a tensor with'} {what} where one number is needed",
            cause,
            "not reduced to one number",
            fixes=fixes,
        )

    examples = (
        Example(
            {
                "train.py": """\
import torch
from torch import nn
from losses import build

net = nn.Linear(6, 3)
criterion = build("focal")
scores = net(torch.rand(8, 6))
loss = criterion(scores, torch.randint(3, (8,)))
loss.backward()
""",
                "losses.py": """\
from torch import nn


def build(kind):
    weighting = {"plain": "mean", "focal": "none"}  #~ cause
    return nn.CrossEntropyLoss(reduction=weighting[kind])
""",
            },
            says=("loss", "[8]", "8 values", "reduction", "criterion"),
        ),
        Example(
            {
                "fit.py": """\
import torch

slope = torch.zeros(1, requires_grad=True)
x = torch.linspace(0, 1, 20)
for step in range(3):
    error = slope * x - 3 * x
    loss = error.abs() ** 1.5  #~ cause
    loss.backward()
"""
            },
            says=("loss", "[20]", "20 values", ".mean()"),
        ),
    )
    near_misses = (
        NearMiss({"fit.py": "import torch\nw = torch.ones(1, 1, requires_grad=True)\n(w * 2).backward()\nprint(w.grad)\n"}),
        NearMiss({"fit.py": "import torch\nw = torch.ones(3)\n(w * 2).backward()\n"}, belongs_to="autograd.no-grad-fn"),
    )
