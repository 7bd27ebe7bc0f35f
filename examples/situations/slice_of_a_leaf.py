"""A slice of a leaf is changed in place: torch refuses at that line, whatever came before.

family: autograd.inplace-leaf autograd.inplace-view
"""
import torch

board = torch.rand(4, 4, requires_grad=True)
board.sum().backward()
board[:2, :] += 1  #~ cause raises
board.sum().backward()
