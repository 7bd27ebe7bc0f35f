"""A product of two matrices whose inner sizes differ.

family: shape.matmul
"""
import torch

rotations = torch.randn(3, 4)
points = torch.randn(5, 3)  #~ cause
print(torch.matmul(rotations, points).shape)  #~ raises
