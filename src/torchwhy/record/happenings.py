"""Events that a torch function mode does not see: custom Functions, parameters, memory shared with numpy, global switches."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from .mode import hide, leave_traceback
from .patches import Patches
from .rewriting import Silent, unwrapped
from .spans import origin

if TYPE_CHECKING:
    from .recorder import Recorder

_UNSEEN = ("from_numpy", "frombuffer", "from_file", "from_dlpack")


def install_happenings(recorder: Recorder, always: Patches, full: Patches) -> None:
    """Puts in the wrappers: the switches always, the rest only while recording in full."""
    _see_apply(recorder, full)
    _see_parameters(recorder, full)
    for name in _UNSEEN:
        if hasattr(torch, name):
            full.set(torch, name, _as_event(Noted(recorder, _named(f"{name}:torch.{name}")), getattr(torch, name)))
    _see_loading(recorder, full)
    _see_train(recorder, always)
    _see_switch(recorder, always)


def _named(what: str) -> Callable[..., tuple[str, tuple[Any, ...], dict[str, Any]]]:
    return lambda args, kwargs: (what, args, kwargs)


class Noted:
    """The hook in a function that is one event. `name` tells what to call it, and what of its arguments is told."""

    def __init__(self, recorder: Recorder, name: Callable[..., tuple[str, tuple[Any, ...], dict[str, Any]]]) -> None:
        self.recorder = recorder
        self.name = name

    def enter(self, *arguments: Any) -> None:
        """The function begins."""
        recorder = self.recorder
        begun = None
        if recorder.full:
            what, args, kwargs = self.name(*arguments)
            begun = recorder.guard(recorder.tape.begin, what, sys._getframe(1), args, kwargs)
        recorder.tape.now.calls.append(begun)

    def leave(self, result: Any) -> Any:
        """The function returns."""
        begun = self._end()
        if begun is not None:
            self.recorder.guard(self.recorder.tape.end, *begun, result)
        return result

    def fail(self) -> None:
        """The function raises."""
        begun, error = self._end(), sys.exc_info()[1]
        if begun is not None and error is not None:
            self.recorder.guard(_failed, self.recorder.tape, begun, error)

    def _end(self) -> Any:
        calls = self.recorder.tape.now.calls
        return calls.pop() if calls else None


def _failed(tape: Any, begun: Any, error: BaseException) -> None:
    with torch._C.DisableTorchFunction():
        if tape.noted(error) is None:
            tape.failed(*begun, error)
        else:
            event = begun[0]
            event.raised, event.last = True, event.first
            tape.add(event)


def _as_event(hook: Noted, original: Any) -> Any:
    """A function written in C with the hook around it; no code of the program's runs inside of it."""

    def __torchwhy__(*args: Any, **kwargs: Any) -> Any:
        hook.enter(args, kwargs)
        try:
            result = original(*args, **kwargs)
        except BaseException as error:
            hook.fail()
            leave_traceback(error, 1)
            raise
        return hook.leave(result)

    functools.update_wrapper(__torchwhy__, original)
    hide(__torchwhy__)  # type: ignore[arg-type]
    return __torchwhy__


def _see_loading(recorder: Recorder, patches: Patches) -> None:
    """A tensor that is read (from a file, a pickle, a loader's worker) begins as an empty one and then takes over its memory, unseen."""

    def name(*given: Any) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        from_worker = recorder.tape.now.phase == "data"
        return "load:torch.utils.data.DataLoader" if from_worker else "load:torch.load", (), {}

    recorder.rewrite(patches, torch._utils._rebuild_tensor, Noted(recorder, name))


def _see_apply(recorder: Recorder, patches: Patches) -> None:
    def name(cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        return f"Function.apply:{cls.__module__}.{cls.__qualname__}", args, kwargs

    recorder.rewrite(patches, torch.autograd.Function.apply, Noted(recorder, name))


def _see_parameters(recorder: Recorder, patches: Patches) -> None:
    def name(cls: Any, data: Any, requires_grad: Any) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        told = {} if requires_grad is True else {"requires_grad": requires_grad}
        return "Parameter:torch.nn.Parameter", () if data is None else (data,), told

    recorder.rewrite(patches, nn.Parameter.__new__, Noted(recorder, name))


def _see_train(recorder: Recorder, patches: Patches) -> None:
    recorder.rewrite(patches, nn.Module.train, Toggled(recorder))


class Toggled(Silent):
    """The hook in `nn.Module.train`, which calls itself for each child."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.inside = unwrapped(nn.Module.train).__code__

    def enter(self, module: nn.Module, mode: Any) -> None:
        """The outermost call is an event."""
        frame = sys._getframe(1).f_back
        if not self.recorder.on or frame is None or _is_same(frame.f_code, self.inside):
            return
        by = frame.f_back if frame.f_code is nn.Module.eval.__code__ else frame
        self.recorder.guard(_toggled, self.recorder, module, bool(mode), by)


def _is_same(code: CodeType, other: CodeType) -> bool:
    return code.co_firstlineno == other.co_firstlineno and code.co_filename == other.co_filename


def _toggled(recorder: Recorder, module: nn.Module, mode: bool, frame: FrameType | None) -> None:
    tape = recorder.tape
    number = recorder.modules.identities.of(module)
    tape.mark(f"{'train' if mode else 'eval'}:torch.nn.Module.{'train' if mode else 'eval'}", frame, (mode,), module=number)
    if not recorder.full and module.training != mode:
        recorder.enter("phase")


def _see_switch(recorder: Recorder, patches: Patches) -> None:
    """A bare `torch.set_grad_enabled(False)` stays until it is undone: an event. As a `with` or a decorator it is not."""
    switch = torch.autograd.grad_mode.set_grad_enabled
    switched = Switched(recorder)
    recorder.rewrite(patches, switch.__init__, switched)
    for name in ("__enter__", "__call__"):
        if name in vars(switch):
            recorder.rewrite(patches, vars(switch)[name], Withdrawn(switched))


class Switched(Silent):
    """The hook in `torch.set_grad_enabled(…)`."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.pending: list[tuple[int, Any]] = []

    def enter(self, switch: Any, *given: Any) -> None:
        """An event, unless torch itself switches."""
        frame = sys._getframe(1).f_back
        self.pending.clear()
        if self.recorder.on and frame is not None and origin(frame.f_code.co_filename) != "torch":
            what = "set_grad_enabled:torch.set_grad_enabled"
            event = self.recorder.guard(self.recorder.tape.mark, what, frame, given, {})
            if event is not None:
                self.pending.append((id(switch), event))


class Withdrawn(Silent):
    """The hook where the switch turns out to be a `with` or a decorator."""

    def __init__(self, switched: Switched) -> None:
        self.switched = switched

    def enter(self, switch: Any, *given: Any) -> None:
        """Takes the event back."""
        pending = self.switched.pending
        if pending and pending[0][0] == id(switch):
            pending.pop()[1].dropped = True
