"""The user's own expression for each operand of the failing op."""
from __future__ import annotations

from dataclasses import replace

from ..model import Evidence, Failure, Items, Operand, TensorFacts, tensors_in
from .history import history_of
from .source import Expression, Sources


def expressions(evidence: Evidence, failure: Failure) -> tuple[Operand, ...]:
    """`failure.operands` with `expression` and `span` filled in, from the failing call's syntax and the names of live tensors.

    A parameter of a layer is named by its path. Other operands take the expression of the call when the numbers of both agree; else the
    variable that holds the tensor; else the expression stays empty: nothing is guessed.
    """
    names = history_of(evidence).names
    raised = failure.raised_at
    written = Sources(evidence).operands(raised, failure.op.name if failure.op else "") if raised is not None and failure.op is not None else ()
    data = [o for o in failure.operands if _is_data(evidence, o)]
    pairs = _pair(data, written)
    found = []
    for operand in failure.operands:
        expression = pairs.get(operand.parameter)
        tensors = tensors_in(operand.value)
        name = names.get(tensors[0].id, "") if len(tensors) == 1 and isinstance(operand.value, TensorFacts) else ""
        if operand not in data:
            found.append(replace(operand, expression=name))
        elif expression is not None:
            found.append(replace(operand, expression=expression.text, span=expression.span))
        else:
            found.append(replace(operand, expression=name))
    return tuple(found)


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
        taken, rest = rest[0], rest[several if len(rest) >= several else 1:]
        pairs[operand.parameter] = taken
    return pairs


def _is_literal(text: str) -> bool:
    return text.replace("-", "").replace(".", "").replace("_", "").isdigit() or text[:1] in "\"'" or text in ("True", "False", "None")
