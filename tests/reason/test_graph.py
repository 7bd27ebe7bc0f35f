"""A failed graph against a recorded run, on evidence made by hand."""

from __future__ import annotations

from dataclasses import replace

from torchwhy.model import Argument, Evidence, Failure, GraphNode, Items, OpRecord, Plain, SavedTensor, TensorFacts, Write
from torchwhy.reason.graph import keeps_graph, made, maker, overwritten, shared, stepped


def tensor(number: int, grad_fn: str | None = None, storage: int | None = None) -> TensorFacts:
    return TensorFacts(number, (2, 3), "float32", "cpu", requires_grad=True, grad_fn=grad_fn, storage=storage)


def op(
    index: int, name: str, inputs: list[TensorFacts], outputs: list[TensorFacts], sequence: tuple[int, int], thread: int = 0
) -> OpRecord:
    arguments = tuple(Argument(f"a{i}", t) for i, t in enumerate(inputs))
    return OpRecord(index, name, arguments=arguments, outputs=tuple(outputs), sequence=sequence, thread=thread)


def write(index: int, name: str, storage: int, version: int | None) -> OpRecord:
    return OpRecord(index, name, sequence=(9, 9), writes=(Write(1, storage, version),))


def backward(index: int, sequence: int, **settings: bool) -> OpRecord:
    arguments = tuple(Argument(k, Plain("bool", str(v), v)) for k, v in settings.items())
    return OpRecord(index, "backward", arguments=arguments, sequence=(sequence, sequence))


def saving(number: int, sequence: int, saved: SavedTensor, name: str = "ExpBackward0") -> GraphNode:
    return GraphNode(number, name, sequence, saved=(saved,))


X, Y = tensor(1), tensor(2, "ExpBackward0", storage=70)


def test_the_writes_between_two_versions_count() -> None:
    node = saving(0, 3, SavedTensor("result", 70, (2, 3), expected=1, current=3, mismatch=True))
    ops = (
        write(0, "early", 70, 1),
        op(1, "exp", [X], [Y], (3, 4)),
        write(2, "a_", 70, 2),
        write(3, "other", 71, 2),
        write(4, "b_", 70, 3),
        write(5, "late", 70, 4),
    )
    found = overwritten(Evidence(ops=ops, graph=(node,)))
    assert found is not None and found.saver is ops[1]
    assert [w.name for w in found.writes] == ["a_", "b_"]


def test_without_the_saving_op_old_tenants_of_the_memory_are_left_out() -> None:
    node = saving(0, 3, SavedTensor("result", 70, (2, 3), expected=0, current=2, mismatch=True))
    ops = (write(0, "old", 70, 1), write(1, "older", 70, 2), write(2, "a_", 70, 1), write(3, "b_", 70, 2))
    found = overwritten(Evidence(ops=ops, graph=(node,)))
    assert found is not None and found.saver is None
    assert [w.name for w in found.writes] == ["a_", "b_"]


def test_a_hidden_write_makes_no_version_and_is_not_named() -> None:
    node = saving(0, 3, SavedTensor("result", 70, (2, 3), expected=0, current=1, mismatch=True))
    ops = (op(1, "exp", [X], [Y], (3, 4)), write(2, "data", 70, None), write(3, "a_", 70, 1))
    found = overwritten(Evidence(ops=ops, graph=(node,)))
    assert found is not None and [w.name for w in found.writes] == ["a_"]


def test_of_several_the_one_that_fits_the_message_is_taken() -> None:
    one = saving(0, 9, SavedTensor("result", 70, (4,), expected=0, current=1, mismatch=True))
    other = saving(1, 3, SavedTensor("result", 71, (2, 3), expected=0, current=2, mismatch=True))
    evidence = Evidence(graph=(one, other))
    assert overwritten(evidence).node is one  # type: ignore[union-attr]
    assert overwritten(evidence, (2, 3), (2, 0)).node is other  # type: ignore[union-attr]
    assert overwritten(evidence, (7,)) is None
    assert overwritten(Evidence()) is None


def test_a_node_is_joined_to_the_tightest_op_of_its_thread() -> None:
    outer = op(5, "block", [X], [tensor(3, "AddBackward0")], (2, 9))
    inner = op(4, "exp", [X], [Y], (3, 4))
    elsewhere = op(3, "sin", [X], [tensor(4, "SinBackward0")], (3, 4), thread=7)
    evidence = Evidence(ops=(elsewhere, inner, outer))
    assert maker(evidence, GraphNode(0, "ExpBackward0", 3)) is inner
    assert maker(evidence, GraphNode(0, "SinBackward0", 3)) is elsewhere
    assert maker(evidence, GraphNode(0, "MulBackward0", 6)) is outer
    assert maker(evidence, GraphNode(0, "AccumulateGrad", None)) is None
    assert made(evidence, GraphNode(0, "ExpBackward0", 3)) == Y


FREED = SavedTensor("result", freed=True)


def _two_rounds(*runs: OpRecord, ran: tuple[int, ...]) -> Evidence:
    """round one: h = exp(x), loss; round two: g = mul(h, x), loss."""
    g = tensor(3, "MulBackward0")
    ops = (op(0, "exp", [X], [Y], (0, 1)), *runs, op(8, "mul", [Y, X], [g], (1, 2)), replace(backward(9, 2), raised=True))
    graph = (
        GraphNode(0, "MulBackward0", 1, next=(1, 2), saved=(FREED,), ran_in=(9,)),
        GraphNode(1, "ExpBackward0", 0, next=(2,), saved=(FREED,), depth=1, ran_in=(*ran, 9)),
        GraphNode(2, "torch::autograd::AccumulateGrad", leaf=1, depth=2),
    )
    return Evidence(Failure("RuntimeError", "", op=ops[-1]), ops=ops, graph=graph)


def test_where_the_new_graph_meets_the_old() -> None:
    evidence = _two_rounds(backward(1, 1), ran=(1,))
    found = shared(evidence)
    assert found is not None and not found.whole and found.leaves == {1}
    (meeting,) = found.meetings
    assert meeting.old.name == "ExpBackward0" and meeting.tensor == Y
    assert meeting.op is evidence.ops[0] and meeting.user is evidence.ops[2]


def test_a_backward_that_kept_the_graph_freed_nothing() -> None:
    kept = backward(1, 1, retain_graph=True)
    assert keeps_graph(kept) and keeps_graph(backward(1, 1, create_graph=True)) and not keeps_graph(backward(1, 1, retain_graph=False))
    assert shared(_two_rounds(kept, ran=(1,))) is None
    found = shared(_two_rounds(kept, backward(2, 1), ran=(1, 2)))
    assert found is not None and found.before.index == 2


def test_nothing_is_shared_where_no_backward_was_recorded() -> None:
    assert shared(_two_rounds(ran=())) is None


def test_steps_between() -> None:
    step = replace(write(4, "optimizer.step", 70, 1), qualname="SGD")
    evidence = Evidence(ops=(step,))
    assert stepped(evidence, 3, 5) == {1: step}
    assert stepped(evidence, 4, 5) == {} and stepped(evidence, 0, 4) == {}


def test_lists_of_tensors_are_arguments_too() -> None:
    hidden = Argument("hx", Items("tuple", 2, (Y, tensor(5))))
    evidence = _two_rounds(backward(1, 1), ran=(1,))
    user = replace(evidence.ops[2], arguments=(hidden,))
    found = shared(replace(evidence, ops=(*evidence.ops[:2], user, evidence.ops[3])))
    assert found is not None and found.meetings[0].user is user
