"""Edits to what an optimizer or a scheduler is built with: groups without repetition, one more step."""

from __future__ import annotations

import ast

from ..model import Span
from . import edits
from .reading import Reading
from .scopes import dotted
from .source import SourceFile


def taken_once(run: Reading) -> edits.Edits:
    """The failing call's groups without the parameters that another group has already."""
    source, call = run.sources.file(run.raised.file), run.sources.call_at(run.raised)
    if source is None or call is None or not call.args:
        return ()
    if isinstance(call.func, ast.Attribute) and call.func.attr == "add_param_group":
        return _new_only(source, call, call.func)
    return _made_distinct(run, source, call)


def _new_only(source: SourceFile, call: ast.Call, method: ast.Attribute) -> edits.Edits:
    """`{"params": [p for p in … if …]}` in `optimizer.add_param_group(…)`: those that no group of the optimizer has."""
    group, optimizer = call.args[0], dotted(method.value)
    keys = group.keys if isinstance(group, ast.Dict) else []
    at = next((i for i, k in enumerate(keys) if isinstance(k, ast.Constant) and k.value == "params"), None)
    if at is None or optimizer is None or not isinstance(group, ast.Dict):
        return ()
    value = group.values[at]
    known = f'any(p is q for g in {optimizer}.param_groups for q in g["params"])'
    return edits.set_value_at(source, value, f"[p for p in {source.segment(value)} if not {known}]")


def _made_distinct(run: Reading, source: SourceFile, call: ast.Call) -> edits.Edits:
    """A loop before the optimizer is built that leaves out of each group what an earlier one has."""
    given = call.args[0]
    name = given.id if isinstance(given, ast.Name) else "groups"
    rows = [] if isinstance(given, ast.Name) else [f"{name} = {source.segment(given)}"]
    rows += [
        "taken = set()",
        f"for group in {name}:",
        '    group["params"] = [p for p in group["params"] if p not in taken]',
        '    taken.update(group["params"])',
    ]
    if "\n" in rows[0]:
        return ()
    inserted = edits.insert_before(run.sources, source.file, call.lineno, "\n".join(rows))
    return (*inserted, *edits.set_value_at(source, given, name)) if inserted else ()


def more_steps(run: Reading, written: Span) -> edits.Edits:
    """The number of steps rounded up where it was rounded down (`-(-n // size)`), else one more."""
    source, node = run.sources.file(written.file), run.sources.node_at(written)
    if source is None or not isinstance(node, ast.expr):
        return ()
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.FloorDiv):
        left = source.segment(node.left)
        grouped = left if isinstance(node.left, edits.ATOMS) else f"({left})"
        return edits.set_value_at(source, node, f"-(-{grouped} // {source.segment(node.right)})")
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return edits.set_value_at(source, node, str(node.value + 1))
    text = source.segment(node)
    return edits.set_value_at(source, node, f"{text} + 1") if isinstance(node, edits.ATOMS) else ()
