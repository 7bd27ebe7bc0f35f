import torch
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(3)
for epoch in range(2):
    for (x,) in DataLoader(TensorDataset(torch.arange(10.0)), batch_size=4, shuffle=True, num_workers=2):
        print(epoch, x.tolist(), torch.rand(1).item())
print({}["left"])
