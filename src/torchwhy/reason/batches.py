"""The batch dimension: where a tensor lost it, and whether this was a loader's smaller last batch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..model import Evidence, LoaderFacts, ModuleFacts, OpRecord, TensorFacts
from .history import History, history_of
from .provenance import Decision


def lost_batch(evidence: Evidence, tensor: TensorFacts, size: int, before: int | None = None) -> OpRecord | None:
    """The latest op on the way to `tensor` that got `size` in its first dimension and gave out something else there."""
    history = history_of(evidence)
    for _ in range(200):
        op = history.producer(tensor, before)
        if op is None:
            return None
        data = [t for t in op.inputs if t.id not in history.owner_of and t.id != tensor.id]
        if not data:
            return None
        made = next((t for t in op.outputs if t.id == tensor.id), tensor)
        if any(t.shape and t.shape[0] == size for t in data) and (not made.shape or made.shape[0] != size):
            return op
        tensor, before = data[0], op.index
    return None


def took_rows_for_time(evidence: Evidence, op: OpRecord, size: int) -> ModuleFacts | None:
    """The layer built without `batch_first` that read the `size` rows as time steps: the one that ran `op`, or that made what `op` got."""
    history = history_of(evidence)
    makers = [op, *(m for t in op.inputs if (m := history.producer(t, op.index)) is not None)]
    for maker in makers:
        read = next((t for t in maker.inputs if t.id not in history.owner_of), None)
        if read is not None and read.rank == 3 and read.shape is not None and read.shape[0] == size:
            for module in _around(history, history.module(maker.module)):
                if getattr(module.setting("batch_first"), "value", None) is False and module.defined is None:
                    return module
    return None


def _around(history: History, module: ModuleFacts | None) -> Iterator[ModuleFacts]:
    for _ in range(20):
        if module is None:
            return
        yield module
        module = history.parents.get(module.id)


def last_batch(evidence: Evidence, *sizes: int) -> LoaderFacts | None:
    """The loader whose newest batch is smaller than its `batch_size`, where the sizes are these two, or the smaller alone."""
    for loader in evidence.loaders:
        rows = len(loader.indices) if loader.indices else None
        if rows is not None and loader.batch_size and rows < loader.batch_size and rows in sizes and {*sizes} <= {rows, loader.batch_size}:
            return loader
    return None


def kept_from_before(evidence: Evidence, decision: Decision) -> OpRecord | None:
    """The op that made what was kept from before the newest batch: the creation of a buffer, or the line that stored a state."""
    ops = evidence.ops
    newest = next((op.index for op in reversed(ops) if op.name == "batch"), None)
    way = [*([decision.op] if decision.op is not None else []), *decision.trail]
    older = [op for op in way if newest is not None and op.index < newest and op.span is not None]
    return older[-1] if older else None


@dataclass(frozen=True, slots=True)
class Remainder:
    """A loader's newest batch that is smaller than its others: `rows` instead of `size`, of `length` samples."""

    loader: LoaderFacts
    rows: int
    size: int
    length: int | None


def remainder_of(evidence: Evidence, *sizes: int) -> Remainder | None:
    """The batch in work when it failed, where that is a smaller last one; also of another loader, where the sizes are those of its batches."""
    for loader in evidence.loaders:
        rows = len(loader.indices) if loader.indices else _rows(loader.shapes)
        fits = loader.newest or bool(sizes) and {*sizes} == {rows, loader.batch_size}
        if fits and rows and loader.batch_size and rows < loader.batch_size:
            return Remainder(loader, rows, loader.batch_size, loader.length)
    return None


def _rows(shapes: tuple[str, ...]) -> int | None:
    """The first dimension that all tensors of a batch share."""
    found = {match[1] for text in shapes if (match := re.search(r"\[(\d+)", text)) is not None}
    return int(found.pop()) if len(found) == 1 else None
