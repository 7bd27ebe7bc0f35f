"""From (tensor, property) back to what decided it: the one question of torchwhy, answered once for all families.

The walk goes over the recorded ops from the failing one backwards. At each op that made the tensor it asks whether an input already
had the property's value: if so the walk goes on with that input, if not the value was decided here. What the recorder can't see
(numpy, files, plain Python numbers) ends the walk, and the answer says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Union

from ..model import Evidence, ModuleFacts, OpRecord, Span, TensorFacts
from .history import History, history_of
from .layers import setting_of
from .shapes import Carried, Given, Product, source_of_size
from .sizes import size_expression, tensor_size
from .source import Sources


@dataclass(frozen=True, slots=True)
class Size:
    """The size of one dimension (0-based from the left)."""

    dim: int


Property = Union[Size, Literal["rank", "dtype", "device", "layout", "grad", "values"]]
How = Literal["module", "op", "created", "python", "no-grad", "inference", "setter", "given", "unknown"]
"""module: a layer's constructor argument · op: an op changed it · created: the tensor was made with it · python: it went through plain
Python or numpy · no-grad, inference: the mode in force · setter: an attribute was set · given: it came into view already so (data,
arguments) · unknown: not recorded."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Where the property was decided. `trail` leads from there to the tensor, oldest first (ops after the deciding one)."""

    how: How
    tensor: TensorFacts
    """The tensor that first had the value."""
    op: OpRecord | None = None
    module: ModuleFacts | None = None
    setting: str = ""
    """The constructor parameter of `module`, or the argument of `op`, that decided it."""
    parameter: str = ""
    """The name of the module's parameter or buffer."""
    product: tuple[int, ...] = ()
    """For a size made by regrouping: the sizes that were multiplied."""
    trail: tuple[OpRecord, ...] = ()
    before: TensorFacts | None = None
    """What the deciding op got: the value before it was changed."""
    dim: int | None = None
    """For a size: the dimension of `tensor`."""

    @property
    def span(self) -> Span | None:
        """The line that decided it: the layer's constructor call, else the op's line."""
        if self.how == "module" and self.module is not None and self.module.built:
            return self.module.built[0]
        return self.op.span if self.op is not None else None

    @property
    def calls(self) -> tuple[Span, ...]:
        """That line and the calls around it, nearest first."""
        if self.how == "module" and self.module is not None:
            return self.module.built
        return self.op.where if self.op is not None else ()


def decided(evidence: Evidence, tensor: TensorFacts, what: Property, before: int | None = None) -> Decision:
    """What decided `what` of `tensor`, looking at ops below index `before` (default: all)."""
    return _walk(history_of(evidence), tensor, what, before)


def _walk(history: History, tensor: TensorFacts, what: Property, before: int | None) -> Decision:
    trail: list[OpRecord] = []
    seen: set[int] = set()
    dim = what.dim if isinstance(what, Size) else 0
    while True:
        found = _at(history, tensor, what, dim, before)
        op = found.op
        at = dim if isinstance(what, Size) else None
        if found.how != "unknown" or op is None or op.index in seen:
            return replace(found, trail=tuple(reversed(trail)), dim=at)
        seen.add(op.index)
        made = next((t for t in op.outputs if t.id == tensor.id), tensor)
        step = _size_step(history, op, made, dim) if isinstance(what, Size) else _value_step(op, made, what)
        if isinstance(step, Decision):
            return replace(step, module=history.module(op.module), trail=tuple(reversed(trail)), dim=at)
        trail.append(op)
        tensor, dim, before = step[0], step[1], op.index


def _at(history: History, tensor: TensorFacts, what: Property, dim: int, before: int | None) -> Decision:
    """The decision at this tensor, where it is one already (a setter, a module's own parameter, nothing recorded); else `unknown`."""
    setter = _setter(history, tensor, what, before)
    op = history.producer(tensor, before)
    if setter is not None and (op is None or setter.index > op.index):
        return Decision("setter", tensor, setter, setting=setter.name)
    if (owned := history.owner_of.get(tensor.id)) is not None and what not in ("grad", "values"):
        module, name = owned
        argument = setting_of(module, name, dim) if isinstance(what, Size) else what if what in ("dtype", "device") else ""
        if isinstance(what, Size) and op is not None and module.number(argument) not in (None, (tensor.shape or ())[dim]):
            argument = ""  # the parameter was put in the place of the layer's own
        if argument or op is None or not op.where:
            return Decision("module", tensor, None, module, argument, name)
    return Decision("given", tensor) if op is None else Decision("unknown", tensor, op)


_SETTERS: dict[str, tuple[str, ...]] = {"grad": ("requires_grad.set", "requires_grad_"), "dtype": ("data.set",), "device": ("data.set",)}


def _setter(history: History, tensor: TensorFacts, what: Property, before: int | None) -> OpRecord | None:
    """The latest `x.data = …`, `requires_grad = …` or `requires_grad_()` that set the property on this very tensor."""
    names = _SETTERS.get(what, ()) if isinstance(what, str) else ()
    if not names:
        return None
    for op in reversed(history.evidence.ops):
        if op.name in names and (before is None or op.index < before) and op.inputs and op.inputs[0].id == tensor.id:
            return op
    return None


Step = Union[Decision, tuple[TensorFacts, int]]


