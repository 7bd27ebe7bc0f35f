"""An unpacking that failed: which names stand on its left, and what of torch's was on its right."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Literal

from ..model import OpRecord, Span, TensorFacts, tensors_in
from .reading import Reading
from .source import Expression, SourceFile

Kind = Literal["shape", "tensor", "scalar", "batch", "packed", "pieces"]


_SPLITS = ("split", "chunk", "tensor_split", "split_with_sizes", "unsafe_split", "unsafe_chunk")


@dataclass(frozen=True, slots=True)
class Unpacking:
    """`targets` is the failing tuple of names; `value` what the whole statement unpacks. `kind` says what was taken apart:

    a tensor's shape, a tensor along its first dimension, a tensor without dimensions, a loader's batch, a packed sequence, what a split gave."""

    targets: Expression
    names: int
    value: Expression
    kind: Kind
    tensor: TensorFacts | None = None
    tensor_name: str = ""
    op: OpRecord | None = None
    """The op that made what was unpacked (for a batch: the event)."""
    is_inner: bool = False


def unpacking(run: Reading) -> Unpacking | None:
    """The failing line's unpacking, where it took apart something of torch's."""
    place = run.raised
    source = run.sources.file(place.file)
    targets = _targets(run, source, place) if source is not None else None
    if source is None or targets is None:
        return None
    outer = targets
    while isinstance(parent := source.parents.get(outer), (ast.Tuple, ast.List)):
        outer = parent
    holder = source.parents.get(outer)
    value = holder.value if isinstance(holder, ast.Assign) else holder.iter if isinstance(holder, (ast.For, ast.comprehension)) else None
    if value is None:
        return None
    at = (source.expression(targets), len(targets.elts), source.expression(value))
    shaped = _of_shape(value) if outer is targets else None
    if shaped is not None:
        tensor = _tensor_called(run, source.segment(shaped))
        return Unpacking(*at, "shape", tensor, source.segment(shaped)) if tensor is not None else None
    last = _last_op(run, source, value)
    inner = outer is not targets
    if last is not None and last.name == "unbind" and last.inputs:
        made = run.history.producer(last.inputs[0], last.index)
        return Unpacking(*at, "tensor", last.inputs[0], _name(source, value, inner), made, inner)
    if last is not None and last.name in _SPLITS and last.inputs and len(last.outputs) != len(targets.elts):
        return Unpacking(*at, "pieces", last.inputs[0], _name(source, value, inner), last, inner)
    if last is not None and last.name == "_pack_padded_sequence" and run.failure.error_type == "ValueError":
        return Unpacking(*at, "packed", last.outputs[0] if last.outputs else None, "", last)
    if last is not None and last.name == "batch":
        return Unpacking(*at, "batch", next(iter(tensors_in(last.arguments[0].value)), None) if last.arguments else None, "", last)
    if last is not None and run.failure.error_type == "TypeError" and last.outputs and last.outputs[0].shape == ():
        return Unpacking(*at, "scalar", last.outputs[0], _name(source, value, inner), last, inner)
    held = run.frame.local(source.segment(value)) if run.frame is not None else None
    if isinstance(held, TensorFacts):
        return Unpacking(*at, "scalar" if held.rank == 0 else "tensor", held, source.segment(value))
    if getattr(held, "kind", "") == "PackedSequence":
        return Unpacking(*at, "packed")
    return None


def _targets(run: Reading, source: SourceFile, place: Span) -> ast.Tuple | ast.List | None:
    """The tuple of names at the place; without columns, the only one of the line."""
    node = run.sources.node_at(place)
    if isinstance(node, (ast.Tuple, ast.List)) and isinstance(node.ctx, ast.Store):
        return node
    found = [n for n in source.nodes if isinstance(n, (ast.Tuple, ast.List)) and isinstance(n.ctx, ast.Store) and n.lineno == place.line]
    return found[0] if len(found) == 1 else None


def _of_shape(node: ast.AST) -> ast.AST | None:
    if isinstance(node, ast.Attribute) and node.attr == "shape":
        return node.value
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "size" and not node.args:
        return node.func.value
    return None


def _tensor_called(run: Reading, text: str) -> TensorFacts | None:
    """The tensor of that name in the failing frame, or the one that the failing line made last."""
    held = run.frame.local(text) if run.frame is not None else None
    if isinstance(held, TensorFacts):
        return held
    named = next((id for id, name in run.evidence.names if name == text), None)
    tensors = (t for op in reversed(run.evidence.ops) for t in (*op.outputs, *op.inputs))
    if named is not None:
        return next((t for t in tensors if t.id == named), None)
    last = next((op for op in reversed(run.evidence.ops) if op.span is not None and op.span.line == run.raised.line), None)
    return last.outputs[0] if last is not None and last.outputs and not text.isidentifier() else None


def _last_op(run: Reading, source: SourceFile, value: ast.AST) -> OpRecord | None:
    """The last recorded op, if it ran on the failing line (maybe deeper in what that line called)."""
    last = run.evidence.ops[-1] if run.evidence.ops else None
    lines = range(source.span(value).line, source.span(value).end_line + 1)
    here = last is not None and any(s.file == run.raised.file and (s.line in lines or s.line == run.raised.line) for s in last.where)
    return last if here else None


def _name(source: SourceFile, value: ast.AST, inner: bool) -> str:
    return "" if inner else source.segment(value)
