"""Why a graph was needed after an earlier backward had freed it: kept across rounds, built once before the loop, shared by two losses."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Literal

from ..model import Items, OpRecord, Span, TensorFacts, tensors_in
from .graph import Meeting, Shared, operands_of, shared, stepped
from .reading import Reading
from .scopes import assignments, bindings, dotted
from .source import FUNCTIONS, Expression
from .structure import Around, loop_around

Kind = Literal["same", "kept", "outside", "undetached", "losses"]


@dataclass(frozen=True, slots=True)
class Reuse:
    """`kind`: the very same result · a state kept across rounds · built before the loop · the earlier pass not cut off · two losses.

    `cause` is the line to blame, `name` what the program calls the thing at issue, `kept` the statement that keeps it.
    """

    kind: Kind
    cause: Span
    before: OpRecord
    name: str = ""
    meeting: Meeting | None = None
    loop: Around | None = None
    in_tuple: bool = False
    steps: tuple[OpRecord, ...] = ()
    """The optimizer steps since."""
    use: Span | None = None
    """The expression that took the thing into the earlier graph."""


def reuse(run: Reading) -> Reuse | None:
    """The reading of a second backward; None where the earlier one was not recorded."""
    found = shared(run.evidence)
    if run.op is None:
        return None
    if found is None:
        return _from_before_the_replay(run, run.op)
    changed = stepped(run.evidence, found.before.index, run.op.index)
    steps = tuple(dict.fromkeys(changed.values()))
    meeting = _chosen(found)
    if found.whole or meeting is None:
        return _same(run, found, steps)
    made, user = meeting.op, meeting.user
    if made is None or user is None:
        return Reuse("losses", _line(found.before, run), found.before, meeting=meeting, steps=steps)
    if _ran_again(run, made, found.before.index) and user.index > found.before.index:
        return _kept(run, found, meeting, steps)
    loop, place = _place(run, made)
    if user.index < found.before.index:
        return Reuse("losses", _line(found.before, run), found.before, _name(meeting), meeting, loop, steps=steps)
    if steps and not found.leaves & changed.keys():
        return _undetached(run, found, meeting, _loop(run) if found.before.span == run.raised else loop, place, steps)
    if _written_since(run, found) and _before(place, loop):
        return Reuse("outside", place, found.before, _name(meeting) or _target(run, place), meeting, loop, steps=steps)
    if found.before.span == run.raised:  # the round before of one loop: it was made then, and stored
        stored = made.span if "." in _name(meeting) and made.span is not None else place
        return Reuse("kept", stored, found.before, _name(meeting) or _target(run, place), meeting, loop, steps=steps)
    return Reuse("losses", _line(found.before, run), found.before, _name(meeting), meeting, loop, steps=steps)


def _from_before_the_replay(run: Reading, backward: OpRecord) -> Reuse | None:
    """A late failure: the first thing with a graph that the replayed piece took in, and did not make, was kept from a round before."""
    made: set[int] = set()
    for op in run.evidence.ops:
        if not op.replayed or op.index >= backward.index:
            continue
        for tensor in op.inputs:
            if tensor.requires_grad and not tensor.is_leaf and tensor.id not in made and op.span is not None:
                written = (o.expression for o in operands_of(run.evidence, op) if any(t.id == tensor.id for t in tensors_in(o.value)))
                name = next(written, "") or run.history.names.get(tensor.id, "")
                stored = _bound(run, name, op.span) or (_stored(run, name, op.span) if "." in name else None)
                return Reuse("kept", stored, backward, name, loop=_loop(run)) if stored is not None else None
        made |= {t.id for t in op.outputs}
    return None


def _bound(run: Reading, name: str, near: Span) -> Span | None:
    """The last assignment in the function around `near` that computes the name anew."""
    found = assignments(run.sources, name, near.file, near.line if near.function not in ("", "<module>") else None) if name else ()
    return found[-1] if found else None


def _written_since(run: Reading, found: Shared) -> bool:
    """Whether a parameter below the shared part has changed since: then the old graph is out of date, not only used up."""
    return any(op.index > found.before.index and any(w.tensor in found.leaves for w in op.writes) for op in run.evidence.ops)


def _before(place: Span, loop: Around | None) -> bool:
    return loop is not None and not (place.file == loop.statement.file and place.line in loop.statement.lines)


def _chosen(found: Shared) -> Meeting | None:
    met = [m for m in found.meetings if m.user is not None]
    return next((m for m in met if m.expression), met[0] if met else None)


def _line(op: OpRecord, run: Reading) -> Span:
    return op.span or run.raised


def _name(meeting: Meeting) -> str:
    return meeting.expression


def _ran_again(run: Reading, op: OpRecord, after: int) -> bool:
    """Whether the line that made it has run once more since, in the same place of the program."""
    return any(o.index > after and o.name == op.name and o.where == op.where and o.module == op.module for o in run.evidence.ops)


def _place(run: Reading, op: OpRecord) -> tuple[Around | None, Span]:
    """The innermost loop around the failing backward that the op's call shares a function with, and the op's line in that function.

    Without one: what an `__init__` built for later, else the op's own line.
    """
    own = op.span or run.raised
    built = next((span for span in op.where if span.function.rpartition(".")[2] == "__init__"), None)
    if built is not None:
        return _loop(run), built
    for frame in reversed(run.failure.user_frames):
        for span in op.where:
            if (span.file, span.function) == (frame.span.file, frame.span.function):
                loop = loop_around(run.sources, frame.span)
                if loop is not None:
                    return loop, span
    return _loop(run), own


def _loop(run: Reading) -> Around | None:
    return next((loop for f in reversed(run.failure.user_frames) if (loop := loop_around(run.sources, f.span))), None)


def _same(run: Reading, found: Shared, steps: tuple[OpRecord, ...]) -> Reuse:
    meeting = found.meetings[0] if found.meetings else None
    root = next(iter(run.op.inputs), None) if run.op is not None else None
    name = run.name_of(root) if root is not None else ""
    if found.before.span == run.raised and meeting is not None and meeting.op is not None:
        loop, place = _place(run, meeting.op)
        if _written_since(run, found) and _before(place, loop):
            return Reuse("outside", place, found.before, name or _target(run, place), meeting, loop, steps=steps)
    return Reuse("same", _line(found.before, run), found.before, name, meeting, steps=steps)


def _kept(run: Reading, found: Shared, meeting: Meeting, steps: tuple[OpRecord, ...]) -> Reuse:
    """The statement that carries the state into the next round: the attribute's assignment, else the loop's line that makes it anew."""
    name, user, made = _name(meeting), meeting.user, meeting.op
    assert user is not None and made is not None
    in_tuple = meeting.tensor is not None and any(
        isinstance(a.value, Items) and any(t.id == meeting.tensor.id for t in tensors_in(a.value)) for a in user.arguments
    )
    loop, place = _place(run, made)
    if name.startswith("self.") and (stored := _stored(run, name, user.span or place)) is not None:
        return Reuse("kept", stored, found.before, name, meeting, loop, in_tuple, steps)
    carried = _carried(run, place)
    return Reuse("kept", place, found.before, carried or name or _target(run, place), meeting, loop, in_tuple, steps)


def _stored(run: Reading, name: str, near: Span) -> Span | None:
    """The assignment to the attribute outside of `__init__` that gives it something computed; for another object's, in the one file that has it."""
    here = run.sources.file(near.file)
    own = name.startswith("self.")
    wanted = name if own else f"self.{name.rpartition('.')[2]}"
    found = []
    for source in (here,) if own else run.sources.files():
        for scope, all_ in bindings(source).items() if source is not None else ():
            if isinstance(scope, FUNCTIONS) and scope.name != "__init__":
                found += [(source, b) for b in all_ if b.name == wanted and b.value is not None and not isinstance(b.value, ast.Constant)]
    if not own and len({source.file for source, _ in found if source is not None}) > 1:
        return None
    grown = [(source, b) for source, b in found if not _makes_zeros(b.value)]
    if not found:
        return None
    source, binding = (grown or found)[-1]
    return source.span(binding.statement) if source is not None else None


