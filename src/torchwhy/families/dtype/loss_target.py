"""A loss gets a target of a dtype that it does not take.

Erroneous code (TW0202):

```python
{example}
```

Why: `cross_entropy` and `nll_loss` with class indices want an int64 target (uint8 is taken, int32 is not); with class probabilities, and for
`binary_cross_entropy` and regression losses, the target must be floating point like the input. Labels come as int32 from NumPy on files and
Windows, as float64 from pandas, as bool from a comparison.

Fix: convert the target once, where the labels are made: `.long()` or `dtype=np.int64` for class indices, `.float()` for values and probabilities.

Messages: `expected target dtype to be Long or Byte, but got Int`; `Found dtype Long but expected Float`; `result type Float can't be cast to the
desired output type Long`; `Expected floating point type for target with class probabilities, got Long`; older: `expected scalar type Long but found
Float`, `Expected object of scalar type Long but got scalar type Float for argument #2 'target'`.

Not to be confused with: `shape.loss-target` (the target's shape), `dtype.mismatch` (a layer's input).
"""

from __future__ import annotations

import re
from dataclasses import replace

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Frame, Label, Operand, TensorFacts
from ...reason.convert import conversion_fixes, of_its_own
from ...reason.dtypes import dtype_cause
from ...reason.reading import Reading, reading
from ...reason.wording import code, dtype_name, place, tensor_text

_CLASSES = ("cross_entropy", "nll_loss", "nll_loss2d", "multi_margin_loss", "multilabel_margin_loss")
_VALUES = (
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "mse_loss",
    "l1_loss",
    "smooth_l1_loss",
    "huber_loss",
    "kl_div",
    "poisson_nll_loss",
    "gaussian_nll_loss",
    "soft_margin_loss",
    "multilabel_soft_margin_loss",
    "margin_ranking_loss",
    "hinge_embedding_loss",
    "cosine_embedding_loss",
)
_CASTS = ("double", "half", "bfloat16", "to", "type")
_MODULES = {
    "CrossEntropyLoss": "cross_entropy",
    "NLLLoss": "nll_loss",
    "BCELoss": "binary_cross_entropy",
    "BCEWithLogitsLoss": "binary_cross_entropy_with_logits",
}


