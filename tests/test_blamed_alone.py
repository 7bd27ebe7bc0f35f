"""Blame where the program does by hand what torch has a tool for, or tells its compiler more than holds."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from laboratory import Laboratory
from trials import assert_blamed, assert_not_said

LABORATORY = Laboratory()
_TRAIN = """\
import torch
from torch import nn

PIECE = 8
torch.manual_seed(0)
net = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Linear(5, 1))
points = torch.randn({rows}, 3)


def pieces(x, size):
    for first in range(0, len(x), size):{mark}
        yield x[first : first + size]


for x in {loop}:
    net(x).pow(2).mean().backward()
"""
PROGRAMS: dict[str, tuple[str, Mapping[str, str], str]] = {
    "a row left over by slices": (
        "data.last-batch",
        {"main.py": _TRAIN.format(rows=25, loop="pieces(points, PIECE)", mark="  #~ cause")},
        "25 rows in minibatches of 8 are 3 full ones",
    ),
    "a row left over by split": (
        "data.last-batch",
        {"main.py": _TRAIN.format(rows=17, loop="points.split(PIECE)", mark="").replace("split(PIECE):", "split(PIECE):  #~ cause")},
        "1 of 17 rows",
    ),
    "a number that a module counts": (
        "compile.dynamic-shape",
        {
            "main.py": """\
import torch
from meter import Meter

meter = torch.compile(Meter(), backend="eager", fullgraph=True)
for k in range(20):
    meter(torch.ones(3))
""",
            "meter.py": """\
from torch import nn


class Meter(nn.Module):
    def __init__(self):
        super().__init__()
        self.seen = 0

    def forward(self, x):
        self.seen += 1  #~ cause
        return x / self.seen
""",
        },
        "`self.seen` changes in each call",
    ),
    "a range wider than the table": (
        "compile.dynamic-shape",
        {
            "main.py": """\
import torch
from torch import nn
from torch.export import Dim, export

LONGEST = 90


class Places(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(60, 4))

    def forward(self, x):
        return x + self.table[: x.shape[1]]


length = Dim("length", min=2, max=LONGEST)  #~ cause
export(Places(), (torch.ones(1, 10, 4),), dynamic_shapes={"x": {1: length}})
"""
        },
        "`length` is declared up to 90, the program takes at most 60",
    ),
    "a size after the stance": (
        "compile.dynamic-shape",
        {
            "main.py": """\
import torch

double = torch.compile(lambda x: x * 2, backend="eager", dynamic=False)
double(torch.ones(6))
torch.compiler.set_stance("fail_on_recompile")  #~ cause
for rows in (6, 6, 4):
    double(torch.ones(rows))
"""
        },
        "has 4 in dimension 0, it was compiled for 6",
    ),
    "an example of one sample": (
        "compile.dynamic-shape",
        {
            "main.py": """\
import torch
from torch import nn

sample = torch.rand(1, 5)  #~ cause
rows = torch.export.Dim("rows", min=1, max=64)
torch.export.export(nn.Linear(5, 2), (sample,), dynamic_shapes=({0: rows},))
"""
        },
        "sizes 0 and 1 are always specialised",
    ),
    "an input without a mark": (
        "compile.dynamic-shape",
        {
            "main.py": """\
import torch


@torch.compile(backend="eager")
def blend(x, y):
    return x * y  #~ cause


x, y = torch.rand(11), torch.rand(11)
torch._dynamo.mark_dynamic(x, 0)
blend(x, y)
"""
        },
        "`y` has the same size and no mark",
    ),
    "a module kept by a dataset": (
        "data.worker",
        {
            "main.py": """\
import torch
from torch.utils.data import DataLoader

from notes import Notes

if __name__ == "__main__":
    for batch in DataLoader(Notes("math"), num_workers=1, multiprocessing_context="spawn"):
        print(batch)
""",
            "notes.py": """\
import importlib

from torch.utils.data import Dataset


class Notes(Dataset):
    def __init__(self, name):
        self.tools = importlib.import_module(name)  #~ cause

    def __len__(self):
        return 2

    def __getitem__(self, i):
        return self.tools.sqrt(i)
""",
        },
        "`dataset.tools` is a `module`",
    ),
}
NEAR: dict[str, tuple[Mapping[str, str], str]] = {
    "one row that is all there is": (
        {"main.py": _TRAIN.format(rows=1, loop="pieces(points, PIECE)", mark="")},
        "minibatch",
    ),
    "a shape of no rows": (
        {"main.py": "import torch\n\nx = torch.rand(1)\nx.view(0, -1)\n"},
        "which fill no row",
    ),
    "a number that is counted outside": (
        {
            "main.py": """\
import torch


class Meter:
    def __init__(self):
        self.seen = 0

    def add(self):
        self.seen += 1


meter = Meter()
scale = torch.compile(lambda x, k: x / k, backend="eager", fullgraph=True, dynamic=False)
for k in range(1, 20):
    meter.add()
    scale(torch.ones(3), float(k))
"""
        },
        "`self.seen` changes in each call",
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_blamed(name: str) -> None:
    family, files, fact = PROGRAMS[name]
    assert_blamed(LABORATORY, family, files, fact)


@pytest.mark.parametrize("name", NEAR)
def test_not_said(name: str) -> None:
    files, claim = NEAR[name]
    assert_not_said(LABORATORY, files, claim)
