"""An index, a mask or a list of class numbers has a dtype that can't index.

Erroneous code (TW0203):

```python
{example}
```

Why: embeddings, indexing, `gather`, `scatter`, `index_select`, `one_hot` take integers (int64, mostly int32 too), and masks are bool. A division makes
floats also of whole numbers, `torch.Tensor([...])` and `torch.zeros` are float32, NumPy and pandas columns with a gap are float64.

Fix: keep the numbers integers where they are made (`//` instead of `/`, `torch.tensor`, `dtype=torch.long`), or convert them: `.long()`, `.bool()` for a mask.

Messages: `Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got torch.FloatTensor instead`;
`tensors used as indices must be long, int, byte or bool tensors`; `gather(): Expected dtype int32/int64 for index`; `one_hot is only applicable to index
tensor`; `masked_fill only supports boolean masks`; older: `gather(): Expected dtype int64 for index`.

Not to be confused with: `shape.index-range`, `shape.embedding-range` (integers that are too large), `dtype.loss-target`.
"""

from __future__ import annotations

import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, TensorFacts, tensors_in
from ...reason.convert import conversion_fixes
from ...reason.dtypes import dtype_cause
from ...reason.reading import Reading, named, reading
from ...reason.wording import code, dtype_name, place, tensor_text

_PARAMETERS = ("indices", "index", "mask", "condition", "input", "key")


class Index(Family):
    code = "TW0203"
    title = "an index or a mask has a dtype that can't index"
    triggers = (
        Trigger(
            r"argument #\d 'indices' to have one of the following scalar types: (?P<want>[\w, ]+); but got (?:torch\.)?(?:cuda\.)?(?P<got>\w+?)(Tensor|Type)? instead"
        ),
        Trigger(r"tensors used as indices must be (?P<want>[\w, ]+?) tensors"),
        Trigger(r"Expected dtype int\d+(?:(?:/| or )int\d+)? for index(?: but got: (?P<got>\w+))?"),
        Trigger(r"one_hot is only applicable to index tensor"),
        Trigger(r"only supports boolean masks|expected condition to be a boolean tensor|masked_\w.{0,200}?mask.{0,200}?(bool|dtype)"),
        Trigger(r"for argument #\d 'ind(ex|ices)'"),
    )
    rank = 1

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        is_mask = "mask" in run.failure.message or "condition" in run.failure.message
        index = self._index(run, is_mask)
        call = code(run.op.name if run.op is not None else "the call")
        if index is None:
            got = dtype_name(match.groupdict().get("got") or "") or "not an integer dtype"
            return run.diagnosis(self, f"the index of {call} is {got}", None, notes=(run.failure.message.splitlines()[0],))
        name = run.name_of(index) or "the index"
        wanted = "bool" if is_mask else "int64"
        decision = run.decided(index, "dtype")
        cause = dtype_cause(run, decision)
        notes = [f"{code(name)} is {tensor_text(index)}; {'a mask must be bool' if is_mask else 'indices must be integers (int64, Long)'}"]
        if run.layer is not None:
            notes.append(f"{named(run, run.layer)} is {code(run.layer.kind)}")
        made = decision.op
        if made is not None and decision.how == "op" and decision.before is not None and decision.before.dtype != index.dtype:
            notes.append(f"{code(made.name)} at {place(made.span)} made {decision.before.dtype} into {index.dtype}")
        elif made is not None:
            notes.append(f"{code(made.name)} at {place(made.span)} made it {index.dtype}")
        where = named(run, run.layer) if run.layer is not None else call
        return run.diagnosis(
            self,
            f"{code(name)} is {index.dtype} but {where} wants {'a bool mask' if is_mask else 'integers'}",
            cause,
            f"{index.dtype} from here on",
            notes=notes,
            trail=run.trail(index, "dtype"),
            fixes=conversion_fixes(run, index, decision, cause, wanted),
            confidence=Confidence.CERTAIN if made is not None else Confidence.LIKELY,
        )

    def _index(self, run: Reading, is_mask: bool) -> TensorFacts | None:
        """The operand to blame: by its parameter name, else the only one that can't index."""
        wrong = [
            (o.parameter, t)
            for o in run.operands
            for n, t in run.tensors
            if t in tensors_in(o.value) and t.dtype not in ("int64", "bool", "uint8")
        ]
        for parameter in _PARAMETERS:
            for name, tensor in wrong:
                if name.startswith(parameter) and not (
                    parameter == "input" and run.op is not None and run.op.name not in ("embedding", "one_hot", "embedding_bag")
                ):
                    return tensor
        rest = [t for _, t in wrong[1:]]
        return rest[0] if len(rest) == 1 else None

    examples = (
        Example(
            {
                "model.py": """\
import torch
from torch import nn


class Buckets(nn.Module):
    def __init__(self, n=10, width=4):
        super().__init__()
        self.n = n
        self.table = nn.Embedding(n, width)

    def forward(self, age):
        bucket = (age / 10).clamp(0, self.n - 1)  #~ cause
        return self.table(bucket)


print(Buckets()(torch.randint(0, 100, (5,))).shape)
"""
            },
            says=("float32", "table", "bucket", "int64"),
        ),
        Example(
            {
                "pick.py": """\
import torch

scores = torch.randn(4, 6)
actions = torch.Tensor([1, 0, 5, 2])  #~ cause
print(scores.gather(1, actions.unsqueeze(1)).sum().item())
"""
            },
            says=("float32", "actions", "gather"),
        ),
    )
    near_misses = (
        NearMiss({"ok.py": "import torch\nprint(torch.ones(3)[torch.tensor([True, False, True])].sum())\n"}),
        NearMiss({"far.py": "import torch\ntorch.nn.Embedding(3, 2)(torch.tensor([5]))\n"}, belongs_to="shape.embedding-range"),
    )
