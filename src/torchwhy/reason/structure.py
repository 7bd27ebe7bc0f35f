"""Questions about what stands around a place: `with`, loops, decorators, returns; and about how a class is written."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from ..model import Span
from .source import FUNCTIONS, Function, SourceFile, Sources

GRADIENT_OFF = ("no_grad", "inference_mode")
METHODS = ("__init__", "__call__", "__getitem__", "__len__", "__iter__", "forward", "backward", "setup_context", "collate_fn")


@dataclass(frozen=True, slots=True)
class Around:
    """A thing around a place: its own span (the `with` item, the decorator, the loop's header) and its text. `names`: a loop's targets."""

    span: Span
    text: str
    statement: Span
    names: tuple[str, ...] = ()


def _at(sources: Sources, place: Span) -> tuple[SourceFile, ast.AST] | None:
    source = sources.file(place.file)
    node: ast.AST | None = sources.node_at(place) if place.end_line else None
    node = node or (source.around(place) if source and place.end_line else None) or sources.statement_at(place.file, place.line)
    return (source, node) if source and node else None


def last_name(node: ast.AST) -> str:
    """`no_grad` for `torch.no_grad()`, `torch.no_grad` and `no_grad`."""
    node = node.func if isinstance(node, ast.Call) else node
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def enclosing(sources: Sources, place: Span) -> tuple[Span, ...]:
    """The statements around a place, nearest first, beginning with its own, up to the top of the file."""
    at = _at(sources, place)
    return tuple(at[0].span(n) for n in (at[1], *at[0].ancestors(at[1])) if isinstance(n, ast.stmt)) if at else ()


def with_around(sources: Sources, place: Span, names: Sequence[str] = GRADIENT_OFF) -> Around | None:
    """The nearest `with torch.no_grad():` (or another of `names`: `autocast`, `enable_grad`, …) in the same function around a place."""
    at = _at(sources, place)
    if at is None:
        return None
    source, inner = at
    for outer in source.ancestors(inner):
        if isinstance(outer, (ast.With, ast.AsyncWith)) and inner in outer.body:
            for item in outer.items:
                if last_name(item.context_expr) in names:
                    return Around(source.span(item.context_expr), source.segment(item.context_expr), source.span(outer))
        if isinstance(outer, (*FUNCTIONS, ast.Lambda)):
            break
        inner = outer
    return None


def decorator_of(sources: Sources, place: Span, names: Sequence[str] = GRADIENT_OFF) -> Around | None:
    """The decorator among `names` of the function that holds the place."""
    source, function = sources.file(place.file), sources.function_at(place.file, place.line)
    for node in function.decorator_list if source and function else ():
        if source and function and last_name(node) in names:
            return Around(source.span(node), source.segment(node), source.span(function))
    return None


def loop_around(sources: Sources, place: Span) -> Around | None:
    """The innermost `for` or `while` in the same function whose body holds the place: its header."""
    at = _at(sources, place)
    if at is None:
        return None
    source, inner = at
    for outer in source.ancestors(inner):
        if isinstance(outer, (*FUNCTIONS, ast.Lambda, ast.ClassDef)):
            return None
        if isinstance(outer, (ast.For, ast.AsyncFor, ast.While)) and inner in outer.body:
            end = source.span(outer.test if isinstance(outer, ast.While) else outer.iter)
            header = Span(source.file, outer.lineno, source.position(outer)[1], end.end_line, end.end_column, source.function_name(outer))
            targets = () if isinstance(outer, ast.While) else (n.id for n in ast.walk(outer.target) if isinstance(n, ast.Name))
            return Around(header, sources.segment(header), source.span(outer), tuple(targets))
        inner = outer
    return None


def returns(sources: Sources, file: str, line: int) -> tuple[Span, ...]:
    """The `return` statements of the function that has this line (or that is defined at it)."""
    source, statement = sources.file(file), sources.statement_at(file, line)
    function = statement if isinstance(statement, FUNCTIONS) else sources.function_at(file, line)
    if source is None or function is None:
        return ()
    return tuple(source.span(n) for n in ast.walk(function) if isinstance(n, ast.Return) and source.function(n) is function)


def methods(cls: ast.ClassDef) -> tuple[Function, ...]:
    """The methods that the class itself defines."""
    return tuple(n for n in cls.body if isinstance(n, FUNCTIONS))


def super_init(sources: Sources, file: str, cls: ast.ClassDef) -> Span | None:
    """The call in the class's `__init__` that runs its parent's (`super().__init__()` or `Parent.__init__(self)`)."""
    source, init = sources.file(file), next((m for m in methods(cls) if m.name == "__init__"), None)
    for node in ast.walk(init) if source and init else ():
        if source and isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "__init__":
            return source.span(node)
    return None


def misspelled(sources: Sources, file: str, cls: ast.ClassDef, wanted: Sequence[str] = METHODS) -> tuple[tuple[Span, str, str], ...]:
    """Methods whose names nearly are ones that Python or torch call (`_init_`, `foward`): the span of the name, the name, the one meant."""
    source, found = sources.file(file), []
    defined = {m.name for m in methods(cls)}
    for method in methods(cls) if source else ():
        meant = next((w for w in wanted if w.strip("_") == method.name.strip("_")), None)
        meant = meant or next(iter(get_close_matches(method.name, wanted, 1, 0.8)), None)
        if source and meant and method.name not in wanted and meant not in defined:
            found.append((name_span(source, method), method.name, meant))
    return tuple(found)


def name_span(source: SourceFile, node: Function | ast.ClassDef) -> Span:
    """The name in a `def` or `class` statement."""
    line, column = source.position(node)[:2]
    start = source.lines[line - 1].find(node.name, column + len("class" if isinstance(node, ast.ClassDef) else "def"))
    return Span(source.file, line, start, line, start + len(node.name), source.function_name(node)) if start >= 0 else source.span(node)


def calls_of(sources: Sources, name: str) -> tuple[Span, ...]:
    """Every call in the program of a function or method with this name."""
    return tuple(
        source.span(node)
        for source in sources.files()
        for node in source.nodes
        if isinstance(node, ast.Call) and last_name(node.func) == name
    )


def length_return(sources: Sources, defined: Span, name: str) -> Span | None:
    """The last `return` of the `__len__` of the class with this name that is defined at a span."""
    source = sources.file(defined.file)
    found = (n for n in (source.nodes if source else ()) if isinstance(n, ast.ClassDef) and n.name == name)
    length = next((m for cls in found for m in methods(cls) if m.name == "__len__"), None)
    every = returns(sources, defined.file, length.lineno) if length is not None else ()
    return every[-1] if every else None
