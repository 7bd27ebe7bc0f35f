"""A conflict over a size, told for all families: both sides with where their sizes were decided, and the place to blame."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from ..model import Fix, Label, ModuleFacts, OpRecord, Span, TensorFacts
from . import edits
from .accounts import size_account, tensor_account
from .batches import lost_batch, took_rows_for_time
from .blame import Blame, Side, blame, derives, side
from .history import first_tensor, number
from .layers import same_padding
from .lists import items_of
from .misfits import otherwise
from .partings import parted
from .provenance import Decision, Size, decided, path
from .reading import Cause, Reading, named
from .shapes import Carried, source_of_size
from .wording import code, layer_text, place, shape_text, value_text


@dataclass(frozen=True, slots=True)
class Conflict:
    """`because` is the word at the cause's line; `notes` tell each side, the blamed one first."""

    blame: Blame
    cause: Cause
    because: str
    trail: tuple[Label, ...]
    notes: tuple[str, ...]
    fixes: tuple[Fix, ...] = ()

    @property
    def side(self) -> Side:
        return self.blame.side

    @property
    def decision(self) -> Decision:
        return self.blame.side.decision


def conflict(run: Reading, operands: Sequence[tuple[str, TensorFacts, int]], to_blame: int | None = None) -> Conflict:
    """The conflict of these operands: the name, the tensor and the dimension in which it meets the others.

    `to_blame`: the side, where the op itself says it.
    """
    sides = [side(run.evidence, name, tensor, Size(dim), run.before) for name, tensor, dim in operands]
    written = _written_otherwise(run, sides) or _not_squeezed(run, sides) if to_blame is None and len(sides) == 2 else None
    if written is not None:
        return written
    blamed = blame(run.evidence, run.op, sides, Size(operands[0][2]))
    if to_blame is not None and blamed.reason not in ("news", "odd"):
        blamed = Blame(sides[to_blame], tuple(s for n, s in enumerate(sides) if n != to_blame), "written")
    cause = cause_of(run, blamed)
    listed = items_of(run.sources, blamed.side.decision.op, blamed.side.decision.dim or 0)
    notes = [
        *_news(run, blamed),
        *([listed.note] if listed is not None else []),
        *(told(run, one) for one in (blamed.side, *blamed.others)),
    ]
    what = Size(operands[sides.index(blamed.side)][2] % max(1, blamed.side.tensor.rank))
    return Conflict(blamed, cause, because(blamed.side, cause), run.trail(blamed.side.tensor, what), tuple(dict.fromkeys(notes)))


def _written_otherwise(run: Reading, sides: Sequence[Side]) -> Conflict | None:
    """The side that a step made which, in another dimension or order, would have given it just the other's shape."""
    for one, other in (sides, sides[::-1]):
        if derives(run.evidence, one.tensor, other.tensor, run.before) or one.tensor.shape is None:
            continue
        found = otherwise(run, one.tensor, partial(operator.eq, other.tensor.shape))
        if found is not None and found[0].span is not None:
            op, ways = found
            note = f"as {code(ways[0].text)} it would be {shape_text(ways[0].shape)}, the shape of {code(other.name)}"
            fixes = tuple(Fix(f"write {code(way.text)}", way.edits) for way in ways[:2])
            because = f"makes {shape_text(op.outputs[0].shape)}"
            trail = run.trail(one.tensor, one.what or Size(0))
            notes = dict.fromkeys((note, told(run, one), told(run, other)))
            return Conflict(Blame(one, (other,), "otherwise"), Cause(found[0].span), because, trail, tuple(notes), fixes)
    return None


def _not_squeezed(run: Reading, sides: Sequence[Side]) -> Conflict | None:
    """The side with a `squeeze(dim)` on its way that took nothing away: that dimension was to be 1."""
    for one, other in (sides, sides[::-1]):
        for op in reversed(path(run.evidence, one.tensor, "rank", run.before, limit=4)):
            x, asked = first_tensor(op), number(op.argument("dim"))
            if op.name != "squeeze" or x is None or not x.shape or asked is None or x.shape[asked] == 1 or one.tensor.shape != x.shape:
                continue
            size, dim = x.shape[asked], asked % x.rank
            again = side(run.evidence, one.name, one.tensor, Size(dim), run.before)
            cause = run.cause(again.decision, size)
            last = cause.origins[-1] if cause.origins else None
            if again.decision.span is None or last is None or last.form != "literal" or last.value != size:
                continue
            note = f"{code(run.sources.segment(op.span))} takes away a dimension of size 1, this one has {size}" if op.span else ""
            fix = Fix(f"make {code(last.name or again.decision.setting)} 1", edits.set_value(run.sources, cause.span, "1"))
            notes = dict.fromkeys((note, told(run, again), told(run, other)))
            trail = run.trail(one.tensor, Size(dim))
            return Conflict(Blame(again, (other,), "otherwise"), cause, because(again, cause), trail, tuple(notes), (fix,))
    return None


