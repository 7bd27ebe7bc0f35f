"""How recurrent and attention layers read their inputs: which dimension is the batch, which sizes a state and a mask must have."""

from __future__ import annotations

from ..model import Edit, ModuleFacts, Span, TensorFacts, tensors_in
from .edits import set_keyword
from .layers import RNNS, base_kind
from .provenance import Size
from .reading import Cause, Reading
from .sizes import size_expression
from .wording import listed


def is_recurrent(layer: ModuleFacts) -> bool:
    return base_kind(layer) in RNNS


def batch_first(layer: ModuleFacts) -> bool:
    return getattr(layer.setting("batch_first"), "value", False) is True


def axes(layer: ModuleFacts) -> str:
    """`[time, batch, features]`, with the reason."""
    return "[batch, time, features]" if batch_first(layer) else "[time, batch, features], as batch_first is False"


def directions(layer: ModuleFacts) -> int:
    return 2 if getattr(layer.setting("bidirectional"), "value", False) is True else 1


def wanted_state(layer: ModuleFacts, x: TensorFacts) -> tuple[int, ...]:
    """The shape of `h` that a recurrent layer takes with the input `x` (with `proj_size`, that of an LSTM's first part)."""
    hidden = layer.number("proj_size") or layer.number("hidden_size") or 0
    if base_kind(layer).endswith("Cell"):
        return (x.shape[0], hidden) if x.rank == 2 and x.shape else (hidden,)
    layers = (layer.number("num_layers") or 1) * directions(layer)
    if x.rank != 3 or x.shape is None:
        return layers, hidden
    return layers, x.shape[0 if batch_first(layer) else 1], hidden


def turn_batch_first(run: Reading, layer: ModuleFacts) -> tuple[Edit, ...]:
    """`batch_first=True` (or False, where it is True) in the constructor call that the program wrote."""
    outer = run.builder(layer)
    return set_keyword(run.sources, outer.built[0], "batch_first", str(not batch_first(layer)), outer.signature) if outer.built else ()


# ── the state of a failing call ──────────────────────────────────────────────────────────────────────────────────────
def states(run: Reading) -> list[tuple[str, TensorFacts]]:
    """The tensors of the state that the layer was given, with the user's words for them."""
    operand = run.given("hx") or run.operand("hx")
    if operand is None:
        return []
    known = {t.id: n for n, t in run.tensors}
    inside = tensors_in(operand.value)
    fallback = listed([operand.expression]) if operand.expression else "hx"
    return [
        (run.written(t) or known.get(t.id, "") or (fallback if len(inside) == 1 else f"{fallback}[{i}]"), t) for i, t in enumerate(inside)
    ]


def span_of_state(run: Reading) -> Span | None:
    written = run.sources.arguments(run.raised)
    return next(
        (e.span for e in written if e.keyword == "hx"), written[1].span if len(written) > 1 and written[1].keyword is None else None
    )


def maker(run: Reading, state: TensorFacts, dim: int) -> Cause | Span:
    """The line that gave the state this size."""
    decision = run.decided(state, Size(dim))
    written = written_size(run, state, dim)
    if written is not None:
        return written
    if decision.how in ("created", "op") and decision.op is not None and decision.op.span is not None:
        return decision.op.span
    return run.cause(decision)


def written_size(run: Reading, state: TensorFacts, dim: int) -> Span | None:
    """The expression that gave the state this size where it was made."""
    decision = run.decided(state, Size(dim))
    written = None
    if decision.op is not None and decision.dim is not None:
        written = size_expression(run.sources, decision.op, decision.dim, decision.tensor.rank)
    return written.span if written is not None else None


def size_at_hand(run: Reading, written: Span | None, x: TensorFacts, batch: int) -> str:
    """`x.size(0)`, where the state is made in the function that has the input at hand."""
    span = run.span_of("input")
    if written is None or span is None or x.shape is None or written.file != span.file:
        return ""
    if run.sources.function_at(span.file, span.line) is not run.sources.function_at(written.file, written.line) or written.line > span.line:
        return ""
    name = run.sources.segment(span)
    return f"{name}.size({x.shape.index(batch)})" if name.isidentifier() else ""


def asked_for(run: Reading, state: TensorFacts, dim: int, written: Span | None) -> Span | None:
    """The caller's expression for the batch size, where a function made the state for whatever it was asked for."""
    op = run.decided(state, Size(dim)).op
    if op is None or written is None:
        return None
    handed = None
    for origin in run.expression_origins(written, op.where, (state.shape or ())[dim]).origins[1:]:
        if origin.kind != "argument":
            break
        handed = origin.span
    return handed
