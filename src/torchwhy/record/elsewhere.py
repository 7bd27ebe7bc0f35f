"""Threads, forked children and compiled code: where the recorder follows, and where it steps aside."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from ..arrival import Arrival
from .mode import remove_mode
from .patches import Patches
from .rewriting import Silent

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
setprofile = sys.setprofile
"""As Python has it: for us, who want to look on ourselves."""
_armed: list[weakref.ref[Recorder]] = []
_registered: list[bool] = []


class Threaded(Silent):
    """The hook in a thread's beginning: a mode belongs to one thread."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def enter(self, thread: threading.Thread) -> None:
        """The thread begins."""
        self.recorder.guard(self.recorder.push)

    def leave(self, result: Any) -> Any:
        """It ends."""
        self.fail()
        return result

    def fail(self) -> None:
        """It is over."""
        remove_mode(self.recorder.recording)


def install_threads(recorder: Recorder, patches: Patches) -> None:
    """Threads that the program starts are recorded too."""
    recorder.rewrite(patches, getattr(threading.Thread, "_bootstrap_inner", None), Threaded(recorder))


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


class Away:
    """The hook in what scripts, traces and exports: the recorder is away while they run."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def enter(self, *given: Any) -> None:
        """It begins."""
        recorder = self.recorder
        recorder.tape.now.calls.append(recorder.full)
        if recorder.full:
            recorder.suspend()

    def leave(self, result: Any) -> Any:
        """It ends."""
        self.fail()
        return result

    def fail(self) -> None:
        """It is over."""
        calls = self.recorder.tape.now.calls
        if calls and calls.pop():
            self.recorder.resume()


def install_compilers(recorder: Recorder, patches: Patches) -> None:
    """Scripting, tracing and export must see torch as it is."""
    tracer = getattr(sys.modules.get("torch.fx"), "Tracer", None)
    owners = [(sys.modules.get(module), name) for module, name in _COMPILERS] + [(tracer, "trace")]
    for owner, name in owners:
        function = getattr(owner, name, None)
        if callable(function):
            recorder.rewrite(patches, function, Away(recorder))


def install_dynamo(recorder: Recorder, patches: Patches) -> Arrival:
    """Dynamo must see torch as it is, whichever way the program enters it: all ways set its frame evaluation function."""

    def watch() -> None:
        dynamo = sys.modules["torch._dynamo.eval_frame"]
        original = getattr(dynamo, "set_eval_frame", None)
        if original is None:
            recorder.problems.append("this torch enters Dynamo in another way: compiled code may see the recorder")
            return
        view = _watched(recorder, original)
        skip = getattr(dynamo, "skip_code", None)
        if skip is not None:  # it is called while Dynamo evaluates frames, and is none of the program's
            skip(view.__code__)
        for name in ("set_eval_frame", "_maybe_set_eval_frame"):
            if vars(dynamo).get(name) is original:
                patches.set(dynamo, name, view)

    arrival = Arrival("torch._dynamo.eval_frame", watch)
    arrival.await_it()
    return arrival


def _watched(recorder: Recorder, original: Any) -> Any:
    def set_eval_frame(callback: Any) -> Any:
        begins = callable(callback)
        if begins:
            recorder.suspend()
        before = original(callback)
        if callable(before):  # it was on, and so were we away
            recorder.resume()
        return before

    return set_eval_frame


class Ready:
    """Called in the place of a function written in C: steps aside first, and is gone from the stack when that one runs."""

    def __init__(self, before: Callable[[], None], original: Any) -> None:
        self._before, self._original = before, original
        self.__name__ = getattr(original, "__name__", "")
        self.__doc__ = original.__doc__

    @property
    def __call__(self) -> Any:
        self._before()
        return self._original


def install_tracers(recorder: Recorder, patches: Patches) -> Arrival:
    """A tracer or profiler of the program's is to see the program's calls alone: the recorder stands aside for good."""

    def watch_profiler() -> None:
        profile = sys.modules["cProfile"].Profile
        patches.set(profile, "enable", property(_standing_aside(recorder, profile.enable)))

    for name in ("settrace", "setprofile"):
        patches.set(sys, name, Ready(recorder.stand_aside, getattr(sys, name)))
    recorder.rewrite(patches, getattr(torch.autograd.profiler.profile, "_prepare_trace", None), Profiled(recorder))
    arrival = Arrival("cProfile", watch_profiler)
    arrival.await_it()
    return arrival


def _standing_aside(recorder: Recorder, original: Any) -> Callable[[Any], Any]:
    def enable(profile: Any) -> Any:
        recorder.stand_aside()
        return original.__get__(profile)

    return enable


class Profiled(Silent):
    """The hook where `torch.profiler` begins: with stacks it looks at every call."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def enter(self, profile: Any) -> None:
        """It begins."""
        if getattr(profile, "with_stack", False):
            self.recorder.stand_aside()
