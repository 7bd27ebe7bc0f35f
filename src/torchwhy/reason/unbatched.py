"""One sample given to a model that reads its first dimension as the batch."""

from __future__ import annotations

from dataclasses import dataclass

from ..model import Fix, Span, TensorFacts
from .calls import outermost
from .edits import append_method
from .partings import parted
from .reading import Cause, Reading
from .source import Expression
from .wording import code, shape_text


@dataclass(frozen=True, slots=True)
class Unbatched:
    """The model's argument that lacks a batch dimension, as the program passes it."""

    tensor: TensorFacts
    expression: Expression
    cause: Cause | Span
    fix: Fix
    note: str


def unbatched(run: Reading, rank: int) -> Unbatched | None:
    """The one tensor of this rank that the program passed to the model; where larger ones came before, what made it another is blamed."""
    found = [
        (p.value, p.expression)
        for p in outermost(run.sources, run.failure)
        if isinstance(p.value, TensorFacts) and p.value.rank == rank and p.expression is not None
    ]
    if len(found) != 1:
        return None
    tensor, expression = found[0]
    name = code(expression.text)
    fix = Fix(f"give {name} a batch dimension", append_method(run.sources, expression.span, ".unsqueeze(0)"))
    note = f"{name} is {shape_text(tensor.shape)}: one sample without a batch dimension; `unsqueeze(0)` makes it {shape_text((1, *(tensor.shape or ())))}"
    earlier = _earlier(run, tensor)
    cause = parted(run, tensor, earlier) if earlier is not None else None
    return Unbatched(tensor, expression, cause or expression.span, fix, note)


def _earlier(run: Reading, tensor: TensorFacts) -> TensorFacts | None:
    """What the first op over this tensor got in its place before."""
    first = next((op for op in run.evidence.ops if any(t.id == tensor.id for t in op.inputs) and op.module is not None), None)
    earlier = run.history.earlier_calls(first) if first is not None else ()
    place = next((i for i, t in enumerate(first.inputs) if t.id == tensor.id), 0) if first is not None else 0
    found = earlier[-1].inputs[place] if earlier and place < len(earlier[-1].inputs) else None
    return found if found is not None and found.rank == tensor.rank + 1 else None
