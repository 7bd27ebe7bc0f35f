"""What the program's other calls of the same function pass and this one does not."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator

from ..model import Fix, Span
from . import edits
from .scopes import bindings
from .signatures import called, parameters
from .source import FUNCTIONS, SourceFile, Sources
from .wording import code, place


def given_elsewhere(sources: Sources, call: Span, only: str = "") -> Iterator[Fix]:
    """A fix for each keyword that another call of the same name gives and that the call at the span leaves out (`only`: this keyword)."""
    source, mine = sources.file(call.file), sources.call_at(call)
    if source is None or mine is None or any(k.arg is None for k in mine.keywords) or any(isinstance(a, ast.Starred) for a in mine.args):
        return
    own, seen = {k.arg for k in mine.keywords}, set[tuple[str, str]]()
    for other, node in _alike(sources, mine):
        for keyword in node.keywords:
            name, text = keyword.arg, other.segment(keyword.value)
            if not name or name in own or only and name != only or (name, text) in seen or len(node.args) != len(mine.args):
                continue
            if is_known(source, mine, keyword.value):
                seen.add((name, text))
                made = edits.set_keyword(sources, source.span(mine), name, text)
                yield Fix(f"pass {code(f'{name}={text}')} here too, as {place(other.span(node))} does", made)


def given_only_here(sources: Sources, call: Span) -> Iterator[Fix]:
    """A fix for each keyword that the call gives and no other call of the same name does."""
    source, mine = sources.file(call.file), sources.call_at(call)
    others = list(_alike(sources, mine)) if mine is not None else []
    if source is None or mine is None or not others:
        return
    known = {k.arg for _, node in others for k in node.keywords}
    for keyword in mine.keywords:
        if keyword.arg and keyword.arg not in known and isinstance(keyword.value, ast.Constant):
            made = edits.remove_keyword(sources, source.span(mine), keyword.arg)
            text = f"{keyword.arg}={source.segment(keyword.value)}"
            yield Fix(f"leave out {code(text)}, as {place(others[0][0].span(others[0][1]))} does", made)


def _alike(sources: Sources, mine: ast.Call) -> Iterator[tuple[SourceFile, ast.Call]]:
    name = called(mine)
    for source in sources.files() if name else ():
        for node in source.nodes:
            if isinstance(node, ast.Call) and node is not mine and called(node) == name:
                yield source, node


def is_known(source: SourceFile, at: ast.AST, value: ast.AST) -> bool:
    """Whether all names of an expression have a value at another place: there, at the top of that file, or built in."""
    inner = {n.id for n in ast.walk(value) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    inner |= {name for n in ast.walk(value) if isinstance(n, ast.Lambda) for name in parameters(n)}
    wanted = {n.id for n in ast.walk(value) if isinstance(n, ast.Name)} - inner
    function = source.function(at)
    known = {b.name for b in bindings(source).get(source.tree, ())} if source.tree is not None else set()
    if isinstance(function, FUNCTIONS):
        known |= {b.name for b in bindings(source).get(function, ())} | set(parameters(function))
    return all(name in known or hasattr(builtins, name) for name in wanted)
