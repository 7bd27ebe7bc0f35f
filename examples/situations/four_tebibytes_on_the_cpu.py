"""A tensor of 1024 to the fourth elements. It is on the CPU, so it is the CPU's allocator that refuses; half of it in half precision would still be 128 GiB.

family: memory.cpu
"""
import torch

cells = 1024
grid = torch.randn(cells, cells, cells, cells)  #~ cause raises
print(grid.shape)
