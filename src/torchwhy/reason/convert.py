"""Fixes that change a tensor's dtype: where it is made, where it is used; the same for all dtype families."""

from __future__ import annotations

import ast
import re
from dataclasses import replace

from ..model import Fix, Operand, Span, TensorFacts, tensors_in
from . import edits
from .dtypes import NUMPY_DTYPE, TAKES_OVER
from .provenance import Decision
from .reading import Cause, Reading
from .shape_edits import other_function, without_method
from .wording import code

METHODS = {
    "float32": ".float()",
    "float64": ".double()",
    "float16": ".half()",
    "bfloat16": ".bfloat16()",
    "int64": ".long()",
    "int32": ".int()",
    "bool": ".bool()",
}

_MOST_MAKERS = 400


def operand_of(run: Reading, tensor: TensorFacts) -> Operand | None:
    """The operand of the failing call that is, or holds, the tensor."""
    return next((o for o in run.operands if any(t.id == tensor.id for t in tensors_in(o.value))), None)


def conversion_fixes(run: Reading, tensor: TensorFacts, decision: Decision, cause: Cause, dtype: str) -> list[Fix]:
    """Make `tensor` a `dtype`: in the line that decided its dtype first, then in the failing call; a plain proposal where neither can be edited."""
    method = METHODS.get(dtype, f".to(torch.{dtype})")
    fixes: list[Fix] = []
    operand = operand_of(run, tensor)
    if (numpy := _numpy_edit(run, cause, dtype)) is not None:
        fixes.append(Fix(f"make it {dtype} in NumPy", numpy, "safe"))
    op = decision.op
    if (
        op is not None
        and op.span is not None
        and (op.name in TAKES_OVER or op in decision.trail)
        and not fixes
        and (made := edits.append_method(run.sources, op.span, method))
    ):
        fixes.append(Fix(f"convert to {dtype} where the tensor is made", made, "safe"))
    if not fixes and (written := _cast_edit(run, decision, dtype)) is not None:
        fixes.append(written)
    if operand is not None and operand.span is not None and len(tensors_in(operand.value)) == 1:
        used = edits.append_method(run.sources, operand.span, method)
        if used:
            fixes.append(Fix(f"convert {code(operand.expression)} to {dtype}", used, "safe"))
    name = run.name_of(tensor) or "the data"
    return fixes or [Fix(f"convert {code(name)} to {dtype}", (), "display-only")]


def _cast_edit(run: Reading, decision: Decision, dtype: str) -> Fix | None:
    """The conversion that gave it the wrong dtype left out, or made to the right one; the dtype written where it was created."""
    op, before = decision.op, decision.before
    call = run.sources.call_at(op.span) if op is not None and op.span is not None else None
    if op is None or op.span is None or call is None:
        return None
    method = METHODS.get(dtype, "")[1:-2]
    if f".{op.name}()" in METHODS.values() and isinstance(call.func, ast.Attribute) and call.func.attr == op.name and before is not None:
        if before.dtype == dtype:
            return Fix(f"leave out {code(f'.{op.name}()')}", without_method(run.sources, op.span, op.name), "safe")
        return Fix(f"convert to {dtype} there", other_function(run.sources, op.span, method), "safe") if method else None
    both_real = "float" in dtype and decision.tensor.is_floating
    if decision.how == "created" and both_real and any(k.arg == "dtype" and isinstance(k.value, ast.Attribute) for k in call.keywords):
        return Fix(f"make it {dtype}", edits.set_keyword(run.sources, op.span, "dtype", f"torch.{dtype}"), "safe")
    return None


_NUMPY_NAME = re.compile(
    r"\b(?P<prefix>(?:n(?:um)?py?|jnp)\.)(?P<name>u?int\d+|float\d+|bool_?)\b|(?P<quote>['\"])(?P<text>u?int\d+|float\d+)(?P=quote)"
)


def _numpy_edit(run: Reading, cause: Cause, dtype: str) -> edits.Edits | None:
    """The NumPy dtype written in the deciding expression, replaced."""
    text = run.sources.segment(cause.span)
    found = list(_NUMPY_NAME.finditer(text))
    if len(found) != 1 or "\n" in text or not NUMPY_DTYPE.search(text) or dtype == "bfloat16":
        return None
    group = "name" if found[0]["name"] else "text"
    start, end = cause.span.column + found[0].start(group), cause.span.column + found[0].end(group)
    return edits.replace_text(Span(cause.span.file, cause.span.line, start, cause.span.line, end), dtype)


def of_its_own(run: Reading, decision: Decision, other: TensorFacts) -> Decision:
    """The decision; where `other` comes from the tensor that it was made at too, the first step that only this tensor took."""
    if decision.op is None or decision.op.index not in (shared := _makers(run, other)):
        return decision
    own = next((op for op in decision.trail if op.index not in shared and op.span is not None), None)
    return replace(decision, op=own, before=None) if own is not None else decision


def _makers(run: Reading, tensor: TensorFacts) -> set[int]:
    """The ops that a tensor comes from, by index."""
    found: set[int] = set()
    waiting: list[tuple[TensorFacts, int | None]] = [(tensor, None)]
    while waiting and len(found) < _MOST_MAKERS:
        one, before = waiting.pop()
        op = run.history.producer(one, before)
        if op is not None and op.index not in found:
            found.add(op.index)
            waiting += [(t, op.index) for t in op.inputs]
    return found
