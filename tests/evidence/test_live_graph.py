"""The live graph of a failed backward as plain nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

torch = pytest.importorskip("torch")

from torchwhy.evidence.gather import gather  # noqa: E402
from torchwhy.model import Evidence  # noqa: E402
from torchwhy.reason.graph import maker, overwritten, shared  # noqa: E402
from torchwhy.record.recorder import Recorder  # noqa: E402


@pytest.fixture
def failed() -> Iterator[Callable[[Callable[[], object]], Evidence]]:
    """Runs a failing function under a full recorder."""

    def run(function: Callable[[], object]) -> Evidence:
        recorder = Recorder("full")
        recorder.start()
        try:
            function()
        except Exception as error:
            return gather(error, recorder)
        finally:
            recorder.stop()
        raise AssertionError("it did not fail")

    yield run


Run = Callable[[Callable[[], object]], Evidence]


class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x)
        return x * 2

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        (x,) = ctx.saved_tensors
        return grad * 2 + 0 * x


def _sigmoid_then_write() -> None:
    x = torch.randn(3, requires_grad=True)
    y = torch.sigmoid(x)
    y.add_(1)
    y.sum().backward()


def _input_of_a_custom_function() -> None:
    x = torch.randn(3, requires_grad=True) * 1
    y = Double.apply(x)
    x.mul_(2)
    y.sum().backward()


def _out_argument() -> None:
    x = torch.randn(3, requires_grad=True)
    scale = torch.ones(3)
    y = x * scale
    torch.add(scale, 1, out=scale)
    y.sum().backward()


def _foreach() -> None:
    x = torch.randn(3, requires_grad=True)
    scale = torch.ones(3)
    y = x * scale
    torch._foreach_add_([scale], 1.0)
    y.sum().backward()


def _optimizer_step() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
    steps = torch.optim.SGD(net.parameters(), lr=0.1)
    first, second = net(torch.ones(1, 2)).sum(), net(torch.ones(1, 2)).sum()
    first.backward()
    steps.step()
    second.backward()


@pytest.mark.parametrize(
    ("program", "saver", "writer"),
    [
        (_sigmoid_then_write, "sigmoid", "add_"),
        (_input_of_a_custom_function, "Function.apply", "mul_"),
        (_out_argument, "mul", "add"),
        (_foreach, "mul", "_foreach_add_"),
        (_optimizer_step, "linear", "optimizer.step"),
    ],
)
def test_who_saved_and_who_wrote(failed: Run, program: Callable[[], None], saver: str, writer: str) -> None:
    found = overwritten(failed(program))
    assert found is not None and found.saver is not None
    assert (found.saver.name, found.writes[0].name) == (saver, writer)
    assert found.saved.expected is not None and found.saved.current is not None and found.saved.expected < found.saved.current


def test_a_write_before_the_save_is_no_reason(failed: Run) -> None:
    def program() -> None:
        x = torch.randn(3, requires_grad=True)
        y = x * 2
        y.add_(1)
        z = y.exp()
        z.mul_(2)
        z.sum().backward()

    found = overwritten(failed(program))
    assert found is not None and [op.name for op in found.writes] == ["mul_"]


def test_nodes_know_the_backward_that_ran_through_them(failed: Run) -> None:
    def program() -> None:
        x = torch.randn(3, requires_grad=True)
        y = x.exp()
        y.sum().backward()
        (y * y).sum().backward()

    evidence = failed(program)
    found = shared(evidence)
    assert found is not None and not found.whole and found.before.name == "backward"
    meeting = found.meetings[0]
    assert meeting.op is not None and meeting.user is not None
    assert (meeting.op.name, meeting.user.name) == ("exp", "mul")
    assert [maker(evidence, node).name for node in evidence.graph if node.name == "ExpBackward0"] == ["exp"]  # type: ignore[union-attr]


def test_the_same_root_twice_is_the_whole_graph(failed: Run) -> None:
    def program() -> None:
        y = torch.randn(3, requires_grad=True).exp().sum()
        y.backward()
        y.backward()

    found = shared(failed(program))
    assert found is not None and found.whole


def test_a_retained_graph_is_not_to_blame(failed: Run) -> None:
    def program() -> None:
        x = torch.randn(3, requires_grad=True)
        y = x.exp().sum()
        y.backward(retain_graph=True)
        y.backward()
        y.backward()

    evidence = failed(program)
    found = shared(evidence)
    runs = [op.index for op in evidence.ops if op.name == "backward" and not op.raised]
    assert found is not None and found.before.index == runs[-1]


def test_saved_tensor_hooks_are_not_run(failed: Run) -> None:
    unpacked = []

    def program() -> None:
        x = torch.randn(3, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: unpacked.append(1) or t):
            y = x.exp()
        (y * y).sum().backward()
        unpacked.clear()
        y.sum().backward()

    evidence = failed(program)
    assert unpacked == [] and evidence.graph


def test_a_long_graph_is_read_in_time(failed: Run) -> None:
    def program() -> None:
        h = x = torch.randn(4, requires_grad=True)
        for _ in range(2500):
            h = torch.tanh(h * x)
        loss = h.sum()
        loss.backward()
        loss.backward()

    evidence = failed(program)
    assert len(evidence.graph) > 5000
    found = shared(evidence)
    assert found is not None and found.whole
