"""Two tensors that are multiplied as matrices do not fit each other.

Erroneous code (TW0101):

```python
{example}
```

Why: `a @ b` sums over the last dimension of `a` and the last but one of `b`: `[n, k] @ [k, m]`. The two sizes `k` must be the same, and
the dimensions before them (the batches) too. Where both matrices have their features last, as rows of embeddings or queries and keys
have, the second one must be transposed: `a @ b.T`, `q @ k.transpose(-2, -1)`.

Fix: transpose the operand that stands the wrong way, move the batch to the front, or mend the size where it was decided.

Messages: `mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)`; `Expected size for first two dimensions of batch2 tensor to be: [2,
4] but got: [2, 5].`; `size mismatch, got input (2), mat (2x3), vec (4)`; `inconsistent tensor size, expected tensor [3] and src [4] …`;
`batch1 must be a 3D tensor`.

Not to be confused with: `shape.linear`, where a layer multiplies its input with its own weight.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ...family import Example, Family, NearMiss, Trigger
from ...model import Diagnosis, Evidence, Fix, Operand, OpRecord, Span, TensorFacts, tensors_in
from ...reason.accounts import called
from ...reason.conflict import conflict, size_fixes
from ...reason.edits import append_method, replace_text
from ...reason.fits import Shape, Step, steps
from ...reason.misfits import broken_at
from ...reason.partings import parted
from ...reason.provenance import Size
from ...reason.reading import Cause, Reading, reading
from ...reason.shape_edits import callee, without_method
from ...reason.wording import code, first_fitting, place, shape_text

_OPS = frozenset(
    [
        "matmul",
        "mm",
        "bmm",
        "mv",
        "dot",
        "vdot",
        "addmm",
        "addmv",
        "baddbmm",
        "addbmm",
        "inner",
        "multi_dot",
        "chain_matmul",
        "linalg_vecdot",
        "vecdot",
    ]
)
_PAIRS = (
    ("mat1", "mat2"),
    ("batch1", "batch2"),
    ("mat", "vec"),
    ("input", "mat2"),
    ("input", "vec"),
    ("input", "tensor"),
    ("input", "other"),
    ("self", "other"),
)
_MESSAGES = (
    r"mat1 and mat2 shapes cannot be multiplied(?: \((?P<left>\d+x\d+) and (?P<right>\d+x\d+)\))?",
    r"Expected size for first two dimensions of batch2 tensor"
    r"|Expected tensor to have size \d+ at dimension 1, but got size \d+ for argument #2",
    r"size mismatch, (?:m1|got)|inconsistent tensor size, expected tensor|contracted dimensions need to match|multi_dot\(\): tensors",
    r"(?:batch[12]|self|mat[12]?) must be a (?:3D tensor|matrix)|[12]D tensors expected, but got|vector \+ matrix @ vector expected",
    r"both arguments to matmul need to be at least 1D|inner\(\) the last dimension must match|mat1 dim 1 must match mat2 dim 0",
    r"must match the size of tensor|The expanded size of the tensor|batch1 and batch2 must have same number of batches",
)
_RANKS = {"mm": (2, 2), "bmm": (3, 3), "mv": (2, 1), "dot": (1, 1), "addmm": (2, 2), "baddbmm": (3, 3), "addmv": (2, 1)}
Factor = tuple[Operand, TensorFacts]


class Matmul(Family):
    code = "TW0101"
    title = "two tensors that are multiplied as matrices do not fit each other"
    triggers = tuple(Trigger(message) for message in _MESSAGES)
    rank = 1

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        if run.op is None:
            return self._untold(run, match)
        if run.op.name.rstrip("_") not in _OPS or run.layer is not None and run.op.module == run.layer.id:
            return None
        pair = self._pair(run, run.op)
        if pair is None:
            return None
        (left, a), (right, b) = pair
        assert a.shape is not None and b.shape is not None
        names = called(run, a, left.expression), called(run, b, right.expression)
        notes = [f"{name}{self._owner(run, name, t)} is {t.dtype} {shape_text(t.shape)}" for name, t in zip(names, (a, b))]
        headline, dims = self._conflict(run.op, names, a.shape, b.shape)
        other_ranks = _RANKS.get(run.op.name.rstrip("_"), (a.rank, b.rank)) != (a.rank, b.rank)
        cause = None if other_ranks else self._turned(run, (left, a), (right, b))
        if cause is not None:
            span, because, told, fixes = cause
            trail = run.trail(b, Size(b.rank - 1))
            return run.diagnosis(self, headline, span, because, trail=trail, notes=[*notes, told], fixes=fixes)
        if dims is None:
            notes.append(f"{code(run.op.name)} takes other numbers of dimensions: {run.failure.message.split('.')[0]}")
            odd, name = (left if a.rank > b.rank else right).parameter, callee(run.sources, run.raised)
            edit = replace_text(name, "matmul") if name is not None and _multiplies(a.shape, b.shape) else ()
            fixes = [Fix("take `matmul`, which multiplies batches of matrices", edit)] if edit else []
            because = f"`{run.op.name}` takes other dimensions"
            return run.diagnosis(self, headline, run.span_of(odd) or run.raised, because, notes=notes, fixes=fixes)
        owned = [t.id in run.history.owner_of for t in (a, b)]
        sides = [(left.expression or names[0].strip("`"), a, dims[0]), (right.expression or names[1].strip("`"), b, dims[1])]
        found = conflict(
            run, sides, owned.index(True) if sum(owned) == 1 else None
        )  # a weight is built for the data, not the other way round
        return run.diagnosis(
            self, headline, found.cause, found.because, trail=found.trail, notes=[*notes, *found.notes], fixes=size_fixes(run, found)
        )

    def _pair(self, run: Reading, op: OpRecord) -> tuple[Factor, Factor] | None:
        """The two factors, with the user's words for them."""
        for one, other in _PAIRS:
            left, right = run.operand(one), run.operand(other)
            if left is not None and right is not None:
                a, b = tensors_in(left.value), tensors_in(right.value)
                if len(a) == len(b) == 1 and a[0].shape is not None and b[0].shape is not None:
                    return (left, a[0]), (right, b[0])
        listed = [(o, t) for o in run.operands for t in tensors_in(o.value) if t.shape is not None]
        for (left, x), (right, y) in zip(listed, listed[1:]):
            if x.rank and y.rank and x.shape and y.shape and x.shape[-1] != y.shape[-2 if y.rank > 1 else 0]:
                return (left, x), (right, y)
        return None

    def _owner(self, run: Reading, name: str, tensor: TensorFacts) -> str:
        """Where the program calls a layer's weight by another name."""
        own = run.history.names.get(tensor.id, "")
        return f" ({code(own)})" if tensor.id in run.history.owner_of and own and own not in name else ""

    def _conflict(self, op: OpRecord, names: tuple[str, str], a: Shape, b: Shape) -> tuple[str, tuple[int, int] | None]:
        """The headline, and the two dimensions that should be equal (None for another number of dimensions)."""
        one, other = names
        shapes = f"{shape_text(a)} and {shape_text(b)} cannot be multiplied"
        ranks = _RANKS.get(op.name.rstrip("_"))
        if ranks is not None and (len(a), len(b)) != ranks:
            return f"`{op.name}` takes {ranks[0]} and {ranks[1]} dimensions, not {len(a)} and {len(b)}", None
        if not a or not b:
            return shapes, None
        inner = -1 if op.name in ("inner", "vecdot", "linalg_vecdot") or len(b) == 1 else -2
        if a[-1] != b[inner]:
            left, right = "columns" if len(a) > 1 else "values", "values" if len(b) == 1 else "columns" if inner == -1 else "rows"
            told = f"{one} has {a[-1]} {left} but {other} has {b[inner]} {right}"
            return first_fitting(told, f"{a[-1]} {left} are multiplied with {b[inner]} {right}"), (len(a) - 1, len(b) + inner)
        for back in range(3, min(len(a), len(b)) + 1):
            if a[-back] != b[-back] and (op.name == "bmm" or 1 not in (a[-back], b[-back])):
                told = f"{one} has {a[-back]} matrices but {other} has {b[-back]}"
                return first_fitting(told, f"{a[-back]} matrices are multiplied with {b[-back]}"), (len(a) - back, len(b) - back)
        return shapes, None

    def _turned(self, run: Reading, left: Factor, right: Factor) -> tuple[Cause | Span, str, str, list[Fix]] | None:
        """An operand that changed since it fitted, that was turned before, or that only has to be turned here; the second factor first."""
        a, b = left[1].shape or (), right[1].shape or ()

        def fits_right(shape: Shape) -> bool:
            return _multiplies(a, shape)

        def fits_left(shape: Shape) -> bool:
            return _multiplies(shape, b)

        tests = ((right, fits_right), (left, fits_left))
        for (_, tensor), fits in tests:
            earlier = run.earlier_input(tensor)
            if earlier is not None and earlier.shape and earlier.shape != tensor.shape and fits(earlier.shape):
                told = f"in earlier calls it was {shape_text(earlier.shape)}"
                return parted(run, tensor, earlier) or run.raised, f"gives {shape_text(tensor.shape)}", told, []
        for (_, tensor), fits in tests:
            broken = broken_at(run, tensor, fits, max(tensor.rank - 1, 0))
            if broken is not None and broken[0].span is not None:
                span, before = broken[0].span, broken[1]
                removed = without_method(run.sources, span, broken[0].name)
                told = f"before {code(run.sources.segment(span))} at {place(span)} it was {shape_text(before.shape)}, which fits"
                return (
                    span,
                    f"makes {shape_text(tensor.shape)} of {shape_text(before.shape)}",
                    told,
                    [Fix(f"leave out {code('.' + broken[0].name)}", removed)],
                )
        for (operand, tensor), fits in tests:
            possible = _turns(tensor.shape or (), fits)
            if possible and operand.span is not None:
                told = f"{code(operand.expression)} is {shape_text(tensor.shape)}; {possible[0].said}"
                fix = Fix(f"transpose {code(operand.expression)}", append_method(run.sources, operand.span, possible[0].text))
                return operand.span, f"is {shape_text(tensor.shape)}, not {shape_text(possible[0].shape)}", told, [fix]
        return None

    def _untold(self, run: Reading, match: re.Match[str]) -> Diagnosis | None:
        """Nothing but the message and the text of the line."""
        text = run.sources.segment(run.raised) or (run.frame.code if run.frame is not None else "")
        innermost = run.failure.frames[-1].span.file.replace("\\", "/") if run.failure.frames else ""
        if not re.search(r"@|matmul|\bb?mm\b|\bmv\b|\bdot\(|addmm", text) or "/nn/modules/" in innermost:
            return None
        sizes = f" of {match['left']} and {match['right']}" if match.groupdict().get("left") else ""
        return run.diagnosis(
            self,
            f"matrices{sizes} cannot be multiplied",
            None,
            notes=[f"the product is in {code(text)}", run.failure.message.split(". ")[0]],
        )

    examples = (
        Example(
            {
                "train.py": """\
import torch

torch.manual_seed(0)
queries = torch.rand(4, 16)
documents = torch.rand(30, 16)
scores = queries @ documents  #~ cause
print(scores.argmax(1))
"""
            },
            says=("`queries`", "16 columns", "`documents`", "30 rows", "transpose"),
            becomes="scores = queries @ documents.T",
        ),
        Example(
            {
                "main.py": """\
import torch
from mixer import Mixer
from torch import nn

net = nn.Sequential(nn.Linear(6, 20), nn.Tanh(), Mixer(inside=24, outside=3))  #~ cause
for batch in torch.rand(12, 6).split(4):
    net(batch).mean().backward()
""",
                "mixer.py": """\
import torch
from torch import nn


class Mixer(nn.Module):
    def __init__(self, inside, outside):
        super().__init__()
        self.table = nn.Parameter(torch.randn(inside, outside) / inside)

    def forward(self, x):
        return torch.matmul(x, self.table)
""",
            },
            says=("x", "20", "self.table", "24", "inside"),
            becomes="net = nn.Sequential(nn.Linear(6, 20), nn.Tanh(), Mixer(inside=20, outside=3))",
        ),
    )
    near_misses = (
        NearMiss({"train.py": "import torch\nprint((torch.ones(2, 3) @ torch.ones(5, 3, 4)).shape)\n"}),
        NearMiss({"train.py": "import torch\ntorch.nn.Linear(3, 4)(torch.ones(2, 5))\n"}, belongs_to="shape.linear"),
    )


def _multiplies(a: Shape, b: Shape) -> bool:
    """Whether `a @ b` works."""
    if not a or not b or a[-1] != b[-2 if len(b) > 1 else 0]:
        return False
    return all(m == n or 1 in (m, n) for m, n in zip(reversed(a[:-2]), reversed(b[:-2])))


def _turns(shape: Shape, fits: Callable[[Shape], bool]) -> tuple[Step, ...]:
    """Transpositions that would make it fit: of the last two dimensions first, then of the first two."""
    found = steps(shape, fits, ("move",))
    last = f".transpose({len(shape) - 2}, {len(shape) - 1})"
    return tuple(sorted(found, key=lambda s: (s.text not in (last, ".T"), "permute" in s.text)))
