from __future__ import annotations

from dataclasses import replace

import pytest
from runs import layer, op, tensor
from texts import program, span

from torchwhy.model import Evidence, OpRecord
from torchwhy.reason.history import history_of
from torchwhy.reason.layers import base_kind, setting_of
from torchwhy.reason.partings import parting
from torchwhy.reason.provenance import Size, decided, path


def run(*ops: OpRecord, modules: tuple[object, ...] = (), text: str = "") -> Evidence:
    return Evidence(ops=ops, modules=modules, sources=(("main.py", text),) if text else ())  # type: ignore[arg-type]


def test_a_size_goes_back_through_what_only_moves_it_to_the_layer_that_gave_it() -> None:
    x, weight = tensor(4, 10), tensor(32, 10)
    hidden, wide, turned = tensor(4, 32), tensor(4, 32), tensor(32, 4)
    fc = layer(1, "Linear", "net.fc", parameters={"weight": weight}, in_features=10, out_features=32)
    ops = (
        op(0, "randn", x, size=(4, 10)),
        op(1, "linear", hidden, (), 1, input=x, weight=weight),
        op(2, "relu", wide, input=hidden),
        op(3, "T", turned, input=wide),
    )
    evidence = run(*ops, modules=(fc,))
    found = decided(evidence, turned, Size(0))
    assert (found.how, found.module, found.setting, found.parameter) == ("module", fc, "out_features", "weight")
    assert [o.name for o in found.trail] == ["linear", "relu", "T"]
    batch = decided(evidence, turned, Size(1))
    assert (batch.how, batch.op, batch.dim, batch.setting) == ("created", ops[0], 0, "size")
    assert [o.name for o in path(evidence, turned, Size(0))] == ["randn", "linear", "relu", "T"]


def test_a_flattened_size_is_a_product_and_a_joined_one_the_ops_own() -> None:
    maps, more = tensor(2, 8, 7, 7), tensor(2, 5)
    flat, joined = tensor(2, 392), tensor(2, 397)
    ops = (op(0, "flatten", flat, input=maps, start_dim=1), op(1, "cat", joined, tensors=[flat, more], dim=1))
    assert decided(run(*ops), flat, Size(1)).product == (8, 7, 7)
    found = decided(run(*ops), joined, Size(1))
    assert (found.how, found.op, found.setting) == ("op", ops[1], "tensors")
    assert decided(run(*ops), joined, Size(0)).how == "given"


def test_a_layers_own_setting_decides_what_its_op_gives() -> None:
    x, out = tensor(4, 9, 5), tensor(4, 9, 32)
    gru = layer(1, "GRU", "net.gru", input_size=5, hidden_size=16, bidirectional=True, batch_first=True)
    found = decided(run(op(0, "gru", out, (), 1, input=x, batch_first=True), modules=(gru,)), out, Size(2))
    assert (found.how, found.module, found.setting) == ("module", gru, "hidden_size")


@pytest.mark.parametrize(
    "text",
    [
        "def f(x):\n    y = g(x)\n    h = torch.zeros(1, x.size(0), 8)\n",
        "def f(x):\n    y = g(x)\n    h = torch.zeros(1, x.shape[0], 8)\n",
        "def f(x):\n    y = g(x)\n    b, t, c = x.shape\n    h = torch.zeros(1, b, 8)\n",
        "def f(x):\n    y = g(x)\n    n = len(x)\n    h = torch.zeros((1, n, 8))\n",
        "def f(x):\n    y = g(x)\n    b = x.size(0)\n    shape = (1, b, 8)\n    h = torch.zeros(shape)\n",
    ],
)
def test_a_size_that_went_through_a_python_number_is_followed(text: str) -> None:
    sources = program(text)
    zeros = text[text.index("torch.zeros") :].rstrip()
    x, y, h = tensor(6, 9, 5), tensor(6, 9, 5), tensor(1, 6, 8)
    ops = (op(0, "g", y, [span(sources, "g(x)")], x=x), op(1, "zeros", h, [span(sources, zeros)], size=(1, 6, 8)))
    evidence = replace(sources.evidence, ops=ops)
    found = decided(evidence, h, Size(1))
    assert (found.how, found.tensor, found.dim) == ("given", x, 0)
    assert decided(evidence, h, Size(2)).op == ops[1]