def _makes_zeros(node: ast.AST | None) -> bool:
    called = node.func if isinstance(node, ast.Call) else None
    return isinstance(called, ast.Attribute) and called.attr in ("zeros", "ones", "randn", "detach", "zeros_like", "new_zeros")


def _carried(run: Reading, place: Span) -> str:
    """The name that a statement both reads and binds: `h` in `out, h = rnn(x, h)` and in `h += x`."""
    statement = run.sources.statement_at(place.file, place.line)
    targets: list[ast.expr] = []
    if isinstance(statement, ast.AugAssign):
        return dotted(statement.target) or ""
    if isinstance(statement, ast.Assign):
        targets = [t for target in statement.targets for t in (target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target])]
        read = {dotted(n) for n in ast.walk(statement.value) if isinstance(n, (ast.Name, ast.Attribute, ast.Subscript))}
        return next((d for t in targets if (d := dotted(t)) and d in read), "")
    return ""


def _target(run: Reading, place: Span) -> str:
    statement = run.sources.statement_at(place.file, place.line)
    target = statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
    return (dotted(target) or "") if isinstance(target, ast.expr) else ""


def _undetached(run: Reading, found: Shared, meeting: Meeting, loop: Around | None, place: Span, steps: tuple[OpRecord, ...]) -> Reuse:
    """The earlier backward went through what its optimizer does not train: the line that took it in without `detach`."""
    tensor, made = meeting.tensor, meeting.op
    since = made.index if made is not None else -1
    first = next((op for op in run.evidence.ops if since < op.index < found.before.index and _takes(op, tensor)), None)
    operands = operands_of(run.evidence, first) if first is not None else ()
    use = next((o.span for o in operands if tensor is not None and any(t.id == tensor.id for t in tensors_in(o.value))), None)
    cause, name = first.span if first is not None and first.span is not None else place, _name(meeting) or _target(run, place)
    given = _given_in(run, first, found.before, _target(run, place)) if first is not None else None
    if given is not None:  # inside of the network both losses take it in: the call that belongs to the first is to blame
        cause, use, name = given[0], given[1].span, given[1].text
    return Reuse("undetached", cause, found.before, name, meeting, loop, steps=steps, use=use)


def _given_in(run: Reading, first: OpRecord, before: OpRecord, target: str) -> tuple[Span, Expression] | None:
    """The call around an op, in the function that called the earlier backward, and its argument of this name (or its only one)."""
    own = before.span
    outer = next((s for s in first.where[1:] if own is not None and (s.file, s.function) == (own.file, own.function)), None)
    arguments = run.sources.arguments(outer) if outer is not None else ()
    if outer is None or first.span is None or (first.span.file, first.span.function) == (outer.file, outer.function):
        return None
    chosen = [a for a in arguments if a.text == target] or (list(arguments) if len(arguments) == 1 else [])
    return (outer, chosen[0]) if chosen else None


def _takes(op: OpRecord, tensor: TensorFacts | None) -> bool:
    return tensor is not None and any(t.id == tensor.id for t in op.inputs)
