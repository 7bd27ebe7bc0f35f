"""float32 plus int64: types are promoted, it runs.

family: none
"""
import torch

weights = torch.zeros(10)
counts = torch.arange(10)
print((weights + counts).dtype)
