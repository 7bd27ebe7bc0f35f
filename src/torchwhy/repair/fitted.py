"""Guesses from what stands around a conflict: what another call of the same function passes, a key's value in a dict beside, operands fitted."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from ..model import Diagnosis, Failure, Fix, Operand, TensorFacts, tensors_in
from ..reason import edits
from ..reason.siblings import given_elsewhere, given_only_here
from ..reason.source import SourceFile, Sources
from ..reason.wording import code
from .writing import is_outside

_MOST_CALLS = 12


def fitted(diagnosis: Diagnosis, failure: Failure, sources: Sources) -> Iterator[Fix]:
    """At most a few, best first."""
    calls = list(_calls(diagnosis, failure, sources))[:_MOST_CALLS]
    for source, call in calls:
        yield from given_elsewhere(sources, source.span(call))
    for source, call in calls:
        yield from given_only_here(sources, source.span(call))
    yield from _as_often(failure, sources)
    yield from _beside(sources)
    own = [(s, n) for s in sources.files() if not is_outside(s.file) for n in s.nodes if isinstance(n, ast.Call)]
    for source, call in own:
        if (source, call) not in calls:
            yield from given_only_here(sources, source.span(call))


def _calls(diagnosis: Diagnosis, failure: Failure, sources: Sources) -> Iterator[tuple[SourceFile, ast.Call]]:
    """The calls on the lines of the diagnosis and of the failing frames, of functions and classes of the program."""
    own = {n.name for s in sources.files() if not is_outside(s.file) for n in s.nodes if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    seen: set[ast.AST] = set()
    for span in _spans(diagnosis, failure):
        source = sources.file(span[0])
        for node in source.nodes if source is not None and not is_outside(span[0]) else ():
            if isinstance(node, ast.Call) and node.lineno <= span[1] <= (node.end_lineno or 0) and node not in seen and source is not None:
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if name in own:
                    seen.add(node)
                    yield source, node


def _spans(diagnosis: Diagnosis, failure: Failure) -> list[tuple[str, int]]:
    spans = [diagnosis.cause.span, *(f.span for f in failure.user_frames), *(label.span for label in diagnosis.trail)]
    return list(dict.fromkeys((s.file, s.line) for s in spans))


def _as_often(failure: Failure, sources: Sources) -> Iterator[Fix]:
    """Labels for several views: one operand has k times the rows of the other; or one was cut by its last step, the other by none."""
    operands = [o for o in failure.operands if isinstance(o.value, TensorFacts) and o.value.shape and o.span is not None]
    if len(operands) != 2:
        return
    for few, many in (operands, operands[::-1]):
        rows, wanted = _shape(few)[0], _shape(many)[0]
        if rows and wanted % rows == 0 and 2 <= wanted // rows <= 16 and few.span is not None:
            times = ", ".join([str(wanted // rows), *["1"] * (len(_shape(few)) - 1)])
            for method in (f".repeat({times})", f".repeat_interleave({wanted // rows}, dim=0)"):
                made = edits.append_method(sources, few.span, method)
                yield Fix(f"repeat the rows of {code(few.expression)}, {wanted // rows} for one: `{method}`", made)
        for cut, whole in ((few, many),):
            yield from _shifted(cut, whole, sources)


def _shifted(cut: Operand, whole: Operand, sources: Sources) -> Iterator[Fix]:
    """`labels[:, 1:]` where the other side was cut to `logits[:, :-1]`: a reshape behind it stays."""
    source = sources.file(whole.span.file) if whole.span is not None else None
    node = sources.node_at(whole.span) if whole.span is not None else None
    missing = _shape(whole)[0] - _shape(cut)[0]
    if source is None or not isinstance(node, ast.expr) or missing <= 0 or _shape(whole)[0] % missing:
        return
    inner: ast.expr = node
    while isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute) and inner.func.attr in ("reshape", "view", "flatten"):
        inner = inner.func.value
    if inner is node:
        return
    for index in ("[:, 1:]", "[:, :-1]", "[1:]"):
        made = edits.append_method(sources, source.span(inner), index)
        if made and isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "view":
            continue  # a slice is not contiguous
        yield Fix(f"take {code(source.segment(inner) + index)}, as many as the other side has", made)


def _beside(sources: Sources) -> Iterator[Fix]:
    """The value that the same key has in the dict beside: `{"train": {"seconds": 0.5}, "valid": {"seconds": 0.75}}`."""
    for source in sources.files():
        for node in source.nodes if not is_outside(source.file) else ():
            if not isinstance(node, ast.Dict):
                continue
            inner = [v for v in node.values if isinstance(v, ast.Dict)]
            for one in inner:
                for key, value in zip(one.keys, one.values):
                    yield from _other_value(source, one, key, value, inner)


def _other_value(source: SourceFile, one: ast.Dict, key: ast.expr | None, value: ast.expr, all_: Sequence[ast.Dict]) -> Iterator[Fix]:
    if not isinstance(key, ast.Constant) or not isinstance(value, ast.Constant):
        return
    others = [
        v.value
        for d in all_
        if d is not one
        for k, v in zip(d.keys, d.values)
        if isinstance(k, ast.Constant) and k.value == key.value and isinstance(v, ast.Constant)
    ]
    for other in dict.fromkeys(others):
        if isinstance(other, (int, float)) and type(other) is type(value.value) and other != value.value:
            span = source.span(value)
            yield Fix(
                f"set {code(str(key.value))} to {other} at {source.file}:{value.lineno}, as beside it",
                edits.replace_text(span, repr(other)),
            )


def _shape(operand: Operand) -> tuple[int, ...]:
    return next(iter(tensors_in(operand.value))).shape or (0,)
