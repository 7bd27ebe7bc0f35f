"""The live call that was refused: its callee and arguments by parameter name, and what single changes of them do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

from torchwhy.evidence.refused import Refused, refused_call  # noqa: E402
from torchwhy.evidence.trying import call_facts, tried  # noqa: E402
from torchwhy.model import Change  # noqa: E402
from torchwhy.record.recorder import Recorder  # noqa: E402
from torchwhy.replay.child import can_fork  # noqa: E402


@pytest.fixture(autouse=True)
def _time_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a loaded machine takes is not what these tests ask."""
    monkeypatch.setattr("torchwhy.evidence.trying._DEADLINE", 60.0)


forks = pytest.mark.skipif(not can_fork(), reason="no child can be forked here")


def failing(function: Callable[[], object]) -> tuple[Refused | None, Exception, Recorder]:
    recorder = Recorder("full")
    recorder.start()
    try:
        function()
    except Exception as error:
        return refused_call(error, recorder), error, recorder
    finally:
        recorder.stop()
    raise AssertionError("it did not fail")


def names(function: Callable[[], object]) -> tuple[str, str, list[str]]:
    refused, _, recorder = failing(function)
    assert refused is not None
    call = call_facts(refused, recorder)
    return call.name, call.kind, [p.name for p in call.parameters if p.given]


def working(function: Callable[[], object]) -> list[Change]:
    refused, error, _ = failing(function)
    assert refused is not None
    return [change for change in tried(refused, error) or () if change.outcome == "works"]


@pytest.mark.parametrize(
    ("function", "name", "kind", "given"),
    [
        (lambda: torch.mm(torch.ones(2, 3), torch.ones(3)), "mm", "function", ["input", "mat2"]),
        (lambda: torch.ones(3).unfold(0, 2, 0), "unfold", "method", ["input", "dimension", "size", "step"]),
        (lambda: F.pixel_shuffle(torch.ones(2), upscale_factor=1), "pixel_shuffle", "function", ["input", "upscale_factor"]),
        (lambda: nn.BatchNorm2d(3)(torch.ones(2, 3)), "BatchNorm2d", "layer", ["input", "num_features"]),
        (lambda: nn.Dropout(1.5), "Dropout", "constructor", ["p", "inplace"]),
        (lambda: nn.init.xavier_uniform_(torch.ones(3)), "xavier_uniform_", "function", ["tensor", "gain", "generator"]),
        (lambda: torch.add(torch.ones(2), 3, alpha="a"), "add", "function", ["input", "other", "alpha"]),
        (lambda: nn.Linear(3, 4, foo=2), "Linear", "constructor", ["in_features", "out_features", "foo"]),
    ],
)
def test_arguments_are_known_by_parameter_name(function: Callable[[], object], name: str, kind: str, given: list[str]) -> None:
    assert names(function) == (name, kind, given)


def test_an_error_of_the_programs_own_has_no_call_into_torch() -> None:
    def own() -> None:
        raise ValueError("p has to be between 0 and 1")

    assert failing(own)[0] is None
    assert failing(lambda: {}["missing"])[0] is None


@forks
def test_the_change_that_makes_the_call_work_is_found() -> None:
    assert {c.parameter for c in working(lambda: torch.mm(torch.ones(2, 3), torch.ones(3)))} == {"mat2"}
    assert {c.parameter for c in working(lambda: F.dropout(torch.ones(3), 1.5))} == {"p"}
    assert "kernel_size" in {c.parameter for c in working(lambda: nn.MaxPool2d(0)(torch.ones(1, 3, 4, 4)))}
    found = working(lambda: torch.cov(torch.rand(3), fweights=torch.tensor([1, -2, 1])))
    assert {"values"} <= {c.what for c in found if c.parameter == "fweights"}


@forks
def test_trying_leaves_the_program_as_it_was() -> None:
    tensor, layer = torch.ones(2, 3), nn.BatchNorm1d(3)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    refused, error, _ = failing(lambda: tensor.add_(torch.ones(4)))
    assert refused is not None and tried(refused, error)
    refused, error, _ = failing(lambda: layer(torch.ones(2, 4)))
    assert refused is not None and tried(refused, error)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(tensor, torch.ones(2, 3)) and layer.num_batches_tracked.item() == 1  # by the program


@forks
def test_large_calls_are_not_tried() -> None:
    refused, error, _ = failing(lambda: torch.ones(3000, 3000) @ torch.ones(2, 2))
    assert refused is not None and tried(refused, error) is None
