"""torch's functions that are written in Python, each one event.

Such a function offers its call to `__torch_function__` by itself (`if has_torch_function(…): return
handle_torch_function(…)`, torch/overrides.py). Left alone, it would meet the mode there, and run a second time, below
frames of ours. So the event begins inside of the function, before the offer, and the mode is off until it has returned.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import torch

from .compiled import Kept
from .kinds import is_a
from .mode import Refusal, hold_call, push_mode, remove_mode
from .patches import Patches
from .rewriting import CannotRewrite, rewritten_dispatch
from .tape import Event, Held

if TYPE_CHECKING:
    from .recorder import Recorder

_OFFER = "handle_torch_function"
_NAMESPACES = ("torch", "torch.functional", "torch.nn.functional", "torch.nn.init", "torch.autograd", "torch._lobpcg", "torch._lowrank")


Offer = tuple["tuple[Event, Held] | None", Any, tuple[Any, ...], dict[str, Any]]
"""The event that began, if it is one, and the call that was offered."""


class Offered:
    """The hook in such a function."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def start(self) -> None:
        """The function begins: nothing was offered yet."""
        self.recorder.tape.now.offered.append(None)

    def enter(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """The call is about to be offered: an event, unless this happens inside of another one."""
        recorder = self.recorder
        recording, tape = recorder.recording, recorder.tape
        if not remove_mode(recording):
            return
        begun = None
        try:
            frame = sys._getframe(1)
            if not recording.passes(func, frame):
                begun = tape.begin(func, frame, args, kwargs)
        except RecursionError:
            pass  # the program is at its limit: it meets it in the function itself
        except Exception as fault:
            recorder.fault("before an op", fault)
        tape.now.offered[-1] = (begun, func, args, kwargs)

    def leave(self, result: Any) -> Any:
        """The function returns."""
        entry = self._end()
        if entry is not None and entry[0] is not None:
            event, held = entry[0]
            self.recorder.recording.ended(event, held, result, entry[1])
        self._push(entry)
        return result

    def fail(self) -> None:
        """The function raises."""
        entry, error = self._end(), sys.exc_info()[1]
        recorder = self.recorder
        if entry is not None and error is not None:
            begun, func, args, kwargs = entry
            try:
                if begun is not None:
                    event, held = begun
                    recorder.tape.failed(event, held, error)
                    hold_call(error, Refusal(func, args, kwargs, sys._getframe(1).f_code))
                elif is_a(error, Exception) and recorder.recording.asks(func):
                    recorder.recording.note_failed_question(func, sys._getframe(1), args, kwargs, error)
            except Exception as fault:
                recorder.fault("after a failing op", fault)
        self._push(entry)

    def _end(self) -> Offer | None:
        offered = self.recorder.tape.now.offered
        return offered.pop() if offered else None

    def _push(self, entry: Offer | None) -> None:
        if entry is not None and self.recorder.full:
            push_mode(self.recorder.recording)


def install_offers(recorder: Recorder, patches: Patches) -> None:
    """Puts the hook into all functions of torch that offer their calls."""
    hook = Offered(recorder)
    functions = list(_offering())
    kept = Kept(str(torch.__version__), tuple(sorted({f.__code__.co_filename for f in functions})))
    for function in functions:
        try:
            patches.rewrite(function, rewritten_dispatch(function, hook, kept))
        except CannotRewrite:
            continue  # it meets the mode by its own offer then
    kept.write()


def _offering() -> Iterable[FunctionType]:
    spaces: list[Any] = [sys.modules.get(name) for name in _NAMESPACES]
    spaces.append(torch.Tensor)
    seen: set[int] = set()
    for space in spaces:
        for value in list(vars(space).values()) if isinstance(space, (ModuleType, type)) else ():
            function = value.fget if isinstance(value, property) else value
            function = getattr(function, "__func__", function)
            if isinstance(function, FunctionType) and _OFFER in function.__code__.co_names and id(function) not in seen:
                seen.add(id(function))
                yield function
