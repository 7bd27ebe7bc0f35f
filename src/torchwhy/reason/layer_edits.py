"""Edits to calls of layers: a sequence called layer by layer, an input converted, spread or pooled to what a layer takes."""

from __future__ import annotations

import ast
import math

from ..model import Operand, Span, TensorFacts
from . import edits
from .definitions import free_name
from .reading import Reading
from .source import SourceFile


def layer_by_layer(run: Reading, call_at: Span) -> edits.Edits:
    """`for layer in self.body: h = layer(h, mask)` before the statement, in the place of `self.body(h, mask)`."""
    source, call = run.sources.file(call_at.file), run.sources.call_at(call_at)
    statement = source.statement(call) if source is not None and call is not None else None
    if source is None or call is None or statement is None or not call.args or isinstance(statement, (ast.If, ast.For, ast.While)):
        return ()
    first = call.args[0]
    rest = [source.segment(a) for a in call.args[1:]] + [_keyword(source, k) for k in call.keywords]
    name = first.id if isinstance(first, ast.Name) else free_name(run.sources, source.file, "hidden")
    rows = [] if isinstance(first, ast.Name) else [f"{name} = {source.segment(first)}"]
    rows += [f"for layer in {source.segment(call.func)}:", f"    {name} = layer({', '.join([name, *rest])})"]
    if any("\n" in row for row in rows):
        return ()
    inserted = edits.insert_before(run.sources, source.file, statement.lineno, "\n".join(rows))
    return (*inserted, *edits.set_value_at(source, call, name)) if inserted else ()


def _keyword(source: SourceFile, keyword: ast.keyword) -> str:
    return f"{keyword.arg}={source.segment(keyword.value)}" if keyword.arg else f"**{source.segment(keyword.value)}"


def pooled(run: Reading, tensor: TensorFacts, wants: int) -> edits.Edits:
    """`F.adaptive_avg_pool2d(…, (h, w))` before the maps are flattened, so that the layer gets as many features as it takes."""
    flatten = run.history.producer(tensor, run.before)
    maps = flatten.inputs[0] if flatten is not None and flatten.name in ("flatten", "view", "reshape") and flatten.inputs else None
    call = run.sources.call_at(flatten.span) if flatten is not None and flatten.span is not None else None
    if maps is None or maps.shape is None or maps.rank not in (3, 4) or flatten is None or flatten.span is None:
        return ()
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute) or wants % maps.shape[1] or tensor.rank != 2:
        return ()
    each = wants // maps.shape[1]
    side = math.isqrt(each)
    if maps.rank == 4 and side * side != each or each < 1:
        return ()
    receiver = call.func.value
    if isinstance(receiver, ast.Name) and receiver.id in ("torch", "F"):
        if not call.args:
            return ()
        receiver = call.args[0]
    size = str(each) if maps.rank == 3 else f"({side}, {side})"
    return edits.wrap(run.sources, run.sources.span_of(flatten.span.file, receiver), f"F.adaptive_avg_pool{maps.rank - 2}d(", f", {size})")


def padded(run: Reading, expression: Span, window: int, count: int) -> edits.Edits:
    """The input of a window filled with zeros where it is smaller: `F.pad(x, (0, max(0, 4 - x.size(-1))))`."""
    text = run.sources.segment(expression)
    if not text.isidentifier() or count not in (1, 2):
        return ()
    pads = ", ".join(f"0, max(0, {window} - {text}.size({-1 - axis}))" for axis in range(count))
    return edits.set_value(run.sources, expression, f"F.pad({text}, ({pads}))")


def resized_like(run: Reading, operand: Span, other: Span, rank: int) -> edits.Edits:
    """`F.interpolate(x, size=skip.shape[2:])`: one operand's maps in the other's height and width.

    An expression that is a call is computed once, before the statement.
    """
    source, node = run.sources.file(other.file), run.sources.node_at(other)
    if source is None or node is None or rank not in (3, 4, 5) or operand.file != other.file:
        return ()
    text = source.segment(node)
    hoisted: edits.Edits = ()
    if any(isinstance(n, ast.Call) for n in ast.walk(node)):
        name = free_name(run.sources, source.file, "other")
        statement = source.statement(node)
        if statement is None or "\n" in text:
            return ()
        before = edits.insert_before(run.sources, source.file, statement.lineno, f"{name} = {text}")
        hoisted = (*before, *edits.set_value(run.sources, other, name))
        text = name
    made = edits.wrap(run.sources, operand, "F.interpolate(", f", size={text}.shape[2:])")
    return (*hoisted, *made) if made else ()


def cut_mask(run: Reading, mask: Operand, query: Operand, time: int, wanted: tuple[int, ...]) -> edits.Edits:
    """A mask that was made for the longest sequence, cut to this one: `mask[: x.size(1), : x.size(1)]`."""
    shape = mask.value.shape if isinstance(mask.value, TensorFacts) else None
    name = query.expression
    if mask.span is None or not shape or len(shape) != 2 or any(a < b for a, b in zip(shape, wanted)):
        return ()
    if wanted[0] != wanted[1] or not name.replace(".", "").isidentifier():
        return edits.append_method(run.sources, mask.span, f"[:{wanted[0]}, :{wanted[1]}]")
    return edits.append_method(run.sources, mask.span, f"[: {name}.size({time}), : {name}.size({time})]")
