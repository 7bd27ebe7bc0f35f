import torch
from torch import nn

AT = 1
WORDS = 20
table = nn.Embedding(WORDS, 6)  #~ cause
head = nn.Linear(6, 1)
optimizer = torch.optim.SGD([*table.parameters(), *head.parameters()], lr=0.1)


def ids(step):
    if step < AT:
        return torch.randint(0, WORDS, (4,))
    return torch.tensor([3, 1, WORDS, 2])  #~ cause


for step in range(AT + 2):
    loss = head(table(ids(step))).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
