"""An in-place op in `forward` on an input that is a leaf and requires grad: torch refuses at once, not in `backward`.

family: autograd.inplace-leaf
"""
import torch
from torch import nn


class Shifted(nn.Module):
    def __init__(self):
        super().__init__()
        self.project = nn.Linear(6, 3)

    def forward(self, features):
        features.add_(1)  #~ cause raises
        return self.project(features)


probe = torch.randn(2, 6, requires_grad=True)
Shifted()(probe).sum().backward()
