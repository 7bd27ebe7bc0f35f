import torch
from torch import nn

AT = 1


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(4 * 4 * 4, 2)

    def forward(self, x):
        return self.fc(self.pool(torch.relu(self.conv(x))).flatten(1))


def picture_size(step):
    return 8 if step < AT else 12  #~ cause


net = Net()
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
for step in range(AT + 2):
    size = picture_size(step)
    images = torch.rand(3, 1, size, size)
    loss = net(images).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