def _size_step(history: History, op: OpRecord, made: TensorFacts, dim: int) -> Step:
    source = source_of_size(op, made, dim)
    if isinstance(source, Carried) and source.exact:
        return source.tensor, source.dim
    if isinstance(source, Carried):
        return Decision("op", made, op, before=source.tensor)
    if isinstance(source, Product):
        return Decision("op", made, op, product=tuple((source.tensor.shape or ())[d] for d in source.dims), before=source.tensor)
    assert isinstance(source, Given)
    if source.argument:
        expression = size_expression(Sources(history.evidence), op, dim, made.rank)
        asked = tensor_size(history.evidence, op, expression, (made.shape or ())[dim]) if expression is not None else None
        if asked is not None:
            return asked
        layer = history.module(op.module)
        if layer is not None and layer.defined is None and layer.setting(source.argument) is not None:
            return Decision("module", made, op, layer, source.argument, before=op.inputs[0] if op.inputs else None)
    return Decision("op" if op.inputs else "created", made, op, setting=source.argument, before=op.inputs[0] if op.inputs else None)


_FREE_RANK = (
    *("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "getitem", "select", "stack", "unbind"),
    *("sum", "mean", "max", "min", "amax", "amin", "argmax", "expand", "repeat"),
)
_OWN_DTYPE = frozenset(
    ("one_hot", "bincount", "argmax", "argmin", "argsort", "nonzero", "multinomial", "searchsorted", "bucketize", "histc", "numel")
)
"""Ops whose result has one dtype whatever goes in: a dtype like that of the input is no sign that it comes from there."""
_ROUND_TRIP = ("tensor", "from_numpy", "as_tensor", "asarray", "Tensor", "FloatTensor", "LongTensor")


def _value_step(op: OpRecord, made: TensorFacts, what: Property) -> Step:
    inputs = [t for t in op.inputs if t.id != made.id]
    if what == "grad":
        return _grad_step(op, made, inputs)
    if not inputs:
        return Decision("created", made, op)
    if what == "rank":
        carrier = next((t for t in inputs if t.rank == made.rank), None)
        if op.name.rstrip("_") in _FREE_RANK and inputs[0].rank != made.rank:
            carrier = None
    elif what == "dtype" and (op.name.startswith("new_") or op.name.endswith("_like")):  # a new tensor: its line chose the dtype
        return Decision("created", made, op, before=inputs[0])
    elif what == "dtype" and op.name in _OWN_DTYPE:
        return Decision("op", made, op, before=inputs[0])
    elif what == "dtype":
        same = [t for t in inputs if t.dtype == made.dtype]
        carrier = next((t for t in same if t.rank > 0), None) or next(iter(same), None)
    elif what == "device":
        carrier = next((t for t in inputs if t.device == made.device), None)
    elif what == "layout":
        carrier = next((t for t in inputs if t.is_contiguous == made.is_contiguous and t.layout == made.layout), None)
    else:  # values: follow what only moves them
        carrier = inputs[0] if op.name.rstrip("_") in _MOVES_VALUES else None
    return (carrier, 0) if carrier is not None else Decision("op", made, op, before=inputs[0])


_RESHAPES = ("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "permute", "transpose", "t", "T", "movedim", "swapaxes")
_PICKS = ("getitem", "select", "narrow", "chunk", "split", "unbind", "stack", "cat", "index_select", "flip", "roll")
_COPIES = ("repeat", "expand", "expand_as", "contiguous", "clone", "detach", "pin_memory", "view_as", "reshape_as", "data")
_CASTS = ("to", "long", "int", "cpu", "cuda", "type")
_MOVES_VALUES = frozenset((*_RESHAPES, *_PICKS, *_COPIES, *_CASTS))


def _grad_step(op: OpRecord, made: TensorFacts, inputs: list[TensorFacts]) -> Step:
    carrier = next((t for t in inputs if t.requires_grad), None)
    if made.requires_grad:
        return (carrier, 0) if carrier is not None else Decision("created", made, op)
    if carrier is not None:
        if op.inference_mode:
            return Decision("inference", made, op, before=carrier)
        return Decision("op" if op.grad_enabled or op.name in ("detach", "data") else "no-grad", made, op, before=carrier)
    if op.name in _ROUND_TRIP and not op.inputs:
        return Decision("python", made, op)
    if not inputs:
        return Decision("created", made, op)
    return max(inputs, key=lambda t: (t.is_floating, t.rank)), 0


def path(evidence: Evidence, tensor: TensorFacts, what: Property, before: int | None = None, limit: int = 12) -> tuple[OpRecord, ...]:
    """The ops along the data from its source to `tensor`, oldest first: at each op on with the input that the property was made from."""
    history = history_of(evidence)
    found: list[OpRecord] = []
    dim = what.dim if isinstance(what, Size) else 0
    while len(found) < 200:
        op = history.producer(tensor, before)
        if op is None:
            break
        made = next((t for t in op.outputs if t.id == tensor.id), tensor)
        found.append(op)
        inputs = [t for t in op.inputs if t.id != made.id]
        if not inputs:
            break
        tensor, before = inputs[0], op.index
        if isinstance(what, Size):
            source = source_of_size(op, made, dim)
            if isinstance(source, Carried):
                tensor, dim = source.tensor, source.dim
            elif isinstance(source, Product):
                tensor, dim = source.tensor, source.dims[-1]
            else:
                dim = min(dim, max(0, tensor.rank - 1))
            owned = history.owner_of.get(tensor.id)
            if owned is not None:
                tensor = inputs[0]
                dim = min(dim, max(0, tensor.rank - 1))
        else:
            step = _value_step(op, made, what)
            if not isinstance(step, Decision):
                tensor = step[0]
    return tuple(reversed(found))[-limit:]
