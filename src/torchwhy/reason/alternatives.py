"""A recorded step written otherwise: in another dimension or order, with two arguments in each other's place, or left out.

Each comes with the shape that the step's result would then have, where that follows from the recorded inputs. Read from the text, computed, never run.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from ..model import Edit, OpRecord, Span
from .edits import Edits, set_keyword
from .history import first_tensor
from .shape_edits import without_method
from .source import SourceFile, Sources

Shape = tuple[int, ...]
Kind = Literal["dimension", "order", "left out"]

_JOINS = ("cat", "concat", "concatenate", "stack")
_REDUCES = ("sum", "mean", "argmax", "argmin", "amax", "amin", "softmax", "log_softmax", "norm", "prod", "logsumexp", "max", "min")
_KEEP = ("softmax", "log_softmax")
_ONE_DIM = ("squeeze", "unsqueeze", "flatten", "split", "chunk", "unbind", "select", "index_select", "gather", "index_add", "size")
_MAKES = ("zeros", "ones", "rand", "randn", "empty")
_LEFT_OUT = ("unsqueeze", "squeeze", "transpose", "permute", "flatten", "t", "T", "mT", "swapaxes", "movedim")
_KEYWORDS = ("dim", "axis", "start_dim", "dim0")


@dataclass(frozen=True, slots=True)
class Alternative:
    """One other way to write a step; `shape` is None where it is not known beforehand."""

    kind: Kind
    text: str
    """The step as it would be written."""
    edits: Edits
    span: Span
    shape: Shape | None = None


def alternatives(sources: Sources, op: OpRecord) -> tuple[Alternative, ...]:
    """The other ways to write the call that a recorded op was, the likeliest first."""
    source, call = (sources.file(op.span.file), sources.call_at(op.span)) if op.span is not None else (None, None)
    name = called(call) if call is not None else ""
    if source is None or call is None or op.span is None or name.rstrip("_") != op.name.rstrip("_"):
        return ()
    found = [*_other_dimensions(sources, source, call, op), *_other_orders(source, call, op), *_left_out(sources, source, call, op)]
    return tuple(found)


def called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def swapped(source: SourceFile, call: ast.Call, one: int, other: int) -> Alternative:
    """Two arguments given by position, in each other's place."""
    first, second = call.args[one], call.args[other]
    edits = (Edit(source.span(first), source.segment(second)), Edit(source.span(second), source.segment(first)))
    return Alternative(
        "order", _call_text(source, call, {one: source.segment(second), other: source.segment(first)}), edits, source.span(call)
    )


# ── dimensions ────────────────────────────────────────────────────────────────────────────────────────────────────────
def _other_dimensions(sources: Sources, source: SourceFile, call: ast.Call, op: OpRecord) -> Iterator[Alternative]:
    name, span, x = op.name.rstrip("_"), source.span(call), first_tensor(op)
    if name not in (*_JOINS, *_REDUCES, *_ONE_DIM) or x is None or x.shape is None:
        return
    node = dimension_of(source, call, name)
    if node is None and name not in (*_JOINS, *_REDUCES):
        return
    now = number(node) if node is not None else 0 if name in _JOINS else None
    if node is not None and now is None:
        return
    rank = x.rank + (name in ("stack", "unsqueeze"))
    for dim in (*range(1, rank), 0):
        if now is not None and dim == now % max(rank, 1) and -rank <= now < rank:
            continue
        edits = (Edit(source.span(node), str(dim)),) if node is not None else set_keyword(sources, span, "dim", str(dim))
        keyword = next((k.arg for k in call.keywords if k.value is node), "dim") or "dim"
        text = _call_text(source, call, {call.args.index(node): str(dim)} if node in call.args else {}, {keyword: str(dim)})
        yield Alternative("dimension", text, edits, span, _shape_with(op, name, dim))


def dimension_of(source: SourceFile, call: ast.Call, name: str) -> ast.expr | None:
    """The argument that names a dimension."""
    given = next((k.value for k in call.keywords if k.arg in _KEYWORDS), None)
    if given is not None:
        return given
    method = isinstance(call.func, ast.Attribute) and not is_torchs_name(source, call.func.value)
    at = 0 if method and name not in _JOINS else 1
    return call.args[at] if len(call.args) > at else None


def is_torchs_name(source: SourceFile, node: ast.AST) -> bool:
    """Whether it is `torch` or a module of it, and no tensor."""
    return source.segment(node) in ("torch", "F", "torch.nn.functional", "nn.functional", "functional")


def number(node: ast.AST | None) -> int | None:
    sign = -1 if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) else 1
    inner = node.operand if isinstance(node, ast.UnaryOp) else node
    return sign * inner.value if isinstance(inner, ast.Constant) and type(inner.value) is int else None


def _shape_with(op: OpRecord, name: str, dim: int) -> Shape | None:
    shapes = [t.shape for t in op.inputs if t.shape is not None]
    shape = shapes[0]
    if name in _JOINS:
        return joined(shapes, dim, stacked=name == "stack")
    if name == "unsqueeze":
        return (*shape[:dim], 1, *shape[dim:])
    if name == "squeeze":
        return (*shape[:dim], *shape[dim + 1 :]) if shape[dim] == 1 else shape
    if name == "flatten":
        return (*shape[:dim], math.prod(shape[dim:]))
    if name in _KEEP:
        return shape
    if name in _REDUCES and op.outputs and op.outputs[0].shape is not None:
        kept = op.outputs[0].rank == len(shape)
        return (*shape[:dim], *((1,) if kept else ()), *shape[dim + 1 :])
    return None


