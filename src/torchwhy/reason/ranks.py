"""What a program does on some ranks only, read from its source: branches on the rank, and values made from it."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..model import Span
from . import edits
from .reading import Reading
from .source import FUNCTIONS, SourceFile, Sources

_RANK = re.compile(r"rank|is_main|is_master|main_process|master_process|is_chief|get_rank", re.IGNORECASE)
_COLLECTIVE = re.compile(r"(?:^|\.)(?:all_|reduce|broadcast|gather|scatter|send|recv|isend|irecv)")
_SIZED_BY_VALUES = re.compile(r"\b(?:bincount|unique|unique_consecutive|nonzero|masked_select|argwhere|histc?)\(|\[\w+ *(?:[<>]|==|!=)")
_LEAVES = (ast.Return, ast.Continue, ast.Break, ast.Raise)


@dataclass(frozen=True, slots=True)
class Branch:
    """A condition on the rank, and the program's line inside of it (or after it) that the other ranks do not reach."""

    test: str
    condition: Span
    line: Span
    leaves: bool = False
    """The branch leaves the function or loop before the line."""


@dataclass(frozen=True, slots=True)
class Parted:
    """Two ranks that wait in different calls: where the other is, and what made one of them leave a loop that the other is in."""

    rank: int | None
    waits: Span
    left: Span | None = None
    test: str = ""


def parted(run: Reading) -> Parted | None:
    """Where another rank waits, if that is another call, and where their ways parted: from the two tracebacks and the source."""
    mine = [f.span for f in run.failure.user_frames]
    for peer in run.evidence.peers:
        theirs = [f.span for f in peer.user_frames]
        if not mine or not theirs or (mine[-1].file, mine[-1].line) == (theirs[-1].file, theirs[-1].line):
            continue
        found = Parted(peer.rank, theirs[-1])
        for depth, (one, other) in enumerate(zip(mine, theirs)):
            if (one.file, one.function) != (other.file, other.function):
                return found
            if one.line != other.line:
                left = _left(run, mine[depth:], theirs[depth:]) or _left(run, theirs[depth:], mine[depth:])
                return Parted(peer.rank, theirs[-1], *left) if left is not None else found
        return found
    return None


def way_out(run: Reading) -> tuple[str, Span] | None:
    """The one condition under which a loop around the failing calls is left: its text and place."""
    left = _left(run, [f.span for f in run.failure.user_frames], ())
    return (left[1], left[0]) if left is not None else None


def _left(run: Reading, inside: Sequence[Span], outside: Sequence[Span]) -> tuple[Span, str] | None:
    """The one condition under which a loop is left, of those that the calls of one rank are in and those of the other, from one function on, are not."""
    for number, span in enumerate(inside):
        source = run.sources.file(span.file)
        statement = run.sources.statement_at(span.file, span.line)
        for loop in source.ancestors(statement) if source is not None and statement is not None else ():
            if source is None or not isinstance(loop, (ast.For, ast.While)):
                continue
            if number == 0 and outside and loop.lineno <= outside[0].line <= (loop.end_lineno or 0):
                continue
            leaves = [n for n in ast.walk(loop) if isinstance(n, ast.If) and isinstance(n.body[-1], (ast.Break, ast.Return))]
            if len(leaves) == 1:
                return source.span(leaves[0].test), source.segment(leaves[0].test)
    return None


def rank_branch(run: Reading) -> Branch | None:
    """The nearest branch on the rank around the failing line, or around one of the calls that led to it."""
    for span in run.calls:
        source = run.sources.file(span.file)
        statement = run.sources.statement_at(span.file, span.line) if source is not None else None
        if source is None or statement is None:
            continue
        found = _around(source, statement, span) or _before(source, statement, span)
        if found is not None:
            return found
    return None


def rank_value(run: Reading, at: Span | None = None) -> tuple[str, Span] | None:
    """An assignment from the rank to something that the failing call (or the call at a place) is given: its text and place."""
    at = at or run.raised
    source = run.sources.file(at.file)
    statement = run.sources.statement_at(at.file, at.line) if source is not None else None
    if source is None or statement is None:
        return None
    used = {n.id for n in ast.walk(statement) if isinstance(n, ast.Name)}
    found = _made_from_rank(source, statement, used)
    return found or ((source.segment(statement), source.span(statement)) if _sized_by_rank(statement) else None)


def made_at(run: Reading, at: Span) -> tuple[str, Span] | None:
    """The nearest assignment above a call, in its function, to the first thing that the call is given: its text and place."""
    source = run.sources.file(at.file)
    statement = run.sources.statement_at(at.file, at.line) if source is not None else None
    if source is None or statement is None:
        return None
    calls = (n for n in ast.walk(statement) if isinstance(n, ast.Call) and n.args and _COLLECTIVE.search(ast.unparse(n.func)))
    given = [a.id for call in calls for a in call.args[:1] if isinstance(a, ast.Name)]
    function: ast.AST = source.function(statement) or source.tree or statement
    made = [
        node
        for node in ast.walk(function)
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None and node.lineno < statement.lineno
        if any(isinstance(t, ast.Name) and t.id in given for t in (node.targets if isinstance(node, ast.Assign) else [node.target]))
    ]
    last = max(made, key=lambda node: node.lineno, default=None)
    return (source.segment(last), source.span(last)) if last is not None else None


