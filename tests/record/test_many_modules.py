"""Of very many modules only some are described, which is said; those that ran last and what holds them are among them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from torchwhy.record import modules
from torchwhy.record.recorder import Recorder


def test_those_that_ran_last_are_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules, "MOST", 10)
    recorder = Recorder("full")
    recorder.start()
    try:
        net = nn.Sequential(*[nn.Linear(2, 2) for _ in range(30)])
        net[3](torch.zeros(1, 2))
        found = recorder.module_facts({"net": net})
    finally:
        recorder.stop()
    assert 10 <= len(found) <= 12
    assert {"net", "net.3"} <= {module.fqn for module in found}
    assert any("modules are not described" in problem for problem in recorder.problems)
