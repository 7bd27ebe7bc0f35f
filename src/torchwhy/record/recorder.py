"""The recorder: starts, steps aside, comes back, stops, and tells what it saw."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any, Literal

import torch
from torch import nn

from ..arrival import Arrival
from ..model import LoaderFacts, ModuleFacts, OpRecord, OptimizerFacts, TensorFacts, Value
from ..model import Recording as RecordingFacts
from .dispatch import install_offers
from .elsewhere import (
    disarm_in_children,
    install_compilers,
    install_dynamo,
    install_threads,
    install_tracers,
)
from .facts import Facts
from .happenings import install_happenings
from .mode import Recording, install_views, mode_is_on, push_mode, remove_mode
from .modules import Modules, install_births, install_calls, leave_births
from .patches import Patches
from .paths import Paths
from .records import op_record
from .rewriting import CannotRewrite, Hook, rewritten, unwrapped
from .spans import is_counted
from .tape import Tape
from .training import Training

Mode = Literal["full", "adaptive", "off"]
_MOST_FULL_OPS = 20_000
_RETURNS = 8


class Recorder:
    """Sees the running program as a guest: it changes no result, keeps no tensor alive and leaves nothing behind."""

    def __init__(self, mode: Mode = "adaptive", full_steps: int = 2, full_ops: int = 500, ring: int = 8192) -> None:
        self.mode: Mode = mode
        self.full_steps, self.full_ops = full_steps, full_ops
        self.problems: list[str] = []
        self.on = self.full = False
        self.limit = _MOST_FULL_OPS
        self._facts = Facts()
        self.tape = Tape(self._facts, ring)
        self.modules = Modules(self._facts)
        self.training = Training(self)
        self.recording = Recording(self.tape, self.fault, self._settle_soon)
        self._always, self._full, self._doors = Patches(), Patches(), Patches()
        self._arrivals: list[Arrival] = []
        self._paths = Paths(lambda why: self.guard(self.enter, why))
        self._returns: dict[str, int] = {}
        self._full_since = (0, 0)
        self._first = True
        self._seconds = 0.0
        self._away = 0
        self._removed = False
        self._settrace = sys.settrace
        self._thread = 0
        self.process = 0

    # ── coming and going ──────────────────────────────────────────────────────────────────────────────────────────────
    def start(self) -> None:
        """Begins to record, in full."""
        if self.on or self.mode == "off":
            return
        began = time.perf_counter()
        self._thread = threading.get_ident()
        self.process = os.getpid()
        self.on = True
        try:
            if sys.gettrace() is not None or sys.getprofile() is not None:
                self.stand_aside()
                return
            install_births(self)
            disarm_in_children(self)
            self._arrivals = [install_tracers(self, self._doors), install_dynamo(self, self._doors)]
            install_views(self.recording, self._full)
            install_offers(self, self._full)
            install_calls(self, self._full)
            install_happenings(self, self._always, self._full)
            self.training.install(self._always, self._full)
            install_threads(self, self._always)
            install_compilers(self, self._always)
            self._set_full(True)
            if self.mode == "adaptive":
                self._paths.watch()
        except Exception as fault:
            self.fault("at the start", fault)
        self._seconds += time.perf_counter() - began

    def go_on(self) -> None:
        """In a forked process of the program's own: records in full again, as at the start, with what was seen before the fork."""
        self.process = os.getpid()
        self._first = True
        self._returns.clear()
        if self.on:
            self._set_full(True)

    def stop(self) -> None:
        """Undoes every hook and patch."""
        self.full = self.on = False
        self.recording.idle = True
        self._paths.leave()
        for arrival in self._arrivals:
            arrival.give_up()
        for patches in (self._full, self._always, self._doors):
            patches.clear()
        self.training.remove()
        leave_births(self)
        remove_mode(self.recording)
        self.recording.forget()

    def fault(self, where: str, error: BaseException) -> None:
        """A fault of ours: told, and the recorder disarmed; the program runs on."""
        last = traceback.extract_tb(error.__traceback__)[-1:]
        place = f" ({last[0].name}, line {last[0].lineno})" if last else ""
        self.problems.append(f"recorder, {where}: {type(error).__name__}: {error}{place}")
        self.full = self.on = False
        self.recording.idle = True

    def guard(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Calls a hook of ours: its fault never reaches the program, nor does what it asks of tensors its overrides and modes."""
        try:
            with torch._C.DisableTorchFunction():
                return function(*args, **kwargs)
        except Exception as fault:
            self.fault(getattr(function, "__name__", "in a hook"), fault)
            return None

    def push(self) -> bool:
        """Puts the mode on this thread's stack if recording in full; says whether it was put there now."""
        if not self.full:
            return False
        if mode_is_on(self.recording):
            return False
        push_mode(self.recording)
        return True

    def recover(self) -> None:
        """Takes up again after an optimizer's step that raised (torch calls no hook then)."""
        now = self.tape.now
        if now.phase == "optimizer":
            now.phase = ""
            self.push()

    def _set_full(self, full: bool) -> None:
        self.full = full
        self.recording.idle = not full
        if full:
            self._full_since = (self.tape.count, self._steps())
            self.limit = self.tape.count + (_MOST_FULL_OPS if self._first else self.full_ops)
            self.recording.limit = self.tape.count + _MOST_FULL_OPS if self.mode == "adaptive" else float("inf")
            self._full.apply()
            self.push()
        else:
            remove_mode(self.recording)
            self._full.undo()
            self.recording.forget()

    def enter(self, why: str) -> None:
        """Comes back to full for the rest of the step, because something new happens; so many times for each reason."""
        now = self.tape.now
        if (
            not self.on
            or self.full
            or self.mode != "adaptive"
            or self._returns.get(why, 0) >= _RETURNS
            or now.in_backward
            or self._away
            or not self._on_home_thread()
        ):
            return
        self._returns[why] = self._returns.get(why, 0) + 1
        self._set_full(True)

    def settle(self) -> None:
        """Steps aside to marks once enough was seen; called where the program's stack allows it."""
        if not self.full or self.mode != "adaptive":
            return
        ops, steps = self.tape.count - self._full_since[0], self._steps() - self._full_since[1]
        if self._first:
            enough = steps >= self.full_steps and ops >= self.full_ops
        else:
            enough = steps >= 1
        if not (enough or self.tape.count >= self.limit):
            return
        # inside an op torch has taken the mode off, and would put it back after us
        if self.tape.now.in_backward or self._away or not self._on_home_thread() or not mode_is_on(self.recording):
            self.limit = self.tape.count
            return
        self._first = False
        self._set_full(False)

    def _steps(self) -> int:
        return self.tape.steps or self.tape.backwards

    def _on_home_thread(self) -> bool:
        return threading.get_ident() == self._thread

    def suspend(self) -> None:
        """Torch as it is, until `resume`: for what compiles, and for compiled code."""
        self._away += 1
        if self._away == 1:
            self._removed = remove_mode(self.recording)
            self.training.remove()
            self._full.undo()
            self._always.undo()

    def resume(self) -> None:
        """Takes up again."""
        self._away -= 1
        if self._away == 0 and self.on:
            self._always.apply()
            self.training.hook()
            if self.full:
                self._full.apply()
                if self._removed:
                    push_mode(self.recording)

    def stand_aside(self) -> None:
        """Leaves the program to a tracer or profiler of its own, for good; what was recorded is kept."""
        if self.on:
            self.problems.append("the program traces or profiles itself: nothing is recorded from there on")
            self.stop()

    def rewrite(self, patches: Patches, function: Any, hook: Hook) -> None:
        """Puts a hook into a function of torch's or Python's; says so where that can't be done."""
        try:
            found = unwrapped(function)
            patches.rewrite(found, rewritten(found, hook))
        except CannotRewrite as reason:
            self.problems.append(f"not recorded: {reason}")

    def _settle_soon(self) -> None:
        """Steps aside at the program's next line: a loop without steps gives no other place where its stack allows it."""
        frame = sys._getframe(1)
        while frame is not None and not is_counted(frame.f_code.co_filename):
            frame = frame.f_back  # type: ignore[assignment]
        if frame is None or not self._on_home_thread() or sys.gettrace() is not None or frame.f_trace is not None:
            return
        trace = self._settrace

        def at_next_line(frame: FrameType, event: str, argument: Any) -> None:
            trace(None)
            frame.f_trace = None
            self.guard(self.settle)

        frame.f_trace = at_next_line
        trace(lambda frame, event, argument: None)

    # ── what was seen ─────────────────────────────────────────────────────────────────────────────────────────────────
    @property
    def backward_nodes(self) -> dict[int, frozenset[int]]:
        """For each recorded `backward` event (by index) the sequence numbers of the graph nodes it ran through."""
        return dict(self.training.backward_nodes)

    def failing(self, error: BaseException) -> OpRecord | None:
        """The recorded call that raised this very exception."""
        event = self.tape.noted(error)
        return op_record(event, self._describe_raw, self.tape.steps > 0) if event is not None else None

    def history(self) -> tuple[OpRecord, ...]:
        """All recorded calls that are still in the ring, oldest first."""
        by_steps = self.tape.steps > 0
        collecting = gc.isenabled()
        gc.disable()  # many small objects at once, none of them garbage: collections would take most of the time
        try:
            return tuple(op_record(event, self._describe_raw, by_steps) for event in list(self.tape.events) if not event.dropped)
        finally:
            if collecting:
                gc.enable()

    def _describe_raw(self, value: Any) -> Value:
        return self._facts.describe(value)

    def module_facts(self, roots: Mapping[str, nn.Module] = {}) -> tuple[ModuleFacts, ...]:
        """All living modules seen, named from the given roots; of very many, those that ran last."""
        latest = dict.fromkeys(event.module for event in reversed(list(self.tape.events)) if event.module is not None)
        with self._quiet():
            found = self.modules.module_facts(roots, latest)
        if self.modules.left_out:
            said = f"{self.modules.left_out:,} modules are not described, only those that ran last and the youngest"
            self.problems = list(dict.fromkeys([*self.problems, said]))
        return found

    def module_id(self, module: nn.Module) -> int:
        """The number that `OpRecord.module` and `ModuleFacts.id` have for this module."""
        return self.modules.identities.of(module)

    def facts(self, tensor: torch.Tensor) -> TensorFacts:
        """A live tensor's facts now, under the same id as in the history."""
        return self._facts.of(tensor)

    def describe(self, value: Any, depth: int = 3) -> Value:
        """Any value, plain."""
        with self._quiet():
            return self._facts.describe(value, depth)

    def loaders(self) -> tuple[LoaderFacts, ...]:
        """The data loaders that took part."""
        with self._quiet():
            return self.training.loaders.facts()

    def optimizers(self) -> tuple[OptimizerFacts, ...]:
        """The optimizers that took part."""
        with self._quiet():
            return self.training.optimizers()

    def summary(self) -> RecordingFacts:
        """How much was seen."""
        steps = self._steps()
        dropped = max(0, self.tape.count - len(self.tape.events))
        return RecordingFacts(mode=self.mode, full=self.full, steps=steps, dropped=dropped, seconds=round(self._seconds, 3))

    @contextlib.contextmanager
    def _quiet(self) -> Iterator[None]:
        on = remove_mode(self.recording)
        try:
            yield
        finally:
            if on:
                push_mode(self.recording)
