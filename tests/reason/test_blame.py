from __future__ import annotations

from written_runs import linear, listed, op, run, tensor

from torchwhy.model import Evidence, OpRecord, TensorFacts
from torchwhy.reason.blame import Blame, blame, derives, side
from torchwhy.reason.provenance import Size


def sizes(evidence: Evidence, failing: OpRecord, dim: int, *operands: tuple[str, TensorFacts]) -> Blame:
    sides = [side(evidence, name, t, Size(dim), failing.index) for name, t in operands]
    return blame(evidence, failing, sides, Size(dim))


def test_the_side_that_is_new_here() -> None:
    kept, full, short = tensor(1, 8, 3), tensor(2, 8, 3), tensor(3, 5, 3)
    made = op(0, "zeros", (), kept)
    first = op(1, "add", (full, kept), tensor(4, 8, 3), line=9)
    second = op(2, "add", (short, kept), line=9)
    found = sizes(run(made, first, second), second, 0, ("x", short), ("state", kept))
    assert (found.side.name, found.reason) == ("x", "news")


def test_the_odd_one_of_many() -> None:
    parts = (tensor(1, 3, 8), tensor(2, 3, 8), tensor(3, 1, 8))
    failing = listed(3, "stack", parts)
    found = sizes(run(*(op(i, "rand", (), t) for i, t in enumerate(parts)), failing), failing, 0, *zip("abc", parts))
    assert (found.side.name, found.reason) == ("c", "odd")


def test_the_branch_that_came_back_with_another_size() -> None:
    x, y = tensor(1, 2, 4, 30), tensor(2, 2, 4, 28)
    failing = op(2, "add", (x, y))
    evidence = run(op(0, "rand", (), x), op(1, "conv1d", (x, tensor(9, 4, 4, 3)), y), failing)
    found = sizes(evidence, failing, 2, ("x", x), ("out", y))
    assert (found.side.name, found.reason) == ("out", "branch")
    assert derives(evidence, y, x, 2) and not derives(evidence, x, y, 2)


def test_a_layer_promised_its_size() -> None:
    weight, x, y, target = tensor(1, 12, 5), tensor(2, 4, 5), tensor(3, 4, 12), tensor(4, 4, 24)
    failing = op(3, "mse_loss", (y, target))
    ops = (op(0, "rand", (), x), op(1, "rand", (), target), op(2, "linear", (x, weight), y), failing)
    found = sizes(run(*ops, modules=(linear(7, weight, "net.head", 20),)), failing, 1, ("pred", y), ("y", target))
    assert (found.side.name, found.reason) == ("pred", "layer")
    assert found.side.decision.setting == "out_features"


def test_a_table_before_random_data() -> None:
    table, x = tensor(1, 1, 48, 8), tensor(2, 2, 64, 8)
    failing = op(2, "add", (x, table))
    found = sizes(run(op(0, "zeros", (), table), op(1, "rand", (), x), failing), failing, 1, ("x", x), ("table", table))
    assert (found.side.name, found.reason) == ("table", "written")


def test_values_written_out_are_a_promise_and_values_from_elsewhere_are_not() -> None:
    mean, x = tensor(1, 3), tensor(2, 1)
    failing = op(2, "sub_", (x, mean))
    made = op(0, "tensor", (), mean, line=1)
    for text, blamed in (("MEAN = torch.tensor([1.0, 2.0, 3.0])\n", "MEAN"), ("MEAN = torch.tensor(rows)\n", "x")):
        found = sizes(run(made, op(1, "rand", (), x), failing, text=text), failing, 0, ("x", x), ("MEAN", mean))
        assert found.side.name == blamed


def test_what_an_op_fills_was_made_for_it() -> None:
    weight, bank, x, y = tensor(1, 6, 4), tensor(2, 20, 5), tensor(3, 20, 4), tensor(4, 20, 6)
    failing = op(3, "setitem", (bank, y))
    ops = (op(0, "zeros", (), bank), op(1, "rand", (), x), op(2, "linear", (x, weight), y), failing)
    found = sizes(run(*ops, modules=(linear(7, weight, "net", 20),)), failing, 1, ("bank", bank), ("feats", y))
    assert found.side.name == "bank"


def test_of_two_promises_the_later() -> None:
    one, two = tensor(1, 4, 3), tensor(2, 4, 5)
    failing = op(2, "mul", (one, two))
    found = sizes(run(op(0, "ones", (), one), op(1, "ones", (), two), failing), failing, 1, ("a", one), ("b", two))
    assert (found.side.name, found.reason) == ("b", "later")


def test_data_before_weights_for_a_dtype() -> None:
    weight, x = tensor(1, 2, 3), tensor(2, 4, 3, dtype="float64")
    failing = op(1, "linear", (x, weight))
    evidence = run(op(0, "from_numpy", (), x), failing, modules=(linear(7, weight, "net", 20),))
    sides = [side(evidence, name, t, "dtype", 1) for name, t in (("x", x), ("net.weight", weight))]
    assert blame(evidence, failing, sides, "dtype").side.name == "x"
