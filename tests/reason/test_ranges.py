from __future__ import annotations

from dataclasses import replace

import pytest
from written_runs import integer, op, run, tensor

from torchwhy.model import Argument, Evidence, Failure, LoaderFacts, Span, ValueFacts
from torchwhy.reason.ranges import Outlier, beyond_told, index_cause, maker, outlier, position_told
from torchwhy.reason.reading import Reading, reading


def failed(evidence: Evidence, last: int) -> Reading:
    return reading(replace(evidence, failure=Failure("IndexError", "index out of range", op=evidence.ops[last])))


@pytest.mark.parametrize(("low", "high", "value"), [(0, 9, None), (0, 10, 10), (-1, 9, -1), (-1, 12, 12)])
def test_a_value_out_of_range(low: int, high: int, value: int | None) -> None:
    found = outlier(tensor(1, 4, dtype="int64", values=ValueFacts(low, high, (0,), (3,))), 10)
    assert (found.value if found else None) == value


def test_values_that_were_not_read_tell_nothing() -> None:
    assert outlier(tensor(1, 4), 10) is None
    assert outlier(None, 10) is None


def test_the_sample_of_the_dataset() -> None:
    ids = tensor(1, 2, 3, dtype="int64", values=ValueFacts(0, 25, (0, 0), (1, 2)))
    loader = LoaderFacts(1, "Texts", 40, 2, indices=(7, 31), batch_number=3, shapes=("int64 [2, 3]",))
    evidence = run(op(0, "batch", (ids,)), op(1, "embedding", (ids,)), loaders=(loader,))
    found = outlier(ids, 20)
    assert found is not None
    assert position_told(failed(evidence, 1), found, "ids") == "`ids[1, 2]` is 25: sample 31 of Texts, row 1 of batch 3"
    assert position_told(failed(run(op(0, "embedding", (ids,))), 0), found, "x[:, 0]") == "`x[:, 0]` at [1, 2] is 25"


def test_what_made_the_values() -> None:
    text = "n = 20\nplaces = torch.arange(n)\n"
    places = tensor(1, 20, dtype="int64", values=ValueFacts(0, 19, (0,), (19,)))
    made = op(0, "arange", (), places, where=(Span("main.py", 2, 9, 2, 24),))
    found = maker(failed(run(made, op(1, "embedding", (places,)), text=text), 1), places)
    assert found is not None
    assert (found[0].name, found[1].span.line) == ("arange", 1)


def test_a_later_write_is_what_made_the_value() -> None:
    labels, shifted = tensor(1, 4, dtype="int64"), tensor(2, 4, dtype="int64", values=ValueFacts(-100, 8, (3,), (1,)))
    fill = (Argument("fill_value", integer(0)),)
    made = op(0, "full", (), shifted, arguments=fill)
    written = replace(op(1, "setitem", (shifted, labels)), writes=(_write(shifted),))
    run_ = failed(run(made, written, op(2, "embedding", (shifted,))), 2)
    found = maker(run_, Outlier(shifted, -100, (3,), 9))
    assert found is not None and found[0].name == "setitem"
    same = maker(run_, Outlier(shifted, 0, (0,), 9))
    assert same is not None and same[0].name == "full"


def test_indices_counted_out_for_another_tensor_are_to_blame() -> None:
    labels, order = tensor(1, 100), tensor(2, 120, dtype="int64", values=ValueFacts(0, 119, (3,), (7,)))
    evidence = run(op(0, "zeros", (), labels), op(1, "randperm", (), order), op(2, "getitem", (labels, order)))
    assert index_cause(failed(evidence, 2), "labels", labels, 0, order)[0].span.line == 2
    picked = replace(order, id=3)
    evidence = run(op(0, "zeros", (), labels), op(1, "tensor", (), picked), op(2, "getitem", (labels, picked)))
    assert index_cause(failed(evidence, 2), "labels", labels, 0, picked)[0].span.line == 1


def test_what_a_value_says_of_itself() -> None:
    assert "int32" in beyond_told(Outlier(tensor(1), 4294967299, (), 6))
    assert "one beyond" in beyond_told(Outlier(tensor(1), 6, (), 6))
    assert beyond_told(Outlier(tensor(1), 9, (), 6)) == ""


def _write(t: object) -> object:
    from torchwhy.model import Write

    return Write(t.id, t.storage, 1)  # type: ignore[attr-defined]
