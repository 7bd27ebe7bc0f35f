"""Data outside of torch (numpy arrays, lists, files), followed through the text: from the expression that was converted to where it was
made."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Sequence

from ..model import Span
from .origins import Origin, origin_at
from .places import Place, part
from .scopes import Binding, reaching, scope_of
from .source import COMPREHENSIONS, SourceFile
from .walk import Walk

_STEPS = 16


def follow_data(walk: Walk, place: Place) -> tuple[Origin, ...]:
    """The places on the way, the first included. It ends where several values come together, at a name with several values, at a file's
    name, and where a function was handed the data."""
    found: list[Origin] = []
    seen: set[ast.AST] = set()
    at: Place | None = place
    while at is not None and at.node not in seen and len(found) < _STEPS:
        if isinstance(walk.fold(at), (str, int, float)) and found:
            break
        seen.add(at.node)
        found.append(origin_at(walk, at))
        if at.kind == "argument":
            break  # the caller handed it over: that is where a helper got what it did not expect
        at = _next(walk, at)
    return tuple(found)


def _next(walk: Walk, place: Place) -> Place | None:
    node = place.node
    if isinstance(node, COMPREHENSIONS):
        return part(place, node.generators[0].iter)
    if isinstance(node, (ast.Name, ast.Attribute)):
        on = walk.step(place)
        if on is not None and not isinstance(on.node, (ast.ClassDef, ast.Module, ast.FunctionDef, ast.AsyncFunctionDef)):
            return on
        return part(place, node.value) if isinstance(node, ast.Attribute) else None
    if isinstance(node, ast.Call) and (inside := walk.step(place)) is not None:
        return inside
    if isinstance(node, ast.Subscript):
        return part(place, node.value)
    if isinstance(node, ast.Call):
        given = [node.func.value] if isinstance(node.func, ast.Attribute) else []
        names = [name for a in (*given, *node.args) for name in _data_names(place, a)]
    else:
        names = _data_names(place, node)
    return part(place, names[0]) if len({n.id for n in names}) == 1 else None


def _data_names(place: Place, node: ast.AST) -> list[ast.Name]:
    """The variables in an expression: no functions that it calls, no modules, nothing that it binds itself."""
    called = {n.func for n in ast.walk(node) if isinstance(n, ast.Call)}
    bound = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    found = []
    for name in ast.walk(node):
        if not isinstance(name, ast.Name) or not isinstance(name.ctx, ast.Load) or name in called or name.id in bound:
            continue
        if not hasattr(builtins, name.id) and not _is_import(place, name):
            found.append(name)
    return found


def _is_import(place: Place, name: ast.Name) -> bool:
    scope = scope_of(place.source, name)
    while scope is not None:
        bound: tuple[Binding, ...] = reaching(place.source, name.id, name, scope)[0]
        if bound:
            return bound[0].kind == "import"
        scope = scope_of(place.source, scope)
    return False


def added_axis(walk: Walk, found: Sequence[Origin]) -> Span | None:
    """Where data outside of torch was given another dimension (`a[:, None]`, `expand_dims`), on the way or just before its last place."""
    for origin in found:
        source = walk.sources.file(origin.span.file)
        node = source.exactly_at(origin.span) if source is not None else None
        if source is None or node is None:
            continue
        for part_ in (node, *(b.value for name in _data_names(Place(source, node), node) for b in _all_bindings(source, name))):
            if part_ is not None and (axis := next((n for n in ast.walk(part_) if _adds_axis(n)), None)) is not None:
                return source.span(axis)
    return None


def _all_bindings(source: SourceFile, name: ast.Name) -> tuple[Binding, ...]:
    scope = scope_of(source, name)
    while isinstance(scope, COMPREHENSIONS):
        scope = scope_of(source, scope)
    return reaching(source, name.id, name, scope)[0] if scope is not None else ()


def _adds_axis(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return getattr(node.func, "attr", getattr(node.func, "id", "")) in ("expand_dims", "unsqueeze", "atleast_2d", "atleast_3d")
    if not isinstance(node, ast.Subscript):
        return False
    index = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    return any(isinstance(i, ast.Constant) and i.value is None or isinstance(i, ast.Attribute) and i.attr == "newaxis" for i in index)
