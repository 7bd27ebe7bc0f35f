"""Two runs of the same code, side by side: where the history of a tensor parts from that of the one that went well in its place."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..model import OpRecord, Span, TensorFacts
from .following import follow_data
from .history import History
from .places import Place
from .provenance import Size
from .reading import Cause, Reading
from .sizes import size_expression
from .source import FUNCTIONS, Sources
from .walk import Walk

_CONVERSIONS = ("from_numpy", "tensor", "as_tensor", "asarray", "Tensor", "FloatTensor", "LongTensor")


@dataclass(frozen=True, slots=True)
class Parting:
    """`now` and `then` are the ops that made the two tensors that already differ, of inputs that don't (or that were not recorded)."""

    tensor: TensorFacts
    dim: int | None
    now: OpRecord | None
    then: OpRecord | None
    earlier: TensorFacts


def parting(history: History, tensor: TensorFacts, earlier: TensorFacts, before: int | None = None) -> Parting:
    """Walks back along both as long as the same line made them of inputs that differ as well."""
    dim = _differing(tensor, earlier)
    then_before: int | None = None
    for _ in range(300):
        now, then = history.producer(tensor, before), history.producer(earlier, then_before)
        fetched = now is not None and then is not None and now.phase == then.phase == "data" and now.span is not None
        if now is None or then is None or now.name != then.name or now.span != then.span and not fetched:
            return Parting(tensor, dim, now, then, earlier)
        pairs = zip(now.inputs, then.inputs)
        pair = next(((a, b) for a, b in pairs if a.shape != b.shape and a.id not in history.owner_of), None)
        if pair is None:
            return Parting(tensor, dim, now, then, earlier)
        (tensor, earlier), before, then_before = pair, now.index, then.index
        dim = _differing(tensor, earlier)
    return Parting(tensor, dim, None, None, earlier)


def _differing(one: TensorFacts, other: TensorFacts) -> int | None:
    """The first dimension in which the two differ; None for another number of dimensions."""
    if one.shape is None or other.shape is None or one.rank != other.rank:
        return None
    return next((d for d, (a, b) in enumerate(zip(one.shape, other.shape)) if a != b), None)


def parted(run: Reading, tensor: TensorFacts, earlier: TensorFacts) -> Cause | None:
    """The line at which what came now became another than what came before: the call that they do not share, else the data's own line."""
    found = parting(run.history, tensor, earlier, run.before)
    now, then = found.now, found.then
    if now is None or now.span is None:
        bound = run.bound_at(found.tensor)
        cause = run.expression_origins(bound) if bound is not None else None
        built = {loader.built[0] for loader in run.evidence.loaders if loader.built}
        by_loader = cause is not None and any((cause.span.file, cause.span.line) == (span.file, span.line) for span in built)
        if cause is None:
            return None
        return (run.sample() if by_loader else _yielded(run, cause)) or cause
    if then is not None and now.index == then.index:
        return Cause(now.span)  # one op dealt them out unequal
    if then is not None and then.span == now.span and (replaced := _other_weights(run, now, then)) is not None:
        return replaced
    here, there = _inside(run, now.where), _inside(run, then.where) if then is not None else ()
    decision = run.decided(found.tensor, Size(found.dim) if found.dim is not None else "rank")
    if then is not None and then.span != now.span and decision.op is now and now.name not in _CONVERSIONS and now.inputs:
        return Cause(now.span)  # other code made it so
    written = None
    if found.dim is not None and found.tensor.shape is not None:
        size = found.tensor.shape[found.dim]
        expression = size_expression(run.sources, now, found.dim, found.tensor.rank)
        written = _to_the_end(run.expression_origins(expression.span, now.where, size), size) if expression is not None else None
        if written is not None and written.origins and written.origins[-1].form == "literal":
            return written
    if then is not None and not _alike(here, there):
        shared = 0
        while shared < min(len(here), len(there)) and _alike(here[-1 - shared :], there[-1 - shared :]):
            shared += 1
        different = [span for span in here[: len(here) - shared] if run.sources.file(span.file) is not None]
        outer = next((span for span in reversed(different) if _passes_something(run.sources, span)), None)
        if outer is not None:
            return Cause(outer)
    return written or data_origin(run, now)


def _other_weights(run: Reading, now: OpRecord, then: OpRecord) -> Cause | None:
    """For the same line on data of the same shape: where a parameter of another size was put in the place of the layer's own."""
    owned = run.history.owner_of
    for one, other in zip(now.inputs, then.inputs):
        if one.shape != other.shape:
            made = run.history.producer(one, now.index) if one.id in owned else None
            return Cause(made.span) if made is not None and made.span is not None else None
    return None


def _yielded(run: Reading, cause: Cause) -> Cause | None:
    """What the program's own generator gives out, where a call of one is all that is known of the data."""
    call, source = run.sources.call_at(cause.span), run.sources.file(cause.span.file)
    if call is None or source is None:
        return None
    function = Walk(run.sources).seek(Place(source, call.func), *FUNCTIONS)
    given = [n.value for n in ast.walk(function.node) if isinstance(n, ast.Yield) and n.value is not None] if function is not None else []
    return Cause(function.source.span(given[0])) if function is not None and len(given) == 1 else None


def _to_the_end(cause: Cause, value: int) -> Cause:
    """Into what others share as well: this run's value came by it, the one before did not."""
    last = cause.walk[-1] if cause.walk else None
    return Cause(last.span, cause.walk, cause.walk) if last is not None and last.value == value else cause


def _inside(run: Reading, where: Sequence[Span]) -> Sequence[Span]:
    """The calls up to the program's outermost one: what started the program is none of it."""
    outer = run.failure.user_frames[0].span if run.failure.user_frames else None
    last = max(
        (i for i, s in enumerate(where) if outer is not None and (s.file, s.function) == (outer.file, outer.function)),
        default=len(where) - 1,
    )
    return where[: last + 1]


def _alike(one: Sequence[Span], other: Sequence[Span]) -> bool:
    """The same calls; a replayed statement runs outside of its function."""
    return [replace(s, function="") for s in one] == [replace(s, function="") for s in other]


def data_origin(run: Reading, op: OpRecord) -> Cause | None:
    """For data that came out of numpy or plain Python: the value that was converted, followed to where it was made."""
    span = op.span
    written = run.sources.operands(span, op.name) if span is not None else ()
    source = run.sources.file(span.file) if span is not None else None
    node = source.exactly_at(written[0].span) if source is not None and written else None
    if source is None or node is None:
        return Cause(span) if span is not None else None
    found = follow_data(Walk(run.sources), Place(source, node, op.where))
    return Cause(found[-1].span, found)


def _passes_something(sources: Sources, span: Span) -> bool:
    call = sources.call_at(span)
    return call is None or bool(call.args or call.keywords)
