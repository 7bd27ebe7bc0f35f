import torch
from torch import nn

AT = 1


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.enter = nn.Linear(6, 12)
        self.leave = nn.Linear(12, 1)
        self.calls = 0

    def forward(self, x):
        gate = torch.sigmoid(self.enter(x))
        out = self.leave(gate)
        if self.calls >= AT:
            gate.mul_(0.5)  #~ cause
        self.calls += 1
        return out


net = Net()
optimizer = torch.optim.Adam(net.parameters())
for step in range(AT + 2):
    loss = net(torch.randn(4, 6)).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
