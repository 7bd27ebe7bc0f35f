"""Which side of a conflict to blame: decided here, once, for all families.

The rules, first that applies:
 1. *news*: the side whose value is not what it was in the earlier calls of the same op, while the other side's is (a last
    batch, a second phase)
 2. *odd one out*: of three or more, the one that differs from the rest, when the rest agree
 3. for dtype, device and the like, *what was converted*: a side that the program converted on purpose or by a mode (cast, move, transpose,
    detach) before one that nothing touched; then *data before weights*: a layer's parameter is blamed only where it was converted
 4. for sizes, *the branch*: of two sides that come from one tensor, the one that went through layers and came back with another size
 5. for sizes, *the promise*: what was built or made with the size in its text (a layer, a table, a buffer) before what an op made of data,
    and that before data as it came (random numbers, files, arguments)
 6. of two equal ones, *the later*
Where none applies the first side is taken, and `reason` says so, so that a family can lower its confidence.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from ..model import Evidence, OpRecord, TensorFacts
from .history import history_of
from .provenance import Decision, Property, Size, decided
from .source import Sources

_CONVERSIONS = frozenset(
    [
        "to",
        "float",
        "double",
        "half",
        "bfloat16",
        "long",
        "int",
        "short",
        "char",
        "byte",
        "bool",
        "type",
        "type_as",
        "cuda",
        "cpu",
        "permute",
        "transpose",
        "t",
        "T",
        "expand",
        "unfold",
        "detach",
        "numpy",
        "astype",
        "data.set",
    ]
)
_AS_IT_CAME = frozenset(
    ["rand", "randn", "randint", "from_numpy", "normal", "rand_like", "randn_like", "randperm", "load", "frombuffer", "batch"]
)
_OF_VALUES = frozenset(["tensor", "as_tensor", "asarray", "Tensor", "FloatTensor", "LongTensor", "IntTensor", "BoolTensor"])
_FILLS = ("setitem", "copy_", "index_copy_", "index_put_", "index_add_", "scatter_", "masked_scatter_")


@dataclass(frozen=True, slots=True)
class Side:
    """One operand of a conflict, what the property's value is there, and where that was decided."""

    name: str
    tensor: TensorFacts
    value: object
    decision: Decision
    what: Property | None = None
    """The property on this side, where the sides meet in different dimensions."""


@dataclass(frozen=True, slots=True)
class Blame:
    side: Side
    others: tuple[Side, ...]
    reason: str
    """The rule that decided: news, otherwise, odd, converted, data, branch, layer (a promise that is a layer's), written, later, or first."""


def value_of(tensor: TensorFacts, what: Property) -> object:
    if isinstance(what, Size):
        return tensor.shape[what.dim] if tensor.shape is not None and -tensor.rank <= what.dim < tensor.rank else None
    return {
        "rank": tensor.rank,
        "dtype": tensor.dtype,
        "device": tensor.device,
        "layout": (tensor.layout, tensor.is_contiguous),
        "grad": tensor.requires_grad,
        "values": None,
    }[what]


def side(evidence: Evidence, name: str, tensor: TensorFacts, what: Property, before: int | None = None) -> Side:
    if isinstance(what, Size) and what.dim < 0:
        what = Size(what.dim + tensor.rank)
    return Side(name, tensor, value_of(tensor, what), decided(evidence, tensor, what, before), what)


def blame(evidence: Evidence, op: OpRecord | None, sides: Sequence[Side], what: Property) -> Blame:
    """The side to blame among at least one."""
    chosen, reason = _choose(evidence, op, list(sides), what)
    return Blame(chosen, tuple(s for s in sides if s is not chosen), reason)


def _choose(evidence: Evidence, op: OpRecord | None, sides: list[Side], what: Property) -> tuple[Side, str]:
    if (new := _news(evidence, op, sides, what)) is not None:
        return new, "news"
    if len(sides) > 2 and (odd := [s for s in sides if sum(o.value == s.value for o in sides) == 1]) and len(odd) == 1:
        return odd[0], "odd"
    if isinstance(what, Size):
        return _choose_size(evidence, op, sides)
    converted = [s for s in sides if is_converted(s.decision)]
    if converted and len(converted) < len(sides):
        return converted[0], "converted"
    data = [s for s in sides if not _is_layers(s)]
    if data and len(data) < len(sides):
        return data[0], "data"
    return sides[0], "first"


