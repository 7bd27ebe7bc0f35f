"""How maps and sequences get smaller on their way: each convolution and pooling, and the size that the data must have had."""

from __future__ import annotations

from dataclasses import dataclass

from ..model import OpRecord, TensorFacts
from .history import numbers
from .provenance import Decision, Size, decided
from .reading import Reading

_SHRINKS = ("conv", "max_pool", "avg_pool", "lp_pool", "pad", "unfold")


@dataclass(frozen=True, slots=True)
class Shrinking:
    """The sizes on the way, the first first; the ops between them; and what decided the first."""

    sizes: tuple[int, ...]
    ops: tuple[OpRecord, ...]
    root: Decision
    tensor: TensorFacts
    dim: int

    @property
    def text(self) -> str:
        return " → ".join(map(str, self.sizes))

    def least(self, size: int, axis: int, count: int) -> int | None:
        """The least first size that leaves at least `size` in spatial axis `axis` of `count`; None where an op's numbers are not known."""
        for op in reversed(self.ops):
            window = window_of(op, axis, count)
            if window is None:
                return None
            kernel, stride, padding, dilation = window
            size = (size - 1) * stride + dilation * (kernel - 1) + 1 - 2 * padding
        return max(size, 1)


def shrinking(run: Reading, tensor: TensorFacts, dim: int) -> Shrinking:
    """Back from one size of a tensor through what made it smaller, to what decided it in the first place."""
    sizes, ops = [(tensor.shape or ())[dim]], list[OpRecord]()
    before = run.before
    for _ in range(200):
        found = decided(run.evidence, tensor, Size(dim), before)
        op, source = found.op, found.before
        if found.how != "op" or op is None or source is None or source.shape is None or not any(word in op.name for word in _SHRINKS):
            break
        at = (found.dim if found.dim is not None else dim) - found.tensor.rank + source.rank
        if "adaptive" in op.name or not 0 <= at < source.rank:
            break
        ops.append(op)
        sizes.append(source.shape[at])
        tensor, dim, before = source, at, op.index
    return Shrinking(tuple(reversed(sizes)), tuple(reversed(ops)), found, tensor, dim)


def window_of(op: OpRecord, axis: int, count: int) -> tuple[int, int, int, int] | None:
    """Kernel, stride, padding and dilation of a convolution or pooling along one of its `count` spatial axes."""
    weight = op.argument("weight")
    kernel = numbers(op.argument("kernel_size"))
    if isinstance(weight, TensorFacts) and weight.shape is not None:
        kernel = weight.shape[2:]
    if kernel is None or "transpose" in op.name:
        return None
    stride = numbers(op.argument("stride")) or ((1,) if isinstance(weight, TensorFacts) else kernel)
    padding, dilation = numbers(op.argument("padding")) or (0,), numbers(op.argument("dilation")) or (1,)
    size, step, border, gap = (_along(values, axis, count) for values in (kernel, stride, padding, dilation))
    return size, max(step, 1), border, gap


def _along(values: tuple[int, ...], axis: int, count: int) -> int:
    return values[axis] if len(values) == count else values[0]
