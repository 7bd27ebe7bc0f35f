import torch
import torch.nn.functional as F
from config import Config
from data import Shapes
from model import Classifier
from torch.utils.data import DataLoader


def accuracy(model, loader, device):
    model.eval()
    right = total = 0
    with torch.no_grad():
        for pictures, labels in loader:
            guess = model(pictures.to(device)).argmax(dim=1)
            right += (guess == labels.to(device)).sum().item()
            total += labels.size(0)
    return right / total


def main():
    torch.manual_seed(0)
    cfg = Config()
    device = torch.device("cpu")
    train = DataLoader(Shapes(cfg.samples, cfg.image_size, cfg.model.classes), batch_size=cfg.batch_size, shuffle=True)
    test = DataLoader(Shapes(cfg.samples // 2, cfg.image_size, cfg.model.classes, seed=1), batch_size=cfg.batch_size)
    model = Classifier(cfg.model, cfg.image_size).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=cfg.lr, momentum=0.9)
    loss = None
    for _ in range(cfg.epochs):
        model.train()
        for pictures, labels in train:
            optimizer.zero_grad()
            logits = model(pictures.to(device))
            loss = F.cross_entropy(logits, labels.to(device))
            loss.backward()
            optimizer.step()
    print(f"loss {loss.item():.6f} accuracy {accuracy(model, test, device):.3f}")


if __name__ == "__main__":
    main()
