"""Candidates by search, where no proposed fix holds: another number in the place of one that takes part, an operand turned to fit.

A number is first moved a little, to see which size moves with it, then set to what makes both sides agree. What holds is said to be found
by trial.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import permutations

from ..model import Diagnosis, Edit, Evidence, Failure, Fix, Span, TensorFacts
from ..reason.edits import append_method
from ..reason.source import Sources
from .fitted import fitted
from .numbers import Number

_LARGEST = 1_000_000
_FITTED = 10
_NEVER = ("randint", "range", "arange", "randperm", "manual_seed", "seed", "print", "sleep", "round")
_OF_DIMENSIONS = (
    "cat",
    "stack",
    "softmax",
    "log_softmax",
    "sum",
    "mean",
    "max",
    "argmax",
    "squeeze",
    "unsqueeze",
    "size",
    "chunk",
    "split",
    "norm",
)
_OF_ORDER = ("permute", "transpose", "swapaxes", "movedim", "flatten")


@dataclass(frozen=True, order=True)
class _Guess:
    """An edit and how plausible it is: the lower the better."""

    rank: int
    order: int
    title: str = field(compare=False)
    edits: tuple[Edit, ...] = field(compare=False)


def guesses(diagnosis: Diagnosis, evidence: Evidence, found: Sequence[Number], most: int) -> list[Fix]:
    """At most so many fixes worth a trial as they stand, best first."""
    failure = evidence.failure
    if failure is None:
        return []
    sizes = _sizes(failure)
    made: list[_Guess] = []
    for number in found:
        made += _next_to(number, sizes, len(made))
        made += _same_size(number, sizes, len(made))
        made += _other_dimensions(number, len(made))
        made += _odd(number, sizes, len(made))
    made += _turned(failure, Sources(evidence), len(made), of_shape=diagnosis.family.startswith("shape."))
    seen: set[tuple[Edit, ...]] = {fix.edits for fix in diagnosis.fixes}
    chosen = []
    for guess in sorted(made):
        if guess.edits and guess.edits not in seen:
            seen.add(guess.edits)
            chosen.append(Fix(guess.title, guess.edits, "unsafe"))
    around = [fix for fix in fitted(diagnosis, failure, Sources(evidence)) if fix.edits and fix.edits not in seen]
    return [*chosen[:most], *around[:_FITTED]]


def _sizes(failure: Failure) -> list[int]:
    """The numbers of the conflict, as the message has them; of the operands where it has none."""
    told = [int(text) for text in re.findall(r"(?<![\w.])\d+(?![\w.])|(?<=\d[x×])\d+|\d+(?=[x×]\d)", failure.message)]
    shapes = [o.value.shape for o in failure.operands if isinstance(o.value, TensorFacts)]
    dims = [size for shape in shapes if shape is not None for size in shape]
    numbers = told if len(set(told)) > 1 else [*told, *dims]
    return [n for n in dict.fromkeys(numbers) if 0 < n <= _LARGEST][:12]


# ── other numbers ─────────────────────────────────────────────────────────────────────────────────────────────────────
def probes(found: Sequence[Number]) -> list[tuple[Number, int]]:
    """Each number moved a little: which of them move the sizes in conflict?"""
    free = [n for n in found if n.value > 0 and n.call not in _NEVER and not isinstance(_parent(n), (ast.Subscript, ast.Slice))]
    free.sort(key=lambda n: (not n.name, n.depth))  # what has a name is what people set
    return [(n, n.value + 1 if n.value < 8 else n.value * 2) for n in free]


def solutions(number: Number, probe: int, before: str, after: str) -> Iterator[Fix]:
    """The values with which a size that moved would be the one that did not, by proportion and by difference."""
    old, new = sizes_of(before), sizes_of(after)
    if len(old) != len(new):
        return
    still = [a for a, b in zip(old, new) if a == b]
    values: dict[int, None] = {}
    for moved, to in ((a, b) for a, b in zip(old, new) if a != b):
        for target in still:
            if moved > 0 and number.value * target % moved == 0:
                values[number.value * target // moved] = None
            if (target - moved) * (probe - number.value) % (to - moved) == 0:
                values[number.value + (target - moved) * (probe - number.value) // (to - moved)] = None
            if moved > target and number.value % 2 == 0:
                values[number.value // 2] = None
    for value in values:
        if 0 < value <= _LARGEST and value not in (number.value, probe):
            yield Fix(number.title(value), number.becomes(value), "unsafe")


def sizes_of(message: str) -> list[int]:
    return [int(text) for text in re.findall(r"\d+", message)]


def _same_size(number: Number, sizes: Sequence[int], order: int) -> Iterator[_Guess]:
    """The number is one of the sizes in conflict: another of them in its place."""
    if number.value in sizes and number.call not in _NEVER:
        for n, other in enumerate(sorted((size for size in sizes if size != number.value), key=lambda size: abs(size - number.value))):
            yield _Guess(number.depth, order + n, number.title(other), number.becomes(other))


def _next_to(number: Number, sizes: Sequence[int], order: int) -> Iterator[_Guess]:
    """One more, one less: numbers with a name that are one of the sizes in conflict."""
    if number.name and number.value in sizes and number.value > 1 and number.call not in _NEVER:
        for n, other in enumerate((number.value - 1, number.value + 1)):
            yield _Guess(number.depth, order + n, number.title(other), number.becomes(other))


def _odd(number: Number, sizes: Sequence[int], order: int) -> Iterator[_Guess]:
    """Two sizes that differ by one come from an even window: the next odd one keeps the size."""
    beside = any(abs(a - b) == 1 for a in sizes for b in sizes)
    if beside and number.value % 2 == 0 and number.value > 1 and number.value not in sizes and number.name:
        yield _Guess(number.depth, order, number.title(number.value + 1), number.becomes(number.value + 1))


def _other_dimensions(number: Number, order: int) -> Iterator[_Guess]:
    """Another dimension, or another order of them."""
    call = number.call
    if number.depth:
        return
    if call in _OF_DIMENSIONS and abs(number.value) <= 3 and _is_dimension(number):
        for n, other in enumerate(d for d in (0, 1, 2, -1) if d != number.value):
            yield _Guess(2, order + n, number.title(other), number.becomes(other))
    if call in _OF_ORDER:
        outer = next((a for a in number.source.ancestors(number.node) if isinstance(a, ast.Call)), None)
        values = [a.value for a in outer.args if isinstance(a, ast.Constant) and isinstance(a.value, int)] if outer else []
        if outer and 1 < len(values) == len(outer.args) <= 4 and outer.args[0] is number.node:
            first, last = number.source.span(outer.args[0]), number.source.span(outer.args[-1])
            whole = Span(first.file, first.line, first.column, last.end_line, last.end_column, first.function)
            others = list(permutations(values)) if call == "permute" else [(1, 2), (0, 1), (-2, -1)]
            for n, new in enumerate(o for o in others if list(o) != values):
                text = ", ".join(map(str, new))
                yield _Guess(3, order + n, f"write `{call}({text})` at {number.place}", (Edit(whole, text),))


def _is_dimension(number: Number) -> bool:
    parent = _parent(number)
    return isinstance(parent, ast.Call) or (isinstance(parent, ast.keyword) and parent.arg in ("dim", "axis"))


def _parent(number: Number) -> ast.AST | None:
    return number.source.parents.get(number.node)


# ── an operand turned ─────────────────────────────────────────────────────────────────────────────────────────────────
def _turned(failure: Failure, sources: Sources, order: int, of_shape: bool) -> Iterator[_Guess]:
    """One of two operands with a dimension more or less, or transposed, or in the other's dtype or on its device."""
    operands = [o for o in failure.operands if isinstance(o.value, TensorFacts) and o.value.shape is not None]
    if len(operands) != 2:
        return
    for one, other in (operands, operands[::-1]):
        mine, theirs = one.value, other.value
        if one.span is None or not isinstance(mine, TensorFacts) or not isinstance(theirs, TensorFacts):
            continue
        endings: list[str] = []
        if mine.dtype != theirs.dtype and other.expression and not of_shape:
            endings.append(f".to({other.expression}.dtype)")
        if mine.device != theirs.device and other.expression and not of_shape:
            endings.append(f".to({other.expression}.device)")
        if (
            not endings
            and mine.rank > 1
            and theirs.shape
            and mine.numel == theirs.shape[0]
            and mine.shape
            and mine.shape[0] != theirs.shape[0]
        ):
            yield _Guess(-1, order, f"write `{one.expression}.reshape(-1)`", append_method(sources, one.span, ".reshape(-1)"))
        if not endings and mine.rank < theirs.rank:
            missing = ", ".join(["None"] * (theirs.rank - mine.rank))
            endings += [f"[..., {missing}]", ".unsqueeze(0)", ".unsqueeze(1)"]
        elif not endings and mine.rank > theirs.rank:
            endings += [f".squeeze({d})" for d in range(mine.rank) if mine.shape and mine.shape[d] == 1]
        elif not endings and mine.rank >= 2:
            endings += [".transpose(-2, -1)"]
        for n, ending in enumerate(endings):
            yield _Guess(
                -1 if mine.rank < theirs.rank else 1,
                order + n,
                f"write `{one.expression}{ending}`",
                append_method(sources, one.span, ending),
            )
