"""Constants written in the text, and arithmetic on them."""

from __future__ import annotations

import ast
from typing import Any

from .source import UNREADABLE

Constant = Any
"""int, float, str, bool, tuple, list or dict of such; None where it is not known."""

UNKNOWN: Any = object()


def literal(node: ast.AST) -> Constant:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, (ast.UnaryOp, ast.Tuple, ast.List, ast.Dict, ast.Set)):
        try:
            return ast.literal_eval(node)
        except UNREADABLE:
            return UNKNOWN
    if isinstance(node, ast.BinOp):
        left = literal(node.left) if not isinstance(node.left, ast.BinOp) or _depth(node) < 60 else UNKNOWN
        return UNKNOWN if left is UNKNOWN else compute(node.op, left, literal(node.right))
    return UNKNOWN


def _depth(node: ast.AST) -> int:
    depth = 0
    while isinstance(node, ast.BinOp) and depth < 100:
        node, depth = node.left, depth + 1
    return depth


def compute(op: ast.operator, left: Constant, right: Constant) -> Constant:
    if not all(isinstance(side, (int, float)) for side in (left, right)):
        if (
            isinstance(op, ast.Add)
            and type(left) is type(right)
            and isinstance(left, (str, tuple, list))
            and len(left) + len(right) < 10_000
        ):
            return left + right
        return UNKNOWN
    try:
        if isinstance(op, ast.Pow):
            return left**right if abs(left) < 10_000 and abs(right) <= 64 else UNKNOWN
        if abs(left) > 1e30 or abs(right) > 1e30:
            return UNKNOWN
        if isinstance(op, ast.Add):
            return left + right
        if isinstance(op, ast.Sub):
            return left - right
        if isinstance(op, ast.Mult):
            return left * right
        if isinstance(op, ast.Div):
            return left / right
        if isinstance(op, ast.FloorDiv):
            return left // right
        return left % right if isinstance(op, ast.Mod) else UNKNOWN
    except (ArithmeticError, TypeError):
        return UNKNOWN


def same(left: Constant, right: Constant) -> bool:
    return isinstance(left, bool) == isinstance(right, bool) and bool(left is not UNKNOWN and left == right)
