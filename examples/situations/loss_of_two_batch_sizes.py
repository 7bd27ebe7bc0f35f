"""Five predictions, ten targets: first a warning on broadcasting, then the error.

family: shape.broadcast shape.loss-target shape.batch-mismatch
"""
import torch
from torch import nn

model = nn.Linear(10, 1)
inputs = torch.randn(5, 10)  #~ cause
targets = torch.randn(10, 1)  #~ cause
loss = nn.MSELoss()(model(inputs), targets)  #~ raises
loss.backward()
