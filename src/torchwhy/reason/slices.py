"""The statements that may have gone into an expression: a slice of the program's text, for what torch doesn't see (numbers, lists, arrays).

It takes in too much rather than too little: all bindings of a name, whatever is put into a list of that name. Used together with what was
recorded at these lines, never alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from ..model import Span
from .collected import added
from .scopes import bindings, dotted, scope_of
from .source import FUNCTIONS, SourceFile, Sources

_LIMIT = 200
Line = tuple[str, int]


def feeding_lines(sources: Sources, calls: Sequence[Span]) -> frozenset[Line]:
    """The lines (of the files of `calls`) that may feed the expression at `calls[0]`; the other calls are those around it."""
    found: set[Line] = set()
    waiting: list[tuple[SourceFile, ast.AST]] = []
    if calls and (source := sources.file(calls[0].file)) is not None:
        first = sources.node_at(calls[0]) or sources.statement_at(calls[0].file, calls[0].line)
        waiting += [(source, first)] if first is not None else []
    seen: set[ast.AST] = set()
    while waiting and len(seen) < _LIMIT:
        source, node = waiting.pop(0)
        if node in seen:
            continue
        seen.add(node)
        span = source.span(node)
        found |= {(span.file, line) for line in span.lines}
        for name_node, name in _names(node):
            waiting += [(source, value) for value in _values(source, name_node, name)]
            waiting += _arguments(sources, source, name_node, name, calls)
    return frozenset(found)


def _names(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    called = {n.func for n in ast.walk(node) if isinstance(n, ast.Call)}
    for inner in ast.walk(node):
        name = dotted(inner) if isinstance(inner, (ast.Name, ast.Attribute, ast.Subscript)) else None
        if name and inner not in called:
            yield inner, name
    for function in called:
        if isinstance(function, ast.Attribute) and (name := dotted(function.value)):
            yield function.value, name


def _values(source: SourceFile, use: ast.AST, name: str) -> Iterator[ast.AST]:
    """What the name is bound to: in its own function (or outside of all), an attribute anywhere in the file; and what is put into it."""
    own = scope_of(source, use)
    for scope, all_ in bindings(source).items():
        if scope is own or "." in name or scope is source.tree:
            yield from (b.value or b.statement for b in all_ if b.name == name and b.kind not in ("import", "definition"))
    yield from added(source, name)


def _arguments(
    sources: Sources, source: SourceFile, use: ast.AST, name: str, calls: Sequence[Span]
) -> Iterator[tuple[SourceFile, ast.AST]]:
    """For a parameter: what the recorded call of its function passed."""
    function = scope_of(source, use)
    while function is not None and not isinstance(function, FUNCTIONS):
        function = scope_of(source, function)
    if not isinstance(function, FUNCTIONS):
        return
    names = [a.arg for a in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
    if name not in names:
        return
    position = names.index(name) - (names[:1] in (["self"], ["cls"]))
    for inner, outer in zip(calls, calls[1:]):
        if inner.file == source.file and inner.line in source.span(function).lines:
            call, caller = sources.call_at(outer), sources.file(outer.file)
            if call is not None and caller is not None:
                by_name = [k.value for k in call.keywords if k.arg == name]
                yield from ((caller, node) for node in by_name or call.args[position : position + 1] if position >= 0)
            return
