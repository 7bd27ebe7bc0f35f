"""An elementwise sum of two matrices that differ in both dimensions; the message names one of them.

family: shape.broadcast
"""
import torch

scores = torch.randn(32, 64)
bias = torch.randn(64, 128)  #~ cause
print((scores + bias).shape)  #~ raises
