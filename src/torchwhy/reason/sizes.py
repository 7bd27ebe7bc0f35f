"""Sizes in the program's text: the expression that gave a dimension in a call, and the tensor whose size that expression asked for."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace

from ..model import Evidence, OpRecord, TensorFacts, tensors_in
from .constants import UNKNOWN
from .places import Place
from .scopes import dotted, reaching, scope_of
from .source import Expression, SourceFile, Sources
from .walk import Walk

_SIZES = ("size", "shape", "sizes", "repeats", "output_size", "normalized_shape")
_ONE_NUMBER = {"arange": "end", "eye": "n", "linspace": "steps", "one_hot": "num_classes", "randperm": "n", "repeat_interleave": "repeats"}


def size_expression(sources: Sources, op: OpRecord, dim: int, rank: int) -> Expression | None:
    """The expression that gives dimension `dim` (of `rank`) in the call that made it: `7` in `torch.zeros(2, 7)`, `x.view((2, 7))`."""
    if op.name == "getitem":
        return _slice_expression(sources, op, dim, rank)
    source, call = _call(sources, op)
    if source is None or call is None:
        return None
    keywords = {k.arg: k.value for k in call.keywords}
    if (one := _ONE_NUMBER.get(op.name)) is not None:
        node: ast.AST | None = keywords.get(one) or _plain_number(op, call)
        return source.expression(node) if node is not None else None
    given = next((keywords[name] for name in _SIZES if name in keywords), None)
    for candidate in [given] if given is not None else [*call.args]:
        place = Walk(sources).seek(Place(source, candidate, op.where), ast.Tuple, ast.List) if candidate is not None else None
        elements = getattr(place.node, "elts", []) if place is not None else []
        if place is not None and len(elements) == rank and not any(isinstance(e, ast.Starred) for e in elements):
            return place.source.expression(elements[dim])
    if given is not None:
        return source.expression(given)
    numbers = call.args[-rank:] if len(call.args) >= rank else []
    if len(numbers) == rank and not any(isinstance(n, (ast.Starred, ast.Tuple, ast.List)) for n in numbers) and len(call.args) - rank <= 1:
        return source.expression(numbers[dim])
    return None


def _slice_expression(sources: Sources, op: OpRecord, dim: int, rank: int) -> Expression | None:
    """The length of the slice that cut dimension `dim`: `28` in `x[..., :28]`, `size` in `x[:, top : top + size]`."""
    span = op.span
    source, node = (sources.file(span.file), sources.node_at(span)) if span is not None else (None, None)
    if source is None or not isinstance(node, ast.Subscript):
        return None
    index: list[ast.expr] = list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]
    kept = [i for i in index if isinstance(i, ast.Slice) or isinstance(i, ast.Constant) and i.value in (None, ...)]
    if len([i for i in kept if not isinstance(i, ast.Slice)]) > 1:
        return None
    dots = next((n for n, i in enumerate(kept) if isinstance(i, ast.Constant) and i.value is ...), len(kept))
    at = dim if dim < dots else dim - rank + len(kept)
    part = kept[at] if 0 <= at < len(kept) and (dim < dots or at > dots) else None
    if not isinstance(part, ast.Slice) or part.upper is None or part.step is not None:
        return None
    upper, lower = part.upper, part.lower
    if lower is None:
        return source.expression(upper)
    if isinstance(upper, ast.BinOp) and isinstance(upper.op, ast.Add):
        for one, other in ((upper.left, upper.right), (upper.right, upper.left)):
            if source.segment(one) == source.segment(lower):
                return source.expression(other)
    return source.expression(upper)


def _call(sources: Sources, op: OpRecord) -> tuple[SourceFile | None, ast.Call | None]:
    span = op.span
    source, call = (sources.file(span.file), sources.call_at(span)) if span is not None else (None, None)
    return (source, call) if call is not None and _name_of(call) == op.name else (None, None)


def _name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _plain_number(op: OpRecord, call: ast.Call) -> ast.AST | None:
    """`n` in `arange(n)` and `eye(n)`; the classes in `one_hot(x, n)`, the steps of a `linspace`; nothing where `arange` has a start or a step."""
    wanted = 2 if op.name == "linspace" else 1 if op.name == "one_hot" and isinstance(call.func, ast.Attribute) else 0
    plain = [a for a in call.args if not isinstance(a, ast.Starred)]
    return plain[wanted] if len(plain) == wanted + 1 else None


def tensor_size(evidence: Evidence, op: OpRecord, expression: Expression, size: int) -> tuple[TensorFacts, int] | None:
    """The tensor and the dimension that an expression such as `x.size(0)`, `x.shape[1]` or `n` after `n, t, c = x.shape` stood for."""
    sources = Sources(evidence)
    source = sources.file(expression.span.file)
    node = source.exactly_at(expression.span) if source is not None else None
    if source is None or node is None:
        return None
    walk, seen = Walk(sources), set[ast.AST]()
    place: Place | None = Place(source, node, op.where, size)
    while place is not None and place.node not in seen and len(seen) < 12:
        seen.add(place.node)
        asked = _asked(walk, place)
        if asked is not None:
            tensor, dim = asked
            for found in _tensors_named(evidence, sources, tensor, op.index):
                at = dim + found.rank if dim < 0 else dim
                if found.shape and 0 <= at < found.rank and found.shape[at] == size:
                    return found, at
            return None
        place = walk.step(place)
    return None


def _asked(walk: Walk, place: Place) -> tuple[Place, int] | None:
    """The tensor expression and the dimension, where the place's expression asks a tensor for a size."""
    node = place.node
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "len" and len(node.args) == 1:
        return replace(place, node=node.args[0], value=None), 0
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "size" and len(node.args) == 1:
        dim = walk.fold(replace(place, node=node.args[0], value=None))
        return (replace(place, node=node.func.value, value=None), dim) if isinstance(dim, int) else None
    if isinstance(node, ast.Subscript) and (tensor := _of_shape(node.value)) is not None:
        dim = UNKNOWN if isinstance(node.slice, ast.Slice) else walk.fold(replace(place, node=node.slice, value=None))
        return (replace(place, node=tensor, value=None), dim) if isinstance(dim, int) else None
    scope = scope_of(place.source, node) if isinstance(node, ast.Name) else None
    if isinstance(node, ast.Name) and scope is not None:
        bound = reaching(place.source, node.id, node, scope)[0]
        if len(bound) == 1 and bound[0].value is not None and len(bound[0].path) == 1 and isinstance(bound[0].path[0], int):
            tensor = _of_shape(bound[0].value)
            return (replace(place, node=tensor, value=None), bound[0].path[0]) if tensor is not None else None
    return None


