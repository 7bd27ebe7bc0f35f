"""Edits that let a loader's workers start: what can't be pickled gets a name, is made at first use, or has no graph."""

from __future__ import annotations

import ast

from ..model import Edit, LoaderFacts, Span
from . import edits
from .definitions import as_function, moved_out
from .reading import Reading
from .scopes import dotted
from .source import FUNCTIONS, Function, SourceFile, first_line
from .workers import Unpicklable


def picklable(run: Reading, found: Unpicklable) -> edits.Edits:
    """What keeps the object from being pickled, mended where it was made."""
    place = found.place
    if place is None:
        return ()
    if found.what == "lambda":
        return as_function(run.sources, place)
    if found.what in ("function", "class"):
        return moved_out(run.sources, place)
    return made_at_first_use(run, place, found.attribute) if found.attribute else ()


def made_at_first_use(run: Reading, place: Span, attribute: str) -> edits.Edits:
    """`self.x = None` in the constructor, and `self.x` made where a method needs it.

    Nothing where the constructor itself needs it, or what it is made of is not kept by the object.
    """
    source, statement = run.sources.file(place.file), run.sources.statement_at(place.file, place.line)
    init = source.function(statement) if source is not None and statement is not None else None
    cls = source.class_of(statement) if source is not None and statement is not None else None
    if source is None or init is None or cls is None or not isinstance(statement, ast.Assign) or init.name != "__init__":
        return ()
    name = f"self.{attribute}"
    if dotted(statement.targets[0]) != name or any(_uses(n, name) for n in init.body if n is not statement):
        return ()
    kept = _kept(init)
    value = source.segment(statement.value)
    for node in sorted((n for n in ast.walk(statement.value) if isinstance(n, ast.Name)), key=lambda n: -n.col_offset):
        if node.id in kept:
            start = source.column(node.lineno, node.col_offset) - source.position(statement.value)[1]
            value = f"{value[:start]}{kept[node.id]}{value[start + len(node.id) :]}"
        elif node.id in {a.arg for a in init.args.args[1:]}:
            return ()
    if "\n" in value:
        return ()
    users = [m for m in cls.body if isinstance(m, FUNCTIONS) and m is not init and any(_uses(n, name) for n in m.body)]
    made = [Edit(source.span(statement.value), "None")]
    made += [_first(source, m, [f"if {name} is None:", f"    {name} = {value}"]) for m in users if m.name != "__getstate__"]
    return tuple(made) if users else ()


def _kept(init: Function) -> dict[str, str]:
    """Parameters that the constructor keeps as they are: `path` → `self.path`."""
    found: dict[str, str] = {}
    for node in init.body:
        if not isinstance(node, ast.Assign) or len(node.targets) != 1:
            continue
        target, value = node.targets[0], node.value
        both = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts)
        pairs = list(zip(target.elts, value.elts)) if both else [(target, value)]  # type: ignore[attr-defined]
        for one, other in pairs:
            if isinstance(other, ast.Name) and (dotted(one) or "").startswith("self."):
                found[other.id] = dotted(one) or ""
    return found


def _uses(node: ast.AST, name: str) -> bool:
    return any(isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Load) and dotted(n) == name for n in ast.walk(node))


def _first(source: SourceFile, method: Function, rows: list[str]) -> Edit:
    line, column = first_line(method.body[0]), source.position(method.body[0])[1]
    indent = source.lines[line - 1][:column]
    return Edit(Span(source.file, line, 0, line, 0), "".join(f"{indent}{row}\n" for row in rows))


def in_this_process(run: Reading, loader: LoaderFacts | None) -> edits.Edits:
    """`num_workers=0`, and without what is for workers only."""
    call = loader.built[0] if loader is not None and loader.built else None
    if call is None:
        return ()
    made = edits.set_keyword(run.sources, call, "num_workers", "0")
    for option in ("multiprocessing_context", "prefetch_factor", "persistent_workers", "timeout", "worker_init_fn"):
        made = (*made, *edits.remove_keyword(run.sources, call, option))
    return made
