"""The message law for loaders: the same diagnosis whether the samples are fetched here or in a worker."""

from __future__ import annotations

import json
import os

import pytest
from laboratory import Laboratory

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="looks again in a forked child")

DATASETS = {
    "sizes": "torch.ones(3 + (i == 5))",
    "nothing": "None if i == 5 else torch.ones(3)",
    "nothing inside": '{"x": torch.ones(2), "y": None if i == 5 else i}',
    "nothing for a number": "None if i == 5 else i",
    "keys": '{"x": i} if i == 5 else {"x": i, "y": i}',
    "object": "(torch.ones(2), object())",
    "lengths": "(torch.ones(2), [1] * (3 if i == 5 else 2))",
    "types": "1 if i == 5 else torch.ones(2)",
    "an op": "torch.ones(3) @ torch.ones(4 if i == 5 else 3)",
    "a layer": "LAYER(torch.ones(4 if i == 5 else 3)).detach()",
}
PROGRAM = """\
import torch
from torch.utils.data import DataLoader, Dataset

LAYER = torch.nn.Linear(3, 2)


class Things(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, i):
        return {gives}


loader = DataLoader(Things(), batch_size=2, num_workers={workers})
for batch in loader:
    pass
"""


@pytest.mark.parametrize("gives", DATASETS.values(), ids=DATASETS)
def test_workers_change_nothing(gives: str, laboratory: Laboratory) -> None:
    said = []
    for workers in (0, 2):
        report = laboratory.run({"main.py": PROGRAM.format(gives=gives, workers=workers)}).report
        assert report is not None and report["problems"] == []
        first = report["diagnoses"][0]
        said.append((first["code"], first["headline"], first["cause"]["line"], first["confidence"], [t["line"] for t in first["trail"]]))
    assert said[0] == said[1]
    if "i == 5" in gives and "@" not in gives and "LAYER" not in gives:
        assert "5" in said[0][1]


def test_the_samples_of_the_batch_are_told(laboratory: Laboratory) -> None:
    report = laboratory.run({"main.py": PROGRAM.format(gives=DATASETS["sizes"], workers=1)}).report
    assert report is not None
    evidence = report["incident"]["evidence"]
    assert [s["index"] for s in evidence["samples"]] == [4, 5]
    assert [s["value"]["shape"] for s in evidence["samples"]] == [[3], [4]]
    assert all(s["returned"][0]["line"] == 12 for s in evidence["samples"])
    assert evidence["recording"]["replayed"] is True


HELD = """\
import functools
import threading

from torch.utils.data import DataLoader, Dataset

{before}

class Box:
    def __init__(self, content):
        self.content = content


class Things(Dataset):
    def __init__(self, box):
        self.box = box

    def __len__(self):
        return 2

    def __getitem__(self, i):
        return i


def main():
    things = Things({held})
    next(iter(DataLoader(things, num_workers=1, multiprocessing_context="spawn")))


if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize(
    ("held", "path", "what"),
    [
        ('[1, Box({"k": lambda: 1})]', "things.box[1].content['k']", "lambda"),
        ("functools.partial(max, Box(threading.Lock()))", "things.box.args[0].content", "object"),
        ("(n for n in range(3))", "things.box", "object"),
        ('{"file": open(__file__)}', "things.box['file']", "object"),
    ],
)
def test_the_way_to_what_cannot_be_pickled(held: str, path: str, what: str, laboratory: Laboratory) -> None:
    report = laboratory.run({"main.py": HELD.format(held=held, before="")}).report
    assert report is not None and report["problems"] == []
    told = json.loads(report["incident"]["evidence"]["probes"][0]["answer"])
    assert (told["path"], told["what"]) == (path, what)
    assert report["diagnoses"][0]["family"] == "data.worker"
    assert f"`{path}`" in report["diagnoses"][0]["headline"]
