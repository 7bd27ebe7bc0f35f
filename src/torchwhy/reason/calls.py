"""The call in the program's own text that led to the failure: what it passed, under the callee's parameter names, as the user wrote it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from ..model import Argument, Failure, Frame, Items, Operand, Span, Value, tensors_in
from .source import FUNCTIONS, Expression, Sources

_IMPLEMENTATION = "_call_impl"


@dataclass(frozen=True, slots=True)
class Passed:
    """One value that the call passed, and the user's expression for it (None where the text does not show it)."""

    value: Value
    expression: Expression | None = None
    keyword: str = ""


def frames_below(failure: Failure) -> tuple[Frame, ...]:
    """The frames of torch and of other packages below the program's innermost one."""
    last = max((i for i, frame in enumerate(failure.frames) if frame.origin == "user"), default=-1)
    return failure.frames[last + 1 :]


def is_module_call(failure: Failure) -> bool:
    """Whether the program's failing line called a module that torch (or another package) runs."""
    return any(_implements(frame) for frame in frames_below(failure))


def passed(sources: Sources, failure: Failure) -> tuple[Passed, ...]:
    """What the program's failing line passed to the module that it called, in order; lists and tuples are told whole."""
    frame = next((f for f in frames_below(failure) if _implements(f)), None)
    place = failure.raised_at
    if frame is None or place is None:
        return ()
    written = sources.arguments(place)
    plain = [e for e in written if e.keyword is None]
    named = {e.keyword: e for e in written if e.keyword not in (None, "*", "**")}
    starred = any(e.keyword == "*" for e in written)
    args, kwargs = frame.local("args"), frame.local("kwargs")
    found = []
    for number, value in enumerate(args.items if isinstance(args, Items) else ()):
        found.append(Passed(value, plain[number] if number < len(plain) and not starred else None))
    if isinstance(kwargs, Items):
        found += [Passed(value, named.get(key), key) for key, value in zip(kwargs.keys, kwargs.items)]
    return tuple(found)


def expression_of(sources: Sources, failure: Failure) -> dict[int, Expression]:
    """Tensor id → the expression that stands for it in the failing line's call of a module; taken apart where it is a tuple or list."""
    found: dict[int, Expression] = {}
    for one in passed(sources, failure):
        if one.expression is not None:
            for value, expression in _apart(sources, one.value, one.expression):
                inside = tensors_in(value)
                if len(inside) == 1:
                    found.setdefault(inside[0].id, expression)
    return found


def _apart(sources: Sources, value: Value, expression: Expression) -> Iterator[tuple[Value, Expression]]:
    node, source = sources.node_at(expression.span), sources.file(expression.span.file)
    if isinstance(value, Items) and isinstance(node, (ast.Tuple, ast.List)) and source is not None and len(node.elts) == len(value.items):
        for item, element in zip(value.items, node.elts):
            yield from _apart(sources, item, source.expression(element))
    else:
        yield value, expression


def forward_arguments(failure: Failure) -> tuple[Argument, ...]:
    """What the innermost torch layer's `forward` was given, by its parameter names; for checks that raise before any op runs."""
    frames = frames_below(failure)
    number = max((i for i, frame in enumerate(frames) if _implements(frame)), default=-1)
    if number < 0 or number + 1 >= len(frames):
        return ()
    call, forward = frames[number], frames[number + 1]
    args, kwargs = call.local("args"), call.local("kwargs")
    names = [a.name for a in forward.locals if a.name not in ("self", "__class__")]
    found = [Argument(name, value) for name, value in zip(names, args.items if isinstance(args, Items) else ())]
    if isinstance(kwargs, Items):
        found += [Argument(key, value) for key, value in zip(kwargs.keys, kwargs.items)]
    return tuple(found)


def forward_operands(failure: Failure) -> tuple[Operand, ...]:
    """`forward_arguments` as operands."""
    return tuple(Operand(a.name, "", a.value) for a in forward_arguments(failure))


def _implements(frame: Frame) -> bool:
    return frame.span.function.rpartition(".")[2] == _IMPLEMENTATION and frame.local("args") is not None


def outermost(sources: Sources, failure: Failure) -> tuple[Passed, ...]:
    """What the program outside of any module passed to the model: the arguments of the first module call in the traceback."""
    number = next((i for i, frame in enumerate(failure.frames) if _implements(frame)), None)
    caller = next((f for f in reversed(failure.frames[: number or 0]) if f.origin == "user"), None)
    if number is None or caller is None:
        return ()
    args = failure.frames[number].local("args")
    plain = [e for e in sources.arguments(caller.span) if e.keyword is None]
    values = args.items if isinstance(args, Items) else ()
    return tuple(Passed(value, plain[n] if n < len(plain) else None) for n, value in enumerate(values))


def helper_call(sources: Sources, failure: Failure, where: tuple[Span, ...]) -> Span | None:
    """The call of a plain function that made and returned one thing: for its other callers it is right, so what it was asked for decides."""
    inner, outer = where[0] if where else None, where[1] if len(where) > 1 else None
    function = sources.function_at(inner.file, inner.line) if inner is not None else None
    source = sources.file(inner.file) if inner is not None else None
    if inner is None or outer is None or function is None or source is None or not isinstance(function, FUNCTIONS):
        return None
    given = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    is_running = any((f.span.file, f.span.function) == (inner.file, inner.function) for f in failure.user_frames)
    returned = [n.value for n in ast.walk(function) if isinstance(n, ast.Return) and source.function(n) is function]
    returns = bool(returned) and not any(value is None or isinstance(value, (ast.Tuple, ast.Dict)) for value in returned)
    if source.class_of(function) is not None or not given or not returns or is_running or sources.file(outer.file) is None:
        return None
    return outer
