"""One sample given to a model that reads its first dimension as the batch."""

from __future__ import annotations

from dataclasses import dataclass

from ..model import Fix, TensorFacts
from .calls import outermost
from .edits import append_method
from .reading import Reading
from .source import Expression
from .wording import code, shape_text


@dataclass(frozen=True, slots=True)
class Unbatched:
    """The model's argument that lacks a batch dimension, as the program passes it."""

    tensor: TensorFacts
    expression: Expression
    fix: Fix
    note: str


def unbatched(run: Reading, rank: int) -> Unbatched | None:
    """The one tensor of this rank that the program passed to the model."""
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
    return Unbatched(tensor, expression, fix, note)
