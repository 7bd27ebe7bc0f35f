"""Whole programs in which the line to blame is not near the one that raises: a sample, a generator, a helper, another object's method."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from laboratory import Laboratory, marked_line, without_marks

LABORATORY = Laboratory()
PROGRAMS: dict[str, tuple[str, Mapping[str, str]]] = {
    "one clip of another length": (
        "data.collate",
        {
            "main.py": """\
from torch.utils.data import DataLoader
from clips import Clips

for wave, label in DataLoader(Clips(40), batch_size=4):
    print(tuple(wave.shape))
""",
            "clips.py": """\
import torch


class Clips:
    def __init__(self, n):
        self.waves = [torch.rand(90 if i == 33 else 120) for i in range(n)]

    def __len__(self):
        return len(self.waves)

    def __getitem__(self, i):
        return self.waves[i][:120], i % 2  #~ cause
""",
        },
    ),
    "one grey picture": (
        "shape.conv-channels",
        {
            "main.py": """\
import torch
from torch import nn
from torch.utils.data import DataLoader
from pictures import Pictures

net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2))
optimizer = torch.optim.SGD(net.parameters(), 0.1)
for picture, label in DataLoader(Pictures(90), batch_size=1):
    loss = nn.functional.cross_entropy(net(picture), label)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
""",
            "pictures.py": """\
import numpy as np
import torch


class Pictures:
    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        array = np.zeros((1 if i == 70 else 3, 8, 8), dtype=np.float32)
        return torch.from_numpy(array), i % 2  #~ cause
""",
        },
    ),
    "a generator's other size": (
        "shape.linear",
        {
            "main.py": """\
import torch
from torch import nn


def batches(size):
    for _ in range(50):
        yield torch.rand(4, 1, size, size)  #~ cause


net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 3))
optimizer = torch.optim.Adam(net.parameters())
for size in (8, 8, 9):
    for x in batches(size):
        loss = net(x).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
"""
        },
    ),
    "data that a helper made": (
        "autograd.no-grad-fn",
        {
            "main.py": """\
import torch
from torch import nn


def points(n):
    angle = torch.rand(n) * 6.28
    return torch.stack([angle.cos(), angle.sin()], dim=1)


critic = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
real = points(16)  #~ cause
score = critic(real)
gradient, = torch.autograd.grad(score.sum(), real, create_graph=True)
"""
        },
    ),
    "a state that another object keeps": (
        "autograd.double-backward",
        {
            "main.py": """\
import torch
from torch import nn
from bank import Bank

torch.manual_seed(0)
net, bank = nn.Linear(4, 3), Bank(3)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for step in range(200):
    out = net(torch.rand(6, 4))
    loss = (out - bank.centre).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step == 150:
        bank.follow(net(torch.rand(6, 4)))
""",
            "bank.py": """\
import torch


class Bank:
    def __init__(self, width):
        self.centre = torch.zeros(width)

    def follow(self, out):
        self.centre = 0.9 * self.centre + 0.1 * out.mean(0)  #~ cause
""",
        },
    ),
    "an evaluation on other pictures": (
        "shape.conv-rank",
        {
            "main.py": """\
import torch
from torch import nn

net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)


def views(stacked):
    while True:
        yield torch.rand(3, 8, 8) if stacked else torch.rand(8, 8)


def train(source, steps):
    for _ in range(steps):
        loss = net(next(source)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def evaluate(pictures):
    for picture in pictures:
        print(net(torch.clone(picture)).mean().item())


train(views(True), 80)
evaluate([torch.rand(8, 8)])  #~ cause
"""
        },
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_blamed(name: str) -> None:
    family, files = PROGRAMS[name]
    trial = LABORATORY.run(files)
    assert trial.report is not None and trial.report["problems"] == []
    best = trial.report["diagnoses"][0]
    assert best["family"] == family, best["rendered"]
    assert (best["cause"]["file"], best["cause"]["line"]) == marked_line(files), best["rendered"]
    assert without_marks(files) != files


def test_a_loader_that_is_used_up_is_no_error_of_pytorchs() -> None:
    program = """\
import torch
from torch.utils.data import DataLoader

stream = iter(DataLoader(torch.rand(6, 2), batch_size=4))
for _ in range(3):
    print(next(stream).shape)
"""
    trial = LABORATORY.run({"main.py": program})
    assert trial.report is not None and trial.report["outcome"] == "not-torch" and trial.report["diagnoses"] == []
    assert "torchwhy" not in trial.stderr
