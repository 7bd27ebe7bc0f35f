"""Edits that put a smooth value in the place of a choice, so that gradients pass."""

from __future__ import annotations

import ast

from ..model import OpRecord, TensorFacts
from . import edits
from .reading import Reading
from .signatures import called
from .source import SourceFile
from .wording import grouped

_CASTS = ("float", "double", "half", "to", "type", "type_as", "long", "int", "bfloat16", "permute", "movedim", "transpose", "contiguous")
_OVER = (ast.Gt, ast.GtE)
_SQUASHED = ("sigmoid", "softmax")


def in_place_of_choice(run: Reading, op: OpRecord, before: TensorFacts) -> edits.Edits:
    """`x.softmax(dim)` for `one_hot(x.argmax(dim))`, the second column of it for `x.argmax(dim)` of two classes."""
    source, node = (run.sources.file(op.span.file), run.sources.call_at(op.span)) if op.span is not None else (None, None)
    if source is None or node is None or not isinstance(node.func, ast.Attribute):
        return ()
    of_torch = isinstance(node.func.value, ast.Name) and node.func.value.id == "torch"
    values = node.args[1:] if of_torch else node.args
    if of_torch and not node.args:
        return ()
    scores = source.segment(node.args[0] if of_torch else node.func.value)
    dim = next((k.value for k in node.keywords if k.arg in ("dim", "axis")), values[0] if values else None)
    if not isinstance(dim, (ast.Constant, ast.UnaryOp)):
        return ()
    text = f"{grouped(scores)}.softmax(dim={source.segment(dim)})"
    outer = source.parents.get(node)
    if isinstance(outer, ast.Call) and called(outer) == "one_hot" and node in outer.args:
        return edits.replace_text(source.span(_with_casts(source, outer)), text)
    at = int(source.segment(dim)) if source.segment(dim).lstrip("-").isdigit() else None
    if at is None or before.shape is None or not -before.rank <= at < before.rank or before.shape[at] != 2:
        return ()
    index = ", ".join([":"] * (at % before.rank) + ["1"])
    return edits.replace_text(source.span(_with_casts(source, node)), f"{text}[{index}]")


def in_place_of_comparison(run: Reading, op: OpRecord, before: TensorFacts) -> edits.Edits:
    """`x` for `(x > 0.5).float()` where it is a probability, the sigmoid of the difference else."""
    source, node = (run.sources.file(op.span.file), run.sources.node_at(op.span)) if op.span is not None else (None, None)
    if source is None or not isinstance(node, ast.Compare) or len(node.ops) != 1:
        return ()
    left, right = source.segment(node.left), source.segment(node.comparators[0])
    over = isinstance(node.ops[0], _OVER)
    if (before.grad_fn or "").lower().startswith(_SQUASHED):
        text = left if over else f"(1 - {grouped(left)})"
    else:
        first, second = (left, right) if over else (right, left)
        text = f"torch.sigmoid({first} - {grouped(second)})"
    return edits.replace_text(source.span(_with_casts(source, node)), text)


def _with_casts(source: SourceFile, node: ast.expr) -> ast.expr:
    """The expression with the conversions behind it: `(x > 0.5).float()`."""
    while True:
        method = source.parents.get(node)
        call = source.parents.get(method) if isinstance(method, ast.Attribute) and method.attr in _CASTS else None
        if not isinstance(call, ast.Call) or call.func is not method:
            return node
        node = call


def twice_differentiable(run: Reading, op: OpRecord | None, plain: str) -> tuple[tuple[str, edits.Edits], ...]:
    """`cdist` in a way that can be differentiated twice: (title, edits), best first."""
    call = run.sources.call_at(op.span) if op is not None and op.span is not None else None
    if plain != "cdist" or op is None or op.span is None or call is None or len(call.args) < 2:
        return ()
    a, b = (grouped(run.sources.segment(run.sources.span_of(op.span.file, n))) for n in call.args[:2])
    formula = f"({a}.unsqueeze(-2) - {b}.unsqueeze(-3)).pow(2).sum(-1).add(1e-12).sqrt()"
    whole = run.sources.span_of(op.span.file, call)
    return (("write the distance out: `(a[:, None] - b).pow(2).sum(-1).sqrt()`", edits.replace_text(whole, formula)),)
