from __future__ import annotations

import pytest
from runs import op, tensor

from torchwhy.model import OpRecord, TensorFacts
from torchwhy.reason.shapes import Carried, Product, SizeSource, groups, source_of_size


def told(found: SizeSource, inputs: tuple[TensorFacts, ...]) -> str:
    """`0.2`: dimension 2 of the first input; `~` where it is made from it."""
    if isinstance(found, Carried):
        place = next(i for i, t in enumerate(inputs) if t.id == found.tensor.id)
        return f"{place}.{found.dim}{'' if found.exact else '~'}"
    return found.text if isinstance(found, Product) else found.argument or "-"


def sources(record: OpRecord, output: int = 0) -> str:
    out = record.outputs[output]
    return " ".join(told(source_of_size(record, out, dim), record.inputs) for dim in range(out.rank))


def call(name: str, out: tuple[int, ...], **given: object) -> str:
    return sources(op(0, name, tensor(*out), **given))


@pytest.mark.parametrize(
    ("name", "out", "given", "expected"),
    [
        ("linear", (2, 3, 7), {"input": tensor(2, 3, 5), "weight": tensor(7, 5)}, "0.0 0.1 1.0"),
        ("matmul", (2, 3, 7), {"input": tensor(2, 3, 5), "other": tensor(5, 7)}, "0.0 0.1 1.1"),
        ("matmul", (2, 7), {"input": tensor(5), "other": tensor(2, 5, 7)}, "1.0 1.2"),
        ("matmul", (2,), {"input": tensor(2, 5), "other": tensor(5)}, "0.0"),
        ("bmm", (2, 3, 7), {"input": tensor(2, 3, 5), "mat2": tensor(2, 5, 7)}, "0.0 0.1 1.2"),
        ("addmm", (3, 7), {"input": tensor(7), "mat1": tensor(3, 5), "mat2": tensor(5, 7)}, "1.0 2.1"),
        ("conv2d", (2, 5, 6, 7), {"input": tensor(2, 3, 8, 9), "weight": tensor(5, 3, 3, 3)}, "0.0 1.0 0.2~ 0.3~"),
        ("conv2d", (5, 6, 7), {"input": tensor(3, 8, 9), "weight": tensor(5, 3, 3, 3)}, "1.0 0.1~ 0.2~"),
        ("conv_transpose1d", (2, 7, 9), {"input": tensor(2, 3, 4), "weight": tensor(3, 7, 3)}, "0.0 1.1 0.2~"),
        ("max_pool2d", (2, 3, 4, 5), {"input": tensor(2, 3, 8, 10)}, "0.0 0.1 0.2~ 0.3~"),
        ("adaptive_avg_pool2d", (2, 3, 1, 1), {"input": tensor(2, 3, 8, 10), "output_size": 1}, "0.0 0.1 output_size output_size"),
        ("interpolate", (2, 3, 16, 20), {"input": tensor(2, 3, 8, 10), "scale_factor": 2}, "0.0 0.1 0.2~ 0.3~"),
        ("interpolate", (2, 3, 4, 5), {"input": tensor(2, 3, 8, 10), "size": (4, 5)}, "0.0 0.1 size size"),
        ("flatten", (2, 105), {"input": tensor(2, 3, 5, 7)}, "0.0 3 · 5 · 7"),
        ("view", (2, 3, 5, 7), {"input": tensor(2, 15, 7)}, "0.0 shape shape 0.2"),
        ("reshape", (6, 5), {"input": tensor(2, 3, 5)}, "2 · 3 0.2"),
        ("permute", (2, 5, 3), {"input": tensor(2, 3, 5), "dims": (0, 2, 1)}, "0.0 0.2 0.1"),
        ("transpose", (2, 5, 3), {"input": tensor(2, 3, 5), "dim0": -1, "dim1": -2}, "0.0 0.2 0.1"),
        ("T", (3, 2), {"input": tensor(2, 3)}, "0.1 0.0"),
        ("sum", (2, 5), {"input": tensor(2, 3, 5), "dim": 1}, "0.0 0.2"),
        ("mean", (3, 7), {"input": tensor(3, 3, 7, 7), "dim": (0, 2)}, "0.1 0.3"),
        ("mean", (2, 1, 5), {"input": tensor(2, 3, 5), "dim": 1, "keepdim": True}, "0.0 0.1~ 0.2"),
        ("unsqueeze", (2, 5, 1), {"input": tensor(2, 5), "dim": -1}, "0.0 0.1 -"),
        ("squeeze", (2, 5), {"input": tensor(2, 1, 5, 1)}, "0.0 0.2"),
        ("cat", (2, 9), {"tensors": [tensor(2, 5), tensor(2, 4)], "dim": -1}, "0.0 tensors"),
        ("hstack", (2, 9), {"tensors": [tensor(2, 5), tensor(2, 4)]}, "0.0 tensors"),
        ("vstack", (6, 3), {"tensors": [tensor(2, 3), tensor(4, 3)]}, "tensors 0.1"),
        ("stack", (2, 4, 3), {"tensors": [tensor(2, 3)] * 4, "dim": 1}, "0.0 tensors 0.1"),
        ("pad_sequence", (2, 9, 4), {"sequences": [tensor(5, 4), tensor(9, 4)], "batch_first": True}, "sequences 1.0 0.1"),
        ("embedding", (2, 3, 7), {"input": tensor(2, 3, dtype="int64"), "weight": tensor(4, 7)}, "0.0 0.1 1.1"),
        ("one_hot", (2, 3, 4), {"input": tensor(2, 3, dtype="int64"), "num_classes": 4}, "0.0 0.1 num_classes"),
        ("einsum", (2, 3, 3), {"equation": "bid,bjd->bij", "operands": [tensor(2, 3, 5), tensor(2, 3, 5)]}, "0.0 0.1 1.1"),
        ("chunk", (2, 3, 5), {"input": tensor(2, 6, 5), "chunks": 2, "dim": 1}, "0.0 0.1~ 0.2"),
        ("unbind", (3, 5), {"input": tensor(3, 3, 5), "dim": 0}, "0.1 0.2"),
        ("topk", (2, 3), {"input": tensor(2, 9), "k": 3}, "0.0 0.1~"),
        ("gather", (4, 2), {"input": tensor(4, 9), "dim": 1, "index": tensor(4, 2, dtype="int64")}, "1.0 1.1"),
        ("index_select", (4, 2), {"input": tensor(4, 9), "dim": 1, "index": tensor(2, dtype="int64")}, "0.0 1.0"),
        ("expand", (2, 3, 5), {"input": tensor(2, 1, 5), "size": (2, 3, 5)}, "0.0 size 0.2"),
        ("repeat", (8, 3), {"input": tensor(2, 3), "repeats": (4, 1)}, "repeats 0.1"),
        ("add", (2, 3, 5), {"input": tensor(2, 3, 5), "other": tensor(3, 1)}, "0.0 0.1 0.2"),
        ("mul", (2, 3), {"input": tensor(2, 1), "other": tensor(1, 3)}, "0.0 1.1"),
        ("zeros_like", (2, 3), {"input": tensor(2, 3)}, "0.0 0.1"),
        ("zeros", (2, 3), {"size": (2, 3)}, "size size"),
        ("arange", (7,), {"end": 7}, "end"),
        ("pixel_shuffle", (2, 3, 10), {"input": tensor(2, 12, 5)}, "0.0 0.1~ 0.2~"),
        ("relu", (2, 3), {"input": tensor(2, 3)}, "0.0 0.1"),
        ("an_op_of_tomorrow", (2, 3, 9), {"x": tensor(2, 3), "y": tensor(9)}, "0.0 0.1 1.0"),
        ("linear", (2, 3), {}, "- -"),
    ],
)  # fmt: skip
def test_where_each_size_comes_from(name: str, out: tuple[int, ...], given: dict[str, object], expected: str) -> None:
    assert call(name, out, **given) == expected


