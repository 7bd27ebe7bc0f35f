"""A dimension that a tensor lacks because an op dropped it: a squeeze, a reduction, an index."""

from __future__ import annotations

from dataclasses import dataclass

from ..model import Fix, Label, OpRecord, Span, TensorFacts
from . import edits
from .accounts import tensor_account
from .broadcasting import REDUCTIONS, lost_rank
from .reading import Reading
from .shape_edits import without_method
from .wording import code, place, shape_text


@dataclass(frozen=True, slots=True)
class Dropped:
    """The line that dropped it, with what goes into a diagnosis."""

    span: Span
    because: str
    notes: tuple[str, ...]
    fix: Fix
    trail: tuple[Label, ...]


def dropped(run: Reading, x: TensorFacts, name: str) -> Dropped | None:
    """The op by which `x` came to have fewer dimensions, where there is one."""
    op = lost_rank(run.evidence, x, run.before)
    if op is None or op.span is None or op.name == "flatten" or not op.inputs or op.inputs[0].rank <= x.rank:
        return None
    before, after = op.inputs[0], op.outputs[0] if op.outputs else x
    notes = [
        f"{code(run.sources.segment(op.span))} ({place(op.span)}) makes {shape_text(after.shape)} of {shape_text(before.shape)}",
        tensor_account(run, x, name),
    ]
    earlier = run.earlier_input(x)
    if earlier is not None and earlier.rank > x.rank:
        notes.append(f"in earlier calls {code(name)} was {shape_text(earlier.shape)}")
    if op.name == "squeeze" and before.shape and before.shape[0] == 1:
        notes.append("`squeeze()` without a dimension drops every dimension of size 1, the batch of one (a last batch) too")
        fix = _named_squeeze(run, op, [d for d, size in enumerate(before.shape) if size == 1 and d > 0])
    elif op.name in REDUCTIONS:
        fix = Fix("keep the reduced dimension as 1", edits.set_keyword(run.sources, op.span, "keepdim", "True"))
    else:
        fix = Fix(f"keep the dimension at {place(op.span)}")
    because = f"{op.name}: {shape_text(before.shape)} → {shape_text(after.shape)}"[:60]
    return Dropped(op.span, because, tuple(notes), fix, (Label(op.span, shape_text(after.shape)), Label(run.raised, "raised here")))


def rank_kept(run: Reading, op: OpRecord, rank: int) -> Fix | None:
    """A `squeeze()` that leaves so many dimensions, where the op is one."""
    before = op.inputs[0] if op.name == "squeeze" and op.inputs else None
    ones = [d for d, size in enumerate(before.shape or ()) if size == 1] if before is not None else []
    lost = before.rank - rank if before is not None else 0
    if before is None or not 0 <= lost <= len(ones):
        return None
    return _named_squeeze(run, op, ones[len(ones) - lost :])


def _named_squeeze(run: Reading, op: OpRecord, kept: list[int]) -> Fix:
    text = run.sources.segment(op.span) if op.span is not None else ""
    if not kept:
        return Fix("leave out the squeeze", without_method(run.sources, op.span, "squeeze") if op.span is not None else ())
    if len(kept) > 1:
        return Fix("name the dimensions to squeeze by number")
    short = op.span is not None and text.endswith(".squeeze()")
    made = edits.set_value(run.sources, op.span, text[:-1] + f"{kept[0]})") if short and op.span is not None else ()
    return Fix(f"name the dimension: squeeze({kept[0]})", made)
