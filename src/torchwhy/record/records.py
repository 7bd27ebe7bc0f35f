"""Raw events become the model's frozen records, once, after the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..model import Items, OpRecord, TensorFacts, Value, Write
from .facts import RawValue, plain_value, tensor_facts
from .names import bind, plain_name, qualified_name
from .spans import spans
from .tape import Event, RawItems


def op_record(event: Event, describe: Callable[[Any], Value], by_steps: bool) -> OpRecord:
    """The record of one event."""

    def value(raw: Any) -> Value:
        if type(raw) is tuple:
            facts = tensor_facts(raw)
            found = (event.values or {}).get(facts.id)
            return replace(facts, values=found) if found is not None else facts
        if type(raw) is RawItems:
            return Items(raw.kind, raw.length, tuple(value(item) for item in raw.items), raw.keys)
        if type(raw) is RawValue:
            return plain_value(raw)
        return describe(raw)

    name = plain_name(event.what)
    arguments = bind(event.what, tuple(value(raw) for raw in event.args), {key: value(raw) for key, raw in event.kwargs.items()})
    outputs = tuple(tensor_facts(raw) for raw in event.outputs)
    first = arguments[0].value if arguments else None
    in_place = isinstance(first, TensorFacts) and bool(event.writes and outputs) and outputs[0].id == first.id == event.writes[0][0]
    if in_place and not name.endswith("_") and "out" not in event.kwargs:
        name += "_"
    return OpRecord(
        index=event.index,
        name=name,
        qualname=qualified_name(event.what),
        where=spans(event.places),
        module=event.module,
        arguments=arguments,
        outputs=outputs,
        writes=tuple(Write(*write) for write in event.writes),
        sequence=(event.first, event.last),
        thread=event.thread,
        grad_enabled=event.grad,
        inference_mode=event.inference,
        autocast=event.autocast,
        phase=event.phase,  # type: ignore[arg-type]
        step=event.steps if by_steps else event.backwards,
        raised=event.raised,
    )
