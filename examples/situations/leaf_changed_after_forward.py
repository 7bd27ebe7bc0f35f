"""A leaf that requires grad is changed in place after the forward: torch refuses at the `+=`, not in `backward`.

family: autograd.inplace-leaf
"""
import torch

temperature = torch.ones(5, requires_grad=True)
energy = (2 * temperature).sum()
temperature += 1  #~ cause raises
energy.backward()
print(temperature.grad)
