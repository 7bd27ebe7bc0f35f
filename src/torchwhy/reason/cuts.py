"""Why a tensor has no graph: the op, mode, round trip through Python or frozen parameter at which the link to what is trained was lost.

All branches behind the tensor are searched. A loss has several (the prediction, the target), and more than one may be cut, some on purpose:
blamed is the branch that leads to what an optimizer trains, not one that came in as a target, mask or index, and the nearest cut on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ..model import OpRecord, Plain, Span, TensorFacts, tensors_in
from .graph import operands_of
from .history import History
from .reading import Reading
from .slices import feeding_lines
from .structure import GRADIENT_OFF, Around, decorator_of, with_around

How = Literal["op", "mode", "switch", "python", "checkpoint", "frozen", "never"]
"""op: an op whose result has no graph · mode: inside `no_grad` or `inference_mode` · switch: gradients were turned off for good ·
python: it went through a number or numpy · checkpoint: a reentrant checkpoint with no input that requires grad ·
frozen: all parameters behind it were told to require none · never: nothing behind it ever did."""

DISCRETE = frozenset(
    (
        "argmax",
        "argmin",
        "argsort",
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "greater",
        "less",
        "greater_equal",
        "less_equal",
        "not_equal",
        "isnan",
        "isinf",
        "isfinite",
        "isclose",
        "equal",
        "all",
        "any",
        "logical_not",
        "logical_and",
        "logical_or",
        "logical_xor",
        "bitwise_and",
        "bitwise_or",
        "bitwise_not",
        "bool",
        "long",
        "int",
        "short",
        "byte",
        "char",
        "one_hot",
        "nonzero",
        "bincount",
        "histc",
        "searchsorted",
        "bucketize",
        "multinomial",
        "count_nonzero",
        "unique",
        "randint_like",
        "topk",
        "sort",
        "max",
        "min",
        "mode",
        "kthvalue",
        "cummax",
        "cummin",
        "median",
        "nanmedian",
    )
)
"""Ops with a result that no gradient can go through: choices, comparisons, counts, whole numbers."""

LEAVES_TORCH = ("item", "numpy", "tolist", "__array__", "__float__", "__int__", "__index__")
MAKES = (
    "tensor",
    "as_tensor",
    "asarray",
    "from_numpy",
    "Tensor",
    "FloatTensor",
    "full",
    "scalar_tensor",
    "zeros",
    "ones",
    "new_tensor",
    "full_like",
)
_SIDE = ("target", "mask", "index", "indices", "condition", "labels", "other_mask")
_NODES = 4000


@dataclass(frozen=True, slots=True)
class Cut:
    """`op` is where the link was lost, `before` what went in with a graph, `after` what came out without; `span` is the line to blame."""

    how: How
    span: Span | None
    op: OpRecord | None = None
    after: TensorFacts | None = None
    before: TensorFacts | None = None
    name: str = ""
    """What the program calls `before` there."""
    around: Around | None = None
    """The `with`, the decorator or the switch."""
    trail: tuple[OpRecord, ...] = ()
    """From the cut to the tensor asked about."""
    parameters: tuple[int, ...] = ()
    """Frozen: the parameters behind it."""
    sure: bool = True

    @property
    def discrete(self) -> bool:
        op = self.op
        return self.how == "op" and op is not None and (op.name.rstrip("_") in DISCRETE or self.to_integer)

    @property
    def to_integer(self) -> bool:
        """Whether a float with a graph became whole numbers."""
        return (
            self.before is not None
            and self.after is not None
            and self.before.is_floating
            and not self.after.is_floating
            and self.how == "op"
        )


def cut(run: Reading, tensor: TensorFacts) -> Cut | None:
    """The cut to blame for a tensor without a graph; None where nothing was recorded of it."""
    found = list(_cuts(run, tensor))
    if found:
        trained = {p for o in run.evidence.optimizers for p in o.parameters}
        ranked = sorted(enumerate(found), key=lambda pair: (not _trains(run, pair[1][0], trained), pair[1][1], pair[0]))
        return ranked[0][1][0]
    return _frozen(run, tensor) or _never(run, tensor)


# ── the search ────────────────────────────────────────────────────────────────────────────────────────────────────────
def _cuts(run: Reading, tensor: TensorFacts) -> Iterator[tuple[Cut, bool]]:
    """Every cut behind the tensor, nearest first, and whether it was on a side branch."""
    history, seen = run.history, set[int]()
    queue: list[tuple[TensorFacts, int | None, tuple[OpRecord, ...], bool]] = [(tensor, run.before, (), False)]
    while queue and len(seen) < _NODES:
        current, limit, trail, side = queue.pop(0)
        op = history.producer(current, limit)
        for wrote in history.writes_to.get(current.storage, ()) if current.storage is not None else ():
            if (
                (op is None or wrote.index > op.index)
                and (limit is None or wrote.index < limit)
                and wrote.name in ("setitem", "fill_", "add_")
            ):
                queue += [(t, wrote.index, (wrote, *trail), side) for t in _fed(run, wrote) if t.id != current.id]
                if (left := _left(run, wrote)) is not None and left.inputs[0].requires_grad:
                    yield _python(run, left, current, (wrote, *trail)), side
        if op is None or op.index in seen:
            continue
        seen.add(op.index)
        made = next((t for t in op.outputs if t.id == current.id), current)
        carrier = next((t for t in op.inputs if t.requires_grad and t.id != made.id), None)
        if carrier is not None and not made.requires_grad:
            yield _at(run, op, made, carrier, trail), side
            continue
        if op.name == "Function.apply" and op.qualname.endswith("CheckpointFunction"):
            name = run.history.names.get(op.inputs[0].id, "") if op.inputs else ""
            yield Cut("checkpoint", op.span, op, made, None, name, trail=trail), side
            continue
        if not op.inputs and op.name in MAKES and (left := _left(run, op)) is not None:
            if left.inputs[0].requires_grad:
                yield _python(run, left, made, (op, *trail)), side
            else:
                queue.append((left.inputs[0], left.index, (left, op, *trail), side))
        for argument in op.arguments:
            aside = side or argument.name in _SIDE
            queue += [(t, op.index, (op, *trail), aside) for t in tensors_in(argument.value) if t.id != made.id]


def _fed(run: Reading, op: OpRecord) -> tuple[TensorFacts, ...]:
    value = op.argument("value") or op.argument("other")
    return tensors_in(value) if value is not None else ()


def _left(run: Reading, made_by: OpRecord) -> OpRecord | None:
    """The conversion to a Python number or array that fed this op: the latest one on a line that its text leads back to."""
    lines = feeding_lines(run.sources, made_by.where)
    nearest = None
    for op in reversed(run.evidence.ops):
        if op.index < made_by.index and op.name in LEAVES_TORCH and op.inputs and not op.raised:
            places = [(s.file, s.line) for s in op.where]
            if places[:1] and places[0] in lines:
                return op
            if nearest is None and any(p in lines for p in places):
                nearest = op
    return nearest


def _python(run: Reading, left: OpRecord, made: TensorFacts, trail: tuple[OpRecord, ...]) -> Cut:
    return Cut("python", left.span, left, made, left.inputs[0], _called(run, left, left.inputs[0]), trail=trail)


def _called(run: Reading, op: OpRecord, tensor: TensorFacts) -> str:
    own = next(
        (o.expression for o in operands_of(run.evidence, op) if o.expression and any(t.id == tensor.id for t in tensors_in(o.value))), ""
    )
    return own or run.history.names.get(tensor.id, "")


def _at(run: Reading, op: OpRecord, made: TensorFacts, carrier: TensorFacts, trail: tuple[OpRecord, ...]) -> Cut:
    name = _called(run, op, carrier)
    if (
        op.name.rstrip("_") in DISCRETE
        and _is_choice(op, made)
        or op.name in ("detach", "data", "detach_", "tensor", "new_tensor")
        or not _off(op)
    ):
        return Cut("op", op.span, op, made, carrier, name, trail=trail)
    for span in op.where:
        around = with_around(run.sources, span, (*GRADIENT_OFF, "set_grad_enabled")) or decorator_of(run.sources, span)
        if around is not None:
            return Cut("mode", around.span, op, made, carrier, name, around, trail)
    switch = next((o for o in reversed(run.evidence.ops) if o.name == "set_grad_enabled" and o.index < op.index), None)
    if switch is not None and switch.span is not None and _turns_off(switch):
        text = run.sources.segment(switch.span)
        return Cut("switch", switch.span, op, made, carrier, name, Around(switch.span, text, switch.span), trail)
    return Cut("mode", op.span, op, made, carrier, name, trail=trail, sure=False)


def _off(op: OpRecord) -> bool:
    return op.inference_mode or not op.grad_enabled


def _is_choice(op: OpRecord, made: TensorFacts) -> bool:
    """Not the values that `max`, `sort` and `topk` give next to their indices."""
    return not made.is_floating or op.name in ("multinomial", "histc")


def _turns_off(switch: OpRecord) -> bool:
    mode = switch.argument("mode")
    return isinstance(mode, Plain) and mode.value is False


# ── which one to blame ────────────────────────────────────────────────────────────────────────────────────────────────
def _trains(run: Reading, found: Cut, trained: set[int]) -> bool:
    """Whether what was lost leads to a parameter of an optimizer (of any module, where no optimizer was seen)."""
    if found.how == "checkpoint":
        return True
    if found.before is None or found.op is None:
        return False
    wanted = trained or set(run.history.owner_of)
    return any(t.id in wanted for t in behind(run.history, found.before, found.op.index))


def behind(history: History, tensor: TensorFacts, before: int | None) -> Iterator[TensorFacts]:
    """The tensor and everything that it was computed from."""
    waiting, seen = [(tensor, before)], set[int]()
    while waiting and len(seen) < _NODES:
        current, limit = waiting.pop(0)
        if current.id in seen:
            continue
        seen.add(current.id)
        yield current
        op = history.producer(current, limit)
        waiting += [(t, op.index) for t in op.inputs if t.id != current.id] if op is not None else []


# ── nothing to lose ───────────────────────────────────────────────────────────────────────────────────────────────────
def _frozen(run: Reading, tensor: TensorFacts) -> Cut | None:
    """The parameters behind the tensor were told to require no grad."""
    owners = run.history.owner_of
    ids = tuple(t.id for t in behind(run.history, tensor, run.before) if t.id in owners and t.is_floating and _is_parameter(run, t.id))
    if not ids:
        return None
    for op in reversed(run.evidence.ops):
        if op.name in ("requires_grad.set", "requires_grad_") and op.inputs and op.inputs[0].id in ids:
            return Cut("frozen", op.span, op, tensor, op.inputs[0], run.history.names.get(op.inputs[0].id, ""), parameters=ids)
    made = run.history.producer(tensor, run.before)
    return Cut("frozen", None, made, tensor, parameters=ids, sure=False)


def _is_parameter(run: Reading, id: int) -> bool:
    module, name = run.history.owner_of[id]
    return any(a.name == name for a in module.parameters)


def _never(run: Reading, tensor: TensorFacts) -> Cut | None:
    """What it was computed from, none of which requires grad: the one that is trained, whose gradient is read, or the only one."""
    history = run.history
    leaves = [
        t
        for t in behind(history, tensor, run.before)
        if t.is_floating and (op := history.producer(t, run.before)) is not None and not op.inputs
    ]
    if not leaves:
        return None
    trained = {p for o in run.evidence.optimizers for p in o.parameters}
    names = {t.id: history.names.get(t.id, "") for t in leaves}
    meant = [t for t in leaves if t.id in trained] or [t for t in leaves if names[t.id] and _asked_for_grad(run, names[t.id])]
    chosen = (meant or leaves)[0]
    made = history.producer(chosen, run.before)
    sure = len(meant or leaves) == 1
    span = made.span if made is not None and sure else None
    return Cut("never", span, made, chosen, None, names[chosen.id], parameters=tuple(t.id for t in leaves), sure=sure)


def _asked_for_grad(run: Reading, name: str) -> bool:
    return any(f"{name}.grad" in text for _, text in run.evidence.sources)
