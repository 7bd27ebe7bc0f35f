import torch
from torch.utils.data import DataLoader


def main():
    loader = DataLoader(torch.arange(4), collate_fn=lambda batch: batch, num_workers=1, multiprocessing_context="spawn")
    print(next(iter(loader)))


if __name__ == "__main__":
    main()
