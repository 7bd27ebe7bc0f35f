import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

IMAGE = 16
LATENT = 6


class VAE(nn.Module):
    def __init__(self, latent=LATENT, base=8):
        super().__init__()
        self.base = base
        self.enc1 = nn.Conv2d(1, base, 4, stride=2, padding=1)
        self.enc2 = nn.Conv2d(base, base * 2, 4, stride=2, padding=1)
        self.fc_mu = nn.Linear(base * 2 * 4 * 4, latent)
        self.fc_logvar = nn.Linear(base * 2 * 4 * 4, latent)
        self.fc_dec = nn.Linear(latent, base * 2 * 4 * 4)
        self.dec1 = nn.ConvTranspose2d(base * 2, base, 4, stride=2, padding=1)
        self.dec2 = nn.ConvTranspose2d(base, 1, 4, stride=2, padding=1)

    def encode(self, x):
        h = F.relu(self.enc1(x))
        h = F.relu(self.enc2(h))
        h = h.flatten(start_dim=1)
        return self.fc_mu(h), self.fc_logvar(h)

    def reparameterize(self, mu, logvar):
        std = torch.exp(0.5 * logvar)
        noise = torch.randn_like(std)
        return mu + noise * std

    def decode(self, z):
        h = torch.tanh(self.fc_dec(z))
        h = h.view(-1, self.base * 2, 4, 4)
        h = F.relu(self.dec1(h))
        return torch.sigmoid(self.dec2(h))

    def forward(self, x):
        mu, logvar = self.encode(x)
        z = self.reparameterize(mu, logvar)
        return self.decode(z), mu, logvar


def elbo(recon, x, mu, logvar, beta=0.5):
    rebuilt = F.binary_cross_entropy(recon, x, reduction="sum")
    divergence = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return (rebuilt + beta * divergence) / x.size(0)


def blobs(count):
    rows = torch.arange(IMAGE).view(1, IMAGE, 1)
    columns = torch.arange(IMAGE).view(1, 1, IMAGE)
    centers = torch.randint(4, 12, (count, 2))
    distance = (rows - centers[:, 0].view(-1, 1, 1)) ** 2 + (columns - centers[:, 1].view(-1, 1, 1)) ** 2
    return torch.exp(-distance.float() / 8).unsqueeze(1)


def main():
    torch.manual_seed(6)
    loader = DataLoader(TensorDataset(blobs(64)), batch_size=16, shuffle=True)
    model = VAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(2):
        for (x,) in loader:
            recon, mu, logvar = model(x)
            loss = elbo(recon, x, mu, logvar)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        samples = model.decode(torch.randn(4, LATENT))
    print(f"loss {loss.item():.5f} brightness {samples.mean().item():.5f} of {tuple(samples.shape)}")


if __name__ == "__main__":
    main()
