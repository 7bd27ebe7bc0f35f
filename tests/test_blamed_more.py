"""Rules of blame on programs of other kinds, each with the look-alike that it must leave alone."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from laboratory import Laboratory
from trials import assert_blamed, assert_not_said

LABORATORY = Laboratory()
PROGRAMS: dict[str, tuple[str, Mapping[str, str], str]] = {
    "a list that is never reset": (
        "shape.broadcast",
        {
            "main.py": """\
import torch


class Agent:
    def __init__(self):
        self.values = []
        self.gains = []

    def step(self, k):
        self.values.append(torch.tensor(float(k)))  #~ cause
        self.gains.append(1.0)


agent = Agent()
for episode in range(3):
    for k in range(4 + episode):
        agent.step(k)
    loss = (torch.stack(agent.values) - torch.tensor(agent.gains)).sum()
    agent.gains = []
"""
        },
        "never reset",
    ),
    "a helper's number": (
        "shape.matmul",
        {
            "main.py": """\
import torch
from torch import nn


def bank(bands, size=64):
    steps = torch.linspace(0, 1, size // 2 + 1)
    return steps[None] * torch.ones(bands, 1)


class Front(nn.Module):
    def __init__(self, points):
        super().__init__()
        self.points = points
        self.register_buffer("bank", bank(5))  #~ cause

    def forward(self, x):
        return self.bank @ torch.fft.rfft(x, self.points, dim=0).abs()


Front(48)(torch.rand(48, 7))
"""
        },
        "33",
    ),
    "a block unlike its siblings": (
        "shape.matmul",
        {
            "main.py": """\
import torch
from torch import nn


class Low(nn.Module):
    def __init__(self, width, down, up):
        super().__init__()
        self.down = nn.Parameter(torch.zeros(width, down))
        self.up = nn.Parameter(torch.zeros(up, width))

    def forward(self, x):
        return x + x @ self.down @ self.up


blocks = nn.Sequential(
    Low(8, 3, 3),
    Low(8, 3, 3),
    Low(8, 5, 3),  #~ cause
)
blocks(torch.rand(2, 8))
"""
        },
        "down is 5",
    ),
    "a class token that the mask lacks": (
        "shape.attention",
        {
            "main.py": """\
import torch
from torch import nn

layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
token = torch.zeros(3, 1, 8)
words = torch.randint(0, 5, (3, 6))
missing = words.eq(0)  #~ cause
x = nn.Embedding(5, 8)(words)
layer(torch.cat([token, x], dim=1), src_key_padding_mask=missing)
"""
        },
        "[3, 7]",
    ),
    "a slice as long as a full batch": (
        "shape.broadcast",
        {
            "main.py": """\
import torch
from torch.utils.data import DataLoader

memory = torch.zeros(3, 40)
at = 0
for x in DataLoader(torch.rand(21, 3), batch_size=8):
    memory[:, at : at + 8] = x.t()  #~ cause
    at += 8
"""
        },
        "last batch has 5 of 8",
    ),
    "labels in the shape of the batch": (
        "shape.batch-mismatch",
        {
            "main.py": """\
import torch
from torch import nn

words = torch.randint(0, 9, (4, 6))
labels = words.roll(-1, 1)  #~ cause
scores = nn.Embedding(9, 9)(words)
nn.functional.cross_entropy(scores.flatten(0, 1), labels)
"""
        },
        "24",
    ),
    "a dataclass for a module": (
        "module.init",
        {
            "main.py": """\
from dataclasses import dataclass
from torch import nn


@dataclass(eq=False)  #~ cause
class Head(nn.Module):
    body: nn.Module
    width: int = 4

    def __post_init__(self):
        super().__init__()


Head(nn.Linear(2, 2))
"""
        },
        "Head",
    ),
    "a buffer that comes with the first call": (
        "module.state-dict",
        {
            "main.py": """\
import torch
from torch import nn


class Scale(nn.Module):
    def forward(self, x):
        if not hasattr(self, "peak"):
            self.register_buffer("peak", x.detach().abs().max())  #~ cause
        return x / self.peak


def build():
    return nn.Sequential(nn.Linear(2, 2), Scale())


first = build()
first(torch.rand(3, 2))
build().load_state_dict(first.state_dict())
"""
        },
        "1.peak",
    ),
    "an output made double": (
        "dtype.loss-target",
        {
            "main.py": """\
import torch
from torch import nn


class Out(nn.Module):
    def __init__(self):
        super().__init__()
        self.line = nn.Linear(4, 1)

    def forward(self, x):
        return self.line(x).sigmoid().double()  #~ cause


x, y = torch.rand(5, 4), torch.randint(0, 2, (5, 1)).float()
nn.functional.binary_cross_entropy(Out()(x), y).backward()
"""
        },
        "float64",
    ),
    "an empty sentence": (
        "shape.rnn",
        {
            "main.py": """\
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

lines = ["a b c", "", "d e"]
words = [torch.ones(len(line.split()), 4) for line in lines]
counts = torch.tensor([len(w) for w in words])  #~ cause
pack_padded_sequence(pad_sequence(words), counts, enforce_sorted=False)
"""
        },
        "has a 0",
    ),
    "one function in a list for two groups": (
        "module.optimizer",
        {
            "main.py": """\
import torch
from torch import nn

net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
optimizer = torch.optim.SGD([{"params": net[0].parameters()}, {"params": net[1].parameters(), "lr": 1.0}], lr=0.1)
torch.optim.lr_scheduler.LambdaLR(optimizer, lr_lambda=[lambda e: 0.9**e])  #~ cause
"""
        },
        "2 parameter groups",
    ),
    "a column of one table": (
        "dtype.loss-target",
        {
            "main.py": """\
import torch
from torch import nn

table = torch.tensor([[0.1, 0.4, 1.0], [0.3, 0.2, 0.0], [0.9, 0.5, 1.0]])
kinds = table[:, 2]  #~ cause
print(nn.CrossEntropyLoss()(nn.Linear(2, 2)(table[:, :2]), kinds[torch.arange(2, -1, -1)]))
"""
        },
        "a part of data that is float32",
    ),
    "a table of its own": (
        "dtype.loss-target",
        {
            "main.py": """\
import torch
from torch import nn

rows = torch.tensor([[0.1, 0.4], [0.3, 0.2], [0.9, 0.5]])
kinds = torch.tensor([1.0, 0.0, 1.0])  #~ cause
print(nn.CrossEntropyLoss()(nn.Linear(2, 2)(rows), kinds[torch.arange(2, -1, -1)]))
"""
        },
        "float32 from here on",
    ),
}
NEAR: dict[str, tuple[Mapping[str, str], str]] = {
    "a list that a tuple assignment resets": (
        {
            "main.py": """\
import torch


class Agent:
    def __init__(self):
        self.values, self.gains = [], []

    def reset(self):
        self.values, self.gains = [], []


agent = Agent()
for episode in range(2):
    agent.reset()
    for k in range(4):
        agent.values.append(torch.tensor(float(k)))
    agent.gains = [1.0] * 3
    loss = (torch.stack(agent.values) - torch.tensor(agent.gains)).sum()
"""
        },
        "never reset",
    ),
    "a half model and an assigned state": (
        {
            "main.py": """\
import torch
from torch import nn

net = nn.Linear(3, 2)
net.load_state_dict(nn.Linear(3, 2).state_dict(), assign=True)
net.half()
net(torch.rand(4, 3))
"""
        },
        "takes the checkpoint's tensors",
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
