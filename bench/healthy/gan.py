import math

import torch
import torch.nn as nn

NOISE_DIM = 8
DATA_DIM = 2
BATCH = 32


def real_points(n):
    angle = 2 * math.pi * torch.rand(n)
    radius = 1 + 0.05 * torch.randn(n)
    return torch.stack((radius * torch.cos(angle), radius * torch.sin(angle)), dim=1)


class Generator(nn.Module):
    def __init__(self, noise_dim, data_dim, hidden=32):
        super().__init__()
        self.first = nn.Linear(noise_dim, hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.second = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, data_dim)

    def forward(self, z):
        h = torch.relu(self.norm(self.first(z)))
        h = h + torch.tanh(self.second(h))
        return self.last(h)


class Discriminator(nn.Module):
    def __init__(self, data_dim, hidden=48):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(data_dim, hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden, hidden // 2),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden // 2, 1),
        )

    def forward(self, x):
        return self.net(x).view(-1)


def main():
    torch.manual_seed(7)
    generator = Generator(NOISE_DIM, DATA_DIM)
    discriminator = Discriminator(DATA_DIM)
    opt_g = torch.optim.Adam(generator.parameters(), lr=2e-3, betas=(0.5, 0.999))
    opt_d = torch.optim.Adam(discriminator.parameters(), lr=2e-3, betas=(0.5, 0.999))
    criterion = nn.BCEWithLogitsLoss()
    ones = torch.ones(BATCH)
    zeros = torch.zeros(BATCH)
    for _ in range(8):
        real = real_points(BATCH)
        fake = generator(torch.randn(BATCH, NOISE_DIM))

        real_score = discriminator(real)
        fake_score = discriminator(fake.detach())
        loss_d = criterion(real_score, ones) + criterion(fake_score, zeros)
        opt_d.zero_grad()
        loss_d.backward()
        opt_d.step()

        score = discriminator(fake)
        loss_g = criterion(score, ones)
        opt_g.zero_grad()
        loss_g.backward()
        opt_g.step()
    print(f"discriminator {loss_d.item():.6f} generator {loss_g.item():.6f}")


if __name__ == "__main__":
    main()