def cause_of(run: Reading, blamed: Blame) -> Cause:
    """The literal or expression behind the blamed size.

    Where a block's branch came back with another size and the line that built its layer also builds fitting ones, that line is blamed:
    its arguments are right elsewhere.
    """
    decision = blamed.side.decision
    if (listed := items_of(run.sources, decision.op, decision.dim or 0)) is not None:
        return Cause(listed.span)
    if blamed.reason == "news" and (earlier := run.earlier_input(blamed.side.tensor)) is not None:
        return parted(run, blamed.side.tensor, earlier) or run.cause(decision, blamed.side.value)
    if blamed.reason == "branch" and decision.how == "module" and decision.module is not None and decision.module.built:
        here = decision.module.built[0]
        sizes = {m.number(decision.setting) for m in run.evidence.modules if m.built and m.built[0] == here}
        if len(sizes) > 1:
            return Cause(here)
    return run.cause(decision, blamed.side.value)


def _news(run: Reading, blamed: Blame) -> tuple[str, ...]:
    earlier = run.earlier_input(blamed.side.tensor) if blamed.reason == "news" else None
    if earlier is None:
        return ()
    return (f"in earlier calls {code(blamed.side.name)} was {shape_text(earlier.shape)}, now {shape_text(blamed.side.tensor.shape)}",)


def because(one: Side, cause: Cause) -> str:
    """A few words for the cause's line."""
    decision, size = one.decision, one.value
    named_so = next((o.name for o in reversed(cause.origins) if o.name), decision.setting)
    if decision.how == "module" or decision.how == "created" and cause.origins:
        return f"{named_so} is {size}" if named_so and named_so.isidentifier() else f"{size} is decided here"
    if decision.how == "op" and decision.before is not None:
        name = decision.op.name if decision.op is not None else "this"
        return f"{name} makes {shape_text(decision.tensor.shape)} of {shape_text(decision.before.shape)}"[:60]
    return f"{size} is decided here"


def told(run: Reading, one: Side) -> str:
    """One side in a sentence: what it is, and where its size was decided."""
    decision, start = one.decision, tensor_account(run, one.tensor, one.name)
    layer = decision.module if decision.module is not None and decision.module.defined is None else None
    if decision.how == "op" and layer is not None and layer.built and decision.before is not None:
        shown = layer_text(
            layer,
            *(n for n in ("kernel_size", "stride", "padding", "scale_factor", "size") if value_text(layer.setting(n)) not in ("?", "None")),
        )
        made = f"makes {shape_text(decision.tensor.shape)} of {shape_text(decision.before.shape)}"
        return f"{start}: {named(run, layer)}, {shown} built at {place(layer.built[0])}, {made}"
    where = size_account(run, one.tensor, one.what.dim if isinstance(one.what, Size) else 0, decision)
    return f"{start}; its {where}" if where else f"{start}, as it came in"


def size_fixes(run: Reading, found: Conflict) -> list[Fix]:
    """What brings the blamed side to the size of the others: a padding, another number at the literal, or, told only, a projection."""
    if found.fixes:
        return list(found.fixes)
    one, other = found.side, found.blame.others[0]
    decision, last = one.decision, found.cause.origins[-1] if found.cause.origins else None
    layer = decision.module
    if decision.how == "op" and layer is not None and layer.built and (padding := same_padding(layer)) is not None:
        title = f"pad {named(run, layer)} so that it keeps the size of its input"
        return [Fix(title, edits.set_keyword(run.sources, layer.built[0], "padding", padding, layer.signature))]
    if last is not None and last.form == "literal" and last.value == one.value and isinstance(last.value, int):
        what = next((o.name for o in reversed(found.cause.origins) if o.name), decision.setting) or "the size"
        made = edits.set_value(run.sources, last.span, str(other.value))
        changes = "parameters made with it have another size" if decision.how == "module" else ""
        return [Fix(f"make {code(what)} {other.value}", made, changes=changes)]
    if found.blame.reason == "branch":
        project = "a projection: a 1x1 convolution or a linear layer"
        return [Fix(f"bring {code(other.name)} to {one.value} too ({project}), or keep {other.value} in the branch")]
    return [Fix(f"make {code(one.name)} {other.value} there, or {code(other.name)} {one.value}")]


