"""Where a graph was lost, on evidence made by hand."""

from __future__ import annotations

from torchwhy.model import (
    Argument,
    Evidence,
    Failure,
    Frame,
    ModuleFacts,
    OpRecord,
    OptimizerFacts,
    Plain,
    Span,
    TensorFacts,
)
from torchwhy.reason.cuts import cut
from torchwhy.reason.reading import Reading
from torchwhy.reason.slices import feeding_lines


def tensor(number: int, grad: bool = False, dtype: str = "float32") -> TensorFacts:
    return TensorFacts(number, (3,), dtype, "cpu", requires_grad=grad, is_leaf=not grad, grad_fn="AddBackward0" if grad else None)


def op(index: int, name: str, inputs: dict[str, TensorFacts], output: TensorFacts | None, line: int = 0, **rest: object) -> OpRecord:
    arguments = tuple(Argument(k, v) for k, v in inputs.items())
    where = (Span("main.py", line or index + 1),)
    return OpRecord(index, name, where=where, arguments=arguments, outputs=(output,) if output else (), **rest)  # type: ignore[arg-type]


def reading(*ops: OpRecord, **known: object) -> Reading:
    failure = Failure("RuntimeError", "no graph", frames=(Frame(Span("main.py", 99)),))
    return Reading(Evidence(failure=failure, ops=ops, **known), failure)  # type: ignore[arg-type]


W, LOSS = tensor(1, True), tensor(9)


def owner(*parameters: TensorFacts) -> ModuleFacts:
    return ModuleFacts(1, "net", "Net", parameters=tuple(Argument(f"p{t.id}", t) for t in parameters))


def test_the_op_that_gives_no_graph() -> None:
    middle, cut_off = tensor(2, True), tensor(3)
    run = reading(op(0, "exp", {"input": W}, middle), op(1, "detach", {"input": middle}, cut_off), op(2, "sum", {"input": cut_off}, LOSS))
    found = cut(run, LOSS)
    assert found is not None and found.how == "op" and found.op is run.evidence.ops[1] and not found.discrete
    assert [o.name for o in found.trail] == ["sum"]


def test_choices_and_whole_numbers_are_discrete() -> None:
    for name in ("argmax", "gt", "to"):
        whole = tensor(3, dtype="int64")
        found = cut(reading(op(0, name, {"input": W}, whole), op(1, "sum", {"input": whole}, LOSS)), LOSS)
        assert found is not None and found.discrete


def test_a_target_is_blamed_last() -> None:
    target, made, prediction = tensor(2), tensor(3), tensor(4)
    source = tensor(5, True)
    ops = (
        op(0, "exp", {"input": source}, prediction, grad_enabled=False),
        op(1, "mul", {"input": prediction}, made),
        op(2, "detach", {"input": W}, target),
        op(3, "mse_loss", {"input": made, "target": target}, LOSS),
    )
    found = cut(reading(*ops), LOSS)
    assert found is not None and found.op is ops[0] and found.how == "mode" and not found.sure


def test_what_is_trained_comes_before_what_is_near() -> None:
    trained, near, far = tensor(5, True), tensor(2), tensor(3)
    ops = (
        op(0, "exp", {"input": trained}, far, grad_enabled=False),
        op(1, "mul", {"input": far}, tensor(6)),
        op(2, "detach", {"input": W}, near),
        op(3, "add", {"input": near, "other": tensor(6)}, LOSS),
    )
    run = reading(*ops, modules=(owner(trained, W),), optimizers=(OptimizerFacts(1, "SGD", (5,)),))
    found = cut(run, LOSS)
    assert found is not None and found.op is ops[0]


def test_a_switch_that_was_never_set_back() -> None:
    switch = op(0, "set_grad_enabled", {}, None)
    switch = OpRecord(0, "set_grad_enabled", where=switch.where, arguments=(Argument("mode", Plain("bool", "False", False)),))
    off = op(1, "exp", {"input": W}, LOSS, grad_enabled=False)
    found = cut(reading(switch, off), LOSS)
    assert found is not None and found.how == "switch" and found.span == switch.span


def test_numbers_are_followed_through_lists() -> None:
    text = """\
parts = []
for x in data:
    y = net(x)
    parts.append(y.item())
    print(other.item())
total = torch.tensor(parts)
"""
    ops = (
        op(0, "exp", {"input": W}, tensor(2, True), 3),
        op(1, "item", {"input": tensor(2, True)}, None, 4),
        op(2, "item", {"input": tensor(2, True)}, None, 5),
        op(3, "tensor", {}, LOSS, 6),
    )
    run = reading(*ops, sources=(("main.py", text),))
    found = cut(run, LOSS)
    assert found is not None and found.how == "python" and found.op is ops[1]
    assert {line for _, line in feeding_lines(run.sources, ops[3].where)} == {1, 2, 3, 4, 6}


def test_frozen_parameters_and_things_never_trained() -> None:
    weight = TensorFacts(7, (3,), "float32", "cpu")
    frozen = OpRecord(0, "requires_grad.set", where=(Span("main.py", 1),), arguments=(Argument("input", weight),))
    used = op(1, "mul", {"input": weight}, LOSS)
    found = cut(reading(frozen, used, modules=(owner(weight),)), LOSS)
    assert found is not None and found.how == "frozen" and found.span == frozen.span and found.parameters == (7,)
    created = op(0, "zeros", {}, LOSS)
    found = cut(reading(created), LOSS)
    assert found is not None and found.how == "never" and found.span == created.span
    assert cut(reading(), LOSS) is None
