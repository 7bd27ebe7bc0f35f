import torch
from torch import nn

AT = 1
net = nn.Linear(4, 4)
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
cache = {}


def position(x):
    if "table" not in cache:
        cache["table"] = torch.arange(4.0) / 4
    return cache["table"]


@torch.inference_mode()  #~ cause
def evaluate():
    cache.clear()
    return (net(torch.zeros(1, 4)) * position(None)).sum().item()


for step in range(AT + 2):
    x = torch.randn(2, 4)
    loss = (net(x) * position(x)).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step == AT:
        evaluate()
