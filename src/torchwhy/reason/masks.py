"""Masks of an attention against its queries and keys: which one does not fit, in which dimension, and what it should be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ..model import ModuleFacts, Operand, Span, TensorFacts
from .accounts import parts_of_sum
from .provenance import Size
from .reading import Reading
from .sequences import batch_first

Shape = tuple[int, ...]
Name = Literal["attn_mask", "key_padding_mask"]


@dataclass(frozen=True, slots=True)
class WrongMask:
    """`dim`: the dimension of the mask that does not fit. `heads`: it has a page for each sample, and not for each head.

    `flipped`: it would fit if the layer took the batch first.
    """

    name: Name
    wanted: Shape
    dim: int
    heads: int = 0
    flipped: bool = False


def wrong_mask(
    layer: ModuleFacts | None,
    masks: Mapping[Name, tuple[Operand, TensorFacts]],
    query: TensorFacts,
    key: TensorFacts,
    time: int,
    batch: int,
) -> WrongMask | None:
    """The first mask that does not fit; `time` and `batch` are the dimensions of the queries that hold them."""
    assert query.shape and key.shape
    length, keys = (query.shape[time], key.shape[time]) if layer is not None else (query.shape[-2], key.shape[-2])
    rows = query.shape[batch]
    for name, (_, mask) in masks.items():
        has = mask.shape or ()
        heads = (layer.number("num_heads") or 1) if layer is not None else 0
        wanted: Shape = (rows, keys) if query.rank == 3 else (keys,)
        if name == "attn_mask":
            wanted = (heads * rows, length, keys) if heads and len(has) == 3 else (length, keys)
        if not has or layer is not None and has == wanted:
            continue
        seen = range(-1, -len(wanted) - 1, -1)
        wrong = next((d for d in seen if len(has) >= -d and has[d] != wanted[d] and (layer is not None or has[d] != 1)), None)
        if wrong is None and (layer is None or len(has) == len(wanted)):
            continue
        if wrong == -3 and has[0] == rows and heads > 1:
            return WrongMask(name, wanted, 0, heads)
        turned = (keys, rows) if name == "key_padding_mask" else (rows, rows)
        flipped = layer is not None and query.rank == 3 and not batch_first(layer) and has[-2:] == turned and rows != length
        return WrongMask(name, wanted, (wrong or -1) % len(has), flipped=flipped)
    return None


def grown_since(run: Reading, query: TensorFacts, dim: int, mask: TensorFacts, mask_dim: int) -> Span | None:
    """Where the mask was made, if the queries are what it was made for and something joined to it since (a class token)."""
    decision = run.decided(query, Size(dim))
    size = (mask.shape or ())[mask_dim]
    if decision.op is None or decision.op.name not in ("cat", "concat", "concatenate") or size not in parts_of_sum(decision.op, decision):
        return None
    op = run.history.producer(mask, run.before)
    while op is not None and op.module is not None and (module := run.history.module(op.module)) is not None and module.defined is None:
        before = next((t for t in op.inputs if t.shape == mask.shape), None)  # torch's own change of the mask
        op = run.history.producer(before, op.index) if before is not None else None
    return op.span if op is not None else None
