"""Edits that end the second use of a graph: a state detached, a computation moved into the loop."""

from __future__ import annotations

import ast

from . import edits
from .reading import Reading
from .reuse import Reuse
from .scopes import dotted


def detached(run: Reading, found: Reuse) -> edits.Edits:
    """The state cut off once its step is over: after the backward where it is known there, else where it is stored or used."""
    cut = f"tuple(part.detach() for part in {found.name})" if found.in_tuple else f"{found.name}.detach()"
    statement = run.sources.statement_at(found.cause.file, found.cause.line)
    if statement is None or not found.name:
        return ()
    if _same_function(run, found):
        return edits.insert_after(run.sources, run.raised.file, run.raised.line, f"{found.name} = {cut}")
    value = getattr(statement, "value", None)
    stored = _target(statement, found.name)
    if isinstance(statement, ast.Assign) and statement.targets[0] is stored and not found.in_tuple and value is not None:
        return edits.append_method(run.sources, run.sources.span_of(found.cause.file, value), ".detach()")
    if stored is not None and not _read_after(run, found, stored):
        kept = cut.replace(found.name, dotted(stored) or found.name)
        return edits.insert_after(run.sources, found.cause.file, found.cause.line, f"{dotted(stored)} = {kept}")
    user = found.meeting.user if found.meeting is not None else None
    return (
        edits.insert_before(run.sources, user.span.file, user.span.line, f"{found.name} = {cut}")
        if user is not None and user.span is not None
        else ()
    )


def _target(statement: ast.stmt, name: str) -> ast.expr | None:
    """The target of an assignment that is stored under this name (`memory.state` is `self.state` where it is stored)."""
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    parts = [part for t in targets for part in (t.elts if isinstance(t, ast.Tuple) else [t])]
    wanted = name.rpartition(".")
    alike = [p for p in parts if (dotted(p) or "").rpartition(".")[2] == wanted[2] and bool(wanted[0]) is isinstance(p, ast.Attribute)]
    return alike[0] if len(alike) == 1 else None


def _read_after(run: Reading, found: Reuse, stored: ast.expr) -> bool:
    """Whether the function goes on with the stored value in the same step: cut there, that part would get no gradient."""
    function, name = run.sources.function_at(found.cause.file, found.cause.line), dotted(stored)
    later = ast.walk(function) if function is not None else ()
    return any(
        isinstance(n, (ast.Name, ast.Attribute)) and isinstance(n.ctx, ast.Load) and dotted(n) == name and n.lineno > stored.lineno
        for n in later
    )


def _same_function(run: Reading, found: Reuse) -> bool:
    """Whether the backward that failed is called in the function that holds the state's name."""
    return run.sources.function_at(run.raised.file, run.raised.line) is run.sources.function_at(found.cause.file, found.cause.line) and (
        run.raised.file == found.cause.file
    )


def moved(run: Reading, found: Reuse) -> edits.Edits:
    """The one statement before the loop, moved to the top of the loop's body; nothing where more than one would have to move.

    What an `__init__` computed once is computed again where it is used."""
    if found.cause.function.rpartition(".")[2] == "__init__":
        return _again(run, found)
    loop, source = found.loop, run.sources.file(found.cause.file)
    statement = run.sources.statement_at(found.cause.file, found.cause.line)
    if loop is None or source is None or statement is None or loop.statement.file != found.cause.file:
        return ()
    header = run.sources.statement_at(loop.statement.file, loop.statement.line)
    first = next(iter(getattr(header, "body", ())), None)
    if first is None or not isinstance(statement, ast.Assign) or source.function(statement) is not source.function(header or statement):
        return ()
    function = found.cause.function
    others = {
        span.line
        for op in run.evidence.ops
        for span in op.where
        if op.index < found.before.index
        and (span.file, span.function) == (found.cause.file, function)
        and any(t.grad_fn for t in op.outputs)
    }
    if any(line < loop.statement.line for line in others - set(range(statement.lineno, (statement.end_lineno or 0) + 1))):
        return ()
    text = source.segment(statement)
    if "\n" in text:
        return ()
    return (
        *edits.delete_statement(run.sources, source.span(statement)),
        *edits.insert_before(run.sources, source.file, first.lineno, text),
    )


def _again(run: Reading, found: Reuse) -> edits.Edits:
    user = found.meeting.user.span if found.meeting is not None and found.meeting.user is not None else None
    statement = run.sources.statement_at(found.cause.file, found.cause.line)
    if user is None or user.file != found.cause.file or not isinstance(statement, ast.Assign) or dotted(statement.targets[0]) != found.name:
        return ()
    function = run.sources.function_at(found.cause.file, found.cause.line)
    own = {a.arg for a in function.args.args[1:]} if function is not None else set()
    if own & {n.id for n in ast.walk(statement.value) if isinstance(n, ast.Name)}:
        return ()  # it needs what only the constructor was given
    text = run.sources.segment(run.sources.span_of(found.cause.file, statement))
    return edits.insert_before(run.sources, user.file, user.line, text) if "\n" not in text else ()
