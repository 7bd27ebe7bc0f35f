import torch
from torch import nn

AT = 1
cell = nn.GRUCell(3, 6)
head = nn.Linear(6, 1)
optimizer = torch.optim.Adam([*cell.parameters(), *head.parameters()])
state = torch.zeros(2, 6)
for step in range(AT + 3):
    if step < AT:
        state = state.detach()
    state = cell(torch.randn(2, 3), state)  #~ cause
    loss = head(state).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
