"""The shape that a `view` or `reshape` was asked for: where each of its sizes comes from, and which of them can't be right."""

from __future__ import annotations

import ast
import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..model import OpRecord
from .history import spread
from .provenance import Size
from .reading import Cause, Reading
from .sizes import size_expression, tensor_size
from .source import Expression


@dataclass(frozen=True, slots=True)
class Element:
    """One size of the shape asked for. `asked`: the program asked a tensor for it (`x.size(0)`), so it is right by nature."""

    place: int
    size: int
    expression: Expression | None = None
    asked: bool = False
    cause: Cause | None = None
    quotient: tuple[int, int] | None = None
    """Dividend and divisor, where it is a quotient that leaves a remainder."""

    @property
    def name(self) -> str:
        """What the user calls it: the last name on the way to the literal, else the expression."""
        names = [o.name for o in (self.cause.origins if self.cause is not None else ()) if o.name.replace(".", "").isidentifier()]
        return names[-1] if names else self.expression.text if self.expression is not None else str(self.size)


def wanted_shape(op: OpRecord) -> tuple[int, ...] | None:
    """The sizes given to view, reshape or unflatten."""
    return next((found for name in ("size", "shape", "sizes") if (found := spread(op, name))), None)


def elements(run: Reading, op: OpRecord, shape: Sequence[int]) -> tuple[Element, ...]:
    """The sizes with the expressions that gave them, as far as the text shows them."""
    found = []
    for place, size in enumerate(shape):
        expression = size_expression(run.sources, op, place, len(shape)) if op.span is not None else None
        if expression is None or size == -1:
            found.append(Element(place, size, expression))
            continue
        asked = tensor_size(run.evidence, op, expression, size) is not None
        cause = run.expression_origins(expression.span, op.where, size)
        found.append(Element(place, size, expression, asked, *divisor(run, cause)))
    return tuple(found)


def divisor(run: Reading, cause: Cause) -> tuple[Cause, tuple[int, int] | None]:
    """For a quotient that leaves a remainder (`dim // heads`): what decided the divisor, and both numbers; else the cause itself."""
    last = cause.origins[-1] if cause.origins else None
    node = run.sources.node_at(last.span) if last is not None else None
    source = run.sources.file(cause.span.file)
    if last is None or source is None or not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.FloorDiv)):
        return cause, None
    parts = [run.expression_origins(source.span(side), (last.span,)) for side in (node.left, node.right)]
    dividend, by = (p.origins[-1].value if p.origins else None for p in parts)
    if isinstance(dividend, int) and isinstance(by, int) and by and dividend % by:
        return Cause(parts[1].span, (*cause.origins, *parts[1].origins[1:])) if len(parts[1].origins) > 1 else cause, (dividend, by)
    return cause, None


def uneven(run: Reading, op: OpRecord, found: Sequence[Element]) -> tuple[int, int, Cause] | None:
    """A dimension of the viewed tensor that is dealt out to groups, asked of the tensor (`c // groups`), and that they do not divide."""
    shape = op.inputs[0].shape or ()
    for one in found:
        if one.quotient is not None or one.expression is None or "//" not in one.expression.text:
            continue
        for dim, size in list(enumerate(shape))[1:]:  # the batch may have any size
            by = next((e.size for e in found if e is not one and e.size > 1 and size // e.size == one.size and size % e.size), None)
            if by is not None and (cause := data_cause(run, op, dim)) is not None:
                return size, by, cause
    return None


def doubtful(source: Sequence[int], shape: Sequence[int], found: Sequence[Element]) -> Element | None:
    """The one size that can't be right: with that of the viewed tensor (of shape `source`) at its place all would fit, or it alone came
    from the program's text, or the others give it another value."""
    numel, written = math.prod(source), [e for e in found if e.size != -1 and not e.asked]
    same = [e for e in written if e.place < len(source) and e.size != source[e.place] == fitting(shape, e.place, numel)]
    if len(same) == 1:
        return same[0]
    free = [e for e in written if e.size != 1]
    if len(free) == 1:
        return free[0]
    wrong = [e for e in free if (right := fitting(shape, e.place, numel)) is not None and right != e.size]
    return wrong[0] if len(wrong) == 1 else None


def fitting(shape: Sequence[int], place: int, numel: int) -> int | None:
    """The value at a place with which the shape has `numel` values; None where there is none, or -1 leaves it open."""
    others = math.prod(size for d, size in enumerate(shape) if d != place)
    return numel // others if others > 0 and numel % others == 0 else None


def changed_dim(run: Reading, op: OpRecord) -> tuple[int, int] | None:
    """The dimension of the viewed tensor that is another than in the last call that went well, and what it was then."""
    earlier = run.history.earlier_calls(op)
    now, before = (o.inputs[0].shape if o.inputs else None for o in (op, earlier[-1])) if earlier else (None, None)
    if now is None or before is None or len(now) != len(before):
        return None
    differ = [(d, old) for d, (new, old) in enumerate(zip(now, before)) if new != old]
    return differ[0] if len(differ) == 1 else next(((d, old) for d, old in differ if d > 0), None)


def data_cause(run: Reading, op: OpRecord, dim: int) -> Cause | None:
    """What decided a dimension of the viewed tensor, where that lies in the program's text."""
    decision = run.decided(op.inputs[0], Size(dim))
    return run.cause(decision, (op.inputs[0].shape or ())[dim]) if decision.how in ("created", "op", "module") else None


def nearest_divisor(number: int, wanted: int) -> int:
    """The divisor of a number that lies nearest."""
    return min((d for d in range(1, number + 1) if number % d == 0), key=lambda d: (abs(d - wanted), -d))
