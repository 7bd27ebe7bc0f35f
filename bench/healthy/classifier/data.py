import numpy as np
import torch
from torch.utils.data import Dataset


class Shapes(Dataset):
    """Noisy pictures whose brightness tells the class."""

    def __init__(self, samples, size, classes, seed=0):
        generator = np.random.default_rng(seed)
        self.labels = generator.integers(0, classes, samples)
        self.pictures = generator.random((samples, size, size, 3)) + self.labels[:, None, None, None]

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        picture = torch.from_numpy(self.pictures[index]).float()
        picture = picture.permute(2, 0, 1)
        label = torch.tensor(self.labels[index], dtype=torch.long)
        return picture, label
