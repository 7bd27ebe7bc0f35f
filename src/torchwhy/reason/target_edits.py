"""Edits to what a loop gives its round's values to."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from ..model import Span
from . import edits
from .definitions import free_name
from .source import Sources


def parts_by_key(sources: Sources, targets: Span, keys: Sequence[str]) -> edits.Edits:
    """`for batch in loader:` and `x, y = batch["x"], batch["y"]` in the place of `for x, y in loader:`.

    A name takes the key that it is called like, the others the keys in their order.
    """
    source, node = sources.file(targets.file), sources.node_at(targets)
    loop = source.statement(node) if source is not None and node is not None else None
    if source is None or not isinstance(node, (ast.Tuple, ast.List)) or not isinstance(loop, ast.For):
        return ()
    names = [source.segment(e) for e in node.elts]
    if len(names) > len(keys) or not all(name.isidentifier() for name in names):
        return ()
    left = [key for key in keys if key not in names]
    chosen = [name if name in keys else left.pop(0) for name in names] if len(left) >= sum(n not in keys for n in names) else []
    batch = free_name(sources, targets.file, "batch")
    line = f"{', '.join(names)} = {', '.join(f'{batch}[{key!r}]' for key in chosen)}"
    inserted = edits.insert_before(sources, targets.file, loop.body[0].lineno, line) if chosen else ()
    return (*edits.replace_text(targets, batch), *inserted) if inserted else ()
