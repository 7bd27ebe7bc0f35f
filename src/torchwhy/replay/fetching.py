"""A loader's batch fetched once more, as the process or the worker that failed did it; and which lines gave its samples."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch

from ..model import Span
from ..record.elsewhere import setprofile
from ..record.spans import origin, span_of

_ASKERS = ("torch/utils/data/_utils/fetch.py", "torch/utils/data/dataset.py")
_MOST_BATCHES = 1_000_000
Way = tuple[Span, ...]
"""The lines that returned one object, outermost first."""


def fetch_again(fetcher: Any, indices: Any) -> tuple[Way, ...]:
    """The lines of the program that returned the samples of a batch. Runs the dataset: only ever in a child."""
    given: list[Way] = []
    with _seeing(given):
        try:
            fetcher.fetch(indices)
        except Exception:  # the failure itself, which is known
            return tuple(given)
    return tuple(given)


def fetch_in_worker(iterator: Any, indices: Any, worker: int, given: list[Way]) -> None:
    """What a worker of a loader's iterator did: its start, then this batch (of an iterable dataset all up to the failing one)."""
    from torch.utils.data import _DatasetKind, _utils

    dataset, kind = iterator._dataset, iterator._dataset_kind
    seed = iterator._base_seed + worker
    random.seed(seed)
    torch.manual_seed(seed)
    _utils.worker._worker_info = _utils.worker.WorkerInfo(id=worker, num_workers=iterator._num_workers, seed=seed, dataset=dataset)
    if iterator._worker_init_fn is not None:
        iterator._worker_init_fn(worker)
    fetcher = _DatasetKind.create_fetcher(kind, dataset, iterator._auto_collation, iterator._collate_fn, iterator._drop_last)
    for _ in range(1 if kind == _DatasetKind.Map else _MOST_BATCHES):
        given.clear()
        with _seeing(given):
            fetcher.fetch(indices)


@contextmanager
def _seeing(given: list[Way]) -> Iterator[None]:
    """Notes each return from the program's code into torch's data code, with the returns further in that gave the very same object."""
    below: dict[int, tuple[Any, Way]] = {}

    def seen(frame: FrameType, event: str, value: Any) -> None:
        asker = frame.f_back
        if event != "return" or asker is None or origin(frame.f_code.co_filename) != "user":
            return
        inner, way = below.pop(id(frame), (None, ()))
        way = (span_of(frame.f_code, frame.f_lasti), *(way if inner is value else ()))
        if asker.f_code.co_filename.replace("\\", "/").endswith(_ASKERS):
            given.append(way)
            below.clear()
        else:
            below[id(asker)] = (value, way)

    setprofile(seen)
    try:
        yield
    finally:
        setprofile(None)
