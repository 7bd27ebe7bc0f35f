"""Events that a torch function mode does not see: custom Functions, parameters, memory shared with numpy, global switches."""

from __future__ import annotations

import sys
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from .mode import hide
from .patches import Patches
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
            full.set(torch, name, _as_event(recorder, getattr(torch, name), name))
    _see_loading(recorder, full)
    _see_train(recorder, always)
    _see_switch(recorder, always)


def record_call(
    recorder: Recorder, what: Any, frame: FrameType | None, call: Any, args: tuple[Any, ...], kwargs: dict[str, Any], told: tuple[Any, ...]
) -> Any:
    """Makes the call as one event."""
    tape = recorder.tape
    begun = recorder.guard(tape.begin, what, frame, told, kwargs)
    try:
        result = call(*args, **kwargs)
    except BaseException as error:
        if begun is not None:
            recorder.guard(_failed, tape, begun, error)
        raise
    if begun is not None:
        with torch._C.DisableTorchFunction():
            recorder.guard(tape.end, *begun, result)
    return result


def _failed(tape: Any, begun: Any, error: BaseException) -> None:
    with torch._C.DisableTorchFunction():
        if tape.noted(error) is None:
            tape.failed(*begun, error)
        else:
            event = begun[0]
            event.raised, event.last = True, event.first
            tape.add(event)


hide(record_call)  # type: ignore[arg-type]


def _as_event(recorder: Recorder, original: Any, name: str) -> Any:
    def __torchwhy__(*args: Any, **kwargs: Any) -> Any:
        if not recorder.full:
            return original(*args, **kwargs)
        return record_call(recorder, f"{name}:torch.{name}", sys._getframe(1), original, args, kwargs, args)

    __torchwhy__.__name__ = name
    __torchwhy__.__doc__ = original.__doc__
    hide(__torchwhy__)  # type: ignore[arg-type]
    return __torchwhy__


def _see_loading(recorder: Recorder, patches: Patches) -> None:
    """A tensor that is read (from a file, a pickle, a loader's worker) begins as an empty one and then takes over its memory, unseen."""
    original = torch._utils._rebuild_tensor

    def __torchwhy__(*args: Any, **kwargs: Any) -> Any:
        if not recorder.full:
            return original(*args, **kwargs)
        from_worker = recorder.tape.now.phase == "data"
        what = "load:torch.utils.data.DataLoader" if from_worker else "load:torch.load"
        return record_call(recorder, what, sys._getframe(1), original, args, kwargs, ())

    hide(__torchwhy__)  # type: ignore[arg-type]
    patches.set(torch._utils, "_rebuild_tensor", __torchwhy__)


def _see_apply(recorder: Recorder, patches: Patches) -> None:
    before = vars(torch.autograd.Function)["apply"]
    original = getattr(before, "__func__", before)  # torch >= 2.15 has it in C

    def __torchwhy__(cls: Any, *args: Any, **kwargs: Any) -> Any:
        if not recorder.full:
            return original(cls, *args, **kwargs)
        what = f"Function.apply:{cls.__module__}.{cls.__qualname__}"
        return record_call(recorder, what, sys._getframe(1), original, (cls, *args), kwargs, args)

    hide(__torchwhy__)  # type: ignore[arg-type]
    patches.set(torch.autograd.Function, "apply", classmethod(__torchwhy__))


def _see_parameters(recorder: Recorder, patches: Patches) -> None:
    before = vars(nn.Parameter)["__new__"]
    original = getattr(before, "__func__", before)

    def __torchwhy__(cls: Any, *args: Any, **kwargs: Any) -> Any:
        if not recorder.full:
            return original(cls, *args, **kwargs)
        return record_call(recorder, "Parameter:torch.nn.Parameter", sys._getframe(1), original, (cls, *args), kwargs, args)

    hide(__torchwhy__)  # type: ignore[arg-type]
    patches.set(nn.Parameter, "__new__", staticmethod(__torchwhy__))


def _see_train(recorder: Recorder, patches: Patches) -> None:
    original = nn.Module.train
    inside = original.__code__
    from_eval = nn.Module.eval.__code__

    def __torchwhy__(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        frame: FrameType | None = sys._getframe(1)
        if recorder.on and frame is not None and frame.f_code is not inside:
            mode = args[0] if args else kwargs.get("mode", True)
            recorder.guard(_toggled, recorder, self, bool(mode), frame.f_back if frame.f_code is from_eval else frame)
        frame = None
        return original(self, *args, **kwargs)

    hide(__torchwhy__)  # type: ignore[arg-type]
    patches.set(nn.Module, "train", __torchwhy__)


def _toggled(recorder: Recorder, module: nn.Module, mode: bool, frame: FrameType | None) -> None:
    tape = recorder.tape
    number = recorder.modules.identities.of(module)
    tape.mark(f"{'train' if mode else 'eval'}:torch.nn.Module.{'train' if mode else 'eval'}", frame, (mode,), module=number)
    if not recorder.full and module.training != mode:
        recorder.enter("phase")


def _see_switch(recorder: Recorder, patches: Patches) -> None:
    """A bare `torch.set_grad_enabled(False)` stays until it is undone: an event. As a `with` or a decorator it is not."""
    switch = torch.autograd.grad_mode.set_grad_enabled
    begin, enter, call = switch.__init__, switch.__enter__, vars(switch).get("__call__")
    pending: list[tuple[int, Any]] = []

    def withdrawn(self: Any) -> None:
        if pending and pending[0][0] == id(self):
            pending.pop()[1].dropped = True

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        frame: FrameType | None = sys._getframe(1)
        pending.clear()
        if recorder.on and frame is not None and origin(frame.f_code.co_filename) != "torch":
            event = recorder.guard(recorder.tape.mark, "set_grad_enabled:torch.set_grad_enabled", frame, args, kwargs)
            if event is not None:
                pending.append((id(self), event))
        frame = None
        begin(self, *args, **kwargs)

    def __enter__(self: Any) -> Any:
        withdrawn(self)
        return enter(self)

    def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:
        withdrawn(self)
        return call(self, *args, **kwargs)  # type: ignore[misc]

    for name, function in (("__init__", __init__), ("__enter__", __enter__), ("__call__", __call__)):
        if name != "__call__" or call is not None:
            function.__code__ = function.__code__.replace(co_name="__torchwhy__")
            hide(function)  # type: ignore[arg-type]
            patches.set(switch, name, function)
