"""Where shapes fail to broadcast, and whether a missing dimension of size 1 is the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from ..model import Evidence, OpRecord, TensorFacts
from .provenance import decided
from .shapes import Shape

Named = tuple[str, TensorFacts]

REDUCTIONS = frozenset(
    [
        "sum",
        "mean",
        "norm",
        "amax",
        "amin",
        "max",
        "min",
        "std",
        "var",
        "prod",
        "logsumexp",
        "median",
        "argmax",
        "argmin",
        "any",
        "all",
        "vector_norm",
        "nanmean",
        "nansum",
    ]
)
LOOKUPS = frozenset(["getitem", "gather", "index_select", "take", "embedding"])
DROPS = frozenset(["squeeze", "getitem", "select", "flatten"])


@dataclass(frozen=True, slots=True)
class Clash:
    """Two shapes that meet in a dimension (counted from the right, negative) with different sizes, neither of them 1."""

    left: Named
    right: Named
    dim: int


@dataclass(frozen=True, slots=True)
class Misplaced:
    """`small` fits `large` when its dimensions are laid on `dims` of it, not on the last ones."""

    small: Named
    large: Named
    dims: tuple[int, ...]

    @property
    def index(self) -> str:
        """The index that lays them there: `[:, None, None]`."""
        first, shape = self.dims[0], self.large[1].shape or ()
        return "[" + ", ".join(":" if d in self.dims else "None" for d in range(first, len(shape))) + "]"

    @property
    def shape(self) -> Shape:
        """The shape of `small` with that index."""
        sizes = dict(zip(self.dims, self.small[1].shape or ()))
        return tuple(sizes.get(d, 1) for d in range(self.dims[0], self.large[1].rank))


def clash(tensors: Sequence[Named], in_place: bool = False) -> Clash | None:
    """The first pair that does not broadcast, and its rightmost dimension that does not; `in_place`: the first can't grow."""
    for left, right in combinations([n for n in tensors if n[1].shape is not None], 2):
        for dim in range(1, min(left[1].rank, right[1].rank) + 1):
            a, b = (left[1].shape or ())[-dim], (right[1].shape or ())[-dim]
            if a != b and (1 not in (a, b) or in_place and a == 1):
                return Clash(left, right, -dim)
    return None


def misplaced(found: Clash) -> Misplaced | None:
    """The way to lay the shape of lower rank on the other; the rightmost where several fit."""
    small, large = sorted((found.left, found.right), key=lambda n: n[1].rank)
    ways = placements(small[1].shape or (), large[1].shape or ()) if small[1].rank < large[1].rank else ()
    return Misplaced(small, large, ways[-1]) if ways else None


def placements(small: Shape, large: Shape) -> tuple[tuple[int, ...], ...]:
    """The ways to lay the dimensions of `small` on those of `large`, in order, so that they agree (or are 1); the rightmost last."""
    ways = combinations(range(len(large)), len(small))
    return tuple(dims for dims in ways if all(size in (1, large[d]) for size, d in zip(small, dims)))


def lost_rank(evidence: Evidence, tensor: TensorFacts, before: int | None = None) -> OpRecord | None:
    """The op by which the tensor has the dimensions it has: one that dropped a dimension, or a look-up that took the index's shape.

    None where it had them from the start, or where layers came between.
    """
    decision = decided(evidence, tensor, "rank", before)
    trail = decision.trail
    for op in reversed(trail):
        if op.name in ("linear", "bilinear"):
            return None
        if op.name in LOOKUPS and any(
            t.rank > 0 and not t.is_floating and t.shape == op.outputs[0].shape for t in op.inputs[1:] if op.outputs
        ):
            return op
    last = decision.op
    if decision.how == "op" and last is not None and last.span is not None and (last.name in REDUCTIONS or last.name in DROPS):
        return last
    return None
