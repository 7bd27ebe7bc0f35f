"""`pack_padded_sequence`: lengths against the batch that they are for."""

from __future__ import annotations

from ..model import Fix, TensorFacts, tensors_in
from . import edits
from .accounts import tensor_account
from .ranges import maker, maker_told, outlier, position_told
from .reading import Cause, Reading
from .told import Told
from .wording import code, place

_SIGNATURE = ("input", "lengths", "batch_first", "enforce_sorted")


def lengths_of_other_axis(run: Reading, lengths: int, rows: int) -> Told:
    """As many lengths as samples, but the batch is read along the other axis."""
    x = _held(run, "input", "sequence")
    headline = f"`pack_padded_sequence` gets {lengths} lengths for a batch of {rows}"
    notes = [tensor_account(run, x)] if x is not None else []
    if x is None or not x.shape or x.rank < 2 or lengths not in x.shape[:2]:
        return Told(headline, run.raised, "the batch and the lengths differ", tuple(notes))
    first = x.shape[0] == lengths
    notes.append(
        f"without batch_first it reads [time, batch, …]: the batch is {rows}" if first else f"with batch_first the batch is {rows}"
    )
    edit = edits.set_keyword(run.sources, run.raised, "batch_first", str(first), _SIGNATURE)
    return Told(headline, run.raised, f"batch_first is {not first}", tuple(notes), (Fix(f"pass batch_first={first}", edit),))


def empty(run: Reading) -> Told:
    """A sample of length 0."""
    written = next((e for n, e in enumerate(run.sources.arguments(run.raised)) if e.keyword == "lengths" or n == 1), None)
    lengths = run.tensor("lengths") or _held(run, "lengths")
    op = run.history.producer(lengths) if lengths is not None else None
    while op is not None and op.inputs and op.span is not None and op.span.line == run.raised.line:  # torch has sorted them by then
        lengths = op.inputs[0]
        op = run.history.producer(lengths, op.index)
    found = outlier(lengths, 1 << 62, 1)
    made = maker(run, found) if found is not None else None
    notes = []
    if found is not None:
        notes = [position_told(run, found, run.name("lengths")), maker_told(run, found, run.name("lengths"))]
    elif op is not None and op.span is not None:
        notes = [f"`lengths` is made at {place(op.span)}: {code(run.sources.segment(op.span))}"]
    cause = made[1] if made is not None else None
    if cause is None and found is None and op is not None and op.span is not None:
        cause = Cause(op.span)
    notes.append("a packed sequence has at least one step of each sample: an empty one (no words, no frames) can't be packed")
    fix = Fix("leave empty samples out of the batch, or give them one step of padding and length 1")
    here = written.span if written is not None else run.raised
    return Told("`lengths` has a 0: one sample of the batch is empty", cause or here, "a length of 0", tuple(notes), (fix,))


def _held(run: Reading, *names: str) -> TensorFacts | None:
    """What the innermost frame has under one of these names."""
    return next((t for f in reversed(run.failure.frames) for a in f.locals if a.name in names for t in tensors_in(a.value)), None)
