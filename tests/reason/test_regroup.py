from __future__ import annotations

import pytest
from texts import program, span

from torchwhy.model import Argument, Evidence, Failure, Items, OpRecord, Plain, TensorFacts
from torchwhy.reason.reading import reading
from torchwhy.reason.regroup import Element, doubtful, elements, fitting, nearest_divisor


def free(*sizes: int) -> tuple[Element, ...]:
    return tuple(Element(place, size) for place, size in enumerate(sizes))


@pytest.mark.parametrize(
    ("source", "shape", "wrong"),
    [
        ((4, 3, 28, 28), (4, 1, 784), 1),
        ((8, 16, 5, 5), (-1, 256), 1),
        ((2, 7, 100), (2, 7, 3, 33), None),
        ((3, 6272), (-1, 128, 8, 8), None),
    ],
)
def test_the_size_that_can_not_be_right(source: tuple[int, ...], shape: tuple[int, ...], wrong: int | None) -> None:
    found = doubtful(source, shape, free(*shape))
    assert (found.place if found else None) == wrong


def test_a_fitting_size() -> None:
    assert fitting((4, 1, 784), 1, 9408) == 3
    assert fitting((4, 5, 784), 1, 9409) is None
    assert fitting((-1, 256), 1, 3200) is None


@pytest.mark.parametrize(("number", "wanted", "near"), [(100, 3, 4), (48, 5, 6), (7, 3, 1), (12, 12, 12)])
def test_the_nearest_divisor(number: int, wanted: int, near: int) -> None:
    assert nearest_divisor(number, wanted) == near


def test_a_quotient_with_a_remainder_is_followed_to_its_divisor() -> None:
    sources = program("heads = 3\neach = 100 // heads\ny = x.view(2, 3, each)\n")
    shape = Argument("size", Items("tuple", 3, tuple(Plain("int", str(n), n) for n in (2, 3, 33))))
    x = TensorFacts(1, (2, 100), "float32", "cpu")
    op = OpRecord(0, "view", where=(span(sources, "x.view(2, 3, each)"),), arguments=(Argument("input", x), shape), raised=True)
    run = reading(Evidence(failure=Failure("RuntimeError", "", op=op), ops=(op,), sources=sources.evidence.sources))
    found = elements(run, op, (2, 3, 33))
    assert found[2].quotient == (100, 3)
    assert found[2].cause is not None and found[2].cause.span.line == 1
    assert [e.name for e in found] == ["2", "3", "heads"]
