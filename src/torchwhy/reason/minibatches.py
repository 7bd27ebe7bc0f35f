"""Minibatches that a program cuts by itself, without a loader: a loop over indices, slices, `split` or a `BatchSampler`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..model import Span, TensorFacts
from . import edits
from .origins import fold
from .provenance import Size
from .reading import Reading
from .source import SourceFile
from .structure import last_name

_CUTS = re.compile(r"getitem|index|slice|split|chunk|narrow|take|gather|unbind")
_MAKERS = {"BatchSampler": ("batch_size", 1), "range": ("step", 2), "split": ("split_size", 0), "arange": ("step", 2)}
"""What gives the pieces, and the argument that is a piece's size: by name, or at that place (after the tensor, for `torch.split`)."""


@dataclass(frozen=True, slots=True)
class LeftOver:
    """The last piece: `rows` of `whole`, where a full one has `size`; and the call that cuts them."""

    rows: int
    whole: int
    size: int
    cut: Span
    drops: edits.Edits = ()


def left_over(run: Reading, tensor: TensorFacts) -> LeftOver | None:
    """Whether the tensor's few rows are what was left of a whole that a loop cuts into pieces."""
    decision = run.decided(tensor, Size(0))
    op = decision.op
    if op is None or op.span is None or not _CUTS.search(op.name) or not op.inputs or not op.inputs[0].shape or not decision.tensor.shape:
        return None
    whole, rows = op.inputs[0].shape[0], decision.tensor.shape[0]
    for source, call in _cutting(run, op.span):
        size = _size_of(run, source, call)
        if size and size > rows and whole % size == rows:
            span = source.span(call)
            drops = edits.set_keyword(run.sources, span, "drop_last", "True") if last_name(call.func) == "BatchSampler" else ()
            return LeftOver(rows, whole, size, span, drops)
    return None


def _cutting(run: Reading, at: Span) -> Iterator[tuple[SourceFile, ast.Call]]:
    """The calls behind what the loop around this line runs over."""
    source, statement = run.sources.file(at.file), run.sources.statement_at(at.file, at.line)
    if source is None or statement is None:
        return
    loops = [o for o in (statement, *source.ancestors(statement)) if isinstance(o, ast.For)]
    for loop in loops[:2]:
        spans = [source.span(loop.iter), *(o.span for o in run.expression_origins(source.span(loop.iter), run.calls).walk)]
        for span in dict.fromkeys(spans):
            there, node = run.sources.file(span.file), run.sources.node_at(span)
            for call in ast.walk(node) if there is not None and node is not None else ():
                if isinstance(call, ast.Call) and there is not None and last_name(call.func) in _MAKERS:
                    yield there, call


def _size_of(run: Reading, source: SourceFile, call: ast.Call) -> int | None:
    name = last_name(call.func)
    parameter, place = _MAKERS[name]
    if name == "split" and isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name) and call.func.value.id == "torch":
        place = 1
    given = next((k.value for k in call.keywords if k.arg in (parameter, "split_size_or_sections")), None)
    given = given or (call.args[place] if len(call.args) > place else None)
    if given is None:
        return None
    value = fold(run.sources, source.span(given))
    if value is None:
        found = run.expression_origins(source.span(given), run.calls)
        value = next((o.value for o in reversed(found.walk) if o.value is not None), None)
    return value if isinstance(value, int) else None
