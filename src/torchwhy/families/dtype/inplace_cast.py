"""An in-place op would have to store its result in a dtype that can't hold it.

Erroneous code (TW0205):

```python
{example}
```

Why: `x += y`, `x.add_(y)`, `x[i] = y` and `out=x` write into x's memory, so the result has x's dtype. int64 can't take a float result, float32 takes no
complex one, and indexed assignment with a tensor does not convert at all.

Fix: make x with the dtype of the result from the start (`torch.zeros(n)` instead of `torch.zeros(n, dtype=torch.long)`), use the out-of-place op
(`x = x + y`), or convert the other side on purpose.

Messages: `result type Float can't be cast to the desired output type Long`; `Index put requires the source and destination dtypes match, got Float for the
destination and Double for the source`; `masked_scatter: expected self and source to have same dtypes`.

Not to be confused with: `dtype.loss-target` (the same text from a loss with an integer target), `dtype.autocast`.
"""

from __future__ import annotations

import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, TensorFacts
from ...reason import edits
from ...reason.convert import METHODS
from ...reason.dtypes import dtype_cause
from ...reason.provenance import Decision
from ...reason.reading import Cause, Reading, reading
from ...reason.wording import code, dtype_name, place, tensor_text
from ...reason.writes import storage_name


class InplaceCast(Family):
    code = "TW0205"
    title = "an in-place op can't store its result in the tensor's dtype"
    triggers = (
        Trigger(r"result type (?P<got>\w+) can't be cast to the desired output type (?P<want>\w+)"),
        Trigger(
            r"Index put requires the source and destination dtypes match, got (?P<want>\w+) for the destination and (?P<got>\w+) for the source"
        ),
        Trigger(r"expected self and source to have same dtypes? but got ?(?P<want>\w+) and (?P<got>\w+)"),
        Trigger(
            r"Expected self\.dtype to be equal to src\.dtype|self \((?P<want>\w+)\) and source \((?P<got>\w+)\) must have the same scalar type"
        ),
    )
    rank = 1

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        if run.op is not None and (run.op.autocast or run.op.name.endswith("loss") or "cross_entropy" in run.op.name):
            return None
        words = {key: dtype_name(value) for key, value in match.groupdict().items() if value}
        target = run.tensor("input", "self") or (run.tensors[0][1] if run.tensors else None)
        if target is None:
            return run.diagnosis(self, f"a {words.get('got', 'float')} result is written into {words.get('want', 'another dtype')}", None)
        name = run.name_of(target) or run.name("input")
        others = [
            (n, t)
            for n, t in run.tensors
            if t.id != target.id and t.dtype != target.dtype and t.dtype not in ("int64", "bool") or t.dtype == words.get("got")
        ]
        others = [(n, t) for n, t in others if t.id != target.id]
        got = words.get("got") or (others[0][1].dtype if others else "another dtype")
        decision = run.decided(target, "dtype")
        cause = self._cause(run, decision)
        notes = [
            f"{code(name)} is {tensor_text(target)} and was made at {place(decision.span)}"
            if decision.span
            else f"{code(name)} is {tensor_text(target)}"
        ]
        notes += [f"{code(n or 'the other side')} is {tensor_text(t)}" for n, t in others[:1]]
        if owned := storage_name(run, target.storage):
            notes.append(f"{code(name)} is {code(owned)} in memory")
        return run.diagnosis(
            self,
            f"{code(name)} is {target.dtype} and can't take the {got} result of {code(run.op.name if run.op else 'the op')}",
            cause,
            f"{target.dtype} was chosen here" if cause.span != run.raised else "written in place here",
            trail=run.trail(target, "dtype"),
            notes=notes,
            fixes=self._fixes(run, target, others, decision.op is not None, got),
            confidence=Confidence.CERTAIN if decision.op is not None else Confidence.LIKELY,
        )

    def _cause(self, run: Reading, decision: Decision) -> Cause:
        """Where the target was made, when it was made as a number store; a conversion on purpose or a layer's own buffer stays: then the write is to blame."""
        op = decision.op
        if (
            decision.how == "created"
            and op is not None
            and not (op.module is not None and decision.module is not None and not decision.module.defined)
        ):
            owner = run.history.owner_of.get(decision.tensor.id)
            if owner is None or owner[0].defined is not None:
                return dtype_cause(run, decision)
        return Cause(run.raised)

    def _fixes(self, run: Reading, target: TensorFacts, others: list[tuple[str, TensorFacts]], made_here: bool, got: str) -> list[Fix]:
        fixes = []
        decision = run.decided(target, "dtype")
        if made_here and decision.op is not None and decision.op.span is not None:
            call = decision.op.span
            explicit = any(e.keyword == "dtype" for e in run.sources.arguments(call))
            created = decision.how == "created" and decision.op.name not in ("from_numpy", "randint", "arange")
            edit = (
                edits.set_keyword(run.sources, call, "dtype", f"torch.{got}")
                if explicit or created
                else edits.append_method(run.sources, call, METHODS.get(got, ""))
            )
            if edit:
                fixes.append(Fix(f"make {code(run.name_of(target) or 'it')} {got}", edit, "safe"))
        out_of_place = edits.out_of_place(run.sources, run.raised)
        if out_of_place and not storage_name(run, target.storage):  # a module would not see another tensor under a local name
            fixes.append(Fix("use the out-of-place op, whose result has its own dtype", out_of_place))
        if (
            others
            and (operand := next((o for o in run.operands if o.expression == others[0][0] and o.span is not None), None))
            and operand.span is not None
        ):
            fixes.append(
                Fix(
                    f"convert {code(others[0][0])} to {target.dtype}",
                    edits.append_method(run.sources, operand.span, f".to({run.name_of(target)}.dtype)"),
                    "unsafe",
                )
            )
        return fixes or [Fix(f"make both sides {got}", (), "display-only")]

    examples = (
        Example(
            {
                "count.py": """\
import torch

totals = torch.zeros(3, dtype=torch.long)  #~ cause
for row in torch.rand(5, 3):
    totals += row
print(totals.tolist())
"""
            },
            says=("totals", "int64", "float32"),
            becomes="totals = torch.zeros(3, dtype=torch.float32)",
        ),
    )
    near_misses = (
        NearMiss({"ok.py": "import torch\nx = torch.zeros(3)\nx += torch.ones(3, dtype=torch.int64)\nprint(x)\n"}),
        NearMiss(
            {"loss.py": "import torch\ntorch.nn.functional.binary_cross_entropy_with_logits(torch.ones(2), torch.ones(2).long())\n"},
            belongs_to="dtype.loss-target",
        ),
    )
