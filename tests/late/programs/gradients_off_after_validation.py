import torch
from torch import nn

AT = 1
net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
optimizer = torch.optim.Adam(net.parameters())


def validate():
    net.eval()
    torch.set_grad_enabled(False)  #~ cause
    return net(torch.zeros(2, 4)).mean().item()


for epoch in range(2):
    net.train()
    for step in range(AT):
        loss = net(torch.randn(4, 4)).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    validate()
