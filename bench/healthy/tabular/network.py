import torch
import torch.nn as nn


class TabularNet(nn.Module):
    def __init__(self, cardinalities, numeric, hidden, dropout):
        super().__init__()
        self.embeddings = nn.ModuleList([nn.Embedding(size, min(8, (size + 1) // 2)) for size in cardinalities])
        embedded = sum(e.embedding_dim for e in self.embeddings)
        self.norm = nn.BatchNorm1d(numeric)
        widths = [embedded + numeric, *hidden]
        layers = []
        for inputs, outputs in zip(widths[:-1], widths[1:]):
            layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(dropout)]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(hidden[-1], 1)

    def forward(self, categories, numbers):
        vectors = [embedding(categories[:, i]) for i, embedding in enumerate(self.embeddings)]
        x = torch.cat([*vectors, self.norm(numbers)], dim=1)
        return self.head(self.body(x)).squeeze(-1)
