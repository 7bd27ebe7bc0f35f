"""Where modules were built, and with which settings."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

from torchwhy.model import ModuleFacts
from torchwhy.record.recorder import Recorder


def facts(recorder: Recorder, net: nn.Module) -> dict[str, ModuleFacts]:
    return {m.fqn: m for m in recorder.module_facts({"net": net})}


def make(width: int) -> nn.Module:
    return nn.Linear(width, 2)


class Block(nn.Module):
    def __init__(self, width: int, depth: int = 2) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(width, width) for _ in range(depth)])
        self.made = make(width)
        self.rnn = nn.LSTM(width, 5, batch_first=True)
        self.options = nn.Linear(**{"in_features": width, "out_features": 7})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.made(x)


class Wider(Block):
    def __init__(self) -> None:
        super().__init__(6)


def test_constructions(recorder: Recorder) -> None:
    net = nn.Sequential(Wider(), nn.ReLU())
    found = facts(recorder, net)
    outer = found["net.0"]
    assert outer.kind == "Wider" and outer.built[0].function == "test_constructions" and outer.passed == ()
    assert outer.defined is not None and outer.methods == ("__init__",)
    made = found["net.0.made"]
    assert [s.function for s in made.built[:3]] == ["make", "Block.__init__", "Wider.__init__"]
    assert (made.number("in_features"), made.number("out_features"), made.passed) == (6, 2, ("in_features", "out_features"))
    assert [a.name for a in made.parameters] == ["weight", "bias"]
    assert found["net.0.layers.1"].built[0].line == found["net.0.layers"].built[0].line
    rnn = found["net.0.rnn"]
    assert (rnn.number("input_size"), rnn.number("hidden_size"), rnn.signature[:2]) == (6, 5, ("input_size", "hidden_size"))
    assert found["net.0.options"].passed == ("in_features", "out_features")
    assert found["net"].children[1][1] == found["net.1"].id


def test_copies_keep_the_birth_of_the_original(recorder: Recorder) -> None:
    net = Block(3)
    twin = copy.deepcopy(net)
    ours, theirs = facts(recorder, net), {m.fqn: m for m in recorder.module_facts({"twin": twin})}
    assert theirs["twin.made"].built == ours["net.made"].built and theirs["twin.made"].copied_from == ours["net.made"].id
    assert theirs["twin"].id != ours["net"].id
    assert theirs["twin.made"].number("in_features") == 3


def test_modules_built_by_torch_name_the_programs_call(recorder: Recorder) -> None:
    net = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2), 2, enable_nested_tensor=False)
    found = facts(recorder, net)
    assert found["net.layers.1.linear1"].built[0].function.startswith("test_modules_built_by_torch")
    assert found["net.layers.0.linear1"].number("in_features") == 8


def test_modules_without_a_root_get_their_class_name(recorder: Recorder) -> None:
    net = nn.Sequential(nn.Linear(1, 1))
    names = {m.fqn for m in recorder.module_facts({})}
    assert {"Sequential", "Sequential.0"} <= names
    del net


def test_the_running_module(recorder: Recorder) -> None:
    net = nn.Sequential(nn.Linear(2, 2), Block(2))
    net(torch.ones(1, 2))
    linears = [op for op in recorder.history() if op.name == "linear"]
    found = facts(recorder, net)
    assert [op.module for op in linears] == [found["net.0"].id, found["net.1.made"].id]
    assert recorder.tape.now.modules == []


def test_modules_die_as_ever(recorder: Recorder) -> None:
    import weakref

    net = nn.Linear(2, 2)
    ref = weakref.ref(net)
    net(torch.ones(1, 2))
    del net
    assert ref() is None
    assert not recorder.module_facts({})


def test_constructors_behave_as_ever(recorder: Recorder) -> None:
    with pytest.raises(TypeError, match="missing 1 required positional"):
        nn.Linear(3)  # type: ignore[call-arg]

    class Odd(nn.Module):
        def __new__(cls, *args: int) -> Odd:
            return super().__new__(cls, *args)  # type: ignore[no-any-return]

    with pytest.raises(TypeError, match="object.__new__"):
        Odd(1)
    net = nn.Linear(2, 3)
    assert pickle.loads(pickle.dumps(net)).out_features == 3
    assert "__torchwhy" not in str(vars(net))