def _of_shape(node: ast.AST) -> ast.AST | None:
    """`x` of `x.shape` and `x.size()`."""
    if isinstance(node, ast.Attribute) and node.attr == "shape":
        return node.value
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "size" and not node.args:
        return node.func.value
    return None


def _tensors_named(evidence: Evidence, sources: Sources, place: Place, before: int) -> Iterator[TensorFacts]:
    """Tensors that the recorded ops of the same run of the function show under the expression's name, the latest first."""
    name, text = dotted(place.node), place.source.segment(place.node)
    scope = scope_of(place.source, place.node)
    bound = reaching(place.source, name, place.node, scope)[0] if name and scope is not None else ()
    values = {place.source.span(b.value) for b in bound if b.value is not None and not b.path}
    function = place.source.function_name(place.node)
    for op in reversed(evidence.ops):
        span = op.span
        if op.index > before or span is None or span.file != place.source.file or op.where[1:] != place.calls[1:]:
            continue
        if sources.function_at(span.file, span.line) is not place.source.function(place.node):
            continue
        if op.index < before and op.outputs and any(_same_place(span, v) for v in values):
            yield op.outputs[0]
        yield from _operands_called(sources, op, text)
    for frame in reversed(evidence.failure.user_frames if evidence.failure is not None else ()):
        if frame.span.file == place.source.file and frame.span.function.rpartition(".")[2] in (function, "") and name:
            value = frame.local(name)
            if isinstance(value, TensorFacts):
                yield value


def _same_place(one: object, other: object) -> bool:
    return all(getattr(one, key) == getattr(other, key) for key in ("file", "line", "column", "end_line", "end_column"))


def _operands_called(sources: Sources, op: OpRecord, text: str) -> Iterator[TensorFacts]:
    written = sources.operands(op.span, op.name) if op.span is not None else ()
    data = [t for a in op.arguments for t in tensors_in(a.value)]
    if len(written) >= 1 and written[0].text == text and data and not isinstance(op.arguments[0].value, tuple):
        yield data[0]
    elif len(written) == len(data):
        yield from (t for e, t in zip(written, data) if e.text == text)
