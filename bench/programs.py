"""The three training programs that the benchmarks time: a small MLP, a small ResNet and a small transformer."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn


class Residual(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.shortcut = nn.Conv2d(before, after, 1, stride, bias=False) if stride != 1 or before != after else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


class ResNet(nn.Module):
    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 1, 1)
        self.blocks = nn.Sequential(Residual(16, 16, 1), Residual(16, 32, 2), Residual(32, 64, 2))
        self.head = nn.Linear(64, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(F.relu(self.stem(x))).mean(dim=(2, 3)))


class Transformer(nn.Module):
    def __init__(self, vocabulary: int = 500, width: int = 256, layers: int = 4) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.layers(self.embed(ids))).flatten(0, 1)


def mlp() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    layers = [nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)]
    return nn.Sequential(*layers), torch.randn(32, 64), torch.randint(0, 10, (32,))


def resnet() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    return ResNet(), torch.randn(16, 3, 64, 64), torch.randint(0, 10, (16,))


def transformer() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    ids = torch.randint(0, 500, (8, 128))
    return Transformer(), ids, ids.flatten()


MODELS: dict[str, Callable[[], tuple[nn.Module, torch.Tensor, torch.Tensor]]] = {"mlp": mlp, "resnet": resnet, "transformer": transformer}


def step_of(name: str) -> Callable[[], float]:
    """One full training step of the named program: zero_grad, forward, loss, backward, Adam."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model, x, y = MODELS[name]()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step() -> float:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    step.model, step.data = model, x  # type: ignore[attr-defined]
    return step
