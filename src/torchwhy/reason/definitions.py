"""Definitions put at the top level of a file: a new function, or one that stood inside of another."""

from __future__ import annotations

import ast
import builtins
import textwrap

from ..model import Edit, Span
from .edits import Edits
from .scopes import bindings
from .signatures import parameters
from .source import FUNCTIONS, SourceFile, Sources, first_line


def define_before(sources: Sources, span: Span, text: str) -> Edits:
    """A definition before the top-level statement that holds the span, set off by empty lines."""
    source = sources.file(span.file)
    tree = source.tree if source is not None else None
    outer = next((n for n in tree.body if first_line(n) <= span.line <= (n.end_lineno or n.lineno)), None) if tree is not None else None
    if source is None or outer is None:
        return ()
    line = first_line(outer)
    return (Edit(Span(source.file, line, 0, line, 0), f"{text.strip()}\n\n\n"),)


def free_name(sources: Sources, file: str, wanted: str) -> str:
    """The name, with an underscore where the file has it already."""
    source = sources.file(file)
    taken = {n.id for n in source.nodes if isinstance(n, ast.Name)} if source is not None else set()
    taken |= {b.name for all_ in bindings(source).values() for b in all_} if source is not None else set()
    while wanted in taken:
        wanted += "_"
    return wanted


def free_variables(source: SourceFile, node: ast.AST) -> set[str]:
    """The names that a function, lambda or class takes from the function around it."""
    bound = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    for inner in ast.walk(node):
        if isinstance(inner, (*FUNCTIONS, ast.Lambda)):
            bound |= set(parameters(inner))
        if isinstance(inner, (*FUNCTIONS, ast.ClassDef)):
            bound.add(inner.name)
    top = {b.name for b in bindings(source).get(source.tree, ())} if source.tree is not None else set()
    used = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    return {name for name in used - bound - top if not hasattr(builtins, name)}


def moved_out(sources: Sources, span: Span) -> Edits:
    """A function or class that stands inside of a function, moved to the top level; nothing where it needs variables from around it."""
    source, node = sources.file(span.file), sources.statement_at(span.file, span.line)
    if source is None or not isinstance(node, (*FUNCTIONS, ast.ClassDef)) or free_variables(source, node):
        return ()
    first, last = first_line(node), node.end_lineno or node.lineno
    text = textwrap.dedent("".join(source.lines[first - 1 : last]))
    while last < len(source.lines) and not source.lines[last].strip():
        last += 1
    function = source.function(node)
    if function is None or function.body == [node]:
        return ()
    return (*define_before(sources, source.span(node), text), Edit(Span(source.file, first, 0, last + 1, 0), ""))


def as_function(sources: Sources, span: Span) -> Edits:
    """The lambda at a span as a function with a name at the top level; of `lambda x: f(x)` the `f` itself."""
    source, node = sources.file(span.file), sources.node_at(span)
    if source is None or not isinstance(node, ast.Lambda):
        return ()
    names, body, needed = parameters(node), node.body, free_variables(source, node)
    plain = isinstance(body, ast.Call) and not body.keywords and [getattr(a, "id", "") for a in body.args] == names
    if plain and isinstance(body, ast.Call) and not needed and isinstance(body.func, (ast.Name, ast.Attribute)):
        return (Edit(span, source.segment(body.func)),)
    if "self" in needed:
        return ()
    name = free_name(sources, span.file, _name_for(source, node))
    given = source.segment(node)[len("lambda") :].split(":", 1)[0].strip() if not node.args.defaults else ""
    if names and not given:
        return ()
    more = sorted(needed)
    header = ", ".join(filter(None, [given, *(["*", *more] if more else [])]))
    made = define_before(sources, span, f"def {name}({header}):\n    return {source.segment(body)}")
    if not made:
        return ()
    call = f"partial({name}, {', '.join(f'{n}={n}' for n in more)})" if more else name
    return (*made, Edit(span, call))


def _name_for(source: SourceFile, node: ast.Lambda) -> str:
    """What the lambda is assigned to or passed as, else a plain name."""
    parent = source.parents.get(node)
    if isinstance(parent, ast.keyword) and parent.arg:
        return parent.arg
    target = parent.targets[0] if isinstance(parent, ast.Assign) else None
    text = target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")
    return f"{text}_function" if text else "transform"


def as_method(source: SourceFile, inner: ast.FunctionDef) -> Edits:
    """A function that was indented into a method, as a method of the class, behind it."""
    outer = source.function(inner)
    if outer is None or outer.body == [inner]:
        return ()
    first, last = first_line(inner), inner.end_lineno or inner.lineno
    indent = source.lines[outer.lineno - 1][: source.position(outer)[1]]
    text = textwrap.indent(textwrap.dedent("".join(source.lines[first - 1 : last])), indent)
    end = outer.end_lineno or outer.lineno
    text = text if text.endswith("\n") else f"{text}\n"
    if end == last:  # it is the last statement: it need not move, only be indented less
        before = "" if not source.lines[first - 2].strip() else "\n"
        return (Edit(Span(source.file, first, 0, last, len(source.lines[last - 1])), before + text),)
    return (Edit(Span(source.file, first, 0, last + 1, 0), ""), Edit(Span(source.file, end + 1, 0, end + 1, 0), f"\n{text}"))
