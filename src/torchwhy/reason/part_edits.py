"""Edits for a tensor that was taken apart: its parts put together again, the gradient of the whole cut as the parts were."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from ..model import Fix, Span
from . import edits
from .order import following
from .reading import Reading
from .scopes import dotted
from .source import SourceFile
from .wording import code


def joined_again(run: Reading, cut: Span, asked: str) -> Fix | None:
    """After `x, t = points[:, :1], points[:, 1:]`: `points = torch.cat([x, t], dim=1)`, for an output that is computed from `points` later.

    Where the output was computed before the cut, the gradient is asked of the whole and cut the same way.
    """
    source, statement = run.sources.file(cut.file), run.sources.statement_at(cut.file, cut.line)
    if source is None or not isinstance(statement, ast.Assign):
        return None
    parts = _parts(source, statement)
    whole = parts[0][1] if parts else ""
    if not parts:
        return None
    dims = {_dimension(index) for _, _, index in parts}
    last: ast.stmt = statement
    dim = next(iter(dims))
    if len(parts) == 1:
        for later in following(run.sources, cut):
            more = _parts(source, later) if isinstance(later, ast.Assign) else []
            if len(more) != 1 or more[0][1] != whole:
                break
            parts, last = [*parts, *more], later
            dims.add(_dimension(more[0][2]))
    if dim is None or len(dims) != 1 or any(not isinstance(_at(i, dim), ast.Slice) for _, _, i in parts):
        return _cut_later(run, source, parts[0][1], parts[0][2], asked)
    text = f"{whole} = torch.cat([{', '.join(name for name, _, _ in parts)}], dim={dim})"
    used = any(
        isinstance(n, ast.Name) and n.id == whole.split(".")[0] and n.lineno > (last.end_lineno or 0) for n in _function(source, last)
    )
    covers = _covers([_at(index, dim) for _, _, index in parts])
    if not used or not covers:
        return _cut_later(run, source, parts[0][1], parts[0][2], asked)
    made = edits.insert_after(run.sources, source.file, last.lineno, text)
    return Fix("compute the output from the parts: join them again first", made, "safe") if made else None


def _parts(source: SourceFile, statement: ast.Assign) -> list[tuple[str, str, list[ast.expr]]]:
    """(name, tensor, index) of each part that an assignment takes; empty where it does anything else, or takes them from several."""
    target, value = statement.targets[0], statement.value
    pairs: Sequence[tuple[ast.expr, ast.expr]] = [(target, value)]
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        pairs = list(zip(target.elts, value.elts))
    found: list[tuple[str, str, list[ast.expr]]] = []
    for name, part in pairs:
        whole = dotted(part.value) if isinstance(part, ast.Subscript) else None
        if not isinstance(name, ast.Name) or whole is None or not isinstance(part, ast.Subscript):
            return []
        found.append((name.id, whole, list(part.slice.elts) if isinstance(part.slice, ast.Tuple) else [part.slice]))
    return found if len({whole for _, whole, _ in found}) == 1 else []


def _dimension(index: list[ast.expr]) -> int | None:
    """The one dimension that an index cuts: 1 for `[:, 0:1]`; from the end after `...`."""
    dots = [n for n, i in enumerate(index) if isinstance(i, ast.Constant) and i.value is ...]
    cuts = [n for n, i in enumerate(index) if not _is_all(i) and n not in dots]
    if len(cuts) != 1:
        return None
    return cuts[0] - len(index) if dots and dots[0] < cuts[0] else cuts[0]


def _at(index: list[ast.expr], dim: int) -> ast.expr | None:
    return index[dim] if -len(index) <= dim < len(index) else None


def _is_all(index: ast.expr) -> bool:
    return isinstance(index, ast.Slice) and index.lower is None and index.upper is None


def _covers(slices: Sequence[ast.expr | None]) -> bool:
    """Whether slices follow each other without a gap, from the first to the last: `:1`, `1:2`, `2:`."""
    at: str | None = "0"
    for part in slices:
        if not isinstance(part, ast.Slice) or part.step is not None or at != (ast.unparse(part.lower) if part.lower else "0"):
            return False
        at = ast.unparse(part.upper) if part.upper else None
    return len(slices) > 1


def _function(source: SourceFile, statement: ast.stmt) -> list[ast.AST]:
    around = source.function(statement) or source.tree
    return list(ast.walk(around)) if around is not None else []


def _cut_later(run: Reading, source: SourceFile, whole: str, index: list[ast.expr], asked: str) -> Fix | None:
    """`grad(out, whole)[0][:, 0:1]` for `grad(out, part)[0]`."""
    call, asking = run.sources.call_at(run.raised), run.sources.file(run.raised.file)
    outer = asking.parents.get(call) if asking is not None and call is not None else None
    if asking is not source or call is None or len(call.args) < 2 or dotted(call.args[1]) != asked:
        return None
    if not isinstance(outer, ast.Subscript) or not isinstance(outer.slice, ast.Constant) or outer.slice.value != 0:
        return None
    if source.function(call) is not run.sources.function_at(source.file, call.lineno):
        return None
    text = ", ".join(source.segment(i) or ast.unparse(i) for i in index)
    made = (*edits.replace_text(source.span(call.args[1]), whole), *edits.append_method(run.sources, source.span(outer), f"[{text}]"))
    return Fix(f"ask for the gradient of {code(whole)}, and cut that in the same way", made, "safe")
