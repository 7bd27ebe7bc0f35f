from __future__ import annotations

from dataclasses import replace

import pytest
from runs import failed, layer, op, tensor
from texts import program, span

from torchwhy.model import Argument, Evidence, Frame, Items, Span, TensorFacts
from torchwhy.reason.calls import expression_of, forward_arguments
from torchwhy.reason.fits import Shape, steps
from torchwhy.reason.misfits import Misfit, explain, parts_of
from torchwhy.reason.operands import expressions
from torchwhy.reason.provenance import Decision
from torchwhy.reason.reading import reading
from torchwhy.reason.sizes import size_expression
from torchwhy.reason.source import Sources


@pytest.mark.parametrize(
    ("shape", "wanted", "kinds", "first"),
    [
        ((8, 28, 28, 3), (8, 3, 28, 28), ("move",), ".permute(0, 3, 1, 2)"),
        ((8, 3, 28, 28), (8, 28, 28, 3), ("move",), ".permute(0, 2, 3, 1)"),
        ((8, 50, 6), (8, 6, 50), ("move",), ".transpose(1, 2)"),
        ((5, 7), (7, 5), ("move",), ".T"),
        ((8, 3, 4, 4), (8, 48), ("flatten",), ".flatten(1)"),
        ((8, 28, 28), (8, 1, 28, 28), ("add",), ".unsqueeze(1)"),
        ((3, 9, 9), (1, 3, 9, 9), ("add",), ".unsqueeze(0)"),
        ((4, 1, 9), (4, 9), ("drop",), ".squeeze(1)"),
        ((2, 5, 3, 8, 8), (10, 3, 8, 8), ("merge",), ".flatten(0, 1)"),
        ((2, 3), (9, 9), ("flatten", "move", "add", "drop", "merge"), None),
    ],
)
def test_the_one_step_that_makes_a_tensor_fit(shape: Shape, wanted: Shape, kinds: tuple[str, ...], first: str | None) -> None:
    found = steps(shape, lambda made: made == wanted, kinds)  # type: ignore[arg-type]
    assert (found[0].text if found else None) == first


NET = """\
class Net:
    def __init__(self):
        self.a = nn.Linear(6, 20)
        self.b = nn.Linear(24, 3)
    def forward(self, x):
        h = self.a(x)
        h = h.relu()
        return self.b(h)
"""


def evidence(text: str, after: str, made: Shape) -> tuple[Evidence, TensorFacts]:
    """`a` gives 20, one more op makes `made` of it, and `b`, built for 24, raises."""
    sources = program(text)
    x, h, y = tensor(2, 6), tensor(2, 20), tensor(*made)
    weights = tensor(20, 6), tensor(3, 24)
    a = layer(1, "Linear", "net.a", [span(sources, "nn.Linear(6, 20)")], {"weight": weights[0]}, in_features=6, out_features=20)
    b = layer(2, "Linear", "net.b", [span(sources, "nn.Linear(24, 3)")], {"weight": weights[1]}, in_features=24, out_features=3)
    step = span(sources, after)
    ops = [
        op(0, "linear", h, [span(sources, "self.a(x)")], 1, input=x, weight=weights[0]),
        op(1, after.split(".")[1].split("(")[0], y, [step], input=h),
    ]
    failing = op(2, "linear", (), [span(sources, "self.b(h)")], 2, input=y, weight=weights[1])
    return failed(failing, dict(sources.evidence.sources), ops, [a, b]), y


def test_the_layer_is_blamed_where_another_layer_gave_another_size() -> None:
    run, y = evidence(NET, "h.relu()", (2, 20))
    seen = reading(run)
    found = explain(seen, Misfit(run.modules[1], "in_features", 24, y, 1))
    assert found.why == "layer" and seen.sources.segment(found.cause.span if not isinstance(found.cause, Span) else found.cause) == "24"
    assert [fix.title for fix in found.fixes] == ["build `net.b` with in_features=20", "build `net.a` with out_features=24"]
    assert [edit.text for fix in found.fixes for edit in fix.edits] == ["20", "24"]
    assert any("20 is the out_features of `net.a`" in note for note in found.notes)


