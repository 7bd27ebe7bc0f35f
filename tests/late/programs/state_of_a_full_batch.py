import torch
from torch import nn
from torch.utils.data import DataLoader

AT = 1
BATCH = 8


class Tagger(nn.Module):
    def __init__(self, batch):
        super().__init__()
        self.batch = batch
        self.rnn = nn.LSTM(5, 7, batch_first=True)
        self.out = nn.Linear(7, 2)

    def start(self):
        zeros = torch.zeros(1, self.batch, 7)  #~ cause
        return zeros, zeros.clone()

    def forward(self, x):
        seen, _ = self.rnn(x, self.start())
        return self.out(seen[:, -1])


tagger = Tagger(BATCH)
optimizer = torch.optim.SGD(tagger.parameters(), lr=0.01)
for x in DataLoader(torch.randn(AT * BATCH + 3, 4, 5), batch_size=BATCH):
    loss = tagger(x).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
