"""The user's own expression for each operand of the failing op."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..model import Evidence, Failure, Items, Operand, TensorFacts, tensors_in
from .calls import expression_of, forward_operands, is_module_call
from .history import history_of
from .source import Expression, Sources


def expressions(evidence: Evidence, failure: Failure) -> tuple[Operand, ...]:
    """`failure.operands` with `expression` and `span` filled in, from the failing call's syntax and the names of live tensors.

    Where no op was recorded, what the failing layer's `forward` was given. A parameter of a layer is named by its path. Other operands take
    the expression of the call: by identity where the call is that of a module (so that the outer call's argument is not taken for the input
    of a layer inside of it), else when the numbers of both agree; else the variable that holds the tensor; else it stays empty: nothing is
    guessed.
    """
    names = history_of(evidence).names
    operands = failure.operands or forward_operands(failure)
    inside = is_module_call(failure)  # a layer's own weight stands in no call of the program then
    data = [o for o in operands if (_is_data(evidence, o) if inside else tensors_in(o.value))]
    pairs = _written(Sources(evidence), failure, data, names)
    found = []
    for operand in operands:
        expression = pairs.get(operand.parameter) if operand in data else None
        tensors = tensors_in(operand.value)
        name = names.get(tensors[0].id, "") if len(tensors) == 1 and isinstance(operand.value, TensorFacts) else ""
        if expression is not None:
            found.append(replace(operand, expression=expression.text, span=expression.span))
        else:
            found.append(replace(operand, expression=name))
    return tuple(found)


def _written(sources: Sources, failure: Failure, data: list[Operand], names: Mapping[int, str]) -> dict[str, Expression]:
    """The expressions of the failing call by parameter name."""
    if is_module_call(failure):
        known = expression_of(sources, failure)
        return {o.parameter: known[t[0].id] for o in data if len(t := tensors_in(o.value)) == 1 and t[0].id in known}
    raised = failure.raised_at
    written = sources.operands(raised, failure.op.name) if raised is not None and failure.op is not None else ()
    if len(data) == 1 and len(written) == 2 and isinstance(data[0].value, TensorFacts):
        # `beta * x`: the number may stand before the tensor, whose own name tells which of the two it is
        called = names.get(data[0].value.id, "").rpartition(".")[2]
        same = [e for e in written if not e.keyword and e.text.rpartition(".")[2] == called]
        written = tuple(same) if len(same) == 1 else written
    return _pair(data, written)


def _is_data(evidence: Evidence, operand: Operand) -> bool:
    """Not a layer's own weight, which the user did not write in the call."""
    owners = history_of(evidence).owner_of
    tensors = tensors_in(operand.value)
    return bool(tensors) and not all(t.id in owners and owners[t.id][0].defined is None for t in tensors)


def _pair(data: list[Operand], written: tuple[Expression, ...]) -> dict[str, Expression]:
    """By keyword first, then in order: tensors go with the expressions that are no literals, as long as there are enough of them."""
    pairs: dict[str, Expression] = {}
    rest = []
    for expression in written:
        if expression.keyword and any(o.parameter == expression.keyword for o in data):
            pairs[expression.keyword] = expression
        elif not expression.keyword and not _is_literal(expression.text):
            rest.append(expression)
    for operand in data:
        if operand.parameter in pairs:
            continue
        several = len(operand.value.items) if isinstance(operand.value, Items) else 1
        if not rest:
            break
        taken, rest = rest[0], rest[several if len(rest) >= several else 1 :]
        pairs[operand.parameter] = taken
    return pairs


def _is_literal(text: str) -> bool:
    return text.replace("-", "").replace(".", "").replace("_", "").isdigit() or text[:1] in "\"'" or text in ("True", "False", "None")
