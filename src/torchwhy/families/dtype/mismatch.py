"""Two tensors of different dtypes meet in an op that does not promote.

Erroneous code (TW0201):

```python
{example}
```

Why: elementwise ops promote (`float32 + int64` is float32), but matrix products, convolutions, recurrent layers and normalisations want one
dtype. NumPy makes float64 and PyTorch's layers are float32, so data that comes from NumPy, pandas or a `.double()` meets float32 weights;
or the model was made `.half()` and the data was not.

Fix: convert the data where it enters (`torch.from_numpy(a).float()`, `np.float32`), or build the other tensor with the same dtype
(`dtype=x.dtype`, `zeros_like`). Converting the model to float64 makes it twice as large and slower.

Messages: `mat1 and mat2 must have the same dtype, but got Double and Float`; `expected scalar type Float but found Double`;
`Input type (double) and bias type (float) should be the same`; `mixed dtype (CPU): all inputs must share same datatype`;
older: `Expected object of scalar type Float but got scalar type Double for argument #2 'mat1'`.

Not to be confused with: `dtype.loss-target`, `dtype.index` (what a target or an index must be) and `dtype.autocast`.
"""
from __future__ import annotations

import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, TensorFacts
from ...reason import edits
from ...reason.blame import Side, blame, side
from ...reason.reading import Cause, Reading, named, reading
from ...reason.wording import code, dtype_name, place, tensor_text

_LOSSES = ("cross_entropy", "nll_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits")
_METHODS = {"float32": ".float()", "float64": ".double()", "float16": ".half()", "bfloat16": ".bfloat16()", "int64": ".long()"}


class Mismatch(Family):
    code = "TW0201"
    title = "tensors of different dtypes meet"
    triggers = (
        Trigger(r"must have the same dtype|to have the same dtype|to have same dtype|should be the same|same dtype, but|[Ii]nput dtypes must be the same"),
        Trigger(r"does not match weight dtype|mixed dtype|same scalar type|expected dtype \w+ for .* but got dtype"),
        Trigger(r"expected scalar type \w+ but found \w+|Expected object of scalar type \w+ but got (object of )?scalar type \w+"),
        Trigger(r"(expected|Expected) self\.dtype to be equal to src\.dtype|expected self and source to have same dtypes"),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        if run.op is not None and (run.op.name in _LOSSES or run.op.autocast):
            return None
        tensors = [(name, t) for name, t in run.tensors if t.rank or t.is_floating]
        dtypes = {t.dtype for _, t in tensors}
        if len(dtypes) < 2:
            found = [dtype_name(word) for word in re.findall(r"(?:got|found|type|dtype:?) \(?(?:torch\.)?((?:c10::)?[A-Z]\w+|unsigned char|double|float\d*|long int|float)\)?", run.failure.message)]
            words = " and ".join(dict.fromkeys(found)) or "different dtypes"
            return run.diagnosis(self, f"{words} meet in {code(run.op.name if run.op else 'one call')}", None, notes=(run.failure.message.splitlines()[0],))
        sides = [side(evidence, name, t, "dtype", run.before) for name, t in self._pair(tensors)]
        chosen = blame(evidence, run.op, sides, "dtype")
        wrong, right = chosen.side, chosen.others[0]
        return self._answer(run, wrong, right)

    def _pair(self, tensors: list[tuple[str, TensorFacts]]) -> list[tuple[str, TensorFacts]]:
        """The data first, then one of each other dtype."""
        kept: dict[str, tuple[str, TensorFacts]] = {}
        for name, tensor in tensors:
            kept.setdefault(tensor.dtype, (name, tensor))
        return list(kept.values())

    def _answer(self, run: Reading, wrong: Side, right: Side) -> Diagnosis:
        layer = run.layer
        what = f"{named(run, layer)} is {right.tensor.dtype}" if layer is not None else f"{code(right.name or 'the other')} is {right.tensor.dtype}"
        headline = f"{code(wrong.name or 'the data')} is {wrong.tensor.dtype} but {what}"
        cause = run.dtype_cause(wrong.decision)
        trail = run.trail(wrong.tensor, "dtype")
        notes = [f"{code(wrong.name or 'one operand')} is {tensor_text(wrong.tensor)}, {code(right.name or 'the other')} is {tensor_text(right.tensor)}"]
        if layer is not None and layer.built:
            notes.append(f"{named(run, layer)} was built at {place(layer.built[0])} with {right.tensor.dtype} parameters")
        if wrong.decision.how == "created" and wrong.decision.op is not None and wrong.decision.op.name == "from_numpy":
            notes.append(f"`from_numpy` keeps NumPy's dtype, {wrong.tensor.dtype}")
        return run.diagnosis(self, headline, cause, f"{wrong.tensor.dtype} from here on", trail=trail, notes=notes,
                             fixes=self._fixes(run, wrong, right, cause), confidence=Confidence.CERTAIN if wrong.decision.op else Confidence.LIKELY)

    def _fixes(self, run: Reading, wrong: Side, right: Side, cause: Cause) -> list[Fix]:
        method = _METHODS.get(right.tensor.dtype, f".to(torch.{right.tensor.dtype})")
        fixes = []
        place_of_call = next((run.operand(o.parameter) for o in run.operands if getattr(o.value, "id", None) == wrong.tensor.id), None)
        op = wrong.decision.op
        if op is not None and op.span is not None and op.name in ("from_numpy", "tensor", "as_tensor") and (call := edits.append_method(run.sources, op.span, method)):
            fixes.append(Fix(f"convert to {right.tensor.dtype} where the tensor is made", call, "safe"))
        if place_of_call is not None and place_of_call.span is not None:
            fixes.append(Fix(f"convert {code(place_of_call.expression)} to {right.tensor.dtype}", edits.append_method(run.sources, place_of_call.span, method), "safe"))
        return fixes or [Fix(f"convert {code(wrong.name or 'the data')} to {right.tensor.dtype}", (), "display-only")]

    examples = (
        Example(
            {"train.py": """\
import torch
from torch import nn
from data import load

model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
features, price = load(16)
loss = nn.functional.mse_loss(model(features), price)
loss.backward()
""", "data.py": """\
import numpy as np
import torch


def load(rows):
    table = np.random.default_rng(0).normal(size=(rows, 4))
    features = torch.from_numpy(table)  #~ cause
    return features, torch.zeros(rows, 1)
"""},
            says=("float64", "float32", "model.0", "features", "from_numpy"),
            becomes="    features = torch.from_numpy(table).float()",
        ),
    )
    near_misses = (NearMiss({"train.py": "import torch\nprint((torch.ones(2) + torch.ones(2, dtype=torch.int64)).dtype)\n"}),)
