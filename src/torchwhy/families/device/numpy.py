"""A tensor that is not on the CPU, or of a kind that NumPy does not have, is handed to NumPy.

Erroneous code (TW0304):

```python
{example}
```

Why: NumPy arrays live in the computer's memory. A tensor on a GPU or on the meta device has no data there; sparse layouts and bfloat16 have no NumPy counterpart;
and `torch.from_numpy` takes neither text, objects nor negative strides.

Fix: `x.cpu().numpy()` for another device, `x.float().numpy()` for bfloat16, `x.to_dense()` for a sparse one, `a.copy()` for a flipped array, numbers for objects.

Messages: `can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first.`; `Got unsupported ScalarType BFloat16`;
`can't convert np.ndarray of type numpy.object_`; `At least one stride in the given numpy array is negative`.

Not to be confused with: `autograd.numpy` (a tensor that requires grad).
"""

from __future__ import annotations

import os
import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix
from ...reason import edits
from ...reason.origins import origins
from ...reason.provenance import Property
from ...reason.reading import Cause, Reading, reading
from ...reason.wording import code, listed, place, tensor_text

_FLIP = re.compile(r"::\s*-\d|\bflip(lr|ud)?\(|\brot90\(")


class Numpy(Family):
    code = "TW0304"
    title = "NumPy and a tensor that it can't hold"
    triggers = (
        Trigger(r"can't convert (?P<device>\w+(?::\d+)?) device type tensor to numpy"),
        Trigger(r"can't convert (?P<layout>\w+) layout tensor to numpy"),
        Trigger(r"Got unsupported ScalarType (?P<dtype>\w+)"),
        Trigger(r"can't convert np\.ndarray of type numpy\.(?P<array>\w+)"),
        Trigger(r"(?P<stride>strides? in the given numpy array is negative|given numpy array strides? .*negative)"),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        groups = {k: v for k, v in match.groupdict().items() if v}
        if "array" in groups or "stride" in groups:
            return self._from_array(run, groups)
        tensor = run.tensor("input", "self")
        name = run.name("input") if tensor is not None else ""
        decided: Property
        what, method, decided = (
            (f"is on {groups['device']}", ".cpu()", "device")
            if "device" in groups
            else (f"is {groups['layout'].lower()}", ".to_dense()", "layout")
            if "layout" in groups
            else ("is bfloat16", ".float()", "dtype")
        )
        if tensor is None:
            return run.diagnosis(
                self,
                f"a tensor that {what} is handed to NumPy",
                run.raised,
                fixes=[Fix(f"call `{method}` before `.numpy()`", (), "display-only")],
            )
        decision = run.decided(tensor, decided)
        notes = [f"{code(name)} is {tensor_text(tensor)}; NumPy holds dense arrays in the CPU's memory and has no bfloat16"]
        if decision.span is not None:
            notes.append(f"it {what} since {place(decision.span)}")
        operand = run.operand("input")
        edit = (
            edits.append_method(run.sources, operand.span, method)
            if operand is not None and operand.span is not None and groups.get("device") != "meta"
            else ()
        )
        return run.diagnosis(
            self,
            f"{code(name)} {what} and can't become a NumPy array",
            run.raised,
            "NumPy is asked for here",
            trail=run.trail(tensor, decided),
            notes=notes,
            fixes=[Fix(f"call `{method}` first", edit, "safe") if edit else Fix("make the tensor on a real device", (), "display-only")],
            confidence=Confidence.CERTAIN,
        )

    def _from_array(self, run: Reading, groups: dict[str, str]) -> Diagnosis:
        """`from_numpy` of an array that torch can't share: the cause is where the array got so."""
        given = next(iter(run.sources.arguments(run.raised)), None)
        name = given.text if given is not None else "the array"
        chain = origins(run.sources, given.span, run.calls) if given is not None else ()
        made = next((o for o in reversed(chain) if o.form != "name" and ("stride" not in groups or _FLIP.search(o.text))), None)
        cause = Cause(made.span, chain) if made is not None else Cause(run.raised)
        if "stride" in groups:
            fix = edits.append_method(run.sources, given.span, ".copy()") if given is not None else ()
            return run.diagnosis(
                self,
                f"{code(name)} has a negative stride, which a tensor can't have",
                cause,
                "flipped here",
                fixes=[Fix("copy the flipped array", fix, "safe")],
                notes=(
                    *self._flips(run, cause),
                    f"a slice such as `[::-1]` or `np.flip` makes a view with a negative stride; {code(name)} is used at {place(run.raised)}",
                ),
                confidence=Confidence.CERTAIN,
            )
        kind = groups["array"].rstrip("_")
        notes = (
            f"{code(name)} has NumPy's dtype {kind}: tensors hold numbers and bools only",
            "rows of different lengths, text or None make such an array" if kind == "object" else "",
        )
        return run.diagnosis(
            self,
            f"{code(name)} is a NumPy array of {kind}, not of numbers",
            cause,
            "the array is made here",
            notes=notes,
            fixes=[Fix("make an array of numbers, all rows of one length", (), "display-only")],
            confidence=Confidence.LIKELY,
        )

    def _flips(self, run: Reading, cause: Cause) -> list[str]:
        """Where the program flips an array, when the walk did not lead to one place."""
        if _FLIP.search(run.sources.segment(cause.span)):
            return []
        found = [
            f"{os.path.basename(file)}:{i}"
            for file, text in run.evidence.sources
            for i, line in enumerate(text.splitlines(), 1)
            if _FLIP.search(line)
        ]
        return [f"the program flips arrays at {listed(found[:4])}"] if found else []

    examples = (
        Example(
            {
                "evaluate.py": """\
import torch
from torch import nn

model = nn.Linear(4, 3).to(torch.bfloat16)
with torch.no_grad():
    scores = model(torch.ones(2, 4, dtype=torch.bfloat16))
best = scores.numpy().argmax(1)  #~ cause
print(best.shape)
"""
            },
            says=("bfloat16", "scores", ".float()"),
            becomes="best = scores.float().numpy().argmax(1)",
        ),
        Example(
            {
                "names.py": """\
import numpy as np
import torch


def column(rows):
    return np.array([row["age"] for row in rows], dtype=object)  #~ cause


ages = column([{"age": 31}, {"age": None}])
print(torch.from_numpy(ages))
"""
            },
            says=("object", "ages", "numbers"),
        ),
    )
    near_misses = (NearMiss({"grad.py": "import torch\ntorch.ones(2, requires_grad=True).numpy()\n"}, belongs_to="autograd.numpy"),)
