from __future__ import annotations

import pytest
from written_runs import listed, op, run, tensor

from torchwhy.model import Argument, LoaderFacts, ModuleFacts, Plain
from torchwhy.reason.batches import kept_from_before, last_batch, lost_batch, took_rows_for_time
from torchwhy.reason.provenance import Size, decided


def test_the_op_that_lost_the_batch() -> None:
    x, wide, rows, y = tensor(1, 4, 16, 16, 16), tensor(2, 4, 16, 16, 16), tensor(3, 16, 1024), tensor(4, 16, 10)
    ops = (op(0, "rand", (), x), op(1, "relu", (x,), wide), op(2, "view", (wide,), rows), op(3, "linear", (rows, tensor(9, 10, 1024)), y))
    found = lost_batch(run(*ops), y, 4)
    assert found is not None and found.name == "view"
    assert lost_batch(run(*ops), y, 7) is None


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_layer_that_takes_rows_for_time(batch_first: bool) -> None:
    settings = (Argument("batch_first", Plain("bool", str(batch_first), batch_first)),)
    layer = ModuleFacts(7, "net.gru", "GRU", settings=settings)
    x, out, last = tensor(1, 32, 20, 8), tensor(2, 32, 20, 16), tensor(3, 20, 16)
    picked = op(2, "getitem", (out,), last)
    evidence = run(op(0, "rand", (), x), op(1, "gru", (x,), out, module=7), picked, modules=(layer,))
    found = took_rows_for_time(evidence, picked, 32)
    assert (found is layer) is not batch_first


def test_the_last_batch_of_a_loader() -> None:
    loader = LoaderFacts(1, "TensorDataset", 36, 16, False, indices=(32, 33, 34, 35))
    assert last_batch(run(loaders=(loader,)), 4, 16) == loader
    assert last_batch(run(loaders=(loader,)), 4) == loader
    assert last_batch(run(loaders=(loader,)), 16) is None
    assert last_batch(run(loaders=(loader,)), 4, 8) is None


def test_what_was_kept_from_the_batch_before() -> None:
    old, state, new, hidden = tensor(1, 16, 9), tensor(2, 16, 9), tensor(3, 4, 9), tensor(4, 16, 9)
    stored = op(2, "detach", (old,), state)
    ops = (
        listed(0, "stack", (), old),
        op(1, "batch", (old,)),
        stored,
        op(3, "batch", (new,)),
        op(4, "linear", (state, tensor(9, 9, 9)), hidden),
    )
    evidence = run(*ops)
    assert kept_from_before(evidence, decided(evidence, hidden, Size(0))) == stored
