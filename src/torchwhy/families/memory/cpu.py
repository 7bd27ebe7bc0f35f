"""The computer's memory can't hold a tensor that an op asks for.

Erroneous code (TW0501):

```python
{example}
```

Why: the op asks the operating system for all of its result at once. Mostly the result is a product of sizes that nobody looked at together: a table of all
pairs (`x[:, None] - x[None]`), a one-hot of a vocabulary, a grid, a wrong dimension that broadcasts two vectors to a matrix, a size read from bytes.

Fix: work in chunks, use an op that does not make the intermediate (`torch.cdist`, `scaled_dot_product_attention`, `embedding` instead of one-hot times
weight), a sparse layout, or a smaller size. Half precision only halves it.

Messages: `DefaultCPUAllocator: can't allocate memory: you tried to allocate 4398046511104 bytes. Error code 12 (Cannot allocate memory)`; `DefaultCPUAllocator: not
enough memory` (Windows); `Storage size calculation overflowed with sizes=[…]`; `Unable to allocate 74.5 GiB for an array` (NumPy).

Not to be confused with: `memory.cuda`; a worker that the system killed (`data.worker`).
"""

from __future__ import annotations

import math
import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, TensorFacts
from ...reason.foreign import speaks_of_torch
from ...reason.history import number
from ...reason.killed import killed
from ...reason.provenance import Size
from ...reason.reading import Cause, Reading, reading
from ...reason.wording import bytes_text, code, shape_text, tensor_text

_ITEM = {
    "float64": 8,
    "int64": 8,
    "complex64": 8,
    "complex128": 16,
    "float16": 2,
    "bfloat16": 2,
    "int16": 2,
    "uint8": 1,
    "int8": 1,
    "bool": 1,
}


