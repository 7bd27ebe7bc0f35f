"""Under autocast a tensor of the lower precision meets one that was made in float32.

Erroneous code (TW0206):

```python
{example}
```

Why: inside `torch.autocast` matrix products, linear layers and convolutions return float16 or bfloat16, while tensors that the program makes there
(`torch.zeros`, `torch.empty`, buffers) stay float32. Elementwise ops promote, but indexed assignment, `scatter`, `index_add` and in-place ops don't.

Fix: make the tensor with the dtype of what is written into it (`dtype=features.dtype`, `features.new_zeros`), or convert what is written (`.to(canvas.dtype)`).

Messages: `Index put requires the source and destination dtypes match, got Float for the destination and BFloat16 for the source`;
`scatter(): Expected self.dtype to be equal to src.dtype`; `expected scalar type Float but found Half`; `torch.nn.functional.binary_cross_entropy and
torch.nn.BCELoss are unsafe to autocast`.

Not to be confused with: `dtype.mismatch` and `dtype.inplace-cast`, without autocast.
"""

from __future__ import annotations

import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, OpRecord, TensorFacts
from ...reason import edits
from ...reason.convert import operand_of
from ...reason.dtypes import dtype_cause
from ...reason.provenance import path
from ...reason.reading import Cause, Reading, reading
from ...reason.structure import with_around
from ...reason.wording import code, place, tensor_text

_LOW = ("float16", "bfloat16")


