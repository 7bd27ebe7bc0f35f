import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
        self.head = nn.Linear(9, 2)

    def forward(self, x):
        return self.head(self.body(x))


net = Net()
try:
    net(torch.ones(2, 4))
except RuntimeError as error:
    print("caught", error)
net(torch.ones(2, 4))
