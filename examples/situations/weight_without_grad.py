"""A factor that does not require grad: it runs; the gradient goes to the other one, and its own stays None.

family: none
"""
import torch

signal = torch.ones(10, requires_grad=True)
window = torch.ones(10)
(signal * window).sum().backward()
print(signal.grad is not None, window.grad is None)
