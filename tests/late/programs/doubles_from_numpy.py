import numpy as np
import torch
from torch import nn

AT = 1
net = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 1))
optimizer = torch.optim.Adam(net.parameters())


def observe(step):
    reading = np.random.randn(4, 3).astype(np.float32)
    if step >= AT:
        reading = reading.astype(np.float64)  #~ cause
    return torch.from_numpy(reading)


for step in range(AT + 2):
    loss = net(observe(step)).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
