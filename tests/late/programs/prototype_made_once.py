import torch
from torch import nn

AT = 1


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))
        self.body = nn.Linear(4, 4)
        self.prototype = None

    def forward(self, x, keep):
        if not keep or self.prototype is None:
            self.prototype = self.scale.exp()  #~ cause
        return self.body(x) * self.prototype


head = Head()
optimizer = torch.optim.SGD(head.parameters(), lr=0.01)
for step in range(AT + 3):
    loss = head(torch.randn(3, 4), keep=step >= AT).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
