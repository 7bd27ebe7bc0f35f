"""Small programs of many kinds: the first fix is a patch that holds, and says what it should."""

from __future__ import annotations

import pytest
from laboratory import Laboratory
from trials import assert_held

from torchwhy.replay.fence import missing

pytestmark = pytest.mark.skipif(bool(missing()), reason="this platform has no fences")

CASES = {
    "an old Function": (
        """\
import torch


class Scale(torch.autograd.Function):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        self.save_for_backward(x)
        return x * self.factor

    def backward(self, grad):
        return grad * self.factor


x = torch.ones(3, requires_grad=True)
Scale(2.0)(x).sum().backward()
assert x.grad.tolist() == [2, 2, 2]
""",
        "Scale.apply(x, 2.0)",
    ),
    "more gradients than inputs": (
        """\
import torch


class Same(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad, grad, None


x = torch.ones(3, requires_grad=True)
Same.apply(x).sum().backward()
""",
        "+        return grad\n",
    ),
    "a sequence with two inputs": (
        """\
import torch
from torch import nn


class Gated(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc = nn.Linear(width, width)

    def forward(self, x, gate):
        return self.fc(x) * gate


class Tower(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(Gated(4), Gated(4))

    def forward(self, x, gate):
        return self.body(x.relu(), gate)


print(Tower()(torch.ones(2, 4), torch.ones(2, 4)).shape)
""",
        "for layer in self.body:",
    ),
    "a late window": (
        """\
import torch
from torch import nn

torch.manual_seed(0)
pieces = nn.ModuleList(nn.Conv1d(3, 4, size) for size in (2, 5))
for length in (9, 8, 3):
    x = torch.rand(2, 3, length)
    out = torch.cat([piece(x).amax(-1) for piece in pieces], dim=1)
print(out.shape)
""",
        "F.pad(x, (0, max(0, 5 - x.size(-1))))",
    ),
    "a rest that fills no row": (
        "import torch\n\nrows = 4\nstream = torch.arange(22)\ntable = stream.view(rows, -1)\nprint(table.shape)\n",
        "stream[: stream.size(0) // rows * rows].view(rows, -1)",
    ),
    "maps of odd height": (
        """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.up = nn.Conv2d(3, 3, 3, stride=2, padding=1), nn.Upsample(scale_factor=2)

    def forward(self, x):
        return torch.cat([x, self.up(self.down(x))], dim=1)


print(Net()(torch.rand(1, 3, 13, 12)).shape)
""",
        "F.interpolate(self.up(self.down(x)), size=x.shape[2:])",
    ),
    "labels for two views": (
        """\
import torch
import torch.nn.functional as F
from torch import nn

net, labels = nn.Linear(5, 3), torch.tensor([0, 1, 2, 1])
x = torch.rand(4, 5)
scores = net(torch.cat([x, x + 0.1]))
print(F.cross_entropy(scores, labels).item())
""",
        "labels.repeat(2)",
    ),
    "an argument that the other call has": (
        """\
import torch
from torch import nn


def read(count, columns=None):
    table = torch.rand(count, 9)
    return table if columns is None else table[:, columns]


net = nn.Linear(3, 1)
print(net(read(6, columns=[0, 4, 7])).mean().item())
print(net(read(2)).mean().item())
""",
        "read(2, columns=[0, 4, 7])",
    ),
    "a head that is frozen too": (
        """\
import torch
from torch import nn


def freeze(model):
    for weight in model.parameters():
        weight.requires_grad = False


net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1))
freeze(net)
net(torch.rand(2, 4)).sum().backward()
assert net[0].weight.grad is None and net[2].weight.grad is not None
""",
        "net[2].requires_grad_(True)",
    ),
    "a group with what another has": (
        """\
import torch
from torch import nn

net = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
optimizer.add_param_group({"params": net[1].parameters(), "lr": 0.01})
print(len(optimizer.param_groups))
""",
        "any(p is q for g in optimizer.param_groups",
    ),
    "a product of what is joined": (
        """\
import torch
from torch import nn


class Merge(nn.Module):
    def __init__(self, wide, narrow):
        super().__init__()
        self.side = nn.Linear(6, narrow)
        self.out = nn.ModuleList(nn.Linear(wide, narrow) for _ in range(2))

    def forward(self, x):
        side = self.side(x)
        return sum(layer(torch.cat([x, side], dim=1)) for layer in self.out)


print(Merge(6, 2)(torch.rand(3, 6)).shape)
""",
        "nn.Linear(wide + narrow, narrow)",
    ),
    "a table under the other's name": (
        """\
import torch
from torch import nn


class Pairs(nn.Module):
    def __init__(self):
        super().__init__()
        self.user_table, self.item_table = nn.Embedding(5, 3), nn.Embedding(40, 3)

    def forward(self, user, item):
        return self.user_table(user) * self.user_table(item)


print(Pairs()(torch.tensor([1, 2]), torch.tensor([30, 3])).shape)
""",
        "self.item_table(item)",
    ),
    "a row for padding": (
        'from torch import nn\n\nwords = ["a", "b"]\ntable = nn.Embedding(len(words), 4, padding_idx=len(words))\nprint(table)\n',
        "nn.Embedding(len(words) + 1, 4",
    ),
    "a list of layers that is called": (
        """\
import torch
from torch import nn


class Tower(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.ModuleList([nn.Linear(4, 4), nn.ReLU()])

    def forward(self, x):
        return self.body(x)


print(Tower()(torch.ones(2, 4)).shape)
""",
        "for layer in self.body:",
    ),
    "a forward inside of the constructor": (
        """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 2)

        def forward(self, x):
            return self.fc(x)


print(Net()(torch.ones(2, 4)).shape)
""",
        "+    def forward(self, x):",
    ),
    "groups and a bare iterator": (
        """\
import torch
from torch import nn

body, head = nn.Linear(4, 3), nn.Linear(3, 1)
optimizer = torch.optim.SGD([{"params": body.parameters(), "lr": 0.1}, head.parameters()], lr=0.01)
print(len(optimizer.param_groups))
""",
        '{"params": head.parameters()}',
    ),
    "everything frozen before the optimizer": (
        """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(4, 3), nn.Linear(3, 1)

    def forward(self, x):
        return self.head(self.body(x))


net = Net()
for weight in net.parameters():
    weight.requires_grad = False
optimizer = torch.optim.SGD(filter(lambda w: w.requires_grad, net.parameters()), lr=0.1)
net(torch.ones(2, 4)).sum().backward()
optimizer.step()
""",
        "net.head.requires_grad_(True)",
    ),
    "a folder that is not there": (
        """\
import torch
from torch import nn

net = nn.Linear(2, 1)
path = "runs/first/net.pt"
torch.save(net.state_dict(), path)
print(sorted(torch.load(path)))
""",
        "os.makedirs(os.path.dirname(path), exist_ok=True)",
    ),
    "a module of whole numbers": (
        "import torch\nfrom torch import nn\n\nnet = nn.Linear(2, 1).to(torch.int64)\nprint(net(torch.ones(1, 2)).shape)\n",
        "net = nn.Linear(2, 1)\n",
    ),
    "labels from one": (
        """\
import torch
import torch.nn.functional as F

grades = torch.tensor([1, 3, 2, 3])
print(F.one_hot(grades, 3).sum(0))
""",
        "- 1",
    ),
}


@pytest.mark.parametrize("kind", CASES)
def test_the_patch_holds(kind: str, laboratory: Laboratory) -> None:
    text, said = CASES[kind]
    assert_held(laboratory, text, said)
