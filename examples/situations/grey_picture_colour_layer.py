"""A picture of one channel for a convolution that was built for three.

family: shape.conv-channels
"""
import torch
from torch import nn


class Edges(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)  #~ cause

    def forward(self, picture):
        return self.first(picture)


print(Edges()(torch.randn(1, 1, 28, 28)).shape)