# ── the batch dimension ───────────────────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, slots=True)
class BatchChange:
    """The op at which a side's first dimension ceased to be the batch.

    `layer`: the one built without batch_first that took the batch for time.
    """

    name: str
    tensor: TensorFacts
    op: OpRecord
    before: TensorFacts
    after: TensorFacts
    layer: ModuleFacts | None = None

    @property
    def is_last(self) -> bool:
        """Whether the rows stayed as that op left them."""
        return self.layer is not None or (self.after.shape or ())[:1] == (self.tensor.shape or ())[:1]

    @property
    def span(self) -> Span | None:
        return self.layer.built[0] if self.layer is not None and self.layer.built else self.op.span


def batch_change(run: Reading, name: str, tensor: TensorFacts, size: int) -> BatchChange | None:
    """Where `tensor`, which should have `size` rows, came to have another number of them."""
    op = lost_batch(run.evidence, tensor, size, run.before)
    if op is None or op.span is None:
        return None
    before = next(t for t in op.inputs if t.shape and t.shape[0] == size)
    after = op.outputs[0] if op.outputs else tensor
    return BatchChange(name, tensor, op, before, after, took_rows_for_time(run.evidence, op, size))


def batch_change_told(run: Reading, change: BatchChange) -> str:
    """One sentence: how the rows were lost."""
    text, size = code(run.sources.segment(change.op.span)) if change.op.span is not None else change.op.name, change.before.shape
    if change.layer is not None:
        made = (
            f"; {text} ({place(change.op.span)}) then has {shape_text(change.after.shape)}" if change.op.module != change.layer.id else ""
        )
        return (
            f"{named(run, change.layer)} ({change.layer.kind}) is built without batch_first at {place(change.span)}:"
            f" it reads {shape_text(size)}"
            f" as {(size or (0,))[0]} time steps of a batch of {(size or (0, 0))[1]}{made}"
        )
    made = f"{text} ({place(change.op.span)}) makes {shape_text(change.after.shape)} of {shape_text(size)}"
    return f"{made}: the batch of {(size or (0,))[0]} is gone"


@dataclass(frozen=True, slots=True)
class Rounded:
    """An odd size that an op halved; `layer`: the torch layer that ran it."""

    op: OpRecord
    layer: ModuleFacts | None
    large: int
    small: int

    def told(self, run: Reading) -> str:
        which = named(run, self.layer) if self.layer is not None else code(self.op.name)
        halved = f"{which} ({place(self.op.span)}) makes {self.small} of it"
        return f"{self.large} is an odd size: {halved}, and twice {self.small} is {2 * self.small}"


def rounded(run: Reading, tensor: TensorFacts, dim: int) -> Rounded | None:
    """Where an odd size was halved on the way to a tensor, so that doubling does not give it back."""
    for op in reversed(path(run.evidence, tensor, Size(dim), run.before, limit=60)):
        before = next((t for t in op.inputs if t.id not in run.history.owner_of and t.shape), None)
        after = op.outputs[0] if op.outputs else None
        if before is None or after is None or before.rank != after.rank or not after.shape or not before.shape or op.span is None:
            continue
        for d in range(2 if before.rank > 2 else 1, before.rank):
            small, large = after.shape[d], before.shape[d]
            if large % 2 and large > 1 and small in (large // 2, large // 2 + 1):
                layer = run.history.module(op.module)
                return Rounded(op, layer if layer is not None and layer.defined is None else None, large, small)
    return None


def first_size(run: Reading, tensor: TensorFacts, dim: int) -> Decision:
    """What decided the size from which, through kernels, strides and slices, this one was made."""
    decision, before = run.decided(tensor, Size(dim)), run.before
    for _ in range(100):
        op = decision.op
        source = source_of_size(op, decision.tensor, decision.dim or 0) if decision.how == "op" and op is not None else None
        if op is None or not isinstance(source, Carried):
            return decision
        before = op.index
        decision = decided(run.evidence, source.tensor, Size(source.dim), before)
    return decision
