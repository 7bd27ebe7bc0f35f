"""The ring of recorded events, and what is going on now: module, phase, step."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import torch

from ..model import ValueFacts
from .facts import Facts, RawTensor, RawValue, _text, value_facts
from .kinds import is_a, is_one_of, name_of
from .spans import Place, places_from

_sequence: Callable[[], int] = getattr(torch._C._autograd, "_get_sequence_nr", lambda: 0)
_any_autocast: Callable[[], bool] = getattr(torch._C, "_is_any_autocast_enabled", torch.is_autocast_enabled)
_disabled = torch._C._disabled_torch_function_impl
_Unseen = torch._C.DisableTorchFunction
"""What is asked of a tensor meanwhile reaches no override and no mode of the program's, which may be on around a hook."""
_SIMPLE = (int, float, bool, str, type(None))
_FAILURES = 16
_DESCRIBED = 64


class RawItems:
    """A list, tuple or dict seen in an op, its items already raw."""

    __slots__ = ("kind", "length", "items", "keys")

    def __init__(self, kind: str, length: int, items: list[Any], keys: tuple[str, ...] = ()) -> None:
        self.kind, self.length, self.items, self.keys = kind, length, items, keys


class Now(threading.local):
    """What a thread is doing: the modules whose forward runs, and the phase."""

    def __init__(self) -> None:
        self.modules: list[int] = []
        self.phase = ""
        self.running = ""
        self.in_backward = 0
        self.stepping = False
        """Whether an optimizer's step runs that calls a closure of the program's."""
        self.offered: list[Any] = []
        """Of each running function that offers its call to a mode, what was offered while the mode was on; else None."""
        self.calls: list[Any] = []
        """What the hooks in other functions of torch keep from their beginning to their end."""
        self.identity = threading.get_ident()


class Event:
    """One recorded call, raw: no tensors, no modules, nothing converted yet."""

    __slots__ = (
        "index", "what", "places", "module", "args", "kwargs", "outputs", "writes", "first", "last", "thread", "grad", "inference",
        "autocast", "phase", "steps", "backwards", "raised", "values", "dropped", "known",
    )  # fmt: skip
    index: int
    first: int
    last: int
    thread: int
    grad: bool
    inference: bool
    autocast: str | None
    phase: str
    steps: int
    backwards: int
    known: int
    """How many tensors had a number when it began."""

    def __init__(self, what: Any, places: tuple[Place, ...], module: int | None) -> None:
        self.what, self.places, self.module = what, places, module
        self.args: tuple[Any, ...] = ()
        self.kwargs: dict[str, Any] = {}
        self.outputs: list[RawTensor] = []
        self.writes: list[tuple[int, int | None, int | None]] = []
        self.raised = self.dropped = False
        self.values: dict[int, ValueFacts] | None = None


Held = list[tuple[torch.Tensor, RawTensor]]


