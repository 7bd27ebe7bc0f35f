"""`y = x * 2; y.add_(x)` is right, and so is its gradient, 3: multiplication by a number saves nothing that `add_` overwrites.

family: none
"""
import torch

rate = torch.ones(4, requires_grad=True)
total = rate * 2
total.add_(rate)
total.sum().backward()
print(rate.grad.tolist())