def joined(shapes: Sequence[Shape], dim: int, stacked: bool = False) -> Shape | None:
    """What `cat` or `stack` makes of these along a dimension; None where they don't go together."""
    first = shapes[0]
    if stacked:
        return (*first[:dim], len(shapes), *first[dim:]) if len(set(shapes)) == 1 else None
    if any(len(s) != len(first) for s in shapes) or len({(*s[:dim], *s[dim + 1 :]) for s in shapes}) > 1:
        return None
    return (*first[:dim], sum(s[dim] for s in shapes), *first[dim + 1 :])


def asked_sizes(source: SourceFile, statement: ast.AST) -> Iterator[Alternative]:
    """`x.size(n)` and `x.shape[n]` in a statement, asked for another dimension."""
    for node in ast.walk(statement):
        of_size = isinstance(node, ast.Call) and called(node) == "size" and len(node.args) == 1
        of_shape = isinstance(node, ast.Subscript) and isinstance(node.value, ast.Attribute) and node.value.attr == "shape"
        dim = (
            node.args[0] if of_size and isinstance(node, ast.Call) else node.slice if of_shape and isinstance(node, ast.Subscript) else None
        )
        if dim is not None and (now := number(dim)) is not None:
            for other in (n for n in (1, 0, 2, -1) if n != now):
                text = source.segment(node).replace(source.segment(dim), str(other))
                yield Alternative("dimension", text, (Edit(source.span(dim), str(other)),), source.span(node))


# ── orders ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def _other_orders(source: SourceFile, call: ast.Call, op: OpRecord) -> Iterator[Alternative]:
    name, x = op.name.rstrip("_"), first_tensor(op)
    of_torch = isinstance(call.func, ast.Attribute) and is_torchs_name(source, call.func.value)
    first = 1 if of_torch and name not in _MAKES else 0
    args = list(range(first, len(call.args)))
    dims = [n % x.rank if n is not None else None for n in (number(call.args[i]) for i in args)] if x is not None and x.rank else []
    if name == "permute" and x is not None and len(set(dims)) < len(dims) == x.rank:
        missing = [d for d in range(x.rank) if d not in dims]
        for i in [i for i, d in zip(args, dims) if dims.count(d) > 1][::-1]:
            if len(missing) == 1:
                edit = Edit(source.span(call.args[i]), str(missing[0]))
                yield Alternative("order", _call_text(source, call, {i: str(missing[0])}), (edit,), source.span(call))
    elif name in ("view", "reshape", "permute", *_MAKES) and len(args) > 1:
        made = op.outputs[0].shape if op.outputs else None
        for i, j in combinations(args, 2):
            if source.segment(call.args[i]) == source.segment(call.args[j]):
                continue
            other = swapped(source, call, i, j)
            order = list(made) if made is not None and len(made) == len(args) else None
            if order is not None:
                order[i - first], order[j - first] = order[j - first], order[i - first]
            yield Alternative(other.kind, other.text, other.edits, other.span, tuple(order) if order else None)
    if name in ("transpose", "swapaxes") and len(args) == 2 and x is not None and x.shape is not None:
        now = {number(call.args[i]) for i in args}
        for pair in combinations(range(x.rank), 2):
            if {d % x.rank for d in now if d is not None} != set(pair):
                order = list(x.shape)
                order[pair[0]], order[pair[1]] = order[pair[1]], order[pair[0]]
                texts = {args[0]: str(pair[0]), args[1]: str(pair[1])}
                edits = tuple(Edit(source.span(call.args[i]), text) for i, text in texts.items())
                yield Alternative("order", _call_text(source, call, texts), edits, source.span(call), tuple(order))


def _left_out(sources: Sources, source: SourceFile, call: ast.Call, op: OpRecord) -> Iterator[Alternative]:
    x, span = first_tensor(op), source.span(call)
    if op.name in _LEFT_OUT and x is not None and (edits := without_method(sources, span, op.name)):
        yield Alternative("left out", edits[0].text, edits, span, x.shape)


def _call_text(source: SourceFile, call: ast.Call, changed: dict[int, str], keywords: dict[str, str] | None = None) -> str:
    given = [changed.get(n, source.segment(a)) for n, a in enumerate(call.args)]
    names = dict.fromkeys(k.arg or "**" for k in call.keywords)
    options = [f"{k.arg}={(keywords or {}).get(k.arg or '', source.segment(k.value))}" for k in call.keywords]
    if keywords and not changed and not set(names) & set(_KEYWORDS):
        options += [f"{k}={v}" for k, v in keywords.items()]
    return f"{source.segment(call.func)}({', '.join([*given, *options])})"


def fitting(sources: Sources, op: OpRecord, fits: Callable[[Shape], bool]) -> tuple[Alternative, ...]:
    """Those whose result would have a shape that fits."""
    return tuple(a for a in alternatives(sources, op) if a.shape is not None and a.edits and fits(a.shape))
