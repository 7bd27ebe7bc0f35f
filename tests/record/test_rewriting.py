"""Hooks in the place of wrappers: the functions keep their identity, signature, frames, lines and columns."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from torchwhy.record.recorder import Recorder
from torchwhy.record.rewriting import CannotRewrite, rewritten, unwrapped


class Heard:
    """A hook that notes its calls."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def enter(self, *given: Any) -> None:
        self.calls.append(("enter", *given))

    def leave(self, result: Any) -> Any:
        self.calls.append(("leave", result))
        return result

    def fail(self) -> None:
        self.calls.append(("fail", type(sys.exc_info()[1])))


class Doubler:
    __secret = 2

    def double(self, x: int, *rest: int, times: int = 1, **named: int) -> int | None:
        """Doubles."""
        if x < 0:
            return
        for _ in range(3):
            if x == 5:
                raise ValueError(x)

        def inner() -> int:
            return x * self.__secret

        return inner() * times


@pytest.fixture
def heard() -> Iterator[Heard]:
    hook, function = Heard(), Doubler.double
    plain = function.__code__
    function.__code__ = rewritten(function, hook)
    yield hook
    function.__code__ = plain


def test_the_hook_hears_each_call_and_how_it_ends(heard: Heard) -> None:
    it = Doubler()
    assert it.double(3, 7, times=2, more=1) == 12 and it.double(-1) is None
    with pytest.raises(ValueError):
        it.double(5)
    assert heard.calls == [
        ("enter", it, 3, (7,), 2, {"more": 1}),
        ("leave", 12),
        ("enter", it, -1, (), 1, {}),
        ("leave", None),
        ("enter", it, 5, (), 1, {}),
        ("fail", ValueError),
    ]


def test_a_traceback_has_the_same_frames_lines_and_columns(heard: Heard) -> None:
    def text() -> str:
        try:
            Doubler().double(5)
        except ValueError:
            return traceback.format_exc()
        raise AssertionError

    hooked, plain = text(), Doubler.double.__code__
    Doubler.double.__code__ = plain
    assert "raise ValueError(x)" in hooked and "rewriting" not in hooked.partition("test_rewriting")[0]
    assert inspect.signature(Doubler.double).parameters["times"].default == 1


def test_what_has_no_text_is_refused() -> None:
    scope: dict[str, Any] = {}
    exec("def made(): return 1", scope)
    with pytest.raises(CannotRewrite):
        rewritten(scope["made"], Heard())
    with pytest.raises(CannotRewrite):
        unwrapped(torch.add)


FAILURES: dict[str, Callable[[], Any]] = {
    "an operator": lambda: torch.ones(2) + torch.ones(3),
    "a function in Python": lambda: F.cross_entropy(torch.ones(2, 3), torch.ones(3)),
    "a layer": lambda: nn.Linear(2, 3)(torch.ones(1, 4)),
    "a method in Python": lambda: torch.ones(4).split([1, 2]),
    "backward": lambda: torch.ones(2).backward(),
    "a custom function": lambda: Fails.apply(torch.ones(2)),
}


class Fails(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x @ torch.ones(3)


@pytest.mark.parametrize("fail", FAILURES.values(), ids=FAILURES)
def test_a_traceback_is_whole_while_it_is_handled(fail: Callable[[], Any]) -> None:
    def frames() -> list[tuple[str, int, str]]:
        try:
            fail()
        except Exception as error:
            return [(f.filename, f.lineno or 0, f.name) for f in traceback.extract_tb(error.__traceback__)]
        raise AssertionError

    plain = frames()
    recorder = Recorder("full")
    recorder.start()
    try:
        recorded = frames()
    finally:
        recorder.stop()
    assert recorded == plain and recorder.problems == []


def test_the_stack_inside_of_a_module_is_that_of_plain_python() -> None:
    class Looking(nn.Module):
        def forward(self, x: torch.Tensor) -> list[str]:
            return [info.function for info in inspect.stack(0)]

    module = Looking()
    plain = module(torch.ones(1))
    before = (inspect.signature(nn.Module.__call__), inspect.signature(module.zero_grad), nn.Module.__call__)
    recorder = Recorder("full")
    recorder.start()
    try:
        assert module(torch.ones(1)) == plain
        assert (inspect.signature(nn.Module.__call__), inspect.signature(module.zero_grad), nn.Module.__call__) == before
        assert torch._C._len_torch_function_stack() == 0 and not torch.overrides.has_torch_function((torch.ones(1),))
        with torch.device("meta"):
            assert torch._C._len_torch_function_stack() == 1
    finally:
        recorder.stop()


def test_no_weak_reference_is_made_to_a_tensor(recorder: Recorder) -> None:
    a, b = torch.ones(2), torch.zeros(3)
    a.add(1)
    torch.utils.swap_tensors(a, b)
    assert a.tolist() == [0.0, 0.0, 0.0]


def test_a_tensor_keeps_its_number_and_a_new_one_at_its_address_gets_another(recorder: Recorder) -> None:
    kept = torch.ones(2)
    kept.add_(1)
    kept.data = torch.zeros(2)
    kept.mul_(2)
    numbers = set()
    for _ in range(5):
        view = kept.view(2)  # each at the address of the one before, over the same storage
        del view
    events = recorder.history()
    first, last = (next(e for e in events if e.name == name).arguments[0].value.id for name in ("add_", "mul_"))  # type: ignore[union-attr]
    numbers = {e.outputs[0].id for e in events if e.name == "view"}
    assert first == last and len(numbers) == 5


def test_a_tracer_of_the_programs_sees_no_call_of_ours() -> None:
    recorder = Recorder("full")
    recorder.start()
    seen: list[str] = []
    sys.setprofile(lambda frame, event, argument: seen.append(frame.f_code.co_filename) if event == "call" else None)
    try:
        torch.ones(1).exp()
        nn.Linear(1, 1)(torch.ones(1, 1))
    finally:
        sys.setprofile(None)
    assert not [file for file in seen if "torchwhy" in file and "/tests/" not in file.replace("\\", "/")][1:]
    assert not recorder.on and "traces or profiles itself" in recorder.problems[0]
