"""Edits that take a reshaping step out of a call, or put a layer into a sequence."""

from __future__ import annotations

import ast

from ..model import Edit, Span
from .edits import Edits
from .source import Sources


def without_method(sources: Sources, span: Span, name: str) -> Edits:
    """`x.transpose(1, 2)` at the span becomes `x`; `torch.transpose(x, 1, 2)` too."""
    source, call = sources.file(span.file), sources.call_at(span)
    if source is None or call is None or not isinstance(call.func, ast.Attribute) or call.func.attr != name:
        return ()
    first = call.func.value
    root = first
    while isinstance(root, ast.Attribute):
        root = root.value
    if isinstance(root, ast.Name) and root.id in ("torch", "F"):
        if not call.args:
            return ()
        first = call.args[0]
    return (Edit(source.span(call), source.segment(first)),)


def put_before(sources: Sources, layer: Span, text: str) -> Edits:
    """Another layer before the one whose constructor call is at the span, when that is an item of a `Sequential(...)` or of a list.

    `text` is written with the prefix of the layer's own call: `nn.` for `nn.Linear(...)`.
    """
    source, call = sources.file(layer.file), sources.call_at(layer)
    parent = source.parents.get(call) if source is not None and call is not None else None
    if source is None or call is None or not isinstance(parent, (ast.Call, ast.List)):
        return ()
    items = parent.args if isinstance(parent, ast.Call) else parent.elts
    if call not in items or isinstance(parent, ast.Call) and not source.segment(parent.func).endswith("Sequential"):
        return ()
    line, column = source.position(call)[:2]
    prefix = source.segment(call.func.value) + "." if isinstance(call.func, ast.Attribute) else ""
    before = source.lines[line - 1][:column]
    gap = "\n" + before if not before.strip() else " "
    return (Edit(Span(source.file, line, column, line, column, source.function_name(call)), f"{prefix}{text},{gap}"),)


def other_function(sources: Sources, span: Span, name: str) -> Edits:
    """The call at the span made of another function of the same module, with the same arguments: `torch.cat(x)` for `torch.stack(x)`."""
    source, call = sources.file(span.file), sources.call_at(span)
    if source is None or call is None or not isinstance(call.func, ast.Attribute):
        return ()
    _, _, line, column = source.position(call.func)
    return (Edit(Span(source.file, line, column - len(call.func.attr), line, column, source.function_name(call)), name),)


def callee(sources: Sources, call: Span) -> Span | None:
    """The last name of what is called: `BatchNorm1d` in `nn.BatchNorm1d(64)`."""
    source, node = sources.file(call.file), sources.call_at(call)
    if source is None or node is None or not isinstance(node.func, (ast.Name, ast.Attribute)):
        return None
    _, _, line, column = source.position(node.func)
    name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
    return Span(source.file, line, column - len(name), line, column, source.function_name(node))
