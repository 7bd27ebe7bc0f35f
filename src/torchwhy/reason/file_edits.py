"""Edits to patterns for files: the ending of a name as the program writes it elsewhere."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ..model import Edit, Fix, Span
from .reading import Cause, Reading
from .source import SourceFile
from .wording import code, place

_ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,5}$")
_CODE = (".py", ".pyc")


def other_endings(run: Reading, cause: Cause | None) -> tuple[Fix, ...]:
    """The pattern that finds no file, with another ending that names of files have in the program; at most two."""
    if cause is None:
        return ()
    searched = [(s, n, t) for s, n, t in _texts(run) if _is_at(s, n, cause) and _ENDING.search(t)]
    fixes: list[Fix] = []
    for source, node, pattern in searched[:1]:
        old = _ENDING.search(pattern)
        for other, at, text in _texts(run):
            ending = _ENDING.search(text)
            if old is None or ending is None or ending[0] in (old[0], *_CODE) or at is node:
                continue
            span = source.span(node)
            new = source.segment(node).replace(old[0], ending[0])
            title = f"look for {code(ending[0])}, as at {place(other.span(at))}"
            if all(fix.title.partition(",")[0] != title.partition(",")[0] for fix in fixes):
                fixes.append(Fix(title, (Edit(span, new),)))
    return tuple(fixes[:2])


def _texts(run: Reading) -> Iterator[tuple[SourceFile, ast.Constant, str]]:
    for source in run.sources.files():
        for node in source.nodes:
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value:
                yield source, node, node.value


def _is_at(source: SourceFile, node: ast.Constant, cause: Cause) -> bool:
    """Whether the text stands in the expression to blame, or in one that it leads to by a name."""
    spans: list[Span] = [cause.span, *(o.span for o in cause.origins)]
    names = {n for span in spans for n in re.findall(r"[A-Za-z_]\w*", source.cut(span.line, span.column, span.end_line, span.end_column))}
    parent = source.parents.get(node)
    target = parent.targets[0] if isinstance(parent, ast.Assign) else None
    if isinstance(target, ast.Name) and target.id in names or isinstance(parent, ast.keyword) and parent.arg in names:
        return True
    if isinstance(parent, ast.Dict):
        key = parent.keys[parent.values.index(node)] if node in parent.values else None
        return isinstance(key, ast.Constant) and key.value in names
    return any(span.file == source.file and node.lineno in span.lines for span in spans)
