"""The names that a callee has for what the program passed: `x` is the `input` of `conv2d`. One note, the same for all families."""

from __future__ import annotations

import ast
import re

from ..model import Diagnosis, Evidence, Parameter, Plain, TensorFacts
from .arguments import wrong_argument
from .reading import Reading, named, reading
from .refusals import NO_OPS, call_of, written
from .wording import code, listed

_MOST = 4
_HOLDERS = ("Sequential", "ModuleList", "OptimizedModule", "DataParallel", "DistributedDataParallel")


def with_parameters(diagnosis: Diagnosis, evidence: Evidence) -> tuple[str, ...]:
    """The notes, and one that says which of the callee's parameters the operands are, or what the callee is, where that is not said yet.

    Only where it tells something: of a call that takes several things, and of what the diagnosis speaks of.
    """
    call = call_of(evidence)
    if call is None or evidence.failure is None or diagnosis.family.startswith("argument.") or call.name in (*NO_OPS, *_HOLDERS):
        return diagnosis.notes
    run = reading(evidence)
    if run.sources.call_at(run.raised) is None:
        return diagnosis.notes  # an operator: its parameters have no names that the program knows
    text = "\n".join((diagnosis.headline, *diagnosis.notes))
    told = [f"{_name(run, p)} is its {_role(p)}" for p in _to_tell(run, diagnosis.headline, text)[:_MOST]]
    if told:
        return (*diagnosis.notes, f"of {code(call.name)}: {listed(told)}")
    lines = [run.sources.line_text(span.file, span.line) for span in (diagnosis.cause.span, run.raised)]
    if call.name.lower() in "\n".join((text, diagnosis.family, *lines)).lower():
        return diagnosis.notes
    layer = run.history.module(call.module)
    is_a = f"{named(run, layer)} is {'an' if call.name[:1] in 'AEIOU' else 'a'} {code(call.name)}"
    if layer is not None:
        return (*diagnosis.notes, is_a)
    return (*diagnosis.notes, f"refused by {code(call.name)}") if call.kind == "constructor" else diagnosis.notes


def _to_tell(run: Reading, headline: str, text: str) -> list[Parameter]:
    """The parameters whose names are not said, of operands that are spoken of; all tensors where none is named."""
    call, failure = call_of(run.evidence), run.failure
    if call is None or call.kind == "constructor" or any("[" in p.name for p in call.parameters):
        return []
    given = [p for p in call.parameters if p.given and p.value is not None and p.name != "self" and _name(run, p)]
    unsaid = [p for p in given if not re.search(rf"\b{re.escape(p.name)}\b", text)]
    tensors = [p for p in given if isinstance(p.value, TensorFacts) and not p.of_constructor]
    if len(given) < 2 or call.kind == "layer" and len(tensors) < 2:
        return []
    wrong = wrong_argument(call, failure.message, run.evidence.tried)
    spoken = [
        p for p in unsaid if _is_spoken_of(run, p, headline, text) or wrong is not None and wrong.named and p.name == wrong.parameter.name
    ]
    if call.kind == "layer" or not spoken and len(unsaid) == len(given):
        spoken += [p for p in tensors if p in unsaid and p not in spoken]
    receiver = call.kind == "method" and [p.name for p in spoken] == ["input"]
    return [] if receiver else spoken


def _name(run: Reading, known: Parameter) -> str:
    """The program's expression for it; empty where that is not known, or a constant such as None."""
    call = call_of(run.evidence)
    expression = written(run, call, known) if call is not None else None
    if expression is not None:
        node = run.sources.node_at(expression.span)
        is_constant = isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, bool))
        return "" if is_constant else code(expression.text)
    if isinstance(known.value, TensorFacts) and known.value.id in run.history.names:
        return code(run.history.names[known.value.id])
    return code(known.value.text) if known.of_constructor and isinstance(known.value, Plain) else ""


def _is_simple(known: Parameter) -> bool:
    return not isinstance(known.value, Plain) or known.value.value is not None


def _is_spoken_of(run: Reading, known: Parameter, headline: str, text: str) -> bool:
    """Whether the text has the program's expression for it; of a number, whether the headline has it."""
    if isinstance(known.value, Plain) and type(known.value.value) is int:
        return abs(known.value.value) > 1 and re.search(rf"(?<![\w.]){known.value.value}(?![\w.])", headline) is not None
    return isinstance(known.value, TensorFacts) and _name(run, known) in text


def _role(known: Parameter) -> str:
    return code(known.name) + (f" ({code(known.also)} in the schema)" if known.also == "self" else "")
