"""Failures too late in a run to begin it anew: the failing step is run again from its live state,
and counts only where it holds a whole step of training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from stepping import fail, verdict

from torchwhy.replay.again import Ran, Steps
from torchwhy.replay.fence import missing

pytestmark = pytest.mark.skipif(bool(missing()), reason="this platform has no fences")

PROGRAM = """\
import torch


def layer(x, count):
    h = torch.sigmoid(x)
    if count == 3:
        h += 1
    return h * 2


weight = torch.ones(2, requires_grad=True)
optimizer = torch.optim.SGD([weight], lr=0.1)
for count in range(5):
    loss = layer(weight, count).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
TRAIN = """\
import torch
from torch import nn
torch.manual_seed(0)
net = nn.Linear(4, 4)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
def batch(odd):
    return torch.rand(3, 5 if odd else 4)
def update(loss):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
FITS = "net(x[:, :net.in_features])"
TIME_STEPS = (
    TRAIN
    + """\
for i in range(5):
    h = torch.zeros(3, 4)
    for t in range(4):
        x = batch(odd=i == 3)
        h = h + net(x)
    update(h.mean())
"""
)
HIDDEN = (
    TRAIN
    + """\
hidden, done = torch.zeros(3, 4), []
for i in range(5):
    hidden = net(batch(False)) + hidden
    loss = (hidden * hidden).mean()
    update(loss)
"""
)
ACCUMULATED = (
    TRAIN
    + """\
for epoch in range(2):
    for i in range(6):
        x = batch(odd=i == 4)
        net(x).mean().backward()
        if i % 2:
            optimizer.step()
"""
)
MICRO_BATCHES = (
    TRAIN
    + """\
def step(i):
    optimizer.zero_grad()
    for part in range(3):
        x = batch(odd=i == 3 and part == 1)
        net(x).mean().backward()
    optimizer.step()
for i in range(5):
    step(i)
"""
)
EVALUATION = (
    TRAIN
    + """\
def evaluate(epoch):
    for part in range(3):
        x = batch(odd=part == 2)
        torch.zeros(3, 4).copy_(net(x))
def main():
    for epoch in range(3):
        for i in range(3):
            update(net(batch(False)).mean())
        if epoch == 1:
            evaluate(epoch)
main()
"""
)
TWO_OPTIMIZERS = (
    TRAIN
    + """\
critic = nn.Linear(4, 1)
other = torch.optim.SGD(critic.parameters(), lr=0.1)
for i in range(5):
    for k in range(2):
        other.zero_grad()
        critic(batch(False)).mean().backward()
        other.step()
        x = batch(odd=i == 3)
        made = net(x)
    update(critic(made.view(3, 4)).mean())
"""
)
NO_OPTIMIZER = """\
import torch
from torch import nn
net = nn.Linear(4, 4)
for i in range(4):
    heads = []
    for k in range(2):
        x = torch.rand(3, 5 if i == 2 else 4)
        heads.append(net(x))
    print(torch.cat(heads).view(6, 4).sum())
"""
AFTERWARDS = (
    TRAIN
    + """\
for i in range(3):
    update(net(batch(False)).mean())
for i in range(3):
    x = batch(odd=i == 2)
    y = net(x)
