"""A tensor of integers or booleans is to require gradients.

Erroneous code (TW0413):

```python
{example}
```

Why: gradients exist for real and complex numbers. A tensor of a dtype such as int64 or bool can't require them, so it
can't be an `nn.Parameter` either. `torch.tensor([1, 2])`, `torch.arange(5)`, labels and index tables are int64 unless
told otherwise; `1.` instead of `1` makes them float32.

Fix: make it floating point where it is made (`1.0`, `dtype=torch.float32`, `.float()`); a table that is not trained
belongs in `register_buffer(...)` or `nn.Parameter(x, requires_grad=False)`.

Messages: `Only Tensors of floating point and complex dtype can require gradients`; `only Tensors of floating point
dtype can require gradients`; `data set to a tensor that requires gradients must be floating point or complex dtype`;
`nn.Module.to only accepts floating point or complex dtypes`.

Not to be confused with: `autograd.no-grad-fn`, where a computed integer tensor has lost its graph.
"""

from __future__ import annotations

import ast
import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, OpRecord, TensorFacts, tensors_in
from ...reason.convert import METHODS
from ...reason.dtypes import TAKES_OVER, dtype_cause
from ...reason.edits import append_method, replace_text, set_keyword
from ...reason.origins import argument
from ...reason.reading import Cause, Reading, reading
from ...reason.wording import code, first_fitting, place, tensor_text

_CREATES = ("tensor", "arange", "zeros", "ones", "full", "randint", "empty", "zeros_like", "ones_like", "full_like", "eye", "as_tensor")


