"""Turns sequences of tokens around with an encoder, a decoder and attention between them."""

import random

import torch
import torch.nn as nn
import torch.nn.functional as F

PAD, SOS, EOS = 0, 1, 2
SOURCE_VOCAB = 30
TARGET_VOCAB = 34
EMBED = 16
HIDDEN = 24


class Encoder(nn.Module):
    def __init__(self, vocab, embed, hidden):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed, padding_idx=PAD)
        self.rnn = nn.GRU(embed, hidden, batch_first=True, bidirectional=True)
        self.bridge = nn.Linear(2 * hidden, hidden)

    def forward(self, source):
        outputs, state = self.rnn(self.embedding(source))
        state = torch.cat([state[0], state[1]], dim=1)
        state = torch.tanh(self.bridge(state))
        return outputs, state.unsqueeze(0)


class Attention(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(2 * hidden, hidden)
        self.score = nn.Linear(hidden, 1)

    def forward(self, state, outputs, mask):
        query = self.query(state[-1]).unsqueeze(1)
        energy = torch.tanh(query + self.key(outputs))
        scores = self.score(energy).squeeze(2)
        scores = scores.masked_fill(mask, -1e9)
        weights = F.softmax(scores, dim=1)
        return torch.bmm(weights.unsqueeze(1), outputs)


class Decoder(nn.Module):
    def __init__(self, vocab, embed, hidden):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed, padding_idx=PAD)
        self.attention = Attention(hidden)
        self.rnn = nn.GRU(embed + 2 * hidden, hidden, batch_first=True)
        self.out = nn.Linear(3 * hidden, vocab)

    def step(self, token, state, outputs, mask):
        context = self.attention(state, outputs, mask)
        inputs = torch.cat([self.embedding(token), context], dim=2)
        output, state = self.rnn(inputs, state)
        logits = self.out(torch.cat([output, context], dim=2))
        return logits.squeeze(1), state

    def forward(self, target, state, outputs, mask):
        steps = []
        for t in range(target.size(1) - 1):
            logits, state = self.step(target[:, t : t + 1], state, outputs, mask)
            steps.append(logits)
        return torch.stack(steps, dim=1)


def make_pairs(count, rng):
    pairs = []
    for _ in range(count):
        tokens = [rng.randrange(3, SOURCE_VOCAB) for _ in range(rng.randrange(3, 7))]
        pairs.append((tokens, [SOS, *(t + 4 for t in reversed(tokens)), EOS]))
    return pairs


def pad(sequences):
    longest = max(len(s) for s in sequences)
    return torch.tensor([s + [PAD] * (longest - len(s)) for s in sequences], dtype=torch.long)


def main():
    torch.manual_seed(3)
    rng = random.Random(3)
    pairs = make_pairs(32, rng)
    encoder = Encoder(SOURCE_VOCAB, EMBED, HIDDEN)
    decoder = Decoder(TARGET_VOCAB, EMBED, HIDDEN)
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=0.01)
    criterion = nn.CrossEntropyLoss(ignore_index=PAD)
    for start in range(0, 32, 8):
        batch = pairs[start : start + 8]
        source = pad([s for s, _ in batch])
        target = pad([t for _, t in batch])
        outputs, state = encoder(source)
        logits = decoder(target, state, outputs, source == PAD)
        loss = criterion(logits.reshape(-1, TARGET_VOCAB), target[:, 1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"loss {loss.item():.6f}")


if __name__ == "__main__":
    main()
