import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset


class Discs(Dataset):
    """Pictures of a bright disc, and a mask with the class of every pixel."""

    def __init__(self, count, size, seed):
        self.generator = torch.Generator().manual_seed(seed)
        self.centers = torch.randint(6, size - 6, (count, 2), generator=self.generator)
        self.size = size

    def __len__(self):
        return self.centers.shape[0]

    def __getitem__(self, index):
        y, x = torch.meshgrid(torch.arange(self.size), torch.arange(self.size), indexing="ij")
        center = self.centers[index]
        distance = ((y - center[0]) ** 2 + (x - center[1]) ** 2).float().sqrt()
        mask = (distance < 5).long() + (distance < 2).long()
        image = torch.stack([torch.exp(-distance / 4), mask.float() * 0.3])
        return image, mask


def double_conv(inputs, outputs):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class UNet(nn.Module):
    def __init__(self, in_channels=2, classes=3, width=8):
        super().__init__()
        self.down1 = double_conv(in_channels, width)
        self.down2 = double_conv(width, width * 2)
        self.bottom = double_conv(width * 2, width * 4)
        self.up2 = nn.ConvTranspose2d(width * 4, width * 2, 2, stride=2)
        self.merge2 = double_conv(width * 4, width * 2)
        self.up1 = nn.ConvTranspose2d(width * 2, width, 2, stride=2)
        self.merge1 = double_conv(width * 2, width)
        self.out = nn.Conv2d(width, classes, 1)

    def forward(self, x):
        first = self.down1(x)
        second = self.down2(F.max_pool2d(first, 2))
        bottom = self.bottom(F.max_pool2d(second, 2))
        x = torch.cat([self.up2(bottom), second], dim=1)
        x = self.merge2(x)
        x = torch.cat([self.up1(x), first], dim=1)
        return self.out(self.merge1(x))


def dice_loss(logits, mask, classes):
    probabilities = logits.softmax(dim=1)
    target = F.one_hot(mask, classes).permute(0, 3, 1, 2).float()
    overlap = (probabilities * target).sum(dim=(2, 3))
    total = probabilities.sum(dim=(2, 3)) + target.sum(dim=(2, 3))
    return 1 - ((2 * overlap + 1) / (total + 1)).mean()


def main():
    torch.manual_seed(9)
    loader = DataLoader(Discs(12, size=24, seed=9), batch_size=4)
    model = UNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for image, mask in loader:
        logits = model(image)
        loss = F.cross_entropy(logits, mask) + dice_loss(logits, mask, classes=3)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    correct = (logits.argmax(dim=1) == mask).float().mean()
    print(f"loss {loss.item():.6f} correct {correct.item():.4f}")


if __name__ == "__main__":
    main()