def _choose_size(evidence: Evidence, op: OpRecord | None, sides: list[Side]) -> tuple[Side, str]:
    before = op.index if op is not None else None
    if len(sides) == 2 and op is not None:
        one, other = sides
        comes = [derives(evidence, one.tensor, other.tensor, before), derives(evidence, other.tensor, one.tensor, before)]
        if comes.count(True) == 1 and (branch := sides[comes.index(True)]).decision.how != "given":
            return branch, "branch"
    if len(sides) == 2 and (unlike := _unlike_its_siblings(evidence, *sides)) is not None:
        return unlike, "odd"
    promises = [promise(evidence, s) + _is_filled(op, s) for s in sides]
    strongest = max(promises)
    first = [s for s, promise in zip(sides, promises) if promise == strongest]
    if len(first) == 1:
        return first[0], "layer" if _is_layers(first[0]) else "written" if strongest > 1 else "first"
    times = [_time(s) for s in first]
    if times.count(max(times)) == 1:
        return first[times.index(max(times))], "later"
    return first[0], "first"


def _unlike_its_siblings(evidence: Evidence, one: Side, other: Side) -> Side | None:
    """Of two sides that lines of one block made, which it made before: the side that was like the other every time but this."""
    before = {id(s): _made_beside(evidence, s.decision) for s in (one, other)}
    for side, partner in ((one, other), (other, one)):
        if before[id(side)] == before[id(partner)] == {partner.value}:
            return side
    return None


def _made_beside(evidence: Evidence, decision: Decision) -> set[object]:
    """The sizes that the same line gave its other tensors or layers."""
    if decision.how == "module" and decision.module is not None and decision.module.built and decision.setting:
        here = decision.module
        return {m.number(decision.setting) for m in evidence.modules if m.id != here.id and m.built[:1] == here.built[:1]}
    op, dim = decision.op, decision.dim
    if decision.how != "created" or op is None or op.span is None or dim is None:
        return set()
    same = (o for o in evidence.ops if o.name == op.name and o.span == op.span and o.index != op.index and o.outputs)
    return {o.outputs[0].shape[dim] for o in same if o.outputs[0].shape is not None and dim < o.outputs[0].rank}


def derives(evidence: Evidence, tensor: TensorFacts, ancestor: TensorFacts, before: int | None = None, limit: int = 2000) -> bool:
    """Whether `tensor` was computed from `ancestor` (not merely from the same weights)."""
    history = history_of(evidence)
    waiting, seen = [(tensor, before)], {tensor.id}
    while waiting and len(seen) < limit:
        current, until = waiting.pop()
        op = history.producer(current, until)
        for source in op.inputs if op is not None else ():
            if source.id == ancestor.id:
                return True
            if source.id not in seen and source.id not in history.owner_of:
                seen.add(source.id)
                waiting.append((source, op.index if op is not None else None))
    return False


def _is_layers(one: Side) -> bool:
    return one.decision.how == "module" and one.decision.module is not None


def promise(evidence: Evidence, one: Side) -> int:
    """How much the program's text promised the size: 3 built or made with it, 2 an op's result, 1 data as it came, 0 unknown."""
    how, op = one.decision.how, one.decision.op
    if how == "module":
        return 3
    if op is not None and (how == "created" or op.name.startswith("new_") or op.name.endswith("_like")):
        return 1 if op.name in _AS_IT_CAME or op.name in _OF_VALUES and not _is_written_out(evidence, op) else 3
    return 3 if _is_built_in_a_module(evidence, op) else {"op": 2, "python": 2, "setter": 2}.get(how, 0)


def _is_built_in_a_module(evidence: Evidence, op: OpRecord | None) -> bool:
    """Whether a module's constructor made it: a table or grid that is ready before any data comes."""
    kinds = {module.kind for module in evidence.modules}
    calls = [span.function.split(".") for span in op.where] if op is not None else []
    return any(parts[-1] == "__init__" and len(parts) > 1 and parts[-2] in kinds for parts in calls)


def _is_filled(op: OpRecord | None, one: Side) -> bool:
    """Whether the op writes into this side, which was made for it beforehand."""
    return op is not None and op.name in _FILLS and one.decision.how == "created" and bool(op.inputs) and op.inputs[0].id == one.tensor.id


def _is_written_out(evidence: Evidence, op: OpRecord) -> bool:
    """Whether the values stand in the call itself: `torch.tensor([0.5, 0.5, 0.5])`."""
    call = Sources(evidence).call_at(op.span) if op.span is not None else None
    return call is not None and bool(call.args) and isinstance(call.args[0], (ast.List, ast.Tuple, ast.Constant))


def _time(one: Side) -> int:
    ops = (one.decision.op, *one.decision.trail[:1])
    return max((op.index for op in ops if op is not None), default=-1)


def is_converted(decision: Decision) -> bool:
    """Whether the program, or a mode, changed the property on purpose."""
    return decision.how in ("setter", "no-grad", "inference", "python") or (
        decision.op is not None and decision.op.name.rstrip("_") in _CONVERSIONS
    )


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
        before = {value_of(past.inputs[position], one.what or what) for past in earlier if position < len(past.inputs)}
        if one.value not in before:
            new.append(one)
    return new[0] if len(new) == 1 else None
