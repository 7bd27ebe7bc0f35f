"""What can't be sent to a worker process, and the way to it, by a walk over the live objects that runs none of the program's code."""

from __future__ import annotations

import functools
import json
import re
import types
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any

import torch
from torch.utils.data import DataLoader

from ..model import MESSAGE, Probe, Span
from ..model.cutting import shortened
from ..record.kinds import held_by, is_a, is_one_of, message_of, module_of, name_of, qualname_of, variables_of
from ..record.modules import class_span
from ..record.spans import origin, relative
from .loading import Loading

NAME = "unpicklable"
_MOST = 20_000
_DEEPEST = 14
_BY_NAME = re.compile(
    r"[Cc]an't (?:pickle|get) (?:local object )?<?(?:function |class |bound method )?'?(?P<name>[\w.<>]{1,300}?)'?(?: at 0x[\da-fA-F]+)?>?(?::|$)"
)
_BY_TYPE = re.compile(
    r"(?:[Cc]annot|[Cc]an't) (?:pickle|serialize) '?(?P<type>[\w.]{1,200})'? (?:object|instance)s?|\b(?P<package>\w+) objects cannot be pickled"
)
_GRADIENT = "refusing to serialize non-leaf tensor"
_PLAIN = (str, bytes, bytearray, int, float, complex, bool, type(None), torch.dtype, torch.device)


def unpicklable(error: BaseException, loading: Loading, levels: list[TracebackType]) -> tuple[Probe, ...]:
    """Where the object lies that an error about pickling names, from the loader's dataset or functions on."""
    iterator, message = loading.iterator, shortened(message_of(error), MESSAGE)
    wanted = _test_for(message)
    if iterator is None or wanted is None or not any(level.tb_frame.f_code.co_name == "start" for level in levels):
        return ()
    for role in ("dataset", "collate_fn", "worker_init_fn"):
        root = getattr(iterator, f"_{role}", None)
        for path, thing, holder in _walk(root):
            if wanted(thing):
                name = _variable(root, levels) or role
                return (Probe(NAME, json.dumps({"role": role, "path": name + path, **_told(thing), **_holder(holder, path)})),)
    return ()


def _test_for(message: str) -> Callable[[Any], bool] | None:
    """The test for the object that the message speaks of."""
    if _GRADIENT in message:
        return lambda thing: is_a(thing, torch.Tensor) and thing.requires_grad and not thing.is_leaf
    by_name, by_type = _BY_NAME.search(message), _BY_TYPE.search(message)
    if by_name is None and by_type is None:
        return None
    if by_name is None:
        kind, package = (by_type["type"] or "").rpartition(".")[2], by_type["package"]  # type: ignore[index]
        return lambda thing: name_of(type(thing)) == kind or bool(package) and module_of(type(thing)).partition(".")[0] == package
    name = by_name["name"]

    def is_named(thing: Any) -> bool:
        if is_a(thing, types.FunctionType):
            return name in (thing.__qualname__, f"{thing.__module__}.{thing.__qualname__}")
        kind = thing if is_a(thing, type) else type(thing)
        home, own = module_of(kind), qualname_of(kind)
        return home not in ("builtins", "functools") and name in (own, f"{home}.{own}")

    return is_named


def _walk(root: Any) -> Iterator[tuple[str, Any, Any]]:
    """Everything below, as pickle meets it: the path, the thing, and the object that holds it (through lists and dicts)."""
    seen: set[int] = set()
    waiting: list[tuple[str, Any, Any, int]] = [("", root, None, 0)]
    while waiting and len(seen) < _MOST:
        path, thing, holder, depth = waiting.pop()
        if is_a(thing, _PLAIN) or id(thing) in seen:
            continue
        seen.add(id(thing))
        yield path, thing, holder
        if depth < _DEEPEST and not is_a(thing, (torch.Tensor, type, types.FunctionType, types.ModuleType)):
            inside = holder if is_a(thing, (list, tuple, dict, set, frozenset)) else thing
            below = [(path + step, inner, inside, depth + 1) for step, inner in _parts(thing)]
            waiting.extend(reversed(below))


def _parts(thing: Any) -> list[tuple[str, Any]]:
    if is_a(thing, dict):
        items = [(f"[{k!r}]" if is_one_of(type(k), (str, int)) else f"[{name_of(type(k))}]", value) for k, value in list(dict.items(thing))]
    elif is_a(thing, (list, tuple)):
        builtin: Any = list if is_a(thing, list) else tuple
        items = [(f"[{number}]", value) for number, value in enumerate(builtin.__iter__(thing))]
    elif is_one_of(type(thing), (set, frozenset)):
        items = [("", value) for value in list(thing)]
    elif type(thing) is functools.partial:
        items = [(".func", thing.func), (".args", thing.args), (".keywords", thing.keywords)]
    elif is_a(thing, types.MethodType):
        items = [(".__self__", thing.__self__)]
    else:
        items = []
    held = {} if is_a(thing, type) else held_by(thing)
    return items + [(f".{name}", value) for name, value in list(held.items()) if type(name) is str]


def _told(thing: Any) -> dict[str, Any]:
    """What the object is, and where it was defined."""
    if is_a(thing, types.FunctionType):
        place = _place(Span(relative(thing.__code__.co_filename), thing.__code__.co_firstlineno))
        return {"what": "lambda" if thing.__name__ == "<lambda>" else "function", "name": thing.__qualname__, **place}
    kind = thing if is_a(thing, type) else type(thing)
    is_local = "<locals>" in qualname_of(kind)
    what = "class" if is_local else "tensor" if is_a(thing, torch.Tensor) else "object"
    return {"what": what, "name": qualname_of(kind), **(_place(class_span(kind)) if is_local else {})}


def _holder(holder: Any, path: str) -> dict[str, Any]:
    """The nearest object of the program that holds it, by class, and the attribute."""
    attribute = re.findall(r"\.(\w+)", path)[-1:]
    kind = type(holder)
    found: dict[str, Any] = {"attribute": attribute[0] if attribute else "", "holder": name_of(kind) if holder is not None else ""}
    if (defined := class_span(kind)) is not None:
        found |= {"holder_file": defined.file, "holder_line": defined.line}
    return found


def _place(span: Span | None) -> dict[str, Any]:
    return {"file": span.file, "line": span.line} if span is not None else {}


def _variable(thing: Any, levels: list[TracebackType]) -> str:
    """What the program calls it, innermost frame first."""
    for level in reversed(levels):
        frame: FrameType = level.tb_frame
        if origin(frame.f_code.co_filename) == "user":
            for variables in (variables_of(frame), frame.f_globals):
                for name, value in list(variables.items()):
                    if value is thing:
                        return name
                    if is_a(value, DataLoader) and held_by(value).get("dataset") is thing:
                        return f"{name}.dataset"
    return ""
