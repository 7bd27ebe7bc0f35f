"""Detached before the loss: there is no graph at all, so `backward` raises; it does not leave the gradient None.

family: autograd.no-grad-fn autograd.detached
"""
import torch
import torch.nn.functional as F

energies = torch.randn(10, requires_grad=True)
active = F.relu(energies)
frozen = active.detach()  #~ cause
frozen.sum().backward()  #~ raises
