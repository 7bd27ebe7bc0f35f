"""A variant with which the program goes on, but which changes something else, is no fix: it comes
last, is not called verified, and moves no cause."""

from __future__ import annotations

from dataclasses import replace

import pytest
from laboratory import Laboratory

from torchwhy.model import Evidence, Failure, Fix, Verification
from torchwhy.repair.effects import alteration
from torchwhy.repair.judgement import as_hiding
from torchwhy.replay.fence import missing
from torchwhy.replay.trial import Outcome, Step

CLASSES = """\
import torch
from torch import nn

torch.manual_seed(0)


def classifier(width, n_classes):
    return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, n_classes))


width, n_classes = 16, 4
net = {call}
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
ids = torch.tensor([0, 1, 2, 4])
for step in range(3):
    y = ids[torch.arange(8) % 4]
    loss = nn.functional.cross_entropy(net(torch.rand(8, 6)), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
UNPATCHED = Outcome("raised", steps=1, parameters=((4, 6), (4,)), seen=(Step((1.0,), 2, 1.0, 2),))


@pytest.mark.skipif(bool(missing()), reason="this platform has no fences")
@pytest.mark.parametrize("call", ["classifier(width, n_classes)", "classifier(16, 4)"])
def test_arguments_in_each_others_place_are_not_first(laboratory: Laboratory, call: str) -> None:
    trial = laboratory.run({"main.py": CLASSES.format(call=call)}, verify=True)
    assert trial.report is not None and trial.report["problems"] == [], trial.stderr
    best = trial.report["diagnoses"][0]
    first = best["fixes"][0]
    assert first["title"].startswith("give the head 5 outputs") and first["verified"] == "gone"
    assert not any("trials decided" in note for note in best["notes"])
    assert all(fix["verified"] != "gone" for fix in best["fixes"] if "each other" in fix["title"])


def test_a_fix_that_hides_is_not_called_verified() -> None:
    held = Fix("a", hides="that it takes no part", verification=Verification("gone", "run"))
    assert as_hiding(held).verification.outcome == "other"
    assert as_hiding(replace(held, hides="")).verification.outcome == "gone"


def _alteration(outcome: Outcome) -> str:
    return alteration(Fix("v"), outcome, UNPATCHED, Evidence(), Failure("E", "m"))


def test_what_a_variant_changes_is_told() -> None:
    same = replace(UNPATCHED, end="stopped", steps=2, seen=(*UNPATCHED.seen, Step((), 2, 1.0, 2)))
    assert _alteration(same) == ""
    assert "1 parameters" in _alteration(replace(same, parameters=((4, 6),)))
    cut = replace(same, seen=(*UNPATCHED.seen, Step((), 1, 1.0, 2)))
    assert "1 of 2 parameters" in _alteration(cut)
    zeros = replace(same, seen=(*UNPATCHED.seen, Step((), 2, 0.0, 2)))
    assert "all gradients are zero" in _alteration(zeros)
    said = alteration(Fix("v", changes="sizes"), same, UNPATCHED, Evidence(), Failure("E", "m"))
    assert said == "sizes"
