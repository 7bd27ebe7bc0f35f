"""Which side of a conflict to blame: decided here, once, for all families.

The rules, first that applies:
 1. *news*: the side whose value is not what it was in the earlier calls of the same op, while the other side's is (a last batch, a second phase)
 2. *odd one out*: of three or more, the one that differs from the rest, when the rest agree
 3. *what was converted*: a side that the program converted on purpose or by a mode (cast, move, transpose, detach) before one that nothing touched
 4. for dtype and device, *data before weights*: a layer's parameter is blamed only where it was converted and the data was not
 5. for sizes, *the layer before the data*: a constructor argument that promised another size is one line to mend; what the data went through are many
 6. *what the program wrote* before what came into view as it is (files, arguments)
Where none applies the first side is taken, and `reason` says so, so that a family can lower its confidence.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..model import Evidence, OpRecord, TensorFacts
from .history import history_of
from .provenance import Decision, Property, Size, decided

_CONVERSIONS = frozenset(
    "to float double half bfloat16 long int short char byte bool type type_as cuda cpu permute transpose t T expand unfold detach numpy astype data.set".split()
)


@dataclass(frozen=True, slots=True)
class Side:
    """One operand of a conflict, what the property's value is there, and where that was decided."""

    name: str
    tensor: TensorFacts
    value: object
    decision: Decision


@dataclass(frozen=True, slots=True)
class Blame:
    side: Side
    others: tuple[Side, ...]
    reason: str
    """The rule that decided: news, odd, converted, data, layer, written, or first."""


def value_of(tensor: TensorFacts, what: Property) -> object:
    if isinstance(what, Size):
        return tensor.shape[what.dim] if tensor.shape is not None and -tensor.rank <= what.dim < tensor.rank else None
    return {"rank": tensor.rank, "dtype": tensor.dtype, "device": tensor.device, "layout": (tensor.layout, tensor.is_contiguous),
            "grad": tensor.requires_grad, "values": None}[what]


def side(evidence: Evidence, name: str, tensor: TensorFacts, what: Property, before: int | None = None) -> Side:
    if isinstance(what, Size) and what.dim < 0:
        what = Size(what.dim + tensor.rank)
    return Side(name, tensor, value_of(tensor, what), decided(evidence, tensor, what, before))


def blame(evidence: Evidence, op: OpRecord | None, sides: Sequence[Side], what: Property) -> Blame:
    """The side to blame among at least one."""
    chosen, reason = _choose(evidence, op, list(sides), what)
    return Blame(chosen, tuple(s for s in sides if s is not chosen), reason)


def _choose(evidence: Evidence, op: OpRecord | None, sides: list[Side], what: Property) -> tuple[Side, str]:
    if (new := _news(evidence, op, sides, what)) is not None:
        return new, "news"
    if len(sides) > 2 and (odd := [s for s in sides if sum(o.value == s.value for o in sides) == 1]) and len(odd) == 1:
        return odd[0], "odd"
    converted = [s for s in sides if is_converted(s.decision)]
    weights = [s for s in sides if s.decision.module is not None and s.decision.how == "module"]
    if not isinstance(what, Size) and converted and len(converted) < len(sides):
        return converted[0], "converted"
    if isinstance(what, Size):
        if len(weights) == 1 and len(sides) > 1:
            return weights[0], "layer"
        written = [s for s in sides if s.decision.how in ("op", "created", "module")]
        if written and len(written) < len(sides):
            return written[0], "written"
        return sides[0], "first"
    data = [s for s in sides if s not in weights]
    if weights and data:
        return data[0], "data"
    return sides[0], "first"


def is_converted(decision: Decision) -> bool:
    """Whether the program, or a mode, changed the property on purpose."""
    return decision.how in ("setter", "no-grad", "inference", "python") or (decision.op is not None and decision.op.name.rstrip("_") in _CONVERSIONS)


def _news(evidence: Evidence, op: OpRecord | None, sides: list[Side], what: Property) -> Side | None:
    """The one side whose value is new at this op, while every other side has a value that was seen here before."""
    if op is None:
        return None
    earlier = history_of(evidence).earlier_calls(op)
    if not earlier:
        return None
    new = []
    for one in sides:
        position = next((i for i, t in enumerate(op.inputs) if t.id == one.tensor.id), None)
        if position is None:
            return None
        before = {value_of(past.inputs[position], what) for past in earlier if position < len(past.inputs)}
        if one.value not in before:
            new.append(one)
    return new[0] if len(new) == 1 else None
