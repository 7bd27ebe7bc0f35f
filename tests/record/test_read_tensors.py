"""Tensors that are read (from a loader's worker, a file, a pickle) have the facts that they come with, not those of their rebuilding."""

from __future__ import annotations

import io
import multiprocessing
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from torchwhy.model import Evidence
from torchwhy.reason.history import history_of
from torchwhy.record.recorder import Recorder

forks = pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="the workers are forked")


class Pictures(Dataset[Any]):
    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"picture": torch.full((3, 5), float(index)), "label": index % 2}


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter([Pictures()[index] for index in range(8)])


def _shape_where_made(recorder: Recorder) -> tuple[int, ...] | None:
    """What the history says of the tensor that `relu` was given last, where it was made."""
    ops = recorder.history()
    given = next(op for op in reversed(ops) if op.name == "relu").inputs[0]
    made = history_of(Evidence(ops=ops)).producer(given)
    assert made is not None and made.outputs
    assert made.span is not None and made.span.file.endswith("test_read_tensors.py")
    return next(out.shape for out in made.outputs if out.id == given.id)


@forks
@pytest.mark.parametrize("dataset", [Pictures(), Stream()], ids=["map", "iterable"])
@pytest.mark.parametrize("settings", [{}, {"persistent_workers": True}, {"batch_size": None}], ids=str)
def test_batches_of_workers(recorder: Recorder, dataset: Any, settings: dict[str, Any]) -> None:
    asked = {"batch_size": 4, "num_workers": 1, "multiprocessing_context": "fork", **settings}
    loader: DataLoader[Any] = DataLoader(dataset, **asked)
    shape = (3, 5) if asked["batch_size"] is None else (4, 3, 5)
    for _ in range(2):
        for batch in loader:
            batch["picture"].relu()
            assert _shape_where_made(recorder) == shape
    assert f"float32 {list(shape)}" in recorder.loaders()[-1].shapes


def test_files_and_pickles(recorder: Recorder) -> None:
    file = io.BytesIO()
    torch.save(torch.ones(2, 7), file)
    file.seek(0)
    torch.load(file).relu()
    assert _shape_where_made(recorder) == (2, 7)
    pickle.loads(pickle.dumps(torch.ones(6, 1))).relu()
    assert _shape_where_made(recorder) == (6, 1)
