"""Which `.grad` a failing line found to be None, and of which tensor."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from ..model import Argument, Frame, Plain, Span, TensorFacts
from .reading import Reading
from .scopes import dotted


@dataclass(frozen=True, slots=True)
class Asked:
    """`name` is what stands in front of `.grad`; `tensor` is None where it could not be told which one that is."""

    name: str
    span: Span
    tensor: TensorFacts | None


def asked_for(run: Reading) -> Asked | None:
    """The `.grad` that is None at the failing line, read there or put into a variable before; None where the line's None is another."""
    frame = run.frame
    statement = run.sources.statement_at(run.raised.file, run.raised.line)
    if frame is None or statement is None:
        return None
    node = run.sources.node_at(run.raised) or statement
    found = list(_grads(node)) or (list(_grads(statement)) if not isinstance(statement, (ast.For, ast.With, ast.If, ast.While)) else [])
    for grad in found:
        name = dotted(grad.value) or run.sources.segment(run.sources.span_of(run.raised.file, grad.value))
        return Asked(name, run.sources.span_of(run.raised.file, grad), _tensor(run, frame, name))
    for name, span in _nones(run, frame, node):
        for origin in reversed(run.expression_origins(span, run.calls).origins):
            there = run.sources.node_at(origin.span)
            for grad in _grads(there) if there is not None else ():
                name = dotted(grad.value) or run.sources.segment(run.sources.span_of(origin.span.file, grad.value))
                holder = next((f for f in reversed(run.failure.user_frames) if _same_place(f, origin.span)), frame)
                return Asked(name, origin.span, _tensor(run, holder, name))
    return None


def _same_place(frame: Frame, span: Span) -> bool:
    return frame.span.file == span.file and frame.span.function.rpartition(".")[2] in (span.function, "")


def _grads(node: ast.AST) -> Iterator[ast.Attribute]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute) and inner.attr == "grad" and isinstance(inner.ctx, ast.Load) and not _is_module(inner.value):
            yield inner


def _is_module(node: ast.AST) -> bool:
    return dotted(node) in ("torch.autograd", "autograd")


def _nones(run: Reading, frame: Frame, node: ast.AST) -> Iterator[tuple[str, Span]]:
    """The variables of the failing expression that hold None."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and isinstance(value := frame.local(inner.id), Plain) and value.kind == "NoneType":
            yield inner.id, run.sources.span_of(run.raised.file, inner)


def _tensor(run: Reading, frame: Frame, name: str) -> TensorFacts | None:
    """The tensor of a name: a variable, or a parameter by its path."""
    value = frame.local(name)
    if isinstance(value, TensorFacts):
        return value
    known = {n: i for i, n in run.evidence.names}
    number = known.get(name)
    if number is None:
        tail = "." + name.partition(".")[2]
        fitting = [i for n, i in known.items() if "." in name and n.endswith(tail)]
        number = fitting[0] if len(fitting) == 1 else None
    return next((t for t in _all(run) if t.id == number), None) if number is not None else None


def _all(run: Reading) -> Iterator[TensorFacts]:
    arguments: list[Argument] = [a for m in run.evidence.modules for a in (*m.parameters, *m.buffers)]
    yield from (a.value for a in arguments if isinstance(a.value, TensorFacts))
    for op in reversed(run.evidence.ops):
        yield from op.outputs
        yield from op.inputs
