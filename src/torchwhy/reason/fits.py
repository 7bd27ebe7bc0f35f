"""Single steps that would make a tensor fit: which flatten, transposition or added dimension gives it the shape that is asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Literal

Shape = tuple[int, ...]
Kind = Literal["flatten", "move", "add", "drop", "merge"]
"""flatten: all after the batch in one · move: dimensions change places · add, drop: a dimension of size 1 · merge: the first two in one."""


@dataclass(frozen=True, slots=True)
class Step:
    """One method call, such as `.transpose(1, 2)`; `title` is the imperative for it and `said` what the tensor then is."""

    kind: Kind
    text: str
    shape: Shape
    title: str
    said: str


def steps(shape: Shape, fits: Callable[[Shape], bool], kinds: Sequence[Kind]) -> tuple[Step, ...]:
    """Every single step after which the tensor fits, in the order of `kinds`; the batch dimension stays first wherever that is possible."""
    return tuple(step for kind in kinds for step in _BY_KIND[kind](shape) if fits(step.shape))


def _flatten(shape: Shape) -> Iterator[Step]:
    if len(shape) > 2:
        flat = (shape[0], math.prod(shape[1:]))
        yield Step(
            "flatten", ".flatten(1)", flat, "flatten the input", f"flattened it has {' · '.join(map(str, shape[1:]))} = {flat[1]} features"
        )


def _move(shape: Shape) -> Iterator[Step]:
    rank = len(shape)
    if rank == 2:
        yield Step("move", ".T", shape[::-1], "transpose the input", f"transposed it is {_text(shape[::-1])}")
    if not 3 <= rank <= 5:
        return
    orders = sorted(permutations(range(rank)), key=lambda o: (o[0] != 0, sum(abs(d - i) for i, d in enumerate(o)), o))
    for order in orders:
        if order == tuple(range(rank)):
            continue
        moved = tuple(shape[d] for d in order)
        swapped = [i for i, d in enumerate(order) if i != d]
        rest = [d for d in order if d != order[1]]
        if len(swapped) == 2:
            text = f".transpose({swapped[0]}, {swapped[1]})"
        elif order[0] == 0 and (rest == sorted(rest) or order[-1] == 1):
            text = f".permute({', '.join(map(str, order))})"
        else:
            continue
        title = (
            f"transpose dimensions {swapped[0]} and {swapped[1]} of the input"
            if len(swapped) == 2
            else f"permute the input to {_text(moved)}"
        )
        yield Step("move", text, moved, title, f"with `{text[1:]}` it is {_text(moved)}")


def _add(shape: Shape) -> Iterator[Step]:
    for dim in (1, 0, *range(2, len(shape) + 1)):
        if dim <= len(shape):
            made = (*shape[:dim], 1, *shape[dim:])
            what = {0: "a batch dimension", 1: "a channel dimension"}.get(dim, f"a dimension at {dim}")
            yield Step("add", f".unsqueeze({dim})", made, f"add {what} to the input", f"with `unsqueeze({dim})` it is {_text(made)}")


def _drop(shape: Shape) -> Iterator[Step]:
    for dim, size in enumerate(shape):
        if size == 1:
            made = (*shape[:dim], *shape[dim + 1 :])
            yield Step(
                "drop",
                f".squeeze({dim})",
                made,
                f"drop dimension {dim} of the input, its size is 1",
                f"with `squeeze({dim})` it is {_text(made)}",
            )


def _merge(shape: Shape) -> Iterator[Step]:
    if len(shape) > 3:
        made = (shape[0] * shape[1], *shape[2:])
        yield Step(
            "merge", ".flatten(0, 1)", made, "merge the first two dimensions of the input", f"with `flatten(0, 1)` it is {_text(made)}"
        )


def _text(shape: Shape) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"


_BY_KIND: dict[Kind, Callable[[Shape], Iterator[Step]]] = {"flatten": _flatten, "move": _move, "add": _add, "drop": _drop, "merge": _merge}
