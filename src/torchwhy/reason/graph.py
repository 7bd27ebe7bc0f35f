"""The graph of a failed backward against the recorded run: who saved a tensor and who overwrote it, what an earlier backward used up.

A graph node and the op that made it are joined by autograd's own numbers: the node's number lies in the op's `sequence` range. Tensors are
joined by their storage, since a tensor saved as an op's own output comes back as another object.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..model import Evidence, Failure, Frame, GraphNode, Operand, OpRecord, Plain, SavedTensor, Span, TensorFacts, tensors_in
from .history import History, history_of
from .operands import expressions

_MEETINGS = 12


@dataclass(frozen=True, slots=True)
class Overwritten:
    """A saved tensor that is not what it was: the op that saved it, and every write to its memory after that, oldest first."""

    node: GraphNode
    saved: SavedTensor
    saver: OpRecord | None
    writes: tuple[OpRecord, ...]


def overwritten(evidence: Evidence, shape: tuple[int, ...] | None = None, versions: tuple[int, int] | None = None) -> Overwritten | None:
    """The saved tensor that made the backward fail: the last one that fits the message's shape and versions (current, expected)."""
    found = [
        (node, saved)
        for node in evidence.graph
        for saved in node.saved
        if saved.mismatch
        and (shape is None or saved.shape is None or saved.shape == shape)
        and (versions is None or (saved.current, saved.expected) == versions)
    ]
    if not found:
        return None
    node, saved = max(found, key=lambda pair: pair[0].sequence or 0)
    saver = maker(evidence, node)
    if saved.storage is None and saver is not None:
        saved = replace(saved, storage=_memory_of(evidence, saved, saver))
    return Overwritten(node, saved, saver, _writes(evidence, saved, saver))


def _memory_of(evidence: Evidence, saved: SavedTensor, saver: OpRecord) -> int | None:
    """For an older torch, which does not show what it saved: which of the op's results and operands was written to in those versions."""
    shapes = (saved.shape, saved.shape[::-1] if saved.shape is not None else None)  # a weight is saved transposed
    around = [t for t in (*saver.outputs, *saver.inputs) if t.storage is not None and t.shape in shapes]
    return next((t.storage for t in around if _writes(evidence, replace(saved, storage=t.storage), saver)), None)


def _writes(evidence: Evidence, saved: SavedTensor, saver: OpRecord | None) -> tuple[OpRecord, ...]:
    if saved.storage is None:
        return ()
    after = saver.index if saver is not None else -1
    found = [op for op in history_of(evidence).writes_to.get(saved.storage, ()) if op.index >= after and _counts(op, saved)]
    if saver is not None or not found:
        return tuple(found)
    last = max(i for i, op in enumerate(found) if i == 0 or _version(op, saved) <= _version(found[i - 1], saved))
    return tuple(found[last:])  # the memory may have been another tensor's before


def _counts(op: OpRecord, saved: SavedTensor) -> bool:
    """Whether one of the op's writes made a version above the one that was saved."""
    low, high = saved.expected or 0, saved.current if saved.current is not None else 1 << 60
    return any(w.storage == saved.storage and w.version is not None and low < w.version <= high for w in op.writes)


def _version(op: OpRecord, saved: SavedTensor) -> int:
    return max((w.version for w in op.writes if w.storage == saved.storage and w.version is not None), default=0)


# ── nodes and ops ─────────────────────────────────────────────────────────────────────────────────────────────────────
def maker(evidence: Evidence, node: GraphNode) -> OpRecord | None:
    """The recorded op that made a graph node: the innermost whose range holds its number, of several threads the one that fits its name."""
    number = node.sequence
    if number is None:
        return None
    holding = [op for op in evidence.ops if op.sequence is not None and op.sequence[0] <= number < op.sequence[1]]
    return min(holding, key=lambda op: (not _fits(op, node), _width(op), op.index), default=None)


def _width(op: OpRecord) -> int:
    return op.sequence[1] - op.sequence[0] if op.sequence else 0


def _fits(op: OpRecord, node: GraphNode) -> bool:
    names = {out.grad_fn for out in op.outputs}
    return node.name in names or _width(op) > 1


def made(evidence: Evidence, node: GraphNode) -> TensorFacts | None:
    """The tensor that came out of the node, where its op was recorded."""
    op = maker(evidence, node)
    if op is None:
        return None
    fitting = [t for t in op.outputs if t.grad_fn == node.name] or list(op.outputs)
    return next((t for t in fitting if not node.shapes or t.shape in node.shapes), fitting[0] if fitting else None)


def operands_of(evidence: Evidence, op: OpRecord) -> tuple[Operand, ...]:
    """The arguments of any recorded op with the program's own expressions for them."""
    history = history_of(evidence)
    given = tuple(Operand(a.name, "", a.value) for a in op.arguments)
    if op.span is None:
        return given
    named = expressions(evidence, Failure("", "", frames=(Frame(op.span),), op=op, operands=given))
    return tuple(one if _passed_by_the_line(history, op, one) else bare for one, bare in zip(named, given))


