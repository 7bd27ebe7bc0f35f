"""Where a tensor's dtype was decided."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..model import Span
from .origins import Origin, origins
from .provenance import Decision
from .reading import Cause, Reading
from .scopes import assignments

TAKES_OVER = ("from_numpy", "as_tensor", "tensor", "asarray", "from_dlpack", "frombuffer")
"""Ops that keep the dtype of what they are given."""
NUMPY_DTYPE = re.compile(r"dtype\s*=|\.astype\(|\bn(?:um)?py?\.(?:u?int|float)\d+\(")


def dtype_cause(run: Reading, decision: Decision) -> Cause:
    """The op that made or converted the tensor, or the NumPy expression that an op merely took over."""
    op = decision.op
    if op is None or op.span is None or op.name not in TAKES_OVER:
        return run.cause(decision)
    given = run.sources.arguments(op.span)
    explicit = next((e for e in given if e.keyword == "dtype"), None)
    if explicit is not None or not given:
        return Cause(op.span)
    chain = origins(run.sources, given[0].span, op.where)
    asked = next((o.span for o in reversed(chain) if NUMPY_DTYPE.search(o.text)), None) or _assigned_as(
        run, chain[-1:], decision.tensor.dtype
    )
    return Cause(asked or op.span, chain)


def _assigned_as(run: Reading, last: Sequence[Origin], dtype: str) -> Span | None:
    """Where the walk ended at a name with several possible values: the one assignment of it that names the dtype."""
    if not last or last[0].form != "name":
        return None
    found = [
        expression.span
        for statement in assignments(run.sources, last[0].text, last[0].span.file, last[0].span.line)
        for expression in [run.sources.assigned(statement)]
        if expression is not None and dtype in expression.text
    ]
    return found[0] if len(found) == 1 else None
