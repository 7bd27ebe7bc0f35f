"""The names that a callee has for what the program passed: `x` is the `input` of `conv2d`. One note, the same for all families."""

from __future__ import annotations

import re

from ..model import Diagnosis, Evidence, Parameter, Plain, TensorFacts, tensors_in
from .arguments import wrong_argument
from .reading import Reading, named, reading
from .refusals import call_of, written
from .wording import code, listed, value_text

_MOST = 4


def with_parameters(diagnosis: Diagnosis, evidence: Evidence) -> tuple[str, ...]:
    """The notes, and one that gives the failing call and the parameters of the operands that are spoken of, where that is not said yet."""
    call = call_of(evidence)
    if call is None or evidence.failure is None or diagnosis.family.startswith("argument.") or not _is_written(reading(evidence)):
        return diagnosis.notes
    run = reading(evidence)
    text = "\n".join((diagnosis.headline, *diagnosis.notes))
    given = [p for p in call.parameters if p.given and not _is_nothing(p) and not p.name.startswith("argument ")]
    spoken = [p for p in given if _is_named(run, p, diagnosis.headline, text) and not re.search(rf"\b{re.escape(p.name)}\b", text)]
    wrong = wrong_argument(call, evidence.failure.message, evidence.tried)
    if wrong is not None and wrong.parameter.given and not re.search(rf"\b{re.escape(wrong.parameter.name)}\b", text):
        spoken = [p for p in spoken if p.name != wrong.parameter.name] + [wrong.parameter]
    if not spoken and not any(re.search(rf"\b{re.escape(p.name)}\b", text) for p in given):
        spoken = [p for p in given if p.value is not None and tensors_in(p.value)] or given
    tensors = [p for p in given if isinstance(p.value, TensorFacts) and not p.of_constructor]
    if call.kind == "layer" and len(tensors) > 1:
        spoken += [p for p in tensors if p not in spoken and not re.search(rf"\b{re.escape(p.name)}\b", text)]
    told = [f"{_name(run, p)} is {_role(p)}" for p in spoken[:_MOST] if _name(run, p)]
    if told:
        return (*diagnosis.notes, f"of {code(call.name)}: {listed(told)}")
    lines = [run.sources.line_text(span.file, span.line) for span in (diagnosis.cause.span, run.raised)]
    if call.name.lower() in "\n".join((text, diagnosis.family, *lines)).lower():
        return diagnosis.notes
    layer = run.history.module(call.module)
    is_a = f"{named(run, layer)} is {'an' if call.name[:1] in 'AEIOU' else 'a'} {code(call.name)}"
    return (*diagnosis.notes, is_a if layer is not None else f"refused by {code(call.name)}")


def _is_nothing(known: Parameter) -> bool:
    return known.value is None or isinstance(known.value, Plain) and known.value.kind == "NoneType"


def _is_written(run: Reading) -> bool:
    """Whether the failing expression is a call, not an operator: there parameters have no names that the program knows."""
    return run.sources.call_at(run.raised) is not None


def _name(run: Reading, known: Parameter) -> str:
    call = call_of(run.evidence)
    expression = written(run, call, known) if call is not None else None
    if expression is not None:
        return code(expression.text)
    if isinstance(known.value, TensorFacts) and known.value.id in run.history.names:
        return code(run.history.names[known.value.id])
    return value_text(known.value)


def _is_named(run: Reading, known: Parameter, headline: str, text: str) -> bool:
    """Whether the text speaks of it: by the program's expression for it; of a number, whether the headline has it."""
    name = _name(run, known)
    if isinstance(known.value, Plain) and type(known.value.value) is int:
        return abs(known.value.value) > 1 and re.search(rf"(?<![\w.]){known.value.value}(?![\w.])", headline) is not None
    return name.startswith("`") and name in text


def _role(known: Parameter) -> str:
    return f"its {code(known.name)}" + (f" ({code(known.also)} in the schema)" if known.also == "self" else "")