def test_the_histories_of_two_runs_part_where_their_lines_or_data_do() -> None:
    sources = program("a = load(1)\nb = load(2)\nfor part in (a, b):\n    net(part.float())\n")
    first, second = span(sources, "load(1)"), span(sources, "load(2)")
    cast, call = span(sources, "part.float()"), span(sources, "net(part.float())")
    a, b, c, d = tensor(8, 5), tensor(8, 5), tensor(8, 7), tensor(8, 7)
    ops = (
        op(0, "rand", a, [first], size=(8, 5)),
        op(1, "rand", c, [second], size=(8, 7)),
        op(2, "float", b, [cast], input=a),
        op(3, "linear", tensor(8, 1), [call], input=b),
        op(4, "float", d, [cast], input=c),
    )
    found = parting(history_of(replace(sources.evidence, ops=ops)), d, b)
    assert (found.now, found.then, found.dim) == (ops[1], ops[0], 1)


@pytest.mark.parametrize(
    ("kind", "settings", "shape", "parameter", "sizes"),
    [
        ("Linear", {"in_features": 3, "out_features": 4}, (4, 3), "weight", ["out_features", "in_features"]),
        (
            "Conv2d",
            {"in_channels": 3, "out_channels": 4},
            (4, 3, 5, 5),
            "weight",
            ["out_channels", "in_channels", "kernel_size", "kernel_size"],
        ),
        ("ConvTranspose1d", {"in_channels": 3, "out_channels": 4}, (3, 4, 5), "weight", ["in_channels", "out_channels", "kernel_size"]),
        ("BatchNorm2d", {"num_features": 4}, (4,), "running_mean", ["num_features"]),
        ("LayerNorm", {"normalized_shape": (3, 4)}, (3, 4), "weight", ["normalized_shape", "normalized_shape"]),
        ("LSTM", {"input_size": 3, "hidden_size": 4}, (16, 3), "weight_ih_l0", ["hidden_size", "input_size"]),
        ("GRUCell", {"input_size": 3, "hidden_size": 4}, (12, 4), "weight_hh", ["hidden_size", "hidden_size"]),
        ("Embedding", {"num_embeddings": 9, "embedding_dim": 4}, (9, 4), "weight", ["num_embeddings", "embedding_dim"]),
        ("Unheard", {"size": 3}, (3,), "weight", [""]),
    ],
)
def test_which_setting_decided_a_parameters_size(
    kind: str, settings: dict[str, object], shape: tuple[int, ...], parameter: str, sizes: list[str]
) -> None:
    module = layer(1, kind, parameters={parameter: tensor(*shape)}, **settings)
    assert [setting_of(module, parameter, dim) for dim in range(len(shape))] == sizes


@pytest.mark.parametrize(
    ("kind", "settings", "parameters"),
    [
        ("Linear", {"in_features": 3, "out_features": 4}, {"weight": (4, 3)}),
        ("Conv1d", {"in_channels": 3, "out_channels": 4, "transposed": False}, {"weight": (4, 3, 5)}),
        ("ConvTranspose2d", {"in_channels": 3, "out_channels": 4, "transposed": True}, {"weight": (3, 4, 5, 5)}),
        ("LSTM", {"input_size": 3, "hidden_size": 4, "mode": "LSTM"}, {"weight_ih_l0": (16, 3)}),
        ("RNN", {"input_size": 3, "hidden_size": 4, "mode": "RNN_TANH"}, {"weight_ih_l0": (4, 3)}),
        ("Mine", {"width": 3}, {"weight": (3,)}),
    ],
)
def test_a_subclass_is_known_for_the_layer_that_it_is(
    kind: str, settings: dict[str, object], parameters: dict[str, tuple[int, ...]]
) -> None:
    module = layer(1, "Mine", parameters={name: tensor(*shape) for name, shape in parameters.items()}, **settings)
    assert base_kind(module) == kind
