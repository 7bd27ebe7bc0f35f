"""A clone is part of the graph, and may be changed in place: nothing saved needs its old value.

family: none
"""
import torch

state = torch.ones(5, requires_grad=True)
copy = state.clone()
copy[0] += 1
copy.sum().backward()
print(state.grad.tolist())