def _passed_by_the_line(history: History, op: OpRecord, operand: Operand) -> bool:
    """Whether the program's line itself names the operand: not what one layer of a container gave to the next."""
    makers = [history.producer(t, op.index) for t in tensors_in(operand.value)]
    layer = history.module(op.module)
    return (
        layer is None or layer.defined is not None or not any(m is not None and m.span == op.span and m.module != op.module for m in makers)
    )


def below(evidence: Evidence, nodes: Iterable[GraphNode]) -> dict[int, GraphNode]:
    """The nodes reached from these, themselves included, by their id."""
    by_id = {node.id: node for node in evidence.graph}
    waiting, found = list(nodes), dict[int, GraphNode]()
    while waiting:
        node = waiting.pop()
        if node.id not in found:
            found[node.id] = node
            waiting += [by_id[number] for number in node.next if number in by_id]
    return found


# ── a second backward ─────────────────────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, slots=True)
class Meeting:
    """Where the new part of a graph takes in a tensor of the part that an earlier backward had run through."""

    old: GraphNode
    op: OpRecord | None
    """What made the tensor."""
    tensor: TensorFacts | None
    user: OpRecord | None
    """The op of the new part that took it; None where the failing backward starts at the tensor itself."""
    expression: str = ""
    """What the program calls the tensor there."""
    span: Span | None = None
    """Where that stands."""


@dataclass(frozen=True, slots=True)
class Shared:
    """The part of the failing graph that an earlier backward had freed. `meetings`: the latest made first."""

    before: OpRecord
    meetings: tuple[Meeting, ...]
    leaves: frozenset[int]
    """The leaf tensors below that part."""
    whole: bool
    """The failing backward starts in that part: the very same result."""


def shared(evidence: Evidence) -> Shared | None:
    """What the failing graph has in common with the last backward that freed a piece of it; None where that was not recorded."""
    own = evidence.failure.op if evidence.failure is not None else None
    runs = {op.index: op for op in evidence.ops if op.name == "backward" and not op.raised and not keeps_graph(op)}
    used = {node.id: node for node in evidence.graph if any(i in runs for i in node.ran_in)}
    stateful = [node for node in used.values() if node.saved]
    if not stateful:
        return None
    before = runs[max(i for node in stateful for i in node.ran_in if i in runs and (own is None or i < own.index))]
    old = _older(evidence, used, before) or set(used)
    lost = _losing(evidence, used)
    tops = [(node, user) for node, user in _entries(evidence, old) if node.id in lost]
    latest = sorted(tops, key=lambda pair: -(pair[0].sequence or 0))[:_MEETINGS]
    meetings = [_meeting(evidence, node, user) for node, user in latest]
    leaves = frozenset(n.leaf for n in below(evidence, used.values()).values() if n.leaf is not None)
    return Shared(before, tuple(meetings), leaves, any(node.depth == 0 for node in used.values()))


def _older(evidence: Evidence, used: dict[int, GraphNode], before: OpRecord) -> set[int]:
    """The nodes that were there at the earlier backward; none where all were (then what it ran through is the border)."""
    border = before.sequence[0] if before.sequence else 0
    old = {node.id for node in evidence.graph if node.sequence is not None and node.sequence < border}
    roots = [node for node in evidence.graph if node.depth == 0]
    return set() if any(node.id in old and node.id not in used for node in roots) else old


def _losing(evidence: Evidence, used: dict[int, GraphNode]) -> set[int]:
    """The nodes that had something saved when they were used up, or have such a node below them."""
    lost: set[int] = set()
    for node in sorted(evidence.graph, key=lambda n: n.sequence or 0):
        if node.id in used and node.saved or any(number in lost for number in node.next):
            lost.add(node.id)
    return lost


def _entries(evidence: Evidence, old: set[int]) -> Iterable[tuple[GraphNode, GraphNode | None]]:
    by_id = {node.id: node for node in evidence.graph}
    for node in evidence.graph:
        if node.depth == 0 and node.id in old:
            yield node, None
        elif node.id not in old:
            yield from ((by_id[number], node) for number in node.next if number in old)


def _meeting(evidence: Evidence, old: GraphNode, new: GraphNode | None) -> Meeting:
    op, tensor = maker(evidence, old), made(evidence, old)
    if new is None:
        return Meeting(old, op, tensor, None)
    user = maker(evidence, new)
    for operand in operands_of(evidence, user) if user is not None else ():
        for inside in tensors_in(operand.value):
            if tensor is not None and inside.id == tensor.id:
                return Meeting(old, op, tensor, user, operand.expression, operand.span)
    return Meeting(old, op, tensor, user)


def keeps_graph(backward: OpRecord) -> bool:
    """Whether it was told to keep what the graph had saved."""
    return any(isinstance(v := backward.argument(name), Plain) and v.value is True for name in ("retain_graph", "create_graph"))


def stepped(evidence: Evidence, after: int, before: int) -> dict[int, OpRecord]:
    """Tensor id → the optimizer step between two events that changed it."""
    steps = [op for op in evidence.ops if op.name == "optimizer.step" and after < op.index < before]
    return {write.tensor: op for op in steps for write in op.writes}