class RequiresGradDtype(Family):
    code = "TW0413"
    title = "a tensor of integers or booleans can't require gradients"
    triggers = (
        Trigger(r"[oO]nly Tensors of floating point (?:and complex )?dtype can require gradients"),
        Trigger(r"data set to a tensor that requires gradients must be floating point"),
        Trigger(
            r"nn\.Module\.to only accepts floating point or complex dtypes, but got desired dtype=torch\.(?P<dtype>\w+)",
            types=("TypeError",),
        ),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        asked = match.groupdict().get("dtype")
        if asked:
            return self._whole_module(run, asked)
        op = run.op
        if op is not None and op.name in _CREATES and not any(t.requires_grad for t in op.inputs):
            return self._made_so(run, op)
        tensor = self._tensor(run)
        if tensor is None:
            return run.diagnosis(
                self, "an integer tensor is to require gradients", None, fixes=[Fix("make it floating point first", (), "display-only")]
            )
        name = self._name(run, tensor)
        decision = run.decided(tensor, "dtype")
        cause = self._dtype_argument(run, decision.op) or dtype_cause(run, decision)
        called = code(name) if name else "a tensor"
        headline = first_fitting(
            f"{called} is {tensor.dtype} and is to require gradients: only floating point can",
            f"{called} is {tensor.dtype}: only floating point can require gradients",
            f"a tensor of {tensor.dtype} is to require gradients: only floating point can",
        )
        notes = [f"{called} is {tensor_text(tensor)}"]
        if decision.op is not None and decision.op.span is not None:
            notes.append(f"{code(decision.op.name)} at {place(decision.op.span)} made it {tensor.dtype}")
        if op is not None and op.name == "Parameter":
            notes.append("an `nn.Parameter` requires gradients unless it is given `requires_grad=False`")
        return run.diagnosis(
            self,
            headline,
            cause,
            f"{tensor.dtype} from here on",
            trail=run.trail(tensor, "dtype"),
            notes=notes,
            fixes=self._fixes(run, cause, decision.op, name, op),
            confidence=Confidence.CERTAIN if decision.op is not None else Confidence.LIKELY,
        )

    def _tensor(self, run: Reading) -> TensorFacts | None:
        """The tensor of a dtype without gradients: among the operands (the new data before the old), else in the frames."""
        found = [t for _, t in reversed(run.tensors) if not t.is_floating]
        for frame in reversed(run.failure.frames) if not found else ():
            found += [t for a in frame.locals for t in tensors_in(a.value) if not t.is_floating]
        return found[0] if found else None

    def _name(self, run: Reading, tensor: TensorFacts) -> str:
        known = run.history.names.get(tensor.id, "")
        operand = next((o for o in run.operands if any(t.id == tensor.id for t in tensors_in(o.value))), None)
        return known if known.isidentifier() else (operand.expression if operand is not None else "") or known

    def _dtype_argument(self, run: Reading, op: OpRecord | None) -> Cause | None:
        """The `dtype=` that the program wrote, where there is one."""
        if op is None or op.argument("dtype") is None or op.span is None:
            return None
        return run.argument_origins(op.where, "dtype")

    def _made_so(self, run: Reading, op: OpRecord) -> Diagnosis:
        """`torch.tensor([1, 2], requires_grad=True)`: the call itself makes it of integers, by its data or by its `dtype`."""
        told = op.argument("dtype")
        dtype = getattr(told, "text", "") if told is not None and getattr(told, "text", "None") != "None" else "int64"
        holds = {"full": "fill_value", "full_like": "fill_value"}.get(op.name, "data")
        signature = ("size", "fill_value") if holds == "fill_value" else ("data",)
        takes_values = op.argument(holds) is not None
        written = self._dtype_argument(run, op) or (run.argument_origins(run.calls, holds, signature) if takes_values else None)
        where = argument(run.sources, run.raised, holds, signature) if takes_values else None
        by = (
            "its dtype"
            if op.argument("dtype") is not None and dtype != "int64" or self._dtype_argument(run, op)
            else "its values are integers"
        )
        text = code(where.text) if where is not None else code(f"torch.{op.name}")
        statement = run.sources.statement_at(run.raised.file, run.raised.line)
        bound = statement.targets[0] if isinstance(statement, ast.Assign) else None
        target = run.sources.segment(run.sources.span_of(run.raised.file, bound)) if bound is not None else ""
        headline = first_fitting(
            f"{code(target or 'the tensor')} is to require gradients, but {text} makes it {dtype}",
            f"{text} is {dtype}: only floating point can require gradients",
            f"a tensor of {dtype} is to require gradients: only floating point can",
        )
        return run.diagnosis(
            self,
            headline,
            written or run.raised,
            by,
            notes=[f"{code('torch.' + op.name)} at {place(run.raised)} gives {dtype} with `requires_grad=True`: {by}"],
            fixes=self._fixes(run, Cause(run.raised), op, target, None),
            confidence=Confidence.CERTAIN,
        )

    def _fixes(self, run: Reading, cause: Cause, made: OpRecord | None, name: str, failing: OpRecord | None) -> list[Fix]:
        fixes: list[Fix] = []
        text = run.sources.segment(cause.span)
        span = made.span if made is not None else None
        if re.search(r"\bu?int\d+|\blong\b|\bbool\b|\bshort\b", text) and "(" not in text:
            fixes.append(Fix("make it float32", replace_text(cause.span, re.sub(r"(u?int\d+|long|bool|short)\b", "float32", text)), "safe"))
        elif made is not None and span is not None and made.name in _CREATES and run.sources.call_at(span) is not None:
            fixes.append(Fix("make it float32", set_keyword(run.sources, span, "dtype", "torch.float32"), "safe"))
        elif span is not None and made is not None and (made.name in TAKES_OVER or made.name in METHODS):
            fixes.append(Fix("make it float32", append_method(run.sources, span, ".float()"), "safe"))
        if failing is not None and failing.name == "Parameter":
            frozen = (
                set_keyword(run.sources, run.raised, "requires_grad", "False") if "Parameter(" in run.sources.segment(run.raised) else ()
            )
            fixes.append(
                Fix(
                    "or keep its integers and leave it out of training: `requires_grad=False`",
                    frozen,
                    "unsafe",
                    changes="it is not trained",
                )
            )
            fixes.append(Fix(f"or make {code(name or 'it')} a buffer: `self.register_buffer(...)`", (), "display-only"))
        return fixes or [Fix(f"convert {code(name or 'it')} with `.float()` first", (), "display-only")]

    def _whole_module(self, run: Reading, dtype: str) -> Diagnosis:
        frame = next((f for f in reversed(run.failure.frames) if f.module is not None), None)
        module = run.history.module(frame.module) if frame is not None else None
        name = code(module.fqn) if module is not None else "the module"
        call = run.sources.call_at(run.raised)
        bare = run.sources.span_of(run.raised.file, call.func.value) if call is not None and isinstance(call.func, ast.Attribute) else None
        kept = replace_text(run.raised, run.sources.segment(bare)) if bare is not None and run.raised.end_line else ()
        cause = run.expression_origins(e[0].span) if (e := run.sources.arguments(run.raised)) else None
        return run.diagnosis(
            self,
            f"{name} is to be converted to {dtype}: parameters are floating point",
            cause,
            f"asks for {dtype}",
            notes=["`nn.Module.to` takes floating point and complex dtypes; the data's dtype is another matter"],
            fixes=[Fix("convert the data, not the module", kept)],
        )

    examples = (
        Example(
            {
                "fit.py": """\
import torch

FIRST_GUESS = [4, 0, -1]  #~ cause


def start(values):
    weights = torch.tensor(values, requires_grad=True)
    return weights


loss = (start(FIRST_GUESS) * torch.rand(3)).sum()
loss.backward()
"""
            },
            says=("weights", "int64", "values", "requires_grad=True", "dtype=torch.float32"),
        ),
        Example(
            {
                "codes.py": """\
import torch
from torch import nn


class Codebook(nn.Module):
    def __init__(self, size):
        super().__init__()
        order = torch.randperm(size)  #~ cause
        self.order = nn.Parameter(order.view(1, -1))


print(sum(p.numel() for p in Codebook(16).parameters()))
"""
            },
            says=("order.view(1, -1)", "int64", "[1, 16]", "randperm", "requires_grad=False", "register_buffer"),
        ),
    )
    near_misses = (
        NearMiss({"ok.py": "import torch\nfrom torch import nn\nprint(nn.Parameter(torch.arange(3), requires_grad=False))\n"}),
        NearMiss(
            {"no.py": "import torch\nx = torch.ones(3, requires_grad=True).long().sum()\nx.backward()\n"},
            belongs_to="autograd.nondifferentiable",
        ),
    )
