"""Small questions about calls and about the defs that they run."""

from __future__ import annotations

import ast

from ..model import Span
from .scopes import dotted
from .source import FUNCTIONS, Function


def called(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else call.func.attr if isinstance(call.func, ast.Attribute) else ""


def is_super(call: ast.Call, method: str) -> bool:
    func = call.func
    return isinstance(func, ast.Attribute) and func.attr == method and isinstance(func.value, ast.Call) and called(func.value) == "super"


def holds(outer: Span, inner: Span) -> bool:
    if outer.file != inner.file or not outer.end_line:
        return False
    return (outer.line, outer.column) <= (inner.line, inner.column) and (inner.end_line, inner.end_column) <= (
        outer.end_line,
        outer.end_column,
    )


def receiver(function: Function) -> str:
    names = [*function.args.posonlyargs, *function.args.args]
    return names[0].arg if names else "self"


def parameters(function: Function | ast.Lambda) -> list[str]:
    args = function.args
    return [a.arg for a in (*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg) if a]


def method(cls: ast.AST, name: str) -> Function | None:
    return next((n for n in getattr(cls, "body", ()) if isinstance(n, FUNCTIONS) and n.name == name), None)


def fields(callee: ast.AST) -> list[str]:
    """The positional parameters of a def without `self`, or the fields of a dataclass or NamedTuple."""
    if isinstance(callee, ast.ClassDef):
        return [n.target.id for n in callee.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
    if not isinstance(callee, FUNCTIONS):
        return []
    names = [a.arg for a in (*callee.args.posonlyargs, *callee.args.args)]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


def default_of(callee: ast.AST, parameter: str) -> ast.AST | None:
    if isinstance(callee, ast.ClassDef):
        fields = [n for n in callee.body if isinstance(n, ast.AnnAssign) and dotted(n.target) == parameter]
        return field_default(fields[0].value) if fields and fields[0].value else None
    if not isinstance(callee, FUNCTIONS):
        return None
    args = callee.args
    positional = [*args.posonlyargs, *args.args]
    pairs = [*zip(reversed(positional), reversed(args.defaults)), *zip(args.kwonlyargs, args.kw_defaults)]
    return next((given for arg, given in pairs if arg.arg == parameter and given), None)


def field_default(node: ast.AST) -> ast.AST:
    """Inside of `field(default=...)`."""
    if isinstance(node, ast.Call) and called(node) == "field":
        return next((k.value for k in node.keywords if k.arg == "default"), node)
    return node


def destination(call: ast.Call) -> str:
    for keyword in call.keywords:
        if keyword.arg == "dest" and isinstance(keyword.value, ast.Constant):
            return str(keyword.value.value)
    names = [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    long = next((n for n in names if n.startswith("--")), names[0] if names else "")
    return long.lstrip("-").replace("-", "_")
