"""Failures too late in a run to begin it anew: the failing step is run again from its live state."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from torchwhy.replay.again import run_again
from torchwhy.replay.landlock import fences
from torchwhy.replay.trial import Outcome

pytestmark = pytest.mark.skipif(not fences(), reason="this platform has no fences")

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


def _failed(tmp_path: Path, texts: dict[str, str]) -> Outcome | None:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    try:
        exec(compile(PROGRAM, str(path), "exec", dont_inherit=True), {"__name__": "__main__"})
    except RuntimeError as error:
        levels, trace = [], error.__traceback__
        while trace is not None:
            levels.append(trace)
            trace = trace.tb_next
        return run_again(levels[1:], {str(path): text for text in texts.values()})
    raise AssertionError("it did not fail")


def test_the_step_fails_again(tmp_path: Path) -> None:
    outcome = _failed(tmp_path, {})
    assert outcome is not None and outcome.end == "raised" and "inplace" in outcome.message


def test_a_changed_function_is_run(tmp_path: Path) -> None:
    outcome = _failed(tmp_path, {"program.py": PROGRAM.replace("h += 1", "h = h + 1")})
    assert outcome is not None and (outcome.end, outcome.steps) == ("ended", 1)


def test_a_changed_body_is_run(tmp_path: Path) -> None:
    outcome = _failed(tmp_path, {"program.py": PROGRAM.replace("layer(weight, count)", "layer(weight, 0)")})
    assert outcome is not None and (outcome.end, outcome.steps) == ("ended", 1)


@pytest.mark.parametrize("new", [PROGRAM.replace("torch.ones(2,", "torch.ones(3,"), PROGRAM.replace("range(5)", "range(3)")])
def test_what_ran_long_ago_is_not_tried(tmp_path: Path, new: str) -> None:
    assert _failed(tmp_path, {"program.py": new}) is None


def test_the_live_state_stays(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    _failed(tmp_path, {"program.py": PROGRAM.replace("h += 1", "h = h + 1")})
    assert torch.equal(before, torch.get_rng_state())
