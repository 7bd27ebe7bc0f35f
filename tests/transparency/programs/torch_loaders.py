# stdout: sorted
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info


class Squares(Dataset):
    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if index == 0:
            print("first", __name__, get_worker_info().id, flush=True)
        return {"x": torch.tensor(index * index), "noise": torch.rand(())}


class Stream(IterableDataset):
    def __iter__(self):
        info = get_worker_info()
        yield from (torch.tensor(n) for n in range(info.id, 6, info.num_workers))


def seed(worker):
    torch.manual_seed(worker)


if __name__ == "__main__":
    torch.manual_seed(0)
    for method in ("fork", "spawn"):
        loader = DataLoader(
            Squares(6), batch_size=2, num_workers=2, multiprocessing_context=method, persistent_workers=True, worker_init_fn=seed
        )
        for epoch in range(2):
            for batch in loader:
                print(method, epoch, batch["x"].tolist(), f"{batch['noise'].sum():.6f}")
    for batch in DataLoader(Stream(), batch_size=2, num_workers=2, prefetch_factor=1):
        print("stream", batch.tolist())
    for batch in DataLoader(torch.arange(4), batch_size=2, num_workers=1, pin_memory=True, shuffle=True):
        print("pinned", batch.tolist())
    print(torch.rand(1).item())