print(y.view(4, 3).sum())
"""
)


def _ran(tmp_path: Path, new: str = "") -> Ran | None:
    path = tmp_path / "program.py"
    levels, _ = fail(path, PROGRAM)
    return Steps(levels).run(0, {str(path): new} if new else {}, 10)


def test_the_step_fails_again(tmp_path: Path) -> None:
    ran = _ran(tmp_path)
    assert ran is not None and ran.outcome.end == "raised" and "inplace" in ran.outcome.message
    assert (ran.outcome.line, ran.steps, ran.rounds, ran.optimizers) == (16, 0, 0, True)


def test_a_changed_function_is_run(tmp_path: Path) -> None:
    ran = _ran(tmp_path, PROGRAM.replace("h += 1", "h = h + 1"))
    assert ran is not None and (ran.outcome.end, ran.steps, ran.rounds) == ("ended", 1, 2)


def test_a_changed_body_is_run(tmp_path: Path) -> None:
    ran = _ran(tmp_path, PROGRAM.replace("layer(weight, count)", "layer(weight, 0)"))
    assert ran is not None and (ran.outcome.end, ran.steps) == ("ended", 1)


@pytest.mark.parametrize(
    "new",
    [
        PROGRAM.replace("torch.ones(2,", "torch.ones(3,"),
        PROGRAM.replace("range(5)", "range(3)"),
        PROGRAM.replace("h += 1", "h = h + 1").replace("lr=0.1", "lr=0.2"),
        PROGRAM.replace("layer(x, count)", "layer(x, count, more=0)"),
    ],
    ids=["before the loop", "the loop's head", "half of it before", "a signature"],
)
def test_what_ran_long_ago_is_not_tried(tmp_path: Path, new: str) -> None:
    assert _ran(tmp_path, new) is None


def test_the_live_state_stays(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    _ran(tmp_path, PROGRAM.replace("h += 1", "h = h + 1"))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("program", "new"),
    [
        (TIME_STEPS, FITS),
        (ACCUMULATED, FITS),
        (MICRO_BATCHES, FITS),
        (EVALUATION, FITS),
        (TWO_OPTIMIZERS, FITS),
        (NO_OPTIMIZER, FITS),
        (AFTERWARDS, FITS),
    ],
    ids=["time steps", "accumulated", "micro", "evaluation", "two", "none", "afterwards"],
)
def test_a_right_fix_is_verified(tmp_path: Path, program: str, new: str) -> None:
    found = verdict(tmp_path / "program.py", program, "net(x)", new)
    assert found.outcome == "gone", found.detail


@pytest.mark.parametrize(
    ("program", "new"),
    [
        (TIME_STEPS, "(x if i == 3 else net(x))"),
        (MICRO_BATCHES, "(x if x.shape[1] != net.in_features else net(x))"),
        (EVALUATION, "(x if part == 2 else net(x))"),
        (TWO_OPTIMIZERS, "(x if i == 3 else net(x))"),
        (NO_OPTIMIZER, "(x if i == 2 else net(x))"),
        (AFTERWARDS, "(x if i == 2 else net(x))"),
    ],
    ids=["time steps", "micro", "evaluation", "two", "none", "afterwards"],
)
def test_a_failure_further_on_is_found(tmp_path: Path, program: str, new: str) -> None:
    """The loop around the failure ends well, what follows it does not."""
    assert verdict(tmp_path / "program.py", program, "net(x)", new).outcome == "not-run"


def test_a_state_from_earlier_steps_is_no_proof_against_a_fix(tmp_path: Path) -> None:
    """The fix changes what a step leaves behind; the state here was left by the old text."""
    path = tmp_path / "program.py"
    behind = verdict(path, HIDDEN, "    update(loss)", "    update(loss)\n    hidden = hidden.detach()")
    assert behind.outcome == "not-run" and "earlier steps" in behind.detail
    before = verdict(path, HIDDEN, "+ hidden\n", "+ hidden.detach()\n")
    assert before.outcome == "gone", before.detail


def test_what_suits_one_step_alone_is_not_verified(tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    once = "+ (hidden if done else hidden.detach()); done.append(i)\n"
    left = verdict(path, HIDDEN, "+ hidden\n", once)  # the next round fails as this one did
    assert left.outcome == "not-run", left.detail
    number = verdict(path, TIME_STEPS, "net(x)", "net(x[:, :4])")
    assert number.outcome == "not-run" and "the steps before" in number.detail


@pytest.mark.parametrize("new", ["break", "raise SystemExit(2)", "raise SystemExit"])
def test_to_leave_is_no_step(tmp_path: Path, new: str) -> None:
    program = AFTERWARDS.replace("range(3):\n    update(net(batch(False)).mean())", "range(0):\n    pass")
    leaving = program.replace("    y = net(x)\n", "    y = net(x)\n    update(y.mean())\n")
    assert verdict(tmp_path / "program.py", leaving, "y = net(x)", new).outcome == "not-run"


def test_no_time_is_no_verdict(tmp_path: Path) -> None:
    slow = f"({FITS}, list(iter(int, 1)))[0]"
    found = verdict(tmp_path / "program.py", AFTERWARDS, "net(x)", slow, budget=1.0)
    assert (found.outcome, "takes too long" in found.detail) == ("not-run", True), found.detail
