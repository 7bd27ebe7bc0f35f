"""Statements put in another order: which of them stand in one block, and the edits that move them."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from ..model import Edit, Span
from .source import SourceFile, Sources, first_line

Edits = tuple[Edit, ...]


def in_one_block(sources: Sources, one: Span, other: Span) -> tuple[ast.stmt, ast.stmt] | None:
    """The statements of the innermost common block that hold two places, in that order; None where there are no two in one function."""
    source = sources.file(one.file)
    if source is None or one.file != other.file:
        return None
    ways = [_outward(source, sources.statement_at(one.file, span.line)) for span in (one, other)]
    for first in ways[0]:
        for second in ways[1]:
            if first is not second and (block := _block(source, first)) is not None and second in block:
                return first, second
    return None


def _outward(source: SourceFile, statement: ast.stmt | None) -> list[ast.stmt]:
    """The statement and those around it, within its function."""
    found: list[ast.stmt] = []
    for node in (statement, *source.ancestors(statement)) if statement is not None else ():
        if isinstance(node, ast.stmt):
            if found and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                break
            found.append(node)
    return found


def _block(source: SourceFile, statement: ast.stmt) -> list[ast.stmt] | None:
    parent = source.parents.get(statement)
    blocks = (getattr(parent, name, None) for name in ("body", "orelse", "finalbody"))
    return next((block for block in blocks if isinstance(block, list) and statement in block), None)


def following(sources: Sources, span: Span) -> tuple[ast.stmt, ...]:
    """The statements after the one at a span, in its block."""
    source, statement = sources.file(span.file), sources.statement_at(span.file, span.line)
    block = _block(source, statement) if source is not None and statement is not None else None
    return tuple(block[block.index(statement) + 1 :]) if block and statement is not None else ()


def moved_after(sources: Sources, file: str, statements: Iterable[ast.stmt], anchor: ast.stmt) -> Edits:
    """Whole statements taken out of their lines and put behind another one of the same block."""
    source = sources.file(file)
    chosen = sorted(statements, key=lambda s: s.lineno)
    if source is None or not chosen or any(not _alone(source, s) for s in (*chosen, anchor)) or not _may_pass(source, chosen, anchor):
        return ()
    edits, text = [], ""
    for statement in chosen:
        first, last = first_line(statement), statement.end_lineno or statement.lineno
        lines = "".join(source.lines[first - 1 : last])
        text += lines if lines.endswith("\n") else lines + "\n"
        edits.append(Edit(Span(file, first, 0, last, len(source.lines[last - 1])), ""))
    end = anchor.end_lineno or anchor.lineno
    if not source.lines[end - 1].endswith("\n"):
        return (*edits, Edit(Span(file, end, len(source.lines[end - 1]), end, len(source.lines[end - 1])), "\n" + text))
    return (*edits, Edit(Span(file, end + 1, 0, end + 1, 0), text))


def _may_pass(source: SourceFile, chosen: list[ast.stmt], anchor: ast.stmt) -> bool:
    """Whether nothing between the statements and the anchor reads a variable that they give its value, or gives one that they read another."""
    block = _block(source, anchor) or []
    between = [s for s in block if chosen[0].lineno <= s.lineno <= anchor.lineno and s not in chosen]
    reads, gives = (_names(chosen, kind) for kind in (ast.Load, ast.Store))
    return not (gives & _names(between, ast.Load) or (reads | gives) & _names(between, ast.Store))


def _names(statements: Iterable[ast.stmt], kind: type[ast.expr_context]) -> set[str]:
    return {n.id for s in statements for n in ast.walk(s) if isinstance(n, ast.Name) and isinstance(n.ctx, kind)}


def _alone(source: SourceFile, statement: ast.stmt) -> bool:
    """Whether the statement shares its lines with no other."""
    first, last = first_line(statement), statement.end_lineno or statement.lineno
    before, after = source.lines[first - 1][: source.position(statement)[1]], source.lines[last - 1][source.position(statement)[3] :]
    return not before.strip() and (not after.strip() or after.lstrip().startswith("#"))