@pytest.mark.parametrize(
    ("index", "out", "expected"),
    [
        (0, (3, 5, 3), "0.1 0.2 0.3"),
        ((slice(None), 0), (3, 5, 3), "0.0 0.2 0.3"),
        ((..., 0), (3, 3, 5), "0.0 0.1 0.2"),
        ((slice(None), -1, None, slice(None, 2)), (3, 1, 2, 3), "0.0 - 0.2~ 0.3"),
        ((slice(None), slice(0, 2)), (3, 2, 5, 3), "0.0 0.1~ 0.2 0.3"),
        (tensor(8, dtype="int64"), (8, 3, 5, 3), "1.0 0.1 0.2 0.3"),
        (tensor(3, dtype="bool"), (2, 3, 5, 3), "0.0~ 0.1 0.2 0.3"),
    ],
)
def test_an_index_is_followed_also_where_sizes_repeat(index: object, out: tuple[int, ...], expected: str) -> None:
    assert call("getitem", out, input=tensor(3, 3, 5, 3), index=index) == expected


@pytest.mark.parametrize(("batch_first", "x"), [(True, (4, 9, 5)), (False, (9, 4, 5))])
def test_a_recurrent_layers_state_has_the_batch_of_its_input(batch_first: bool, x: tuple[int, ...]) -> None:
    out = (*x[:2], 7)
    record = op(0, "lstm", [tensor(*out), tensor(2, 4, 7)], input=tensor(*x), batch_first=batch_first)
    assert sources(record) == "0.0 0.1 hidden_size"
    assert sources(record, 1) == f"num_layers 0.{0 if batch_first else 1} hidden_size"


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ((2, 3, 4), (6, 4), [((0, 1), (0,)), ((2,), (1,))]),
        ((6, 4), (2, 3, 4), [((0,), (0, 1)), ((1,), (2,))]),
        ((2, 3), (2, 3), [((0,), (0,)), ((1,), (1,))]),
        ((4, 6), (8, 3), [((0, 1), (0, 1))]),
    ],
)
def test_a_view_regroups(source: tuple[int, ...], target: tuple[int, ...], expected: object) -> None:
    assert groups(source, target) == expected
