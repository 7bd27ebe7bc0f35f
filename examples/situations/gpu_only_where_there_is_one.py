"""A model on the GPU and data on the CPU: without a GPU the device is the CPU, and it runs.

family: none
"""
import torch
from torch import nn

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
model = nn.Linear(4, 2).to(device)
sample = torch.zeros(1, 4)
print(model(sample if device.type == "cpu" else sample.to(device)).shape)
