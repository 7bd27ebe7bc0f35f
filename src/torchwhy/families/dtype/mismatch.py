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
from ...reason.convert import METHODS, conversion_fixes
from ...reason.dtypes import dtype_cause
from ...reason.printed import written_call
from ...reason.reading import Cause, Reading, named, reading
from ...reason.structure import calls_of
from ...reason.wording import code, dtype_name, place, tensor_text

_LOSSES = ("cross_entropy", "nll_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits")
_DTYPE_WORD = re.compile(
    r"(?:c10::)?\b(?:Float|Double|Half|BFloat16|Long|Int|Short|Char|Byte|Bool)(?=Tensor)|(?:c10::)?\b(?:Float|Double|Half|BFloat16|Long|Int|Short|Char|Byte|Bool|float|double|long int|unsigned char|float\d\d|bfloat16)\b"
)


class Mismatch(Family):
    code = "TW0201"
    title = "tensors of different dtypes meet"
    triggers = (
        Trigger(r"must have the same dtype|to have (the )?same dtype|should be the same$|[Ii]nput dtypes must be the same"),
        Trigger(r"does not match weight dtype|mixed dtype|must have the same scalar type|expected dtype \w+ for .* but got dtype"),
        Trigger(r"expected scalar type \w+ but found \w+|Expected object of scalar type \w+ but got (object of )?scalar type \w+"),
        Trigger(r"(expected|Expected) self\.dtype to be equal to src\.dtype|expected self and source to have same dtypes"),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        if run.op is not None and (run.op.name in _LOSSES or run.op.autocast):
            return None
        kinds: dict[str, tuple[str, TensorFacts]] = {}
        for name, tensor in run.tensors:
            kinds.setdefault(tensor.dtype, (name, tensor))
        if len(kinds) < 2:
            return self._from_message(run)
        chosen = blame(evidence, run.op, [side(evidence, name, t, "dtype", run.before) for name, t in kinds.values()], "dtype")
        return self._answer(run, chosen.side, chosen.others[0])

    def _from_message(self, run: Reading) -> Diagnosis:
        """The dtypes that the message names, and the call of the traceback nearest to torch."""
        words = list(dict.fromkeys(dtype_name(word) for word in _DTYPE_WORD.findall(run.failure.message)))
        inner = next((f.code for f in reversed(run.failure.frames) if f.origin != "torch" and f.code), "")
        call = code(run.op.name) if run.op is not None else code(written_call(inner)[0]) if written_call(inner)[0] else "one call"
        low = next((word for word in words if word in ("float16", "bfloat16")), "")
        notes = [run.failure.message.splitlines()[0]]
        if low and "float32" in words:
            notes.append(
                f"the {low} one is a weight or input that was converted, or was made under autocast; the float32 one was not, and the call runs outside of autocast"
            )
        other = next((word for word in words if word != (low or words[0])), "") if words else ""
        fix = (
            f"run it under `torch.autocast(..., dtype=torch.{low})`, or cast one side: `.to(weight.dtype)`"
            if low
            else f"cast one side with `.to({'torch.' + other if other else 'dtype'})`, where the data enters"
        )
        return run.diagnosis(
            self, f"{' and '.join(words[:2]) or 'different dtypes'} meet in {call}", None, notes=notes, fixes=[Fix(fix, (), "display-only")]
        )

    def _answer(self, run: Reading, wrong: Side, right: Side) -> Diagnosis:
        layer = run.layer
        other = named(run, layer) if layer is not None else code(right.name or "the other")
        cause = dtype_cause(run, wrong.decision)
        the = "the input " if layer is not None and wrong.tensor.id not in run.history.owner_of else ""
        notes = [
            f"{the}{code(wrong.name or 'one operand')} is {tensor_text(wrong.tensor)}, {code(right.name or 'the other')} is {tensor_text(right.tensor)}"
        ]
        if layer is not None and layer.built:
            notes.append(f"{named(run, layer)}, built at {place(layer.built[0])}, has {right.tensor.dtype} parameters")
        assigned = [c for c in calls_of(run.sources, "load_state_dict") if "assign=True" in run.sources.segment(c)]
        # no recorded op converted the weights, and layers are built in float32
        loaded = layer is not None and right.decision.op is None and right.tensor.dtype in ("float16", "bfloat16") and len(assigned) == 1
        if loaded:
            cause = Cause(assigned[0])
            notes.append(f"`assign=True` at {place(assigned[0])} takes the checkpoint's tensors with their own dtype")
        made = wrong.decision.op
        if made is not None and made.name == "from_numpy":
            notes.append(f"`from_numpy` keeps NumPy's dtype, {wrong.tensor.dtype}")
        elif wrong.decision.how == "op" and made is not None and wrong.decision.before is not None:
            notes.append(f"{code(made.name)} at {place(made.span)} made it {wrong.tensor.dtype} from {wrong.decision.before.dtype}")
        return run.diagnosis(
            self,
            f"{code(wrong.name or 'the data')} is {wrong.tensor.dtype} but {other} is {right.tensor.dtype}",
            cause,
            f"{wrong.tensor.dtype} from here on",
            trail=run.trail(wrong.tensor, "dtype"),
            notes=notes,
            fixes=self._to_the_layer(run, wrong, right) or conversion_fixes(run, wrong.tensor, wrong.decision, cause, right.tensor.dtype),
            confidence=Confidence.CERTAIN if made is not None and not loaded else Confidence.LIKELY,
        )

    def _to_the_layer(self, run: Reading, wrong: Side, right: Side) -> list[Fix]:
        """The layer was converted on purpose: its input follows, where the program passes it on."""
        if wrong.tensor.id not in run.history.owner_of or (given := run.written_at(right.tensor)) is None:
            return []
        made = edits.append_method(run.sources, given, METHODS.get(wrong.tensor.dtype, f".to(torch.{wrong.tensor.dtype})"))
        return [Fix(f"convert {code(run.sources.segment(given))} to {wrong.tensor.dtype}, as the layer is", made)] if made else []

    examples = (
        Example(
            {
                "train.py": """\
import torch
from torch import nn
from data import load

model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
features, price = load(16)
loss = nn.functional.mse_loss(model(features), price)
loss.backward()
""",
                "data.py": """\
import numpy as np
import torch


def load(rows):
    table = np.random.default_rng(0).normal(size=(rows, 4))
    features = torch.from_numpy(table)  #~ cause
    return features, torch.zeros(rows, 1)
""",
            },
            says=("float64", "float32", "model.0", "features", "from_numpy"),
            becomes="    features = torch.from_numpy(table).float()",
        ),
        Example(
            {
                "detect.py": """\
import torch
from torch import nn


class Head(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.score = nn.Conv1d(width, 1, 1)

    def forward(self, signal):
        signal = signal.double() / 255  #~ cause
        return self.score(signal)


print(Head(3)(torch.ones(2, 3, 9, dtype=torch.uint8)).sum().item())
"""
            },
            says=("float64", "float32", "score", "signal"),
        ),
    )
    near_misses = (
        NearMiss({"train.py": "import torch\nprint((torch.ones(2) + torch.ones(2, dtype=torch.int64)).dtype)\n"}),
        NearMiss(
            {"train.py": "import torch\ntorch.nn.functional.cross_entropy(torch.ones(2, 3), torch.ones(2))\n"},
            belongs_to="dtype.loss-target",
        ),
    )
