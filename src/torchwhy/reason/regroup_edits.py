"""Edits that let a `view` or `reshape` go out even: a rest cut off, the layer before it built for the shape."""

from __future__ import annotations

import math

from ..model import Fix, OpRecord
from . import edits
from .provenance import Size
from .reading import Reading, named
from .sizes import size_expression
from .wording import code


def whole_rows(run: Reading, op: OpRecord, shape: tuple[int, ...]) -> Fix | None:
    """`x[: x.size(0) // n * n].view(n, -1)`: a flat tensor without the rest that fills no row."""
    x = op.inputs[0]
    written = run.sources.operands(op.span, op.name) if op.span is not None else ()
    if -1 not in shape or 0 in shape or x.rank != 1 or not written or not written[0].text.replace(".", "").isidentifier():
        return None
    sizes = [size_expression(run.sources, op, d, len(shape)) for d, size in enumerate(shape) if size != -1]
    if any(e is None for e in sizes):
        return None
    name, each = written[0].text, " * ".join(e.text for e in sizes if e is not None)
    divisor = each if each.isidentifier() or each.isdigit() else f"({each})"
    made = edits.append_method(run.sources, written[0].span, f"[: {name}.size(0) // {divisor} * {divisor}]")
    rest = x.numel % math.prod(size for size in shape if size != -1)
    return Fix(f"leave out the last {rest} values of {code(name)}, which fill no row", made, "safe") if made else None


def layer_gives(run: Reading, op: OpRecord, shape: tuple[int, ...]) -> Fix | None:
    """The layer whose output is regrouped, built for as many features as the shape takes."""
    x = op.inputs[0]
    if x.rank < 2 or not shape or shape[0] not in (-1, (x.shape or (0,))[0]) or -1 in shape[1:]:
        return None
    decision, wanted = run.decided(x, Size(x.rank - 1)), math.prod(shape[1:])
    layer = decision.module if decision.how == "module" else None
    others = math.prod((x.shape or ())[1:-1])
    if layer is None or not decision.setting or not layer.built or not others or wanted % others:
        return None
    size = wanted // others
    made = edits.replace_argument(run.sources, layer.built[0], decision.setting, str(size), layer.signature)
    changes = f"{named(run, layer)} gets weights of another size"
    return Fix(f"build {named(run, layer)} with {decision.setting}={size}", made, changes=changes) if made else None