class Cpu(Family):
    code = "TW0501"
    title = "the computer's memory can't hold a tensor"
    triggers = (
        Trigger(r"DefaultCPUAllocator: (?:can't allocate memory|not enough memory): you tried to allocate (?P<bytes>\d+) bytes"),
        Trigger(r"(?P<killed>)", types=("SIGKILL",)),
        Trigger(r"(?P<killed>)", types=("MemoryError",)),
        Trigger(r"(?P<killed>terminated with signal SIGKILL)", types=("ProcessExitedException",)),
        Trigger(r"Storage size calculation overflowed with sizes=\[(?P<sizes>[\d, ]+)\]"),
        Trigger(r"[Uu]nable to allocate (?P<amount>[\d.]+) (?P<unit>[KMGTPE]i?B) for an array with shape \((?P<sizes>[\d, ]+)\)"),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        groups = match.groupdict()
        if evidence.from_text and run.failure.error_type == "MemoryError" and not speaks_of_torch(evidence):
            return None
        if groups.get("killed") is not None:
            headline, notes, remedy = killed(evidence)
            fix = Fix(remedy, (), "display-only")
            sure = Confidence.LIKELY if evidence.from_text else Confidence.POSSIBLE  # the program may have sent the signal itself
            return run.diagnosis(self, headline, run.failure.raised_at, "", notes=notes, fixes=[fix], confidence=sure)
        wanted = int(groups["bytes"]) if groups.get("bytes") else None
        amount = (
            bytes_text(wanted)
            if wanted is not None
            else f"{groups['amount']} {groups['unit']}"
            if groups.get("amount")
            else "more than can be addressed"
        )
        shape = tuple(int(s) for s in re.findall(r"\d+", groups["sizes"])) if groups.get("sizes") else self._result_shape(run, wanted)
        op = code(run.op.name) if run.op is not None else "the call"
        inputs = [(n, t) for n, t in run.tensors if t.shape]
        headline = f"{op} asks for {amount}" + (f" for a {shape_text(shape)} tensor" if shape else "")
        notes = [f"{code(n or 'an input')} is {tensor_text(t)}" for n, t in inputs[:3]]
        if shape and wanted:
            notes.append(f"{' · '.join(map(str, shape))} elements of {wanted // max(1, math.prod(shape))} bytes are {amount}")
        if wanted is not None:
            notes.append(f"that is {wanted} bytes in one piece; half precision would still need {bytes_text(wanted // 2)}")
        cause, because = self._cause(run, inputs, shape)
        largest = max(inputs, key=lambda pair: pair[1].numel, default=None)
        trail = (
            run.trail(largest[1], Size(max(range(largest[1].rank), key=lambda d: (largest[1].shape or ())[d])))
            if largest is not None
            else ()
        )
        fixes = [
            Fix(
                f"make {op} in chunks, or use an op that does not need the whole {shape_text(shape) if shape else 'result'} at once",
                (),
                "display-only",
            )
        ]
        return run.diagnosis(
            self,
            headline,
            cause,
            because,
            trail=trail,
            notes=notes,
            fixes=fixes,
            confidence=Confidence.CERTAIN if shape else Confidence.LIKELY,
        )

    def _result_shape(self, run: Reading, wanted: int | None) -> tuple[int, ...]:
        """What the op would have made: the size it was given, or the broadcast or product of its inputs; only where the bytes agree."""
        candidates = []
        if run.op is not None:
            given = [
                v
                for a in run.op.arguments
                if a.name.startswith(("size", "input", "shape"))
                for v in ([a.value] if number(a.value) is not None else getattr(a.value, "items", ()))
            ]
            sizes = tuple(n for v in given if (n := number(v)) is not None)
            if sizes:
                candidates.append((sizes, 0))
        shapes = [t for _, t in run.tensors if t.shape]
        if len(shapes) == 2:
            a, b = shapes[0].shape or (), shapes[1].shape or ()
            width = max(len(a), len(b))
            padded = [(1,) * (width - len(s)) + s for s in (a, b)]
            candidates.append((tuple(max(x, y) for x, y in zip(*padded)), 0))
            if len(a) >= 2 and len(b) >= 2:
                candidates.append(((*a[:-1], b[-1]), 0))
                candidates.append(((*a[:-1], b[-2]), 0))
        sizes_of_item = {_ITEM.get(t.dtype, 4) for t in shapes} | {1, 2, 4, 8}
        return next(
            (s for s, _ in candidates if s and wanted is not None and any(math.prod(s) * item == wanted for item in sizes_of_item)), ()
        )

    def _cause(self, run: Reading, inputs: list[tuple[str, TensorFacts]], shape: tuple[int, ...]) -> tuple[Cause, str]:
        """A size given to the op itself: its literal. Else the failing line, where the sizes are put together."""
        if run.op is not None and not inputs and len(shape) >= 1 and run.op.where:
            big = max(shape)
            for argument in run.sources.arguments(run.op.where[0]):
                if argument.keyword in (None, "size"):
                    found = run.expression_origins(argument.span, run.op.where, big)
                    if found.origins and found.origins[-1].value == big and big > 10 * sorted(shape)[len(shape) // 2]:
                        return found, f"the largest size, {big}"
        return Cause(run.raised), f"{shape_text(shape)} is put together here" if shape else "asked for here"

    examples = (
        Example(
            {
                "pairs.py": """\
import torch


def squared_distances(points):
    difference = points[:, None, :] - points[None, :, :]  #~ cause
    return (difference ** 2).sum(-1)


points = torch.zeros(900_000, 3)
print(squared_distances(points).shape)
"""
            },
            says=("900000", "sub", "points"),
        ),
        Example(
            {
                "grid.py": """\
import torch

table = torch.zeros(1024, 1024, 1024, 1024)  #~ cause
print(table.shape)
"""
            },
            says=("4398046511104", "4.0 TiB", "[1024, 1024, 1024, 1024]"),
        ),
    )
    near_misses = (NearMiss({"ok.py": "import torch\nprint(torch.zeros(10, 10).sum().item())\n"}),)
