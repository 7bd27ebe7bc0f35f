"""A price from columns of categories and numbers."""

import torch
from features import CATEGORIES, NUMBERS, Houses
from network import TabularNet
from torch.utils.data import DataLoader, random_split

SETTINGS = {"hidden": [32, 16], "dropout": 0.0, "lr": 5e-3, "batch_size": 16, "epochs": 2}


def evaluate(model, loader):
    model.eval()
    errors = []
    with torch.no_grad():
        for categories, numbers, price in loader:
            errors.append((model(categories, numbers) - price).abs())
    return torch.cat(errors).mean().item()


def main():
    torch.manual_seed(12)
    data = Houses(96, seed=13)
    train, valid = random_split(data, [64, 32], generator=torch.Generator().manual_seed(14))
    train_loader = DataLoader(train, batch_size=SETTINGS["batch_size"], shuffle=True)
    valid_loader = DataLoader(valid, batch_size=SETTINGS["batch_size"])
    model = TabularNet(list(CATEGORIES.values()), len(NUMBERS), SETTINGS["hidden"], SETTINGS["dropout"])
    optimizer = torch.optim.Adam(model.parameters(), lr=SETTINGS["lr"])
    criterion = torch.nn.MSELoss()
    for _ in range(SETTINGS["epochs"]):
        model.train()
        for categories, numbers, price in train_loader:
            prediction = model(categories, numbers)
            loss = criterion(prediction, price)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    print(f"loss {loss.item():.6f} error {evaluate(model, valid_loader):.6f}")


if __name__ == "__main__":
    main()
