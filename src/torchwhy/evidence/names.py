"""The user's own names for live things: variables of the frames, attributes of the objects in them, paths of modules."""

from __future__ import annotations

from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..model import ModuleFacts, TensorFacts
from ..record.kinds import held_by, is_a, is_one_of, module_of, variables_of
from ..record.modules import children, loose
from ..record.spans import origin

if TYPE_CHECKING:
    from ..record.recorder import Recorder


def _variables(frame: FrameType) -> Iterator[tuple[str, Any]]:
    yield from list(variables_of(frame).items())
    if frame.f_locals is not frame.f_globals:
        yield from list(frame.f_globals.items())


def _user_frames(levels: list[TracebackType]) -> list[FrameType]:
    return [level.tb_frame for level in levels if origin(level.tb_frame.f_code.co_filename) == "user"]


def _attributes(value: object) -> dict[str, Any]:
    """The instance dictionary of one of the program's own objects; nothing that would run its code."""
    package = module_of(type(value)).partition(".")[0]
    if is_a(value, (type, torch.Tensor)) or package in ("builtins", "torch", "numpy"):
        return {}
    return held_by(value)


def module_roots(levels: list[TracebackType]) -> dict[str, nn.Module]:
    """Variables that hold a module, outermost frame first, so that `model` comes before the `self` of an inner forward."""
    roots: dict[str, nn.Module] = {}
    late: dict[str, nn.Module] = {}
    for frame in _user_frames(levels):
        for name, value in _variables(frame):
            if name.startswith("__"):
                continue
            if is_a(value, nn.Module):
                (late if name in ("self", "m", "module", "layer", "net_") else roots).setdefault(name, value)
            else:
                for attribute, inner in list(_attributes(value).items()):
                    if is_a(inner, nn.Module):
                        late.setdefault(f"{name}.{attribute}", inner)
    known = {id(m) for root in roots.values() for m in _below(root)}
    for name, value in late.items():
        if id(value) not in known:
            roots.setdefault(name, value)
            known |= {id(m) for m in _below(value)}
    return roots


def _below(module: nn.Module) -> Iterator[nn.Module]:
    """The module and those in it, also of one whose constructor did not get to `super().__init__()`."""
    waiting, seen = [module], set[int]()
    while waiting:
        at = waiting.pop()
        if id(at) not in seen:
            seen.add(id(at))
            yield at
            waiting += [*children(at).values(), *loose(at, nn.Module).values()]


def tensor_names(levels: list[TracebackType], modules: tuple[ModuleFacts, ...], recorder: "Recorder") -> tuple[tuple[int, str], ...]:
    """Tensor id and name: parameters and buffers by path, then the variables of the user's frames, innermost first."""
    names: dict[int, str] = {}
    for module in modules:
        for argument in (*module.parameters, *module.buffers):
            if isinstance(argument.value, TensorFacts):
                names.setdefault(argument.value.id, f"{module.fqn}.{argument.name}")
    for frame in reversed(_user_frames(levels)):
        for name, value in _variables(frame):
            for path, tensor in _tensors(name, value):
                names.setdefault(recorder.facts(tensor).id, path)
    for module in modules:
        for argument in module.loose:
            if isinstance(argument.value, TensorFacts):
                names.setdefault(argument.value.id, f"{module.fqn}.{argument.name}")
    return tuple(names.items())


def _tensors(name: str, value: Any) -> Iterator[tuple[str, torch.Tensor]]:
    if name.startswith("__"):
        return
    if is_a(value, torch.Tensor):
        yield name, value
    elif is_one_of(type(value), (list, tuple)):
        yield from ((f"{name}[{i}]", item) for i, item in enumerate(value[:64]) if is_a(item, torch.Tensor))
    elif type(value) is dict:
        yield from (
            (f"{name}[{key!r}]", item)
            for key, item in list(value.items())[:64]
            if is_a(item, torch.Tensor) and is_one_of(type(key), (str, int))
        )
    else:
        yield from ((f"{name}.{key}", item) for key, item in list(_attributes(value).items()) if is_a(item, torch.Tensor))
