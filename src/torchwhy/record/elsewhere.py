"""Threads, forked children and compiled code: where the recorder follows, and where it steps aside."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING, Any

import torch

from .mode import hide, remove_mode
from .patches import Patches

if TYPE_CHECKING:
    from .recorder import Recorder

_COMPILERS = (
    ("torch.jit", "script"),
    ("torch.jit", "trace"),
    ("torch.jit", "trace_module"),
    ("torch.export", "export"),
    ("torch.fx", "symbolic_trace"),
    ("torch.onnx", "export"),
)
_armed: list[weakref.ref[Recorder]] = []
_registered: list[bool] = []


def install_threads(recorder: Recorder, patches: Patches) -> None:
    """Threads that the program starts are recorded too (a mode belongs to one thread)."""
    original = getattr(threading.Thread, "_bootstrap_inner", None)
    if original is None:
        recorder.problems.append("this Python starts threads in another way: they are not recorded")
        return

    def _bootstrap_inner(self: threading.Thread) -> None:
        if recorder.full:
            recorder.push()
        try:
            original(self)
        finally:
            remove_mode(recorder.recording)

    patches.set(threading.Thread, "_bootstrap_inner", _bootstrap_inner)


def disarm_in_children(recorder: Recorder) -> None:
    """A forked child (a DataLoader worker) runs as if nothing had been recorded, unless the recorder goes on there."""
    _armed[:] = [ref for ref in _armed if ref() is not None] + [weakref.ref(recorder)]
    if not _registered and hasattr(os, "register_at_fork"):
        _registered.append(True)
        os.register_at_fork(after_in_child=_disarm)


def _disarm() -> None:
    for ref in _armed:
        recorder = ref()
        if recorder is not None and recorder.process != os.getpid():
            recorder.stop()
    _armed[:] = [ref for ref in _armed if (recorder := ref()) is not None and recorder.process == os.getpid()]


def install_compilers(recorder: Recorder, patches: Patches) -> None:
    """torch.compile, scripting, tracing and export must see torch as it is: the recorder is away while they run."""
    import sys

    for module, name in _COMPILERS:
        owner = sys.modules.get(module)
        if owner is not None and callable(getattr(owner, name, None)):
            patches.set(owner, name, _away(recorder, getattr(owner, name), name))
    tracer = getattr(sys.modules.get("torch.fx"), "Tracer", None)
    if tracer is not None:
        patches.set(tracer, "trace", _away(recorder, tracer.trace, "trace"))
    compile_ = torch.compile

    def __torchwhy__(model: Any = None, *args: Any, **kwargs: Any) -> Any:
        with recorder.suspended():  # a compiled module takes nn.Module.__call__ as it finds it now
            compiled = compile_(model, *args, **kwargs)
        if model is None:
            return lambda function: _unrecorded(recorder, compiled(function))
        return _unrecorded(recorder, compiled)

    __torchwhy__.__name__, __torchwhy__.__doc__ = "compile", torch.compile.__doc__
    patches.set(torch, "compile", __torchwhy__)


def _unrecorded(recorder: Recorder, compiled: Any) -> Any:
    """Compiled modules are known by their type when they are called; functions are wrapped."""
    import functools

    if isinstance(compiled, torch.nn.Module) or not callable(compiled):
        return compiled
    return functools.wraps(compiled)(_away(recorder, compiled, "compiled"))


def _away(recorder: Recorder, original: Any, name: str) -> Any:
    frames_up = name == "script"

    def __torchwhy__(*args: Any, **kwargs: Any) -> Any:
        if frames_up:
            kwargs["_frames_up"] = kwargs.get("_frames_up", 0) + 1
        if not recorder.full:
            return original(*args, **kwargs)
        with recorder.suspended():
            return original(*args, **kwargs)

    __torchwhy__.__name__, __torchwhy__.__doc__ = name, original.__doc__
    hide(__torchwhy__)  # type: ignore[arg-type]
    return __torchwhy__
