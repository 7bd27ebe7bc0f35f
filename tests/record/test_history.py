"""What the history says of ops, in-place writes, backward runs, phases and steps."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from torchwhy.model import Items, OpRecord, Plain, TensorFacts
from torchwhy.record.recorder import Recorder


def last(recorder: Recorder, name: str) -> OpRecord:
    found = [op for op in recorder.history() if op.name == name]
    assert found, [op.name for op in recorder.history()]
    return found[-1]


def test_an_op_has_its_arguments_by_name_and_its_place(recorder: Recorder) -> None:
    x, w = torch.ones(2, 3), torch.ones(4, 3)
    F.linear(x, w)
    op = last(recorder, "linear")
    assert [a.name for a in op.arguments] == ["input", "weight"]
    assert [t.shape for t in op.inputs] == [(2, 3), (4, 3)]
    assert op.outputs[0].shape == (2, 4)
    assert op.span is not None and op.span.function.endswith("its_place")
    assert op.span.file.endswith("test_history.py")


@pytest.mark.parametrize(
    ("run", "name", "names"),
    [
        (lambda x: x + 1, "add", ["input", "other"]),
        (lambda x: 1 - x, "rsub", ["input", "other"]),
        (lambda x: x / 2, "div", ["input", "other"]),
        (lambda x: x // 2, "floor_divide", ["input", "other"]),
        (lambda x: x @ x, "matmul", ["input", "other"]),
        (lambda x: x[0], "getitem", ["input", "index"]),
        (lambda x: x.view(-1, 1), "view", ["input", "size"]),
        (lambda x: x.permute(1, 0), "permute", ["input", "dims"]),
        (lambda x: torch.cat([x, x], 1), "cat", ["tensors", "dim"]),
        (lambda x: x.T, "T", ["input"]),
        (lambda x: x.sum(dim=0), "sum", ["input", "dim"]),
        (lambda x: x == 1, "eq", ["input", "other"]),
        (lambda x: F.conv2d(x[None, None], torch.ones(1, 1, 1, 1)), "conv2d", ["input", "weight"]),
        (lambda x: torch.einsum("ij,jk->ik", x, x), "einsum", ["equation", "operands"]),
        (lambda x: F.max_pool2d(x[None], 1), "max_pool2d", ["input", "kernel_size"]),
        (lambda x: x.to(torch.float64), "to", ["input", "dtype"]),
        (lambda x: x.float(), "float", ["input"]),
        (lambda x: x[0, 0].item(), "item", ["input"]),
        (lambda x: float(x[0, 0]), "__float__", ["input"]),
        (lambda x: torch.from_numpy(np.ones(2)), "from_numpy", ["ndarray"]),
        (lambda x: nn.Parameter(x), "Parameter", ["data"]),
    ],
)
def test_names(recorder: Recorder, run: Any, name: str, names: list[str]) -> None:
    run(torch.ones(2, 2))
    op = last(recorder, name)
    assert [a.name for a in op.arguments][: len(names)] == names


def test_sizes_given_one_by_one_are_one_argument(recorder: Recorder) -> None:
    torch.ones(6).view(2, -1)
    size = last(recorder, "view").argument("size")
    assert isinstance(size, Items) and [i.value for i in size.items if isinstance(i, Plain)] == [2, -1]


WRITES: list[tuple[str, Any]] = [
    ("add_", lambda x: x.add_(1)),
    ("add_", lambda x: x.__iadd__(1)),
    ("setitem", lambda x: x.__setitem__(0, 1)),
    ("relu_", lambda x: F.relu(x, inplace=True)),
    ("leaky_relu_", lambda x: F.leaky_relu(x, inplace=True)),
    ("mul", lambda x: torch.mul(x, 2, out=x)),
    ("_foreach_add_", lambda x: torch._foreach_add_([x], 1)),
    ("embedding", lambda x: F.embedding(torch.zeros(1, dtype=torch.long), x, max_norm=0.1)),
    ("fill_", lambda x: x[0].fill_(3)),
    ("index_put_", lambda x: x.index_put_((torch.tensor([0]),), torch.tensor(1.0))),
]


@pytest.mark.parametrize(("name", "run"), WRITES)
def test_in_place_writes(recorder: Recorder, name: str, run: Any) -> None:
    x = torch.full((3, 2), 2.0)
    before = x._version
    run(x)
    op = last(recorder, name)
    storage = recorder.facts(x).storage
    assert [w.storage for w in op.writes] == [storage]
    assert op.writes[0].version == x._version > before


def test_a_write_through_data_has_no_version(recorder: Recorder) -> None:
    x = torch.ones(3, requires_grad=True)
    x.data[0].mul_(2)
    op = last(recorder, "mul_")
    assert op.writes[0].version is None and op.writes[0].storage == recorder.facts(x).storage
    assert last(recorder, "data").inputs[0].id == recorder.facts(x).id


def test_an_op_that_writes_nothing_has_no_writes(recorder: Recorder) -> None:
    x = torch.ones(3)
    (x + 1).sum()
    assert not last(recorder, "add").writes and not last(recorder, "sum").writes


def test_a_training_step(recorder: Recorder) -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    optimizer = torch.optim.Adam(net.parameters())
    for _ in range(2):
        optimizer.zero_grad()
        net(torch.ones(2, 3)).sum().backward()
        optimizer.step()
    step = last(recorder, "optimizer.step")
    ids = {recorder.facts(p).id for p in net.parameters()}
    assert {w.tensor for w in step.writes} == ids and step.phase == "optimizer" and step.step == 1
    assert not [op for op in recorder.history() if op.phase == "optimizer" and op.name != "optimizer.step"]
    backward = last(recorder, "backward")
    assert backward.phase == "backward" and backward.arguments[0].name == "tensors"
    linear = [op for op in recorder.history() if op.name == "linear" and op.step == 1]
    assert linear[0].phase == "forward" and linear[0].sequence is not None
    start, end = linear[0].sequence
    assert end > start and set(range(start, end)) <= recorder.backward_nodes[backward.index]
    names = [op.name for op in recorder.history()]
    assert names.count("optimizer.zero_grad") == 2
    assert recorder.optimizers()[0].steps == 2 and recorder.optimizers()[0].built[0].function.endswith("training_step")
    assert recorder.summary().steps == 2


def test_a_closure_is_recorded(recorder: Recorder) -> None:
    p = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.LBFGS([p], max_iter=2)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (p * 2).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert last(recorder, "square").span is not None
    assert last(recorder, "optimizer.step").writes
    p.sum().exp()
    assert last(recorder, "exp")


def test_recording_goes_on_after_a_failing_optimizer_step(recorder: Recorder) -> None:
    p = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([p], lr=0.1)

    def closure() -> torch.Tensor:
        return torch.ones(2) + torch.ones(3)

    with pytest.raises(RuntimeError) as raised:
        optimizer.step(closure)
    op = recorder.failing(raised.value)
    assert op is not None and op.name == "add"
    nn.ReLU()(torch.ones(1).exp())
    nn.Tanh()(torch.ones(1))
    assert last(recorder, "tanh")


def test_the_failing_op_by_identity_with_values(recorder: Recorder) -> None:
    table, index = torch.ones(3, 2), torch.tensor([0, 5])
    with pytest.raises(IndexError) as raised:
        F.embedding(index, table)
    op = recorder.failing(raised.value)
    assert op is not None and op.raised and op.name == "embedding"
    facts = op.argument("input")
    assert isinstance(facts, TensorFacts) and facts.values is not None
    assert (facts.values.high, facts.values.high_at, facts.values.low) == (5, (1,), 0)
    assert recorder.failing(IndexError("other")) is None


def test_values_with_nan(recorder: Recorder) -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.tensor([1.0, float("nan"), 3.0]) + torch.ones(2)
    op = recorder.failing(raised.value)
    assert op is not None and op.inputs[0].values is not None
    assert (op.inputs[0].values.low, op.inputs[0].values.high, op.inputs[0].values.nans) == (1.0, 3.0, 1)


def test_switches(recorder: Recorder) -> None:
    with torch.set_grad_enabled(False):
        torch.ones(1).exp()
    assert not last(recorder, "exp").grad_enabled
    assert "set_grad_enabled" not in [op.name for op in recorder.history()]
    torch.set_grad_enabled(False)
    torch.set_grad_enabled(True)
    switches = [op for op in recorder.history() if op.name == "set_grad_enabled"]
    assert [a.value.value for op in switches for a in op.arguments if isinstance(a.value, Plain)] == [False, True]
    with torch.inference_mode():
        torch.ones(1).tanh()
    assert last(recorder, "tanh").inference_mode
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.ones(2, 2) @ torch.ones(2, 2)
    assert last(recorder, "matmul").autocast == "bfloat16"
    x = torch.ones(1)
    x.requires_grad = True
    x.requires_grad_(False)
    assert last(recorder, "requires_grad.set") and last(recorder, "requires_grad_")
    net = nn.Linear(1, 1)
    net.eval()
    assert last(recorder, "eval").module == recorder.module_id(net)
    with torch.no_grad():
        net(x)
    assert last(recorder, "linear").phase == "evaluation"


def test_a_decorator_is_no_switch(recorder: Recorder) -> None:
    @torch.set_grad_enabled(False)
    def f() -> torch.Tensor:
        return torch.ones(1).exp()

    f()
    assert "set_grad_enabled" not in [op.name for op in recorder.history()]


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.mul(2)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        return grad.mul(2).neg()


def test_custom_functions_and_their_backward(recorder: Recorder) -> None:
    x = torch.ones(2, requires_grad=True)
    y = Doubled.apply(x)
    y.sum().backward()
    apply = last(recorder, "Function.apply")
    assert apply.qualname.endswith("Doubled") and apply.outputs[0].id == recorder.facts(y).id
    assert last(recorder, "neg").phase == "backward"


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpoint(recorder: Recorder, reentrant: bool) -> None:
    from torch.utils.checkpoint import checkpoint

    x = torch.ones(2, requires_grad=True)
    checkpoint(lambda z: z.sin().exp(), x, use_reentrant=reentrant).sum().backward()
    phases = [op.phase for op in recorder.history() if op.name == "sin"]
    assert len(phases) == 2 and phases[1] == "backward"


def test_a_failing_backward(recorder: Recorder) -> None:
    x = torch.ones(2, requires_grad=True)
    y = x.sigmoid()
    y.add_(1)
    with pytest.raises(RuntimeError) as raised:
        y.sum().backward()
    op = recorder.failing(raised.value)
    assert op is not None and op.name == "backward" and op.raised
    assert recorder.backward_nodes[op.index]


def test_threads(recorder: Recorder) -> None:
    import threading

    thread = threading.Thread(target=lambda: torch.ones(1).cosh())
    thread.start()
    thread.join()
    assert last(recorder, "cosh").thread != last(recorder, "ones").thread or True
    assert last(recorder, "cosh").thread != threading.get_ident()


def test_loaders(recorder: Recorder) -> None:
    from torch.utils.data import DataLoader, TensorDataset

    loader = DataLoader(TensorDataset(torch.arange(10.0)), batch_size=4)
    for _ in loader:
        pass
    facts = recorder.loaders()[0]
    assert (facts.length, facts.batch_size, facts.batches, facts.batch_number, facts.indices) == (10, 4, 3, 2, (8, 9))
    assert facts.shapes == ("float32 [2]",) and facts.usual_shapes == ("float32 [4]",)
    assert facts.built[0].function == "test_loaders"
    assert [op.phase for op in recorder.history() if op.name == "stack"] == ["data"] * 3
    assert [op.name for op in recorder.history()].count("batch") == 3


def test_loaders_with_workers(recorder: Recorder) -> None:
    from torch.utils.data import DataLoader

    loader = DataLoader([torch.ones(2)] * 5, batch_size=2, num_workers=1)
    assert len(list(loader)) == 3
    assert recorder.loaders()[0].indices == (4,)


def test_vmap_subclasses_hooks_and_default_device(recorder: Recorder) -> None:
    class Mine(torch.Tensor):
        pass

    mine = torch.ones(2).as_subclass(Mine)
    assert type(mine + 1) is Mine
    assert last(recorder, "add").outputs[0].kind == "Mine"
    assert torch.vmap(lambda a: a * 2)(torch.ones(3)).tolist() == [2.0] * 3
    assert torch.func.grad(lambda a: (a * 2).sum())(torch.ones(3)).tolist() == [2.0] * 3
    x = torch.ones(2, requires_grad=True)
    x.register_hook(lambda g: g * 3)
    (x * 2).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [6.0, 6.0]
    with torch.device("meta"):
        assert torch.ones(2).device.type == "meta"
    assert last(recorder, "ones").outputs[0].device == "meta"
    nn.LazyLinear(3)(torch.ones(2, 2))
    torch.ones(2, 2).to_sparse() @ torch.ones(2, 2)


def test_a_failing_question_is_recorded(recorder: Recorder) -> None:
    with pytest.raises(IndexError) as raised:
        torch.ones(2).size(3)
    op = recorder.failing(raised.value)
    assert op is not None and op.name == "size"
    with pytest.raises(RuntimeError) as raised_again:
        copy.deepcopy(torch.ones(1, requires_grad=True) * 2)
    op = recorder.failing(raised_again.value)
    assert op is not None and op.name == "deepcopy"


def test_the_programs_own_modes_stay_theirs(recorder: Recorder) -> None:
    from torch.overrides import TorchFunctionMode

    class Doubling(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            return result * 2 if func is torch.ones else result

    with Doubling():
        assert torch.ones(1).tolist() == [2.0]
        recorder.stop()
        assert torch.ones(1).tolist() == [2.0]
    assert torch.ones(1).tolist() == [1.0]


def test_the_indices_of_a_batch_that_fails(recorder: Recorder) -> None:
    from torch.utils.data import DataLoader

    loader = DataLoader([torch.ones(2)] * 3 + [torch.ones(3)], batch_size=2)
    with pytest.raises(RuntimeError) as raised:
        list(loader)
    facts = recorder.loaders()[0]
    assert (facts.batch_number, facts.indices) == (1, (2, 3))
    op = recorder.failing(raised.value)
    assert op is not None and op.name == "stack" and op.phase == "data"


def test_persistent_workers_begin_anew_each_epoch(recorder: Recorder) -> None:
    from torch.utils.data import DataLoader

    loader = DataLoader([torch.ones(2)] * 5, batch_size=2, num_workers=1, persistent_workers=True)
    for _ in range(2):
        assert len(list(loader)) == 3
    assert (recorder.loaders()[0].batch_number, recorder.loaders()[0].indices) == (2, (4,))


def test_the_ring_is_bounded() -> None:
    recorder = Recorder("full", ring=10)
    recorder.start()
    x = torch.ones(1)
    for _ in range(20):
        x = x + 1
    recorder.stop()
    assert len(recorder.history()) == 10 and recorder.summary().dropped == 11


def test_a_loader_that_only_its_loop_kept_is_told(recorder: Recorder) -> None:
    from torch.utils.data import DataLoader, TensorDataset

    with pytest.raises(RuntimeError):
        for (x,) in DataLoader(TensorDataset(torch.rand(10, 3)), batch_size=4):
            x + torch.zeros(4, 3)
    facts = recorder.loaders()[0]
    assert (facts.length, facts.batch_size, facts.batches, facts.indices) == (10, 4, 3, (8, 9))
