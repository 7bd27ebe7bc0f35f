"""A recorded step written otherwise, with the shape that it would give."""

from __future__ import annotations

import ast

import pytest

from torchwhy.model import Argument, Items, OpRecord, Plain, Span, TensorFacts
from torchwhy.reason.alternatives import alternatives, asked_sizes, joined
from torchwhy.reason.source import Sources


def _tensor(id: int, *shape: int) -> TensorFacts:
    return TensorFacts(id, shape, "float32", "cpu")


def _op(name: str, text: str, out: tuple[int, ...], *inputs: tuple[int, ...]) -> tuple[Sources, OpRecord]:
    tensors = tuple(_tensor(n, *shape) for n, shape in enumerate(inputs, start=1))
    value = Items("list", len(tensors), tensors) if len(tensors) > 1 else tensors[0]
    span = Span("main.py", 1, 4, 1, 4 + len(text))
    arguments = (Argument("input", value), Argument("dim", Plain("int", "0", 0)))
    return Sources({"main.py": f"x = {text}\n"}), OpRecord(0, name, where=(span,), arguments=arguments, outputs=(_tensor(9, *out),))


@pytest.mark.parametrize(
    ("name", "text", "out", "inputs", "expected"),
    [
        ("cat", "torch.cat([a, b], dim=0)", (4, 3), ((2, 3), (2, 3)), {("torch.cat([a, b], dim=1)", (2, 6))}),
        ("cat", "torch.cat([a, b])", (4, 3), ((2, 3), (2, 3)), {("torch.cat([a, b], dim=1)", (2, 6))}),
        ("flatten", "a.flatten(2)", (2, 3, 20), ((2, 3, 4, 5),), {("a.flatten(1)", (2, 60))}),
        ("unsqueeze", "a.unsqueeze(-1)", (6, 1), ((6,),), {("a.unsqueeze(0)", (1, 6)), ("a", (6,))}),
        ("argmax", "a.argmax(dim=0)", (5,), ((4, 5),), {("a.argmax(dim=1)", (4,))}),
        ("view", "a.view(2, t, 3)", (2, 4, 3), ((8, 3),), {("a.view(2, 3, t)", (2, 3, 4))}),
        ("transpose", "a.transpose(0, 1)", (3, 2, 4), ((2, 3, 4),), {("a.transpose(1, 2)", (2, 4, 3)), ("a", (2, 3, 4))}),
        ("permute", "a.permute(2, 0, 0)", (), ((4, 5, 3),), {("a.permute(2, 0, 1)", None), ("a.permute(2, 1, 0)", None)}),
    ],
)
def test_other_ways(
    name: str, text: str, out: tuple[int, ...], inputs: tuple[tuple[int, ...], ...], expected: set[tuple[str, tuple[int, ...] | None]]
) -> None:
    assert expected <= {(way.text, way.shape) for way in alternatives(*_op(name, text, out, *inputs))}


def test_what_the_text_does_not_show_has_none() -> None:
    assert alternatives(*_op("cat", "join(a, b)", (4, 3), (2, 3), (2, 3))) == ()
    assert alternatives(*_op("flatten", "a.flatten(start)", (2, 60), (2, 3, 20)))[:0] == ()


def test_what_joins() -> None:
    assert joined([(2, 3), (4, 3)], 0) == (6, 3)
    assert joined([(2, 3), (4, 3)], 1) is None
    assert joined([(2, 3), (2, 3)], 1, stacked=True) == (2, 2, 3)


def test_sizes_asked_of_another_dimension() -> None:
    sources = Sources({"main.py": "y = torch.zeros(x.size(0), z.shape[1])\n"})
    source = sources.file("main.py")
    assert source is not None
    statement = next(node for node in source.nodes if isinstance(node, ast.Assign))
    texts = {way.text for way in asked_sizes(source, statement)}
    assert {"x.size(1)", "z.shape[0]"} <= texts and "x.size(0)" not in texts
