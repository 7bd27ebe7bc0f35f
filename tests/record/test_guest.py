"""The recorder is a guest: same results, same tracebacks, no tensor kept, nothing left behind."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from torchwhy.record.recorder import Recorder
from torchwhy.record.traceback import strip_traceback


def mlp() -> tuple[nn.Module, torch.Tensor]:
    return nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.3), nn.ReLU(), nn.Linear(16, 1)), torch.randn(4, 8)


def conv() -> tuple[nn.Module, torch.Tensor]:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 1)
    ), torch.randn(4, 1, 8, 8)


def transformer() -> tuple[nn.Module, torch.Tensor]:
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2), torch.randn(2, 5, 8)


def train(make: Callable[[], tuple[nn.Module, torch.Tensor]]) -> list[torch.Tensor]:
    torch.manual_seed(0)
    net, x = make()
    optimizer = torch.optim.Adam(net.parameters())
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        loss = net(x).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    net.eval()
    with torch.no_grad():
        losses.append(net(x).clone())
    return [*losses, torch.get_rng_state()]


@pytest.mark.parametrize("make", [mlp, conv, transformer])
def test_results_are_equal_bit_for_bit(make: Callable[[], tuple[nn.Module, torch.Tensor]]) -> None:
    plain = train(make)
    for mode in ("full", "adaptive"):
        recorder = Recorder(mode, full_steps=1, full_ops=1)  # type: ignore[arg-type]
        recorder.start()
        try:
            recorded = train(make)
        finally:
            recorder.stop()
        assert recorder.problems == []
        assert all(torch.equal(a, b) for a, b in zip(plain, recorded, strict=True))


def test_no_tensor_is_kept(recorder: Recorder) -> None:
    net, x = mlp()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)

    def step() -> None:
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()

    def living() -> int:
        gc.collect()
        return sum(isinstance(thing, torch.Tensor) for thing in gc.get_objects())

    step()
    before = living()
    for _ in range(1000):
        step()
    assert living() <= before


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.ReLU(), nn.Linear(4, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


class Broken(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        return grad @ torch.ones(7, 7)


def overwritten() -> None:
    y = torch.ones(3, requires_grad=True).sigmoid()
    y.add_(1)
    y.sum().backward()


def failing_closure() -> None:
    torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.1).step(lambda: torch.ones(2) + torch.ones(3))


FAILURES: list[Callable[[], Any]] = [
    lambda: nn.Sequential(Inner())(torch.ones(2, 5)),
    lambda: F.relu("text"),  # type: ignore[arg-type]
    lambda: F.cross_entropy(torch.ones(2, 3), torch.zeros(3)),
    lambda: F.max_pool2d(torch.ones(1, 1, 2, 2), 5),
    lambda: torch.ones(2, 3) + torch.ones(4),
    lambda: 2 - torch.ones(2) - torch.ones(3),
    lambda: torch.ones(2)[5],
    lambda: torch.einsum("ij,jk->ik", torch.ones(2, 3), torch.ones(4, 5)),
    lambda: Broken.apply(torch.ones(3, 3, requires_grad=True)).sum().backward(),
    lambda: torch.ones(2).backward(),
    lambda: nn.Parameter(torch.ones(3, dtype=torch.long)),
    lambda: torch.optim.SGD([], lr=0.1),
    lambda: torch.from_numpy([1]),
    lambda: next(iter(torch.utils.data.DataLoader([torch.ones(2), torch.ones(3)], batch_size=2))),
    lambda: nn.TransformerEncoderLayer(4, 2, batch_first=True).eval()(torch.ones(2, 3, 5)),
    overwritten,
    failing_closure,
]


def printed(fail: Callable[[], Any]) -> tuple[str, str]:
    try:
        fail()
    except Exception as error:
        return traceback.format_exc(), "".join(traceback.format_exception(type(error), error, strip_traceback(error.__traceback__)))
    raise AssertionError("it did not fail")


@pytest.mark.parametrize("fail", FAILURES)
def test_tracebacks_are_those_of_plain_python(fail: Callable[[], Any]) -> None:
    plain, _ = printed(fail)
    recorder = Recorder("full")
    recorder.start()
    try:
        seen, stripped = printed(fail)
    finally:
        recorder.stop()
    assert recorder.problems == []
    assert seen == plain
    assert stripped == plain


def test_what_python_prints_itself_is_that_of_plain_python(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import logging, threading, torch\n"
        "import torch.nn.functional as F\n"
        "def fail():\n"
        "    return F.relu(torch.ones(2)) + torch.ones(3)\n"
        "try:\n"
        "    fail()\n"
        "except RuntimeError:\n"
        "    logging.exception('caught')\n"
        "thread = threading.Thread(target=fail, name='t')\n"
        "thread.start()\n"
        "thread.join()\n"
        "F.mse_loss(torch.ones(3), torch.ones(3, 1))\n"
    )
    recorded = "from torchwhy.record.recorder import Recorder; r = Recorder(); r.start(); "
    run = f"import runpy; runpy.run_path({str(program)!r})"
    seen, plain = (subprocess.run([sys.executable, "-c", start + run], capture_output=True, text=True) for start in (recorded, ""))
    assert "in fail" in plain.stderr and "UserWarning" in plain.stderr
    assert (seen.stdout, seen.stderr, seen.returncode) == (plain.stdout, plain.stderr, plain.returncode)


def test_anomaly_mode_and_printed_stacks_show_the_programs_frames_only(recorder: Recorder) -> None:
    stacks: list[str] = []

    class Watched(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            stacks.append("".join(traceback.format_stack()))
            return x.clone()

    nn.Sequential(nn.ReLU())(torch.ones(1))
    Watched.apply(torch.ones(1))
    assert "in forward" in stacks[0] and "/record/happenings.py" not in stacks[0]


def warned() -> list[tuple[str, int, str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        F.mse_loss(torch.ones(3), torch.ones(3, 1))
        nn.MSELoss()(torch.ones(3), torch.ones(3, 1))
        F.softmax(torch.ones(2, 2))
        nn.Softmax()(torch.ones(2, 2))
        x = torch.ones(2, requires_grad=True) * 2
        _ = x.grad
    return [(w.filename, w.lineno, str(w.message)) for w in caught]


def test_warnings_name_the_same_lines() -> None:
    plain = warned()
    recorder = Recorder("full")
    recorder.start()
    seen = warned()
    recorder.stop()
    assert len(plain) == 5 and seen == plain


def surroundings() -> dict[str, Any]:
    from torch.utils.data import dataloader

    classes = [nn.Module, nn.Parameter, torch.autograd.Function, torch.optim.Optimizer, torch.utils.data.DataLoader, threading.Thread]
    others = [dataloader._BaseDataLoaderIter, torch.autograd.grad_mode.set_grad_enabled, torch.fx.Tracer]
    owners = [*classes, *others, torch, torch.autograd, torch.jit, torch.fx, threading, traceback, warnings]
    return {f"{owner.__name__}.{name}": value for owner in owners for name, value in vars(owner).items()}


def test_stop_leaves_torch_as_it_was() -> None:
    from torch.optim import optimizer

    Recorder("full").start()  # the first start leaves an inert nn.Module.__new__ behind
    for ref in list(nn.Module.__new__.recorders):  # type: ignore[attr-defined]
        ref() and ref().stop()
    before = surroundings()
    for mode in ("full", "adaptive"):
        recorder = Recorder(mode, full_steps=1, full_ops=1)  # type: ignore[arg-type]
        recorder.start()
        train(mlp)
        recorder.stop()
        recorder.stop()
        after = surroundings()
        assert {name for name in before.keys() | after.keys() if before.get(name) is not after.get(name)} - {
            "Module.__new__",
            "warnings._filters_version",
        } == set()
        assert torch._C._len_torch_function_stack() == 0
        assert not optimizer._global_optimizer_pre_hooks and not optimizer._global_optimizer_post_hooks


def test_a_fault_of_ours_disarms_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder("full")
    recorder.start()
    monkeypatch.setattr(recorder.tape, "begin", lambda *args: 1 / 0)
    assert (torch.ones(2) + 1).tolist() == [2.0, 2.0]
    recorder.stop()
    assert len(recorder.problems) == 1 and "ZeroDivisionError" in recorder.problems[0]


def test_off_does_nothing() -> None:
    recorder = Recorder("off")
    before = surroundings()
    recorder.start()
    assert before.keys() == surroundings().keys() and torch._C._len_torch_function_stack() == 0
    recorder.stop()
    assert recorder.history() == ()


def test_values_are_described_without_running_user_code(recorder: Recorder) -> None:
    class Loud:
        def __repr__(self) -> str:
            raise AssertionError("called")

        __str__ = __len__ = __iter__ = __eq__ = __hash__ = __repr__  # type: ignore[assignment]

    class Sly(list):  # type: ignore[type-arg]
        def __iter__(self) -> Any:
            raise AssertionError("called")

        __len__ = __getitem__ = __iter__  # type: ignore[assignment]

    assert recorder.describe(Loud()).kind == "Loud"
    assert recorder.describe(Sly([1])).kind == "Sly"
    assert recorder.describe([list(range(100))]).items[0].length == 100  # type: ignore[union-attr]
    knot: list[Any] = []
    knot.append(knot)
    recorder.describe(knot)
    torch.cat([torch.ones(1)], *[0])


def test_a_view_written_to_in_a_loop_does_not_hang_in_backward(tmp_path: Path) -> None:
    """While it makes a view's new `grad_fn`, torch holds a lock and sets `_backward_hooks`: what the recorder then asks must not wait for it."""
    program = tmp_path / "train.py"
    program.write_text("""\
import torch

weight = torch.rand(3, 3, requires_grad=True)
states = torch.zeros(2, 4, 3)
for k in range(3):
    states[:, k + 1] = torch.tanh(states[:, k] @ weight)
states.sum().backward()
""")
    done = subprocess.run(
        [sys.executable, "-m", "torchwhy", "run", "--no-verify", str(program)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1 and "modified by an inplace operation" in done.stderr and "TW0402" in done.stderr


def test_a_mode_of_the_programs_sees_the_programs_calls_alone(recorder: Recorder) -> None:
    seen: list[str] = []

    class Watching(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            seen.append(func.__name__)
            return func(*args, **(kwargs or {}))

    def calls() -> list[str]:
        seen.clear()
        x = torch.ones(3, requires_grad=True)
        net = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.0))
        with Watching():
            torch.split(x, 1)
            loss = F.dropout(x + 1, 0.0).norm() + net(x).sum()
            loss.backward()
            optimizer = torch.optim.SGD(net.parameters(), 0.1)
            optimizer.step()
            optimizer.zero_grad()
            list(torch.utils.data.DataLoader([x.detach(), x.detach()]))
            with pytest.raises(ValueError):
                F.dropout(x, 2.0)
        return list(seen)

    recorded = calls()
    recorder.stop()
    assert recorded == calls()


def test_no_override_is_reported_that_the_program_has_not(recorder: Recorder) -> None:
    x = torch.ones(2)
    assert not torch.overrides.has_torch_function((x,))
    assert not torch.overrides.has_torch_function_unary(x)
    assert not torch.overrides.has_torch_function_variadic(x, x)
