"""Where no proposed fix holds, the steps on the way are written otherwise; the one that lets the run go on is to blame."""

from __future__ import annotations

import pytest
from laboratory import Laboratory

from torchwhy.replay.fence import missing

pytestmark = pytest.mark.skipif(bool(missing()), reason="this platform has no fences")

_HEAD = "import torch\nimport torch.nn.functional as F\nfrom torch import nn\n\ntorch.manual_seed(0)\n"
_TAIL = "optimizer.zero_grad()\nloss.backward()\noptimizer.step()\nprint('loss', round(loss.item(), 4))\n"

ODD_STRIDE = (
    _HEAD
    + """\
down = nn.Sequential(
    nn.Conv2d(1, 4, 4, stride=2, padding=1),
    nn.Conv2d(4, 8, 4, stride=3, padding=1),
    nn.Conv2d(8, 8, 4, stride=2, padding=1),
)
mean, spread = nn.Linear(72, 3), nn.Linear(72, 3)
optimizer = torch.optim.SGD([*down.parameters(), *mean.parameters(), *spread.parameters()], lr=0.1)
h = down(torch.rand(2, 1, 28, 28)).flatten(1)
loss = mean(h).pow(2).mean() + spread(h).pow(2).mean()
"""
    + _TAIL
)
SWAPPED = (
    _HEAD
    + """\
class Coder(nn.Module):
    def __init__(self, features, hidden, classes):
        super().__init__()
        self.first = nn.Linear(features, hidden)
        self.middle = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, classes)

    def forward(self, x):
        return self.last(self.middle(self.first(x)))


hidden, classes = 16, 4
net = Coder(6, classes, hidden)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
loss = F.mse_loss(net(torch.rand(5, 6)), F.one_hot(torch.arange(5) % 4, 4).float())
"""
    + _TAIL
)
IN_PLACE = (
    _HEAD
    + """\
scale, shift = nn.Linear(3, 1), nn.Linear(3, 4)
optimizer = torch.optim.SGD([*scale.parameters(), *shift.parameters()], lr=0.1)
x = torch.rand(5, 3)
loss = scale(x).mul_(shift(x)).pow(2).mean()
"""
    + _TAIL
)
OTHER_SIZE = (
    _HEAD
    + """\
table = nn.Linear(6, 6)
optimizer = torch.optim.SGD(table.parameters(), lr=0.1)
x = table(torch.rand(4, 6))
total = torch.zeros(x.size(0), 2).index_add(1, torch.tensor([0, 1, 0, 1]), x.t())
loss = total.pow(2).mean()
"""
    + _TAIL
)


@pytest.mark.parametrize(
    ("program", "wrong", "right"),
    [
        (ODD_STRIDE, "stride=3", "stride=2"),
        (SWAPPED, "Coder(6, classes, hidden)", "Coder(6, hidden, classes)"),
        (IN_PLACE, "scale(x).mul_(", "scale(x).mul("),
        (OTHER_SIZE, "x.size(0)", "x.size(1)"),
    ],
    ids=["odd-stride", "swapped", "in-place", "other-size"],
)
def test_the_step_is_to_blame(program: str, wrong: str, right: str, laboratory: Laboratory) -> None:
    line = next(n for n, text in enumerate(program.splitlines(), start=1) if wrong in text)
    trial = laboratory.run({"main.py": program}, verify=True)
    assert trial.report is not None and trial.report["problems"] == []
    first = trial.report["diagnoses"][0]
    fix = first["fixes"][0]
    assert (fix["verified"], first["cause"]["line"]) == ("gone", line), first["rendered"]
    assert any(added.startswith("+") and right in added for added in fix["diff"].splitlines()), fix["diff"]


def test_what_a_family_proved_stays(laboratory: Laboratory) -> None:
    program = (
        _HEAD + "net = nn.Linear(5, 2)\noptimizer = torch.optim.SGD(net.parameters(), lr=0.1)\nloss = net(torch.rand(3, 7)).sum()\n" + _TAIL
    )
    trial = laboratory.run({"main.py": program}, verify=True)
    assert trial.report is not None
    first = trial.report["diagnoses"][0]
    assert first["cause"]["line"] == 6 and "nn.Linear(7, 2)" in first["fixes"][0]["diff"]
    assert not any("trials decided" in note for note in first["notes"])
