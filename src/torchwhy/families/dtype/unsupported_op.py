"""An op has no kernel for the dtype it gets.

Erroneous code (TW0204):

```python
{example}
```

Why: each kernel is written for some dtypes. Means, softmax, exponentials, norms and linear algebra want floating point; bit operations want integers or
bools; subtraction and negation are not defined for bools; some CPU kernels lack half precision. The dtype was decided earlier: a label, a picture
of uint8, a mask from a comparison, a `.half()` for a GPU that isn't there.

Fix: convert the tensor to a dtype the op has (`.float()` before `mean`), or use the op that is meant for it (`~mask` instead of `1 - mask`).

Messages: `"softmax_lastdim_kernel_impl" not implemented for 'Long'`; `mean(): could not infer output dtype. Input dtype must be either a floating point or
complex dtype. Got: Long`; ``Subtraction, the `-` operator, with a bool tensor is not supported``; `linalg.inv: Expected a floating point or complex tensor as
input. Got Long`; older: `"addmm_impl_cpu_" not implemented for 'Half'`, `mean is not implemented for type torch.LongTensor`.

Not to be confused with: `dtype.mismatch` (two dtypes meet), `dtype.loss-target`, `dtype.index`.
"""

from __future__ import annotations

import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, Plain, TensorFacts
from ...reason import edits
from ...reason.convert import conversion_fixes
from ...reason.dtypes import dtype_cause
from ...reason.reading import Reading, named, reading
from ...reason.wording import code, dtype_name, place, tensor_text


class UnsupportedOp(Family):
    code = "TW0204"
    title = "an op has no kernel for the dtype it gets"
    triggers = (
        Trigger(r"\"(?P<kernel>\w+)\" not implemented for '(?P<got>[\w:]+)'"),
        Trigger(
            r"(?<![\w.])(?P<kernel>[\w.]{1,60})(?:\(\))?: [^\n]{0,200}?(?:[Ff]loating point|infer output dtype)[^\n]{0,200}[Gg]ot:? (?P<got>\w+)"
        ),
        Trigger(r"\b(?P<kernel>\w+) (?:and var )?only supports? (?:floating.point|floating point and complex) dtypes"),
        Trigger(r"(?P<kernel>Subtraction|Negation), the `-` operator, (?:with|on) (?:a|two) bool tensors? is not supported"),
        Trigger(r"Boolean inputs not supported for (?P<kernel>\w+)|only implemented on integer and Boolean-type"),
        Trigger(r"\b(?P<kernel>\w+) is not implemented for type (?:torch\.)?(?:cuda\.)?(?P<got>\w+?)Tensor"),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        groups = match.groupdict()
        got = dtype_name(groups.get("got") or "") or ("bool" if "ool" in run.failure.message else "")
        op = run.op.name if run.op is not None else (groups.get("kernel") or "the op").lower()
        tensor = next((t for _, t in run.tensors if t.dtype == got), None) or (run.tensors[0][1] if run.tensors and not got else None)
        if tensor is None and run.op is not None and not evidence.from_text:
            return None  # it is not about the dtype of a tensor that the call got
        if tensor is None:
            return run.diagnosis(
                self, f"{code(op)} has no kernel for {got or 'this dtype'}", None, notes=(run.failure.message.splitlines()[0],)
            )
        name = run.name_of(tensor) or "the input"
        decision = run.decided(tensor, "dtype")
        cause = dtype_cause(run, decision)
        wanted = (
            "float32"
            if tensor.dtype not in ("float16", "bfloat16", "float32", "float64") or tensor.dtype in ("float16", "bfloat16")
            else "int64"
        )
        notes = [f"{code(name)} is {tensor_text(tensor)}; {self._what_it_takes(op, tensor)}"]
        settings = [f"{o.parameter}={o.value.text}" for o in run.operands if isinstance(o.value, Plain) and isinstance(o.value.value, str)]
        if settings:
            notes.append(f"{code(op)} was called with {code(', '.join(settings))}")
        root = next(iter(run.trail(tensor, "dtype", 12)[-4:-1]), None)
        if root is not None:
            notes.append(f"it comes through {code(run.sources.line_text(root.span.file, root.span.line))} ({place(root.span)})")
        if run.layer is not None:
            notes.append(f"the call is made by {named(run, run.layer)} ({run.layer.kind})")
        if decision.how == "op" and decision.op is not None and decision.before is not None and decision.before.dtype != tensor.dtype:
            notes.append(f"{code(decision.op.name)} at {place(decision.op.span)} made {decision.before.dtype} into {tensor.dtype}")
        return run.diagnosis(
            self,
            f"{code(op)} has no kernel for {tensor.dtype}, and {code(name)} is {tensor.dtype}",
            cause,
            f"{tensor.dtype} from here on",
            trail=run.trail(tensor, "dtype"),
            notes=notes,
            fixes=self._fixes(run, op, tensor, wanted) or conversion_fixes(run, tensor, decision, cause, wanted),
            confidence=Confidence.CERTAIN if decision.op is not None else Confidence.LIKELY,
        )

    def _what_it_takes(self, op: str, tensor: TensorFacts) -> str:
        if tensor.dtype == "bool":
            return f"{code(op)} is not defined for bools"
        if tensor.is_floating and tensor.dtype in ("float16", "bfloat16"):
            return f"{code(op)} has no {tensor.dtype} kernel on {tensor.device}"
        return f"{code(op)} takes {'integers or bools' if tensor.is_floating else 'floating point (float32)'}"

    def _fixes(self, run: Reading, op: str, tensor: TensorFacts, wanted: str) -> list[Fix]:
        """`1 - mask` is `~mask`; nothing else has a better form than a conversion."""
        if tensor.dtype != "bool" or op not in ("sub", "rsub", "neg"):
            return []
        mask = next((o for o in run.operands if getattr(o.value, "id", None) == tensor.id and o.span is not None), None)
        whole = run.sources.node_at(run.raised)
        if mask is None or mask.span is None or whole is None or len(run.tensors) > 1:
            return []
        text = mask.expression if mask.expression.isidentifier() else f"({mask.expression})"
        return [Fix("invert the mask with `~`", edits.replace_text(run.raised, f"~{text}"), "safe")]

    examples = (
        Example(
            {
                "stats.py": """\
import torch


class Pictures:
    def __init__(self, n):
        self.data = torch.randint(0, 256, (n, 3, 8, 8), dtype=torch.uint8)  #~ cause

    def channel_means(self):
        flat = self.data.flatten(2)
        return flat.mean(dim=(0, 2))


print(Pictures(4).channel_means().shape)
"""
            },
            says=("mean", "uint8", "flat"),
        ),
        Example(
            {
                "mask.py": """\
import torch

tokens = torch.tensor([[5, 3, 0], [7, 0, 0]])
padding = tokens == 0  #~ cause
keep = 1 - padding
print((tokens * keep).sum().item())
"""
            },
            says=("bool", "padding"),
        ),
    )
    near_misses = (
        NearMiss({"ok.py": "import torch\nprint(torch.ones(3, dtype=torch.int64).sum())\n"}),
        NearMiss({"mixed.py": "import torch\ntorch.nn.Linear(2, 2)(torch.ones(1, 2).double())\n"}, belongs_to="dtype.mismatch"),
    )
