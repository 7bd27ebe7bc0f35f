"""Lists of tensors in the program's text: what gave a list as many items as it had when it was stacked."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from ..model import OpRecord, Span
from .history import number
from .places import Place
from .scopes import dotted
from .source import COMPREHENSIONS, SourceFile, Sources
from .walk import Walk
from .wording import code, place

_STACKING = ("stack", "pad_sequence")


@dataclass(frozen=True, slots=True)
class Listed:
    """`span`: what decided the number of items; `note` tells how."""

    span: Span
    note: str


def items_of(sources: Sources, op: OpRecord | None, dim: int) -> Listed | None:
    """For the dimension that `stack` or `pad_sequence` made: the comprehension that left items out, or where the list grows."""
    if op is None or op.name not in _STACKING or op.span is None or dim != _list_dimension(op):
        return None
    source, call = sources.file(op.span.file), sources.call_at(op.span)
    if source is None or call is None or not call.args:
        return None
    node = call.args[0]
    at = Walk(sources).step(Place(source, node, op.where)) if isinstance(node, (ast.Name, ast.Attribute)) else Place(source, node, op.where)
    if at is not None and isinstance(at.node, COMPREHENSIONS):
        tests = [code(at.source.segment(test)) for generator in at.node.generators for test in generator.ifs]
        return Listed(at.source.span(at.node), f"the list leaves out items without {' and '.join(tests)}") if tests else None
    name = dotted(node)
    return _grown(sources, source, name) if name is not None else None


def _list_dimension(op: OpRecord) -> int:
    if op.name == "stack":
        return number(op.argument("dim")) or 0
    first = getattr(op.argument("batch_first"), "value", False)
    return 0 if first else 1


def _grown(sources: Sources, source: SourceFile, name: str) -> Listed | None:
    """The one `append` to a list that nothing empties: made once, before the loop or in a constructor."""
    attribute = name.rpartition(".")[2]
    every = list(sources.files()) if "." in name else [source]
    calls = [(s, n) for s in every for n in s.nodes if isinstance(n, ast.Call) and _is_of(n.func, name)]
    appended = [(s, n) for s, n in calls if n.func.attr in ("append", "extend")]  # type: ignore[attr-defined]
    if len(appended) != 1:
        return None
    where, call = appended[0]
    emptied: list[ast.AST] = [n for _, n in calls if n.func.attr in ("clear", "pop")]  # type: ignore[attr-defined]
    emptied += [n for s in every for n in s.nodes if isinstance(n, ast.Delete) and attribute in s.segment(n)]
    bound = list(_bindings(every, name))
    if "." not in name or emptied or len(bound) != 1:
        return Listed(where.span(call), f"the list grows at {place(where.span(call))}")
    return Listed(
        where.span(call),
        f"{code(name)} grows at {place(where.span(call))} and is made only once, at {place(bound[0])}: no line "
        "empties it under that name, it is never reset and keeps the items of earlier rounds",
    )


def _is_of(node: ast.AST, name: str) -> bool:
    """Whether a call's function is a method of that list, whatever the object that holds it is called there."""
    if not isinstance(node, ast.Attribute):
        return False
    here = dotted(node.value) or ""
    return here == name or "." in name and here.rpartition(".")[2] == name.rpartition(".")[2] and "." in here


def _bindings(files: list[SourceFile], name: str) -> Iterator[Span]:
    last = name.rpartition(".")[2]
    for source in files:
        for node in source.nodes:
            given = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
            targets = [t for target in given for t in (target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target])]
            targets = [t.value if isinstance(t, ast.Subscript) and isinstance(t.slice, ast.Slice) else t for t in targets]  # x[:] = []
            if any(isinstance(t, ast.Attribute) and t.attr == last or dotted(t) == name for t in targets):
                yield source.span(node)
