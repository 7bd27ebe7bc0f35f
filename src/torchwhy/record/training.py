"""The training loop: optimizers, backward runs and data loaders."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from ..model import OptimizerFacts
from .facts import Identities
from .kinds import held_by, is_a
from .loaders import Loaders
from .mode import remove_mode
from .patches import Patches
from .rewriting import Silent
from .spans import Place, places_from, spans
from .tape import Event, version_of

if TYPE_CHECKING:
    from .recorder import Recorder

_NODES = 200_000
_RUNS = 64


class Training:
    """Optimizers seen, by weak identity, and which graph nodes each recorded backward ran through."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.identities = Identities()
        self.built: dict[int, tuple[Place, ...]] = {}
        self.steps: dict[int, int] = {}
        self.loaders = Loaders(recorder)
        self.backward_nodes: dict[int, frozenset[int]] = {}
        self._versions: dict[int, int | None] = {}
        self._handles: list[Any] = []

    def install(self, always: Patches, full: Patches) -> None:
        """Puts in the hooks: those of the marks, and those of full recording."""
        self.hook()
        self._see_constructions(always)
        self.loaders.install(always)
        self._see_zero_grad(full)
        self._see_backward(full)

    def hook(self) -> None:
        """Puts the optimizer hooks in."""
        if not self._handles:
            self._handles = [register_optimizer_step_pre_hook(self._before_step), register_optimizer_step_post_hook(self._after_step)]

    def remove(self) -> None:
        """Takes the optimizer hooks away."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    # ── optimizers ────────────────────────────────────────────────────────────────────────────────────────────────────
    def _before_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        recorder = self.recorder
        if not recorder.full:
            return
        try:
            recorder.recover()
            now = recorder.tape.now
            with torch._C.DisableTorchFunction():
                self._versions = {id(p): version_of(p) for p in _parameters(optimizer)}
            now.stepping = callable(args[1] if len(args) > 1 else kwargs.get("closure"))
            if not now.stepping:
                now.phase = "optimizer"
                remove_mode(recorder.recording)
        except Exception as fault:
            recorder.fault("before an optimizer's step", fault)

    def _after_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        recorder = self.recorder
        tape = recorder.tape
        try:
            number = self.identities.of(optimizer)
            self.steps[number] = self.steps.get(number, 0) + 1
            if recorder.full and (tape.now.phase == "optimizer" or tape.now.stepping):
                event = tape.mark(f"optimizer.step:{type(optimizer).__qualname__}", sys._getframe(1))
                with torch._C.DisableTorchFunction():
                    self._note_writes(optimizer, event)
                tape.now.phase, tape.now.stepping = "", False
                recorder.push()
            self._versions = {}
            tape.steps += 1
            recorder.settle()
        except Exception as fault:
            recorder.fault("after an optimizer's step", fault)

    def _note_writes(self, optimizer: Optimizer, event: Event) -> None:
        facts = self.recorder.tape.facts
        for p in _parameters(optimizer):
            after = version_of(p)
            before = self._versions.get(id(p))
            if after is not None and before is not None and after != before:
                event.writes.append((facts.tensors.of(p), facts.raw(p)[10], after))

    def _see_zero_grad(self, patches: Patches) -> None:
        for owner, name in ((Optimizer, "optimizer.zero_grad"), (torch.nn.Module, "zero_grad")):
            self.recorder.rewrite(patches, owner.zero_grad, Zeroing(self.recorder, name))

    def _see_constructions(self, patches: Patches) -> None:
        for owner in (Optimizer, torch.utils.data.DataLoader):
            self.recorder.rewrite(patches, owner.__init__, Constructed(self))

    def constructed(self, thing: Any, frame: FrameType | None) -> None:
        """Notes where an optimizer or a loader is constructed; `frame` is that of a constructor."""
        while frame is not None and frame.f_code.co_name == "__init__" and frame.f_locals.get(frame.f_code.co_varnames[0]) is thing:
            frame = frame.f_back
        if isinstance(thing, Optimizer):
            self.built[self.identities.of(thing)] = places_from(frame, 8)
        else:
            self.loaders.constructed(thing, places_from(frame, 8))

    # ── backward ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def _see_backward(self, patches: Patches) -> None:
        original = getattr(torch.autograd, "_engine_run_backward", None)
        if original is None:
            self.recorder.problems.append("this torch has no torch.autograd._engine_run_backward: backward runs are not recorded")
            return
        self.recorder.rewrite(patches, original, Backward(self))

    def begin_backward(self, outputs: Any, args: tuple[Any, ...], kwargs: dict[str, Any], frame: FrameType | None) -> Any:
        """Takes down a backward run that is about to begin; `frame` is that of the function which the program called."""
        tape = self.recorder.tape
        roots = tuple(t for t in outputs if is_a(t, torch.Tensor))
        names = ("grad_tensors", "retain_graph", "create_graph", "inputs")
        given = {**dict(zip(names, args)), **{k: v for k, v in kwargs.items() if k in names}}
        which = "torch.autograd.grad" if frame is not None and frame.f_code.co_name == "grad" else "torch.autograd.backward"
        event, _ = tape.begin(f"backward:{which}", frame, (roots,), given)
        event.phase = "backward"
        return event, reachable(t.grad_fn for t in roots)

    def end_backward(self, event: Event, nodes: frozenset[int], error: BaseException | None) -> None:
        """Takes down how it ended."""
        tape = self.recorder.tape
        event.last, event.raised = event.first, error is not None
        if error is None:
            tape.end(event, [], None)
            tape.backwards += 1
            if tape.count >= self.recorder.limit or not tape.steps:
                self.recorder.settle()
        elif tape.noted(error) is None:
            tape.failed(event, [], error)
        else:
            tape.add(event)
        self.backward_nodes[event.index] = nodes
        while len(self.backward_nodes) > _RUNS:
            del self.backward_nodes[next(iter(self.backward_nodes))]

    def optimizers(self) -> tuple[OptimizerFacts, ...]:
        """The optimizers that live."""
        tensors = self.recorder.tape.facts.tensors
        return tuple(
            OptimizerFacts(
                n, type(t).__name__, tuple(tensors.of(p) for p in _parameters(t)), self.steps.get(n, 0), spans(self.built.get(n, ()))
            )
            for n, t in self.identities.living()
            if is_a(t, Optimizer)
        )


class Zeroing:
    """The hook in `zero_grad`: one event."""

    def __init__(self, recorder: Recorder, name: str) -> None:
        self.recorder = recorder
        self.name = name

    def enter(self, owner: Any, *given: Any) -> None:
        """The gradients are about to be zeroed."""
        recorder = self.recorder
        recorder.recover()
        noted = recorder.full and recorder.guard(recorder.tape.mark, f"{self.name}:{type(owner).__qualname__}", sys._getframe(1))
        recorder.tape.now.calls.append(noted and remove_mode(recorder.recording))

    def leave(self, result: Any) -> Any:
        """They are."""
        self.fail()
        return result

    def fail(self) -> None:
        """It is over."""
        calls = self.recorder.tape.now.calls
        if calls and calls.pop():
            self.recorder.push()


class Constructed(Silent):
    """The hook in the constructors of optimizers and loaders."""

    def __init__(self, training: Training) -> None:
        self.training = training

    def enter(self, thing: Any, *given: Any) -> None:
        """Notes the place."""
        recorder = self.training.recorder
        if recorder.on:
            recorder.guard(self.training.constructed, thing, sys._getframe(1))


class Backward:
    """The hook where torch enters its engine: the program's own functions that run in there are recorded too."""

    def __init__(self, training: Training) -> None:
        self.training = training
        self.recorder = training.recorder

    def enter(self, outputs: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """The engine is about to run."""
        recorder = self.recorder
        now = recorder.tape.now
        if not recorder.full:
            now.calls.append(None)
            return
        begun = recorder.guard(self.training.begin_backward, outputs, args, kwargs, sys._getframe(1).f_back)
        now.calls.append((begun, now.phase, recorder.push()))
        now.phase = "backward"
        now.in_backward += 1

    def leave(self, result: Any) -> Any:
        """It has run."""
        begun = self._end()
        if begun is not None:
            self.recorder.guard(self.training.end_backward, *begun, None)
        return result

    def fail(self) -> None:
        """It has raised."""
        begun, error = self._end(), sys.exc_info()[1]
        if begun is not None:
            self.recorder.guard(self.training.end_backward, *begun, error)

    def _end(self) -> Any:
        now = self.recorder.tape.now
        entry = now.calls.pop() if now.calls else None
        if entry is None:
            return None
        begun, now.phase, pushed = entry
        now.in_backward -= 1
        if pushed:
            remove_mode(self.recorder.recording)
        return begun


def _parameters(optimizer: Optimizer) -> Iterable[torch.Tensor]:
    for group in held_by(optimizer).get("param_groups") or ():
        for p in group.get("params", ()):
            if is_a(p, torch.Tensor):
                yield p


def reachable(roots: Iterable[Any]) -> frozenset[int]:
    """Sequence numbers of all graph nodes below these."""
    waiting = [node for node in roots if node is not None]
    seen = set(waiting)
    numbers: set[int] = set()
    while waiting and len(seen) < _NODES:
        node = waiting.pop()
        if type(node).__name__ != "AccumulateGrad":
            numbers.add(node._sequence_nr())
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                waiting.append(following)
    return frozenset(numbers)
