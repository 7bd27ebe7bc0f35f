import torch
from torch.utils.data import DataLoader, Dataset


class Uneven(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        if index == 5:
            raise KeyError("five")
        return torch.ones(2)


if __name__ == "__main__":
    loader = DataLoader(Uneven(), batch_size=2, num_workers=1, multiprocessing_context="spawn", persistent_workers=True)
    for batch in loader:
        print(batch.shape)
