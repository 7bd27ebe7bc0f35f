"""Where a list got its items: the `append` (or `extend`, `+=`, comprehension) behind a name."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..model import Span
from .scopes import dotted, producer_of
from .source import Expression, SourceFile, Sources

_ADDING = ("append", "extend", "add", "insert", "appendleft")


def collected(sources: Sources, name: str, near: Span) -> Expression | None:
    """The expression that is put into the list `name` (`losses`, `self.values`): in the same file, where exactly one is.

    An attribute of an object (`meter.values`) is looked for as `self.values` too.
    """
    source = sources.file(near.file)
    if source is None or not name:
        return None
    found = list(added(source, name))
    if not found and (made := producer_of(sources, name, near.file, near.line)) is not None:
        statement = sources.statement_at(made.file, made.line)
        value = getattr(statement, "value", None)
        found = [value.elt] if isinstance(value, (ast.ListComp, ast.GeneratorExp)) else []
    texts = {source.segment(node) for node in found}
    return source.expression(found[-1]) if len(texts) == 1 else None


def added(source: SourceFile, name: str) -> Iterator[ast.expr]:
    """Every expression that is put into the list `name` in a file."""
    names = {name, f"self.{name.rpartition('.')[2]}"} if "." in name else {name}
    for node in source.nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _ADDING and node.args:
            if dotted(node.func.value) in names:
                yield node.args[-1]
        elif (
            isinstance(node, ast.AugAssign)
            and isinstance(node.op, ast.Add)
            and dotted(node.target) in names
            and isinstance(node.value, ast.List)
        ):
            yield from node.value.elts[:1]