def test_a_step_that_broke_the_shape_is_blamed() -> None:
    text = NET.replace("h.relu()", "h.transpose(0, 1)").replace("24", "20").replace("nn.Linear(20, 3)", "nn.Linear(24, 3)")
    run, y = evidence(text, "h.transpose(0, 1)", (20, 2))
    found = explain(reading(run), Misfit(run.modules[1], "in_features", 20, y, 1, fits=lambda shape: shape[-1] == 20))
    assert found.why == "broken" and isinstance(found.cause, Span) and found.cause.line == 7
    assert [edit.text for edit in found.fixes[0].edits] == ["h"]


def test_a_missing_step_is_blamed_on_the_call() -> None:
    run, y = evidence(NET, "h.relu()", (2, 4, 6))
    found = explain(
        reading(run), Misfit(run.modules[1], "in_features", 24, y, 2, could_miss=("flatten",), fits=lambda shape: shape[-1] == 24)
    )
    assert found.why == "missing" and found.fixes[0].title == "flatten the input"


def test_the_sizes_that_a_size_was_put_together_from() -> None:
    joined = tensor(2, 9)
    cat = op(0, "cat", joined, tensors=[tensor(2, 5), tensor(2, 4)], dim=1)
    assert parts_of(Decision("op", joined, cat, dim=1)) == (5, 4)
    assert parts_of(Decision("op", joined, cat, product=(3, 3), dim=1)) == (3, 3)


@pytest.mark.parametrize(
    ("name", "call", "dim", "shape", "expected"),
    [
        ("zeros", "torch.zeros(2, n)", 1, (2, 7), "n"),
        ("zeros", "torch.zeros((2, n + 1))", 1, (2, 7), "n + 1"),
        ("rand", "torch.rand(size=(2, 7))", 0, (2, 7), "2"),
        ("randint", "torch.randint(0, 9, (2, 7))", 1, (2, 7), "7"),
        ("view", "x.view(-1, 400)", 1, (2, 400), "400"),
        ("reshape", "torch.reshape(x, (2, 9))", 1, (2, 9), "9"),
        ("arange", "torch.arange(n)", 0, (7,), "n"),
        ("one_hot", "F.one_hot(y, classes)", 1, (2, 4), "classes"),
        ("interpolate", "F.interpolate(x, size=side)", 2, (1, 3, 8, 8), "side"),
        ("getitem", "x[:, :width]", 1, (2, 5), "width"),
        ("getitem", "x[..., top : top + size, 0:9]", 1, (3, 5, 9), "size"),
        ("zeros", "helper(2, 7)", 1, (2, 7), None),
    ],
)
def test_the_expression_that_gave_a_size(name: str, call: str, dim: int, shape: Shape, expected: str | None) -> None:
    sources = program(f"y = {call}\n")
    found = size_expression(sources, op(0, name, tensor(*shape), [span(sources, call)]), dim, len(shape))
    assert (found.text if found else None) == expected


def called(text: str, call: str, inner: TensorFacts, args: tuple[TensorFacts, ...]) -> Evidence:
    """A failing op inside of a torch layer that the program's line called, maybe through a container."""
    sources = program(text)
    failing = op(0, "linear", (), [span(sources, call)], 2, input=inner)
    run = failed(failing, dict(sources.evidence.sources))
    assert run.failure is not None
    below = (
        Frame(
            Span("torch/nn/modules/module.py", 1, function="Module._call_impl"),
            "torch",
            locals=(Argument("args", Items("tuple", len(args), args)),),
        ),
        Frame(
            Span("torch/nn/modules/linear.py", 1, function="Linear.forward"),
            "torch",
            locals=(Argument("self", inner), Argument("input", inner)),
        ),
    )
    return replace(run, failure=replace(run.failure, frames=(*run.failure.frames, *below)))


def test_operands_take_the_expression_of_the_very_tensor() -> None:
    x, inside = tensor(2, 3), tensor(2, 9)
    run = called("net(rows)\n", "net(rows)", x, (x,))
    assert run.failure is not None
    assert [o.expression for o in expressions(run, run.failure)] == ["rows"]
    assert expression_of(Sources(run), run.failure)[x.id].text == "rows"
    assert [a.name for a in forward_arguments(run.failure)] == ["input"]
    deeper = called("net(rows)\n", "net(rows)", inside, (x,))
    assert deeper.failure is not None
    assert [o.expression for o in expressions(deeper, deeper.failure)] == [""]
