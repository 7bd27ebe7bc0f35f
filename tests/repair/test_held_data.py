"""Small programs that load data: the first fix is a patch that holds, and says what it should."""

from __future__ import annotations

import pytest
from laboratory import Laboratory
from trials import assert_held

from torchwhy.replay.fence import missing

pytestmark = pytest.mark.skipif(bool(missing()), reason="this platform has no fences")

_LOADER = """\
import torch
from torch.utils.data import DataLoader, Dataset


class Items(Dataset):
    def __init__(self):
        {init}

    def __len__(self):
        return 4

    def __getitem__(self, i):
        {item}


"""

CASES = {
    "a lambda for spawned workers": (
        _LOADER.format(init="self.change = lambda x: x * 2 + 1", item="return self.change(torch.tensor(float(i)))")
        + """\
if __name__ == "__main__":
    for batch in DataLoader(Items(), batch_size=2, num_workers=1, multiprocessing_context="spawn"):
        print(batch)
""",
        "def change_function(x):",
    ),
    "a file for spawned workers": (
        _LOADER.format(init="self.path = __file__\n        self.text = open(self.path)", item="self.text.seek(i)\n        return i")
        + """\
if __name__ == "__main__":
    for batch in DataLoader(Items(), batch_size=2, num_workers=1, multiprocessing_context="spawn"):
        print(batch)
""",
        "if self.text is None:",
    ),
    "samples of other lengths": (
        _LOADER.format(init="self.sizes = [3, 5, 4, 4]", item='return {"steps": torch.rand(2, self.sizes[i]), "label": i}')
        + 'for batch in DataLoader(Items(), batch_size=2):\n    print(batch["steps"].shape, batch["label"])\n',
        "pad_sequence([part.transpose(0, 1) for part in parts], batch_first=True).transpose(1, 2)",
    ),
    "a date in the sample": (
        _LOADER.format(init="import datetime\n\n        self.day = datetime.date(2024, 5, 1)", item="return torch.rand(2), self.day")
        + "for x, day in DataLoader(Items(), batch_size=2):\n    print(x.shape, day[0])\n",
        "self.day.isoformat()",
    ),
    "a batch with keys": (
        _LOADER.format(init="self.size = 3", item='return {"image": torch.rand(self.size), "label": i, "row": i}')
        + "for image, target in DataLoader(Items(), batch_size=2):\n    print(image.shape, target + 1)\n",
        "image, target = batch['image'], batch['label']",
    ),
    "a collate function that does not pad": (
        _LOADER.format(init="self.sizes = [3, 5, 4, 4]", item="return torch.rand(self.sizes[i], 2)")
        + """\
def joined(samples):
    return torch.stack(samples)


for batch in DataLoader(Items(), batch_size=2, collate_fn=joined):
    print(batch.shape)
""",
        "pad_sequence(list(samples), batch_first=True)",
    ),
    "lists of other lengths in a collate function": (
        _LOADER.format(init="self.sizes = [3, 5, 4, 4]", item="return list(range(self.sizes[i])), i")
        + """\
def joined(samples):
    tokens, labels = zip(*samples)
    return torch.tensor(tokens), torch.tensor(labels)


for tokens, labels in DataLoader(Items(), batch_size=2, collate_fn=joined):
    print(tokens.shape, labels)
""",
        "pad_sequence([torch.tensor(part) for part in tokens], batch_first=True)",
    ),
    "samples with a graph in a worker": (
        _LOADER.format(init="self.weight = torch.ones(2, requires_grad=True)", item="return self.weight * i")
        + "for batch in DataLoader(Items(), batch_size=2, num_workers=1):\n    print(batch)\n",
        "@torch.no_grad()",
    ),
    "parts that do not add up": (
        _LOADER.format(init="self.size = 3", item="return torch.rand(self.size)")
        + "from torch.utils.data import random_split\n\nfirst, second = random_split(Items(), [3, 2])\nprint(len(first), len(second))\n",
        "random_split(Items(), [3, len(Items()) - 3])",
    ),
}


@pytest.mark.parametrize("kind", CASES)
def test_the_patch_holds(kind: str, laboratory: Laboratory) -> None:
    text, said = CASES[kind]
    assert_held(laboratory, text, said)