class Tape:
    """Takes events down. Nothing here may raise into the program: callers guard with `Recorder.fault`."""

    def __init__(self, facts: Facts, size: int) -> None:
        self.facts = facts
        self.events: deque[Event] = deque(maxlen=size)
        self.now = Now()
        self.count = 0
        self.steps = self.backwards = 0
        self.aliases: set[int] = set()
        self.failures: deque[tuple[int, type, str, Event]] = deque(maxlen=_FAILURES)
        self._described = 0
        self._index = itertools.count()

    def begin(
        self, what: Any, frame: FrameType | None, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> tuple[Event, Held]:
        """The event of a call about to be made, and the tensors among its arguments."""
        now = self.now
        modules = now.modules
        event = Event(what, places_from(frame), modules[-1] if modules else None)
        event.known = self.facts.tensors.count
        held: Held = []
        take = self.take
        with _Unseen():
            event.args = tuple([take(value, held) for value in args])
            if kwargs:
                event.kwargs = {name: take(value, held) for name, value in kwargs.items()}
        event.thread = now.identity
        event.grad = torch.is_grad_enabled()
        event.inference = torch.is_inference_mode_enabled()
        event.autocast = _autocast() if _any_autocast() else None
        event.phase = now.phase or (now.running if event.grad or not now.running else "evaluation")
        event.steps, event.backwards = self.steps, self.backwards
        event.first = _sequence()
        return event, held

    def end(self, event: Event, held: Held, result: Any) -> None:
        """The call has returned."""
        event.last = _sequence()
        with _Unseen():
            self._read_result(event, held, result)
        self.add(event)

    def _read_result(self, event: Event, held: Held, result: Any) -> None:
        if result is not None and not is_one_of(type(result), _SIMPLE):
            given = {id(tensor) for tensor, _ in held}
            event.outputs = [self.facts.raw(t) for t in self._made(result, given, event.known)]
        if _may_swap(event.what):
            for tensor, raw in held[:1]:
                self.facts.tensors.keep(tensor, raw[0])
        for tensor, raw in held:
            before = raw[9]
            if before is not None:
                after = version_of(tensor)
                if after is not None and after != before:
                    self.wrote(event, tensor, raw, after)

    def _made(self, result: Any, given: set[int], known: int, depth: int = 3) -> Iterator[torch.Tensor]:
        """The tensors that a call has returned; those that it was not given are new, whatever was at their address before."""
        kind = type(result)
        if kind is torch.Tensor or is_a(result, torch.Tensor):
            if id(result) not in given:
                self.facts.tensors.renew(result, known)
            yield result
        elif depth and is_a(result, (list, tuple)):
            builtin: Any = list if is_a(result, list) else tuple
            for item in itertools.islice(builtin.__iter__(result), 512):
                yield from self._made(item, given, known, depth - 1)
        elif depth and kind is dict:
            for item in list(result.values())[:64]:
                yield from self._made(item, given, known, depth - 1)

    def failed(self, event: Event, held: Held, error: BaseException) -> None:
        """The call has raised: its operands' values are read now, while they are there."""
        event.last = event.first
        event.raised = True
        self.add(event)
        text = _words(error)
        self.failures.append((id(error), type(error), text, event))
        if self._described < _DESCRIBED and is_a(error, Exception):
            self._described += 1
            lost = "CUDA error" in text or type(error).__name__ == "AcceleratorError"
            event.values = {}
            with _Unseen():
                for tensor, raw in held[:16]:
                    values = None if lost and tensor.is_cuda else value_facts(tensor)
                    if values is not None:
                        event.values[raw[0]] = values

    def noted(self, error: BaseException) -> Event | None:
        """The event that raised this exception, by identity."""
        text = _words(error)
        for number, kind, words, event in reversed(self.failures):
            if number == id(error) and kind is type(error) and words == text:
                return event
        return None

    def mark(
        self,
        what: Any,
        frame: FrameType | None,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        module: int | None = None,
    ) -> Event:
        """An event that is no call of a torch function."""
        event, _ = self.begin(what, frame, args, kwargs)
        event.last = event.first
        if module is not None:
            event.module = module
        self.add(event)
        return event

    def add(self, event: Event) -> None:
        """Appends; the index follows the order of completion."""
        event.index = next(self._index)
        self.count = event.index + 1
        self.events.append(event)

    def wrote(self, event: Event, tensor: torch.Tensor, raw: RawTensor, after: int) -> None:
        """Notes that the call changed a tensor in place. Through `.data` autograd does not see it: no version then."""
        if any(written[0] == raw[0] for written in event.writes):
            return
        hidden = raw[0] in self.aliases
        if self.aliases and not hidden and tensor._is_view():
            base = tensor._base
            hidden = base is not None and self.facts.tensors.known(base) in self.aliases
        event.writes.append((raw[0], raw[10], None if hidden else after))

    def take(self, value: Any, held: Held, depth: int = 3) -> Any:
        """An argument as a raw value; its tensors go to `held`."""
        if type(value) is torch.Tensor or is_a(value, torch.Tensor):
            raw = self.facts.raw(value)
            held.append((value, raw))
            return raw
        kind = type(value)
        if is_one_of(kind, _SIMPLE):
            return value if kind is not str or len(value) < 200 else value[:200]
        builtin: Any = next((each for each in (list, tuple) if is_a(value, each)), None)
        if builtin is not None:
            items = []
            if depth:
                given = itertools.islice(builtin.__iter__(value), 512)
                items = [self.take(item, held, depth - 1) for item in given]
            return RawItems(name_of(kind), builtin.__len__(value), items[:64])
        if kind is dict:
            return RawItems(
                "dict",
                len(value),
                [self.take(v, held, depth - 1) for v in list(value.values())[:64]] if depth else [],
                tuple(str(k) if is_one_of(type(k), _SIMPLE) else name_of(type(k)) for k in list(value)[:64]),
            )
        return RawValue(name_of(kind), _text(value, kind))


_args_of = vars(BaseException)["args"].__get__


def _words(error: BaseException) -> str:
    return " ".join(part for part in _args_of(error) if type(part) is str)[:200]


def _may_swap(what: Any) -> bool:
    """Whether the call may give its first tensor another storage: `x.data = y`, `set_`, `resize_`."""
    name = getattr(what, "__name__", "")
    return name == "__set__" or name.startswith(("set_", "resize_"))


def version_of(tensor: torch.Tensor) -> int | None:
    """The tensor's version counter; None where it has none."""
    try:
        kind = type(tensor)
        if kind is torch.Tensor or kind.__torch_function__ is _disabled:
            version: int = tensor._version
            return version
        with torch._C.DisableTorchFunctionSubclass():
            return int(tensor._version)
    except Exception:
        return None


def _autocast() -> str | None:
    for device in ("cuda", "cpu"):
        try:
            if torch.is_autocast_enabled(device):
                return str(torch.get_autocast_dtype(device)).removeprefix("torch.")
        except (TypeError, RuntimeError, AttributeError):
            continue
    return None