class LossTarget(Family):
    code = "TW0202"
    title = "a loss gets a target of a dtype that it does not take"
    triggers = (
        Trigger(r"expected target dtype to be Long or Byte, but got (?P<got>\w+)"),
        Trigger(r"Expected floating point type for target with class probabilities, got (?P<got>\w+)"),
        Trigger(r"Found dtype (?P<got>\w+) but expected (?P<want>\w+)"),
        Trigger(r"expected scalar type (?P<want>\w+) but found (?P<got>\w+)"),
        Trigger(r"Expected object of scalar type (?P<want>\w+) but got (?:object of )?scalar type (?P<got>\w+) for argument #2 'target'"),
        Trigger(r"result type (?P<want>\w+) can't be cast to the desired output type (?P<got>\w+)"),
        Trigger(r"not implemented for '(?P<got>Int|Short|Char|Bool)'"),
    )
    rank = 2

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        if run.op is not None and run.op.name == "backward":
            return self._in_backward(run, match)
        loss = self._loss(run)
        if not loss:
            return None
        target = run.tensor("target", "targets")
        if target is None:
            return self._from_text(run, loss, match)
        scores = run.tensor("input")
        if scores is not None and (turned := self._converted(run, scores, target, loss)) is not None:
            return turned
        by_value = loss in _VALUES or target.is_floating and scores is not None and target.shape == scores.shape
        as_class = loss in _CLASSES and not (scores is not None and target.shape == scores.shape and target.rank > 1)
        wanted = "int64" if as_class else scores.dtype if scores is not None and scores.is_floating else "float32"
        if target.dtype == wanted or (as_class and target.dtype == "uint8") or (by_value and target.is_floating and loss not in _VALUES):
            return None
        name = run.name("target", "targets")
        decision = run.decided(target, "dtype")
        if scores is not None:
            decision = of_its_own(run, decision, scores)
        cause = dtype_cause(run, decision)
        why = "class indices must be int64 (Long)" if as_class else f"the target must be {wanted} like the input"
        notes = [f"in {code(loss)} {why}; {code(name)} is {tensor_text(target)}"]
        if scores is not None:
            notes.append(f"the input {code(run.name('input'))} is {tensor_text(scores)}")
        if decision.op is not None and decision.op.name == "from_numpy":
            notes.append(f"`from_numpy` at {place(decision.op.span)} keeps NumPy's dtype, {target.dtype}")
        return run.diagnosis(
            self,
            f"the target {code(name)} is {target.dtype}, {code(loss)} wants {wanted}",
            cause,
            f"a part of data that is {target.dtype}" if decision.op in decision.trail else f"{target.dtype} from here on",
            notes=notes,
            trail=run.trail(target, "dtype"),
            fixes=conversion_fixes(run, target, decision, cause, wanted),
            confidence=Confidence.CERTAIN if decision.op is not None else Confidence.LIKELY,
        )

    def _converted(self, run: Reading, scores: TensorFacts, target: TensorFacts, loss: str) -> Diagnosis | None:
        """The input was converted on purpose, away from the float32 that target and weights have."""
        decision = run.decided(scores, "dtype")
        made = decision.op
        if not scores.is_floating or target.dtype != "float32" or scores.dtype == "float32" or made is None or made.name not in _CASTS:
            return None
        cause, name = dtype_cause(run, decision), run.name("input")
        notes = [
            f"in {code(loss)} both sides must have one dtype: the target {code(run.name('target', 'targets'))} is {tensor_text(target)}",
            f"{code(made.name)} at {place(made.span)} made the input {code(name)} {tensor_text(scores)}",
        ]
        return run.diagnosis(
            self,
            f"the input {code(name)} is {scores.dtype}, the target of {code(loss)} is {target.dtype}",
            cause,
            f"{scores.dtype} from here on",
            notes=notes,
            trail=run.trail(scores, "dtype"),
            fixes=conversion_fixes(run, scores, decision, cause, target.dtype),
        )

    def _in_backward(self, run: Reading, match: re.Match[str]) -> Diagnosis | None:
        """Some losses take such a target and only their backward refuses it: the last one recorded that did is asked instead."""
        dtype = dtype_name(match["got"])
        for op in reversed(run.evidence.ops):
            target = op.argument("target")
            if op.name in (*_CLASSES, *_VALUES) and op.span is not None and isinstance(target, TensorFacts) and target.dtype == dtype:
                operands = tuple(Operand(a.name, "", a.value) for a in op.arguments)
                asked = replace(run.failure, op=op, operands=operands, frames=(Frame(op.span),), module=op.module)
                found = self.diagnose(replace(run.evidence, failure=asked), match)
                raised = Label(run.raised, "raised here")
                return (
                    replace(found, trail=(*found.trail[:-1], Label(op.span, f"takes the {dtype} target"), raised))
                    if found is not None
                    else None
                )
        return None

    def _loss(self, run: Reading) -> str:
        if run.op is not None:
            return run.op.name if run.op.name in (*_CLASSES, *_VALUES) else ""
        inside = [f.span.function for f in run.failure.frames if f.origin == "torch"]
        return next((name for name in reversed(inside) if name in (*_CLASSES, *_VALUES)), "")

    def _from_text(self, run: Reading, loss: str, match: re.Match[str]) -> Diagnosis:
        wanted = dtype_name(match.groupdict().get("want") or "Long")
        got = dtype_name(match["got"])
        return run.diagnosis(
            self, f"the target is {got}, {code(loss)} wants {wanted}", None, notes=(f"{code(loss)} was called at {place(run.raised)}",)
        )

    examples = (
        Example(
            {
                "train.py": """\
import torch
from torch import nn
from labels import read

net = nn.Linear(6, 3)
criterion = nn.CrossEntropyLoss()
for classes in read().split(4):
    loss = criterion(net(torch.randn(4, 6)), classes)
    loss.backward()
""",
                "labels.py": """\
import numpy as np
import torch


def read():
    column = np.array(["1", "0", "2", "1", "0", "0", "2", "1"]).astype(np.int32)  #~ cause
    return torch.from_numpy(column)
""",
            },
            says=("int32", "int64", "classes", "cross_entropy"),
            becomes='    column = np.array(["1", "0", "2", "1", "0", "0", "2", "1"]).astype(np.int64)',
        ),
        Example(
            {
                "train.py": """\
import torch
import torch.nn.functional as F

scores = torch.randn(8, requires_grad=True)
clicked = torch.randint(0, 2, (8,))  #~ cause
F.binary_cross_entropy_with_logits(scores, clicked).backward()
"""
            },
            says=("int64", "float32", "clicked"),
        ),
    )
    near_misses = (
        NearMiss({"train.py": "import torch\ntorch.nn.functional.cross_entropy(torch.ones(2, 3), torch.ones(2, dtype=torch.uint8))\n"}),
        NearMiss({"train.py": "import torch\ntorch.nn.Linear(2, 2)(torch.ones(1, 2).double())\n"}, belongs_to="dtype.mismatch"),
    )
