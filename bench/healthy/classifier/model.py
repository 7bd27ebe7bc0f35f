import torch
import torch.nn as nn
import torch.nn.functional as F


class Block(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, kernel_size=3, padding=1)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.skip = nn.Conv2d(inputs, outputs, kernel_size=1)

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        y = y + self.skip(x)
        return F.max_pool2d(torch.sigmoid(y), 2)


class Classifier(nn.Module):
    def __init__(self, cfg, image_size):
        super().__init__()
        first, second = cfg.widths
        self.block1 = Block(cfg.in_channels, first)
        self.block2 = Block(first, second)
        self.fc1 = nn.Linear(second * (image_size // 4) ** 2, cfg.hidden)
        self.drop = nn.Dropout(cfg.dropout)
        self.fc2 = nn.Linear(cfg.hidden, cfg.classes)

    def forward(self, x):
        x = self.block1(x)
        x = self.block2(x)
        x = x.flatten(1)
        x = torch.tanh(self.fc1(x))
        return self.fc2(self.drop(x))
