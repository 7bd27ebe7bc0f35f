"""Recorded runs made by hand: tensors, ops and layers with as little as a question needs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from torchwhy.model import Argument, Evidence, Failure, Frame, Items, ModuleFacts, Operand, OpRecord, Plain, Span, TensorFacts, Value

_ids = itertools.count(1)


def tensor(*shape: int, dtype: str = "float32", **facts: object) -> TensorFacts:
    return TensorFacts(next(_ids), shape, dtype, "cpu", **facts)  # type: ignore[arg-type]


def plain(value: object) -> Value:
    """A value as the recorder describes it."""
    if isinstance(value, (TensorFacts, Plain, Items)):
        return value
    if isinstance(value, (list, tuple)):
        return Items(type(value).__name__, len(value), tuple(map(plain, value)))
    if isinstance(value, slice):
        return Plain("slice", ":".join("" if v is None else str(v) for v in (value.start, value.stop)))
    if value is ...:
        return Plain("ellipsis", "Ellipsis")
    return Plain(type(value).__name__, repr(value), value)  # type: ignore[arg-type]


def op(
    number: int,
    name: str,
    outputs: TensorFacts | Sequence[TensorFacts],
    where: Sequence[Span] = (),
    module: int | None = None,
    /,
    **given: object,
) -> OpRecord:
    made = (outputs,) if isinstance(outputs, TensorFacts) else tuple(outputs)
    arguments = tuple(Argument(key, plain(value)) for key, value in given.items())
    return OpRecord(number, name, where=tuple(where), module=module, arguments=arguments, outputs=made)


def layer(
    id: int, kind: str, fqn: str = "", built: Sequence[Span] = (), parameters: Mapping[str, TensorFacts] = {}, **settings: object
) -> ModuleFacts:
    return ModuleFacts(
        id,
        fqn or kind.lower(),
        kind,
        settings=tuple(Argument(key, plain(value)) for key, value in settings.items()),
        passed=tuple(settings),
        signature=tuple(settings),
        built=tuple(built),
        parameters=tuple(Argument(key, value) for key, value in parameters.items()),
    )


def failed(
    failing: OpRecord, files: Mapping[str, str], ops: Sequence[OpRecord] = (), modules: Sequence[ModuleFacts] = (), message: str = ""
) -> Evidence:
    """The evidence of a run in which `failing` raised."""
    frames = tuple(Frame(span) for span in reversed(failing.where))
    operands = tuple(Operand(a.name, "", a.value) for a in failing.arguments)
    failure = Failure("RuntimeError", message, frames=frames, op=failing, operands=operands, module=failing.module)
    return Evidence(failure=failure, ops=(*ops, failing), modules=tuple(modules), sources=tuple(files.items()))
