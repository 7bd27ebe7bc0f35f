"""The same op on an ordinary batch raises nothing: it changes the caller's data, each time.

family: none
"""
import torch
from torch import nn


class Shifted(nn.Module):
    def __init__(self):
        super().__init__()
        self.project = nn.Linear(6, 3)

    def forward(self, features):
        features.add_(1)
        return self.project(features)


batch = torch.zeros(2, 6)
model = Shifted()
for _ in range(3):
    model(batch).sum().backward()
print(batch[0, 0].item())
