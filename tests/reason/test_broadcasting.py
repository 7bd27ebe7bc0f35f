from __future__ import annotations

import pytest
from written_runs import integer, op, run, tensor

from torchwhy.model import Argument
from torchwhy.reason.broadcasting import clash, lost_rank, misplaced, placements


@pytest.mark.parametrize(
    ("left", "right", "dim"),
    [
        ((2, 3), (2, 4), -1),
        ((5,), (5, 3, 16, 16), -1),
        ((4, 1), (3, 7), -2),
        ((4, 1), (4, 7), None),
        ((3,), (2, 3), None),
        ((), (2,), None),
    ],
)
def test_where_shapes_clash(left: tuple[int, ...], right: tuple[int, ...], dim: int | None) -> None:
    found = clash([("a", tensor(1, *left)), ("b", tensor(2, *right))])
    assert (found.dim if found else None) == dim


def test_in_place_the_first_can_not_grow() -> None:
    pair = [("x", tensor(1, 1, 28, 28)), ("mean", tensor(2, 3, 1, 1))]
    assert clash(pair) is None
    found = clash(pair, in_place=True)
    assert found is not None and found.dim == -3


@pytest.mark.parametrize(
    ("small", "large", "index", "shape"),
    [((5,), (5, 3, 16, 16), "[:, None, None, None]", (5, 1, 1, 1)), ((4, 9), (4, 3, 9, 9), "[:, None, None, :]", (4, 1, 1, 9)),
     ((3,), (2, 3, 8), "[:, None]", (3, 1)), ((7,), (2, 3), None, None)],
)  # fmt: skip
def test_a_missing_dimension(small: tuple[int, ...], large: tuple[int, ...], index: str | None, shape: tuple[int, ...] | None) -> None:
    found = clash([("a", tensor(1, *large)), ("b", tensor(2, *small))])
    lying = misplaced(found) if found else None
    assert (lying.index if lying else None, lying.shape if lying else None) == (index, shape)


def test_placements_keep_the_order() -> None:
    assert placements((2, 3), (2, 3, 2, 3)) == ((0, 1), (0, 3), (2, 3))
    assert placements((3, 2), (2, 3)) == ()


def test_the_op_that_dropped_a_dimension() -> None:
    x, norms, half = tensor(1, 6, 10), tensor(2, 6), tensor(3, 6)
    made = op(1, "norm", (x,), norms, arguments=(Argument("dim", integer(1)),))
    evidence = run(op(0, "rand", (), x), made, op(2, "mul", (norms,), half), op(3, "div", (x, half)))
    assert lost_rank(evidence, half, 3) == made
    assert lost_rank(evidence, x, 3) is None


def test_a_look_up_takes_the_shape_of_its_index() -> None:
    table, steps, picked, root = tensor(1, 100), tensor(2, 5, dtype="int64"), tensor(3, 5), tensor(4, 5)
    made = op(2, "getitem", (table, steps), picked)
    evidence = run(op(0, "linspace", (), table), op(1, "randint", (), steps), made, op(3, "sqrt", (picked,), root))
    assert lost_rank(evidence, root) == made
