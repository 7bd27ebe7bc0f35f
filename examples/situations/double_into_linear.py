"""float64 data for a float32 layer.

family: dtype.mismatch
"""
import torch
from torch import nn

model = nn.Linear(10, 1)
table = torch.randn(10, 10, dtype=torch.float64)  #~ cause
print(model(table).shape)  #~ raises