class Autocast(Family):
    code = "TW0206"
    title = "autocast's lower precision meets a float32 tensor"
    triggers = (
        Trigger(
            r"dtypes? match|same dtype|to be equal to src\.dtype|same scalar type|expected scalar type|should be the same|can't be cast|does not match weight dtype"
        ),
        Trigger(r"expected dtype \w+ for .\w+. but got dtype \S+"),
        Trigger(r"unsafe to autocast"),
        Trigger(r"Attempting to unscale (?P<unscaled>FP16|BF16) gradients"),
    )
    rank = 3

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        if match.groupdict().get("unscaled"):
            return self._unscaled(run, "bfloat16" if match["unscaled"] == "BF16" else "float16")
        if "unsafe to autocast" in run.failure.message:
            return self._unsafe(run)
        if run.op is None:
            return None
        low = next(((n, t) for n, t in run.tensors if t.dtype in _LOW), None)
        high = next(((n, t) for n, t in run.tensors if t.dtype in ("float32", "float64")), None)
        if low is None or high is None:
            return None
        made_under = next(
            (
                op
                for op in reversed(path(evidence, low[1], "dtype", run.before, 60))
                if op.autocast and any(t.id == low[1].id for t in op.outputs)
            ),
            None,
        )
        lowered = run.decided(low[1], "dtype")
        caster = lowered.op if lowered.op is not None and lowered.op.autocast else made_under
        if run.op.autocast is None and caster is None:
            return None
        return self._answer(run, low, high, caster or run.op)

    def _answer(self, run: Reading, low: tuple[str, TensorFacts], high: tuple[str, TensorFacts], caster: OpRecord) -> Diagnosis:
        decision = run.decided(high[1], "dtype")
        outside = self._call_outside(run, caster) if decision.how == "module" else None
        cause = outside or dtype_cause(run, decision)
        maker = run.history.producer(low[1], run.before)
        kept = outside is None and decision.how == "module" and maker is not None and maker.span is not None
        if kept and maker is not None and maker.span is not None:  # a module's own tensors stay float32 under autocast, as they should
            cause = Cause(maker.span)
        low_name, high_name = low[0] or "the result", high[0] or "the other"
        region = next((r for span in (*run.calls, *caster.where) if (r := with_around(run.sources, span, ("autocast",))) is not None), None)
        notes = [
            f"{code(low_name)} is {tensor_text(low[1])}, {code(high_name)} is {tensor_text(high[1])}",
            f"autocast ({caster.autocast}) made {code(low_name)} {low[1].dtype} at {place(caster.span)}",
        ]
        if outside is not None:
            notes.append(f"the call at {place(outside.span)} is outside the autocast region, so float32 weights are not cast there")
        if region is not None:
            notes.append(f"the autocast region begins at {place(region.span)}")
        return run.diagnosis(
            self,
            f"{code(high_name)} is {high[1].dtype} but autocast made {code(low_name)} {low[1].dtype}",
            cause,
            f"autocast gives {low[1].dtype} here"
            if kept
            else f"{high[1].dtype} is chosen here"
            if outside is None
            else "called outside autocast",
            trail=run.trail(low[1], "dtype"),
            notes=notes,
            fixes=self._fixes(run, low, high),
            confidence=Confidence.CERTAIN if decision.op else Confidence.LIKELY,
        )

    def _call_outside(self, run: Reading, caster: OpRecord) -> Cause | None:
        """The failing call was made after the autocast region: the line, in the function that both calls share, that leads to it."""
        if run.op is None or run.op.autocast:
            return None
        shared = {(span.file, span.function) for span in caster.where}
        return next((Cause(span) for span in run.calls if (span.file, span.function) in shared), None)

    def _fixes(self, run: Reading, low: tuple[str, TensorFacts], high: tuple[str, TensorFacts]) -> list[Fix]:
        fixes = []
        made = run.decided(high[1], "dtype")
        operand = operand_of(run, low[1])
        source = next((t for t in (low[0].split("[")[0].split(".t()")[0],) if t.isidentifier()), "")
        same_function = made.op is not None and made.op.span is not None and made.op.span.function == run.raised.function
        if made.how == "created" and made.op is not None and made.op.span is not None and source and same_function:
            fixes.append(
                Fix(
                    f"make {code(high[0])} with the dtype of {code(source)}",
                    edits.set_keyword(run.sources, made.op.span, "dtype", f"{source}.dtype"),
                    "safe",
                )
            )
        if operand is not None and operand.span is not None and high[0].isidentifier():
            fixes.append(
                Fix(
                    f"convert {code(operand.expression)} to the dtype of {code(high[0])}",
                    edits.append_method(run.sources, operand.span, f".to({high[0]}.dtype)"),
                    "safe",
                )
            )
        return fixes or [Fix(f"make {code(high[0])} {low[1].dtype}, or convert {code(low[0])} to {high[1].dtype}", (), "display-only")]

    def _unscaled(self, run: Reading, low: str) -> Diagnosis:
        """GradScaler wants float32 gradients: the parameters themselves are in the lower precision."""
        names = [f"{m.fqn}.{a.name}" for m in run.evidence.modules for a in m.parameters if getattr(a.value, "dtype", "") == low][:3]
        return run.diagnosis(
            self,
            f"the trainable parameters are {low}: GradScaler unscales float32 gradients only",
            run.raised,
            "the gradients are unscaled here",
            notes=[
                f"a gradient has its parameter's dtype: {', '.join(map(code, names)) if names else 'the weights that are trained (with LoRA, the adapters)'} were made or converted to {low} (`.half()`, `torch_dtype=`)",
                "mixed precision keeps float32 master weights and lets autocast lower the precision of the ops; the scaler is for those",
            ],
            fixes=[
                Fix(
                    "keep the trainable parameters in float32 (`param.data = param.data.float()`, `cast_training_params`), and let autocast do the rest",
                    (),
                    "display-only",
                ),
                Fix("train in bfloat16 without a GradScaler", (), "display-only", changes="results of lower precision"),
            ],
            confidence=Confidence.LIKELY,
        )

    def _unsafe(self, run: Reading) -> Diagnosis:
        name = code(run.op.name if run.op is not None else "binary_cross_entropy")
        return run.diagnosis(
            self,
            f"{name} of probabilities is unsafe under autocast",
            run.raised,
            "called in an autocast region",
            notes=("under autocast the sigmoid before it loses precision; `binary_cross_entropy_with_logits` takes the scores themselves",),
            fixes=(Fix("use `binary_cross_entropy_with_logits` on the scores and drop the sigmoid", (), "display-only"),),
            confidence=Confidence.CERTAIN,
        )

    examples = (
        Example(
            {
                "grid.py": """\
import torch
from torch import nn


class Grid(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.embed = nn.Linear(3, width)
        self.width = width

    def forward(self, points, cells):
        features = self.embed(points)
        board = torch.zeros(self.width, 16)  #~ cause
        board[:, cells] = features.t()
        return board


model = Grid()
with torch.autocast("cpu", dtype=torch.bfloat16):
    board = model(torch.randn(4, 3), torch.tensor([1, 5, 6, 9]))
print(board.float().sum().item() == 0)
"""
            },
            says=("bfloat16", "float32", "autocast", "board", "features"),
            becomes="        board = torch.zeros(self.width, 16, dtype=features.dtype)",
        ),
    )
    near_misses = (
        NearMiss(
            {
                "ok.py": "import torch\nwith torch.autocast('cpu', dtype=torch.bfloat16):\n    print((torch.nn.Linear(2, 2)(torch.ones(1, 2)) + torch.ones(1, 2)).dtype)\n"
            }
        ),
        NearMiss({"half.py": "import torch\ntorch.nn.Linear(2, 2)(torch.ones(1, 2).double())\n"}, belongs_to="dtype.mismatch"),
    )