def size_of_data(text: str) -> bool:
    """Whether what the text makes has a size that its values decide."""
    return bool(_SIZED_BY_VALUES.search(text))


def rank_loop(run: Reading) -> tuple[str, Span] | None:
    """What a loop around one of the failing calls runs over, where the rank decides how much that is: its text and place."""
    for span in run.calls:
        source = run.sources.file(span.file)
        statement = run.sources.statement_at(span.file, span.line) if source is not None else None
        for outer in source.ancestors(statement) if source is not None and statement is not None else ():
            if isinstance(outer, ast.For) and source is not None:
                if _sized_by_rank(ast.Expr(outer.iter)):
                    return source.segment(outer.iter), source.span(outer.iter)
                used = {n.id for n in ast.walk(outer.iter) if isinstance(n, ast.Name)}
                if (found := _made_from_rank(source, outer, used)) is not None:
                    return found
    return None


def set_up_condition(sources: Sources) -> tuple[str, Span] | None:
    """The condition under which the program's only `init_process_group` is called, unless that asks whether it was already."""
    found = []
    for source in sources.files():
        for node in source.nodes:
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("init_process_group"):
                tests = [o.test for o in source.ancestors(node) if isinstance(o, ast.If) and "__name__" not in ast.unparse(o.test)]
                found.append((source, tests[0] if tests else None))
    if len(found) != 1 or (test := found[0][1]) is None or "is_initialized" in ast.unparse(test):
        return None
    return found[0][0].segment(test), found[0][0].span(test)


def collective_calls(sources: Sources) -> list[Span]:
    """The calls of collectives in the program."""
    names = re.compile(r"(?:dist|distributed|c10d)\.(?:all_|reduce|broadcast|gather|scatter|send|recv|isend|irecv)")
    return [
        source.span(node)
        for source in sources.files()
        for node in source.nodes
        if isinstance(node, ast.Call) and names.search(ast.unparse(node.func))
    ]


def _made_from_rank(source: SourceFile, statement: ast.stmt, used: set[str]) -> tuple[str, Span] | None:
    """The assignment above the statement that makes one of these names from the rank: by its value, or under a branch on the rank."""
    function = source.function(statement)
    for node in ast.walk(function) if function is not None else ():
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None and node.lineno < statement.lineno:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
            branches = (o for o in source.ancestors(node) if isinstance(o, ast.If) and o.orelse)
            if names & used and (_sized_by_rank(node.value) or any(_speaks_of_rank(o.test) for o in branches)):
                return source.segment(node), source.span(node)
    return None


def _sized_by_rank(node: ast.AST) -> bool:
    """Whether the rank is an argument of a call or part of an index: where sizes come from (`x * rank` has the size of `x`)."""
    inside = [a for n in ast.walk(node) if isinstance(n, ast.Call) for a in n.args]
    inside += [n.slice for n in ast.walk(node) if isinstance(n, ast.Subscript)]
    return any(_speaks_of_rank(a) for a in inside)


def _around(source: SourceFile, statement: ast.stmt, span: Span) -> Branch | None:
    node: ast.AST = statement
    for outer in source.ancestors(statement):
        if isinstance(outer, FUNCTIONS):
            return None
        if isinstance(outer, ast.If) and _speaks_of_rank(outer.test):
            otherwise = any(node is child or node in ast.walk(child) for child in outer.orelse)
            test = source.segment(outer.test)
            return Branch(f"not ({test})" if otherwise else test, source.span(outer.test), span)
        node = outer
    return None


def _before(source: SourceFile, statement: ast.stmt, span: Span) -> Branch | None:
    """`if rank != 0: return` above the line, in the same function."""
    function = source.function(statement)
    for node in ast.walk(function) if function is not None else ():
        if isinstance(node, ast.If) and node.lineno < span.line and _speaks_of_rank(node.test) and isinstance(node.body[-1], _LEAVES):
            return Branch(source.segment(node.test), source.span(node.test), span, leaves=True)
    return None


def _speaks_of_rank(node: ast.AST) -> bool:
    names = [n.id if isinstance(n, ast.Name) else n.attr for n in ast.walk(node) if isinstance(n, (ast.Name, ast.Attribute))]
    return any(_RANK.search(name) for name in names)


def behind_branch(sources: Sources, branch: Branch) -> edits.Edits:
    """The call's statement taken out of the branch and put behind it."""
    statement = sources.statement_at(branch.line.file, branch.line.line)
    text = sources.segment(sources.span_of(branch.line.file, statement)) if isinstance(statement, ast.Expr) else ""
    if not text or "\n" in text or statement is None:
        return ()
    removed = edits.delete_statement(sources, sources.span_of(branch.line.file, statement))
    return (*removed, *edits.insert_after(sources, branch.condition.file, branch.condition.line, text))
