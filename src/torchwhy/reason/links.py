"""How a tensor takes part in an output, by the recorded data flow; and which expression made a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..model import OpRecord, Span, TensorFacts
from .history import history_of
from .origins import origins
from .reading import Reading

_LIMIT = 20_000
_NO_USE = ("Parameter", "requires_grad_", "requires_grad.set", "grad", "backward", "optimizer.step")


@dataclass(frozen=True, slots=True)
class Flow:
    """All that some outputs were computed from: the tensors by id, and the ops, latest first."""

    tensors: frozenset[int]
    ops: tuple[OpRecord, ...]


def flow_into(run: Reading, outputs: Sequence[TensorFacts]) -> Flow:
    """The recorded data flow into these tensors, gradients or not."""
    history = history_of(run.evidence)
    waiting: list[tuple[TensorFacts, int | None]] = [(t, run.before) for t in outputs]
    tensors = {t.id for t in outputs}
    ops: dict[int, OpRecord] = {}
    while waiting and len(ops) < _LIMIT:
        tensor, before = waiting.pop()
        op = history.producer(tensor, before)
        if op is None or op.index in ops:
            continue
        ops[op.index] = op
        for source in op.inputs:
            if source.id not in tensors:
                tensors.add(source.id)
                waiting.append((source, op.index))
    return Flow(frozenset(tensors), tuple(op for _, op in sorted(ops.items(), reverse=True)))


def remade(run: Reading, tensor: TensorFacts, flow: Flow) -> OpRecord | None:
    """The op that made `tensor` out of what the outputs were computed from, where they were not computed from `tensor` itself."""
    if tensor.id in flow.tensors:
        return None
    history = history_of(run.evidence)
    before, at = run.before, tensor
    for _ in range(50):
        op = history.producer(at, before)
        if op is None or not op.inputs:
            return None
        if any(t.id in flow.tensors and t.id not in history.owner_of for t in op.inputs):
            return op
        at, before = op.inputs[0], op.index
    return None


def lost(run: Reading, tensor: TensorFacts, flow: Flow) -> OpRecord | None:
    """The op in the flow at which the gradient's link from `tensor` ended (`detach`, under `no_grad`, …)."""
    linked = {tensor.id}
    for op in reversed(flow.ops):
        taken = [t for t in op.inputs if t.id in linked]
        if not taken:
            continue
        if any(t.requires_grad for t in op.outputs):
            linked.update(t.id for t in op.outputs)
        elif any(t.requires_grad for t in taken):
            return op
    return None


def too_late(run: Reading, tensor: TensorFacts, flow: Flow) -> tuple[OpRecord, OpRecord] | None:
    """The flow's first use of `tensor` while it did not require grad, and the later op that set it to."""
    use = next((op for op in reversed(flow.ops) if any(t.id == tensor.id and not t.requires_grad for t in op.inputs)), None)
    if use is None:
        return None
    setters = ("requires_grad_", "requires_grad.set")
    for op in run.evidence.ops:
        if op.index > use.index and op.name in setters and any(t.id == tensor.id for t in op.inputs):
            return use, op
    return None


def made_at(run: Reading, expression: Span) -> Span:
    """The expression that made a value, followed through names and arguments from where the program uses it."""
    chain = origins(run.sources, expression, run.calls)
    return chain[-1].span if chain else expression


def uses(run: Reading, tensor: TensorFacts) -> tuple[OpRecord, ...]:
    """The recorded ops that computed something from `tensor`."""
    found = (op for op in run.evidence.ops if op.name not in _NO_USE and not op.raised and op.outputs)
    return tuple(op for op in found if any(t.id == tensor.id for t in op.inputs) and all(t.id != tensor.id for t in op.outputs))
