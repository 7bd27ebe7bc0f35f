"""A small classifier of pictures with one wrong number in it."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Classifier(nn.Module):
    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.fc1 = nn.Linear(1024, 128)
        self.fc2 = nn.Linear(128, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.features(x)
        x = x.flatten(1)
        return self.fc2(self.fc1(x).relu())


def main() -> None:
    torch.manual_seed(0)
    data = TensorDataset(torch.rand(256, 1, 28, 28), torch.randint(0, 10, (256,)))
    net = Classifier()
    optimizer = torch.optim.Adam(net.parameters())
    for images, labels in DataLoader(data, batch_size=32, shuffle=True):
        loss = nn.functional.cross_entropy(net(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    main()
