import torch
import torch.nn as nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.utils.data import DataLoader, Dataset

GOOD = ["good", "great", "fine", "nice"]
BAD = ["bad", "awful", "poor", "sad"]
WORDS = GOOD + BAD + ["film", "plot", "actor", "scene", "music", "the", "a", "was", "and", "very", "not"]


class Reviews(Dataset):
    def __init__(self, count, seed):
        generator = torch.Generator().manual_seed(seed)
        self.vocab = {word: i + 1 for i, word in enumerate(WORDS)}
        self.texts = []
        for _ in range(count):
            length = int(torch.randint(3, 9, (1,), generator=generator))
            self.texts.append([WORDS[int(i)] for i in torch.randint(0, len(WORDS), (length,), generator=generator)])

    def __len__(self):
        return len(self.texts)

    def __getitem__(self, index):
        text = self.texts[index]
        mood = sum(w in GOOD for w in text) - sum(w in BAD for w in text)
        return torch.tensor([self.vocab[w] for w in text]), float(mood > 0)


def collate(samples):
    texts, labels = zip(*samples)
    lengths = torch.tensor([len(t) for t in texts])
    padded = pad_sequence(texts, batch_first=True, padding_value=0)
    return padded, lengths, torch.tensor(labels, dtype=torch.float32)


class SentimentLSTM(nn.Module):
    def __init__(self, vocab_size, embed_dim=12, hidden_dim=20, layers=2):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embed_dim, padding_idx=0)
        self.lstm = nn.LSTM(embed_dim, hidden_dim, num_layers=layers, batch_first=True, bidirectional=True)
        self.norm = nn.LayerNorm(hidden_dim * 2)
        self.classifier = nn.Sequential(
            nn.Linear(hidden_dim * 2, 16),
            nn.ReLU(),
            nn.Linear(16, 1),
        )

    def forward(self, tokens, lengths):
        embedded = self.embedding(tokens)
        packed = pack_padded_sequence(embedded, lengths.cpu(), batch_first=True, enforce_sorted=False)
        _, (hidden, _) = self.lstm(packed)
        last = torch.cat((hidden[-2], hidden[-1]), dim=1)
        return self.classifier(self.norm(last)).squeeze(1)


def train(model, loader, epochs, device):
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    history = []
    for _ in range(epochs):
        running = 0.0
        for tokens, lengths, labels in loader:
            tokens, labels = tokens.to(device), labels.to(device)
            optimizer.zero_grad()
            logits = model(tokens, lengths)
            loss = criterion(logits, labels)
            loss.backward()
            optimizer.step()
            running += loss.item() * tokens.size(0)
        history.append(running / len(loader.dataset))
    return history


def main():
    torch.manual_seed(4)
    dataset = Reviews(48, seed=5)
    loader = DataLoader(dataset, batch_size=12, shuffle=True, collate_fn=collate)
    model = SentimentLSTM(len(WORDS) + 1)
    history = train(model, loader, epochs=2, device=torch.device("cpu"))
    print("losses", " ".join(f"{loss:.6f}" for loss in history))


if __name__ == "__main__":
    main()
