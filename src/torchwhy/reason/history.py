"""The recorded run, indexed: which op made a tensor, who wrote to it, what an op saw in its earlier calls."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

from ..model import Evidence, ModuleFacts, OpRecord, Plain, Span, TensorFacts, Value, tensors_in

IN_PLACE_EVENTS = ("optimizer.step", "optimizer.zero_grad")


@dataclass(frozen=True)
class History:
    """Look-ups over one Evidence. Made once per evidence by `history_of`."""

    evidence: Evidence
    _by_index: dict[int, OpRecord] = field(default_factory=dict)

    @cached_property
    def made_by(self) -> dict[int, tuple[OpRecord, ...]]:
        """Tensor id → the ops that gave it out, oldest first. An op that returns its own argument (in place) counts as well."""
        found: dict[int, list[OpRecord]] = defaultdict(list)
        for op in self.evidence.ops:
            for out in op.outputs:
                found[out.id].append(op)
        return {key: tuple(ops) for key, ops in found.items()}

    @cached_property
    def writes_to(self) -> dict[int, tuple[OpRecord, ...]]:
        """Storage → the ops that changed it in place, oldest first."""
        found: dict[int, list[OpRecord]] = defaultdict(list)
        for op in self.evidence.ops:
            for storage in {w.storage for w in op.writes if w.storage is not None}:
                found[storage].append(op)
        return {key: tuple(ops) for key, ops in found.items()}

    @cached_property
    def modules(self) -> dict[int, ModuleFacts]:
        return {m.id: m for m in self.evidence.modules}

    @cached_property
    def owner_of(self) -> dict[int, tuple[ModuleFacts, str]]:
        """Tensor id → the module that holds it as a parameter or buffer, and its name there."""
        found: dict[int, tuple[ModuleFacts, str]] = {}
        for module in self.evidence.modules:
            for argument in (*module.parameters, *module.buffers):
                if isinstance(argument.value, TensorFacts) and "." not in argument.name:
                    found.setdefault(argument.value.id, (module, argument.name))
        return found

    @cached_property
    def names(self) -> dict[int, str]:
        return dict(self.evidence.names)

    @cached_property
    def parents(self) -> dict[int, ModuleFacts]:
        """Module id → the module that holds it."""
        return {child: module for module in self.evidence.modules for _, child in module.children}

    def producer(self, tensor: TensorFacts, before: int | None = None) -> OpRecord | None:
        """The op that made the tensor (not one that merely returned or changed it), the latest below index `before`."""
        for op in reversed(self.made_by.get(tensor.id, ())):
            if before is not None and op.index >= before:
                continue
            if any(t.id == tensor.id for t in op.inputs):
                continue
            return op
        return None

    def module(self, id: int | None) -> ModuleFacts | None:
        return self.modules.get(id) if id is not None else None

    def earlier_calls(self, op: OpRecord) -> tuple[OpRecord, ...]:
        """Ops of the same name in the same module that went well before this one; of no layer of torch's: at the same place in the program."""
        module = self.module(op.module)
        anywhere = module is not None and module.defined is None
        return tuple(
            o
            for o in self.evidence.ops
            if o.index < op.index
            and o.name == op.name
            and o.module == op.module
            and not o.raised
            and (anywhere or _same_place(o.span, op.span))
        )


def _same_place(one: Span | None, other: Span | None) -> bool:
    """The same text; a replayed statement runs outside of its function."""
    if one is None or other is None:
        return one is other
    return replace(one, function="") == replace(other, function="")


@lru_cache(maxsize=4)
def history_of(evidence: Evidence) -> History:
    """The index of this evidence (kept for the last few)."""
    return History(evidence)


def number(value: Value | None) -> int | None:
    """The integer that a plain value is, if it is one."""
    if isinstance(value, Plain) and isinstance(value.value, int) and not isinstance(value.value, bool):
        return value.value
    return None


def numbers(value: Value | None) -> tuple[int, ...] | None:
    """The integers of a plain value or a list of them; None where any is something else."""
    if value is None:
        return None
    if (single := number(value)) is not None:
        return (single,)
    items = getattr(value, "items", None)
    if items is None:
        return None
    found = tuple(number(item) for item in items)
    return None if any(n is None for n in found) else tuple(n for n in found if n is not None)


def spread(op: OpRecord, name: str) -> tuple[int, ...] | None:
    """Integers given as one list or one by one, as in `permute(0, 2, 1)` and `view(-1, 400)`."""
    given = [a.value for a in op.arguments if a.name == name or a.name.startswith(name + "[")]
    if len(given) == 1:
        return numbers(given[0])
    found = [number(v) for v in given]
    return None if not found or any(n is None for n in found) else tuple(n for n in found if n is not None)


def first_tensor(op: OpRecord) -> TensorFacts | None:
    for argument in op.arguments:
        if found := tensors_in(argument.value):
            return found[0]
    return None
