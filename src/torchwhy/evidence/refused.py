"""The call into torch that the program's innermost line made and that failed, still alive: the callee, and its arguments by parameter name.

Where a mode saw the call, it is in the mode's frame; a layer's and a constructor's arguments are in the frames of torch below. Where torch's
argument parser refused the call before any of that, the callee and the arguments are looked up from the call's text: names, attributes of
modules and classes, literals. Nothing of the program is run for that.
"""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import CodeType, FrameType, FunctionType, ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from ..model import Items, Plain, Value
from ..record.kinds import held_by, is_a, member_of, module_of, name_of, variables_of
from ..record.mode import held_call
from ..record.names import plain_name
from ..record.own import is_own_code
from ..record.spans import origin, span_of
from ..record.traceback import is_dispatch
from .signature import Slot, bound

if TYPE_CHECKING:
    from ..record.recorder import Recorder

Kind = Literal["function", "layer", "constructor"]
UNKNOWN: Any = object()
"""A value that the text of the call does not show without running it."""
SETTING = "self."
"""Begins the place of an argument that the layer's constructor was given."""


@dataclass(frozen=True)
class Refused:
    """`slots` pair each argument with its parameter; `args` and `kwargs` are the call as it was made."""

    name: str
    kind: Kind
    target: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    slots: tuple[Slot, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    """Of a layer of torch's: what its constructor was given, as far as it is at hand."""

    @property
    def can_be_made_again(self) -> bool:
        """Whether every argument is at hand, and the call talks to no other process."""
        return all(value is not UNKNOWN for value in (*self.args, *self.kwargs.values())) and not _is_of(self, "torch.distributed")

    def again(self, changed: Mapping[str | int, Any], without: str | int | None = None) -> object:
        """The same call with other values in some places (a number: positional, a name: keyword, `self.name`: a setting of the layer)."""
        args = [changed.get(place, value) for place, value in enumerate(self.args) if place != without]
        kwargs = {name: changed.get(name, value) for name, value in self.kwargs.items() if name != without}
        kwargs.update({name: value for name, value in changed.items() if isinstance(name, str) and not name.startswith(SETTING)})
        built = {name.removeprefix(SETTING): value for name, value in changed.items() if isinstance(name, str) and name.startswith(SETTING)}
        target = self.target
        if built or isinstance(without, str) and without.startswith(SETTING):
            settings = {name: value for name, value in self.settings.items() if without != SETTING + name}
            target = _rebuilt(target, {**settings, **built})
        return target(*args, **kwargs)


_ELSEWHERE = (
    *("torch.multiprocessing", "torch._dynamo", "torch.compiler", "torch.hub", "torch.onnx", "torch.jit", "torch.fx", "torch.export"),
    *("torch.package", "torch.autograd", "torch.func", "torch._functorch", "torch.testing._comparison", "torch.profiler"),
)
"""Modules whose functions run other code: what fails there says nothing of the arguments."""


def _is_of(call: Refused, *modules: str) -> bool:
    module = str(getattr(call.target, "__module__", "") or "")
    return any(module == name or module.startswith(name + ".") for name in modules)


def _rebuilt(layer: Any, settings: dict[str, Any]) -> nn.Module:
    """A layer of the same kind with other settings."""
    made: nn.Module = type(layer)(**settings).train(layer.training)
    first = next(layer.parameters(), None)
    return made.to(first.dtype) if first is not None and first.is_floating_point() else made


def refused_call(error: BaseException, recorder: Recorder | None = None) -> Refused | None:
    """The failing call, None where the program's line did not call into torch."""
    found = _refused_call(error)
    if found is not None and _is_of(found, *_ELSEWHERE):
        return None
    if found is None or found.kind != "layer" or recorder is None or not type(found.target).__module__.startswith("torch."):
        return found
    settings = _settings(found.target, recorder)
    taken = {slot.name for slot in found.slots}
    slots = [Slot(name, SETTING + name) for name in settings if name not in taken]
    return replace(found, settings=settings, slots=(*found.slots, *slots))


def _settings(layer: nn.Module, recorder: Recorder) -> dict[str, Any]:
    """What the layer's constructor was given, by name: alive, or UNKNOWN where it is no plain value or tensor that the layer holds."""
    return {name: _living(value, layer, name) for name, value in recorder.modules.passed(layer).items()}


def _living(value: Value, layer: nn.Module, name: str) -> Any:
    if isinstance(value, Plain):
        return value.value if value.value is not None or value.kind == "NoneType" else _held(layer, name)
    if isinstance(value, Items) and value.kind in ("tuple", "list") and value.length == len(value.items):
        items = [_living(item, layer, "") for item in value.items]
        return UNKNOWN if any(item is UNKNOWN for item in items) else tuple(items) if value.kind == "tuple" else items
    return _held(layer, name) if name else UNKNOWN


def _refused_call(error: BaseException) -> Refused | None:
    frames = list(_frames(error.__traceback__))
    last = max((i for i, (frame, _) in enumerate(frames) if _is_programs(frame)), default=-1)
    if last < 0:
        return None
    below = [frame for frame, _ in frames[last + 1 :]]
    held = held_call(error)
    if held is not None and held.code is (below or [frames[last][0]])[0].f_code:
        return _refused("function", held.func, held.args, held.kwargs)
    if below:
        return _from_frames(below, frames[last])
    return _from_text(*frames[last]) if is_a(error, _PARSERS) else None


_PARSERS = (TypeError, ValueError, RuntimeError, IndexError, AttributeError)
"""What torch raises before any of its code runs that a traceback would show."""


def _frames(traceback: TracebackType | None) -> Any:
    while traceback is not None:
        yield traceback.tb_frame, traceback.tb_lasti
        traceback = traceback.tb_next


def _is_programs(frame: FrameType) -> bool:
    return not is_own_code(frame.f_code) and origin(frame.f_code.co_filename) == "user"


def _refused(kind: Kind, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any], name: str = "") -> Refused:
    callee = type(target).forward if kind == "layer" else target.__init__ if kind == "constructor" else target
    slots = bound(callee, args, kwargs, skip_self=kind != "function")
    return Refused(name or (name_of(type(target)) if kind == "layer" else plain_name(target)), kind, target, args, kwargs, slots)


# ── from the frames below ─────────────────────────────────────────────────────────────────────────────────────────────
def _from_frames(below: list[FrameType], programs: tuple[FrameType, int]) -> Refused | None:
    for place, frame in enumerate(below):
        code = frame.f_code
        if _is_module_call(frame):
            values = frame.f_locals
            return _refused("layer", values["self"], tuple(values["args"]), dict(values["kwargs"]))
        if is_own_code(code) or is_dispatch(code):
            continue
        if origin(code.co_filename) != "torch":
            return None
        following = below[place + 1 : place + 4]
        if not following or not is_dispatch(following[0].f_code):
            if code.co_name == "__init__" and "self" in frame.f_locals:
                return _from_constructor(frame)
            if not _only_passes_on(code):
                return _from_function(frame)
            called = _from_text(*programs)
            if called is not None and called.kind == "function":
                passed = frame.f_locals.get(code.co_varnames[code.co_argcount + code.co_kwonlyargcount], ())
                args, kwargs = _arguments_in(frame)
                return _refused("function", called.target, args if len(args) >= len(passed) else passed, kwargs)
    return None


def _is_module_call(frame: FrameType) -> bool:
    values = frame.f_locals
    return (
        frame.f_code.co_name in ("__torchwhy__", "_wrapped_call_impl", "_call_impl")
        and is_a(values.get("self"), nn.Module)
        and "args" in values
        and "kwargs" in values
    )


def _only_passes_on(code: CodeType) -> bool:
    """Whether it is a wrapper that takes anything: `def wrapper(*args, **kwargs)`."""
    named = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return bool(code.co_flags & inspect.CO_VARARGS) and not [name for name in named if name not in ("self", "cls")]


def _arguments_in(frame: FrameType) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What the frame's parameters hold now: as keywords, and what `*args` took."""
    code = frame.f_code
    count = code.co_argcount + code.co_kwonlyargcount
    names = [name for name in code.co_varnames[:count] if name not in ("self", "cls") and name in frame.f_locals]
    kwargs = {name: frame.f_locals[name] for name in names}
    rest: tuple[Any, ...] = ()
    if code.co_flags & inspect.CO_VARARGS:
        rest = tuple(frame.f_locals.get(code.co_varnames[count], ()))
        count += 1
    if code.co_flags & inspect.CO_VARKEYWORDS:
        kwargs.update(frame.f_locals.get(code.co_varnames[count], {}))
    if rest:  # what stands before `*args` can't be passed by keyword
        positional = [name for name in code.co_varnames[: code.co_argcount] if name in kwargs]
        return (*(kwargs.pop(name) for name in positional), *rest), kwargs
    return (), kwargs


def _from_constructor(frame: FrameType) -> Refused | None:
    """The nearest class of torch's: of the program's own subclass, the one whose constructor it called."""
    kind = next((k for k in type(frame.f_locals["self"]).__mro__ if k.__module__.partition(".")[0] == "torch"), None)
    if kind is None:
        return None
    args, kwargs = _arguments_in(frame)
    return _refused("constructor", kind, args, kwargs)


def _from_function(frame: FrameType) -> Refused | None:
    code = frame.f_code
    target = _function_of(frame)
    if target is None or code.co_name.startswith("__") and code.co_name not in ("__getitem__", "__setitem__", "__rpow__", "__rsub__"):
        return None
    args, kwargs = _arguments_in(frame)
    if "self" in frame.f_locals and code.co_varnames[:1] == ("self",):
        target = functools.partial(target, frame.f_locals["self"])
        slots = bound(target.func, args, kwargs, skip_self=True)
        return Refused(code.co_name, "function", target, args, kwargs, slots)
    return _refused("function", target, args, kwargs, code.co_name)


def _function_of(frame: FrameType) -> Callable[..., Any] | None:
    """The function that a frame runs: in its module, or in the class of its `self`."""
    name, code = frame.f_code.co_name, frame.f_code
    me = frame.f_locals.get("self")
    places = [*(vars(kind).get(name) for kind in type(me).__mro__), frame.f_globals.get(name)]
    for found in places:
        function = inspect.unwrap(found) if callable(found) else None
        if isinstance(function, FunctionType) and function.__code__ is code:
            return found
    return None


# ── from the text ─────────────────────────────────────────────────────────────────────────────────────────────────────
def _from_text(frame: FrameType, lasti: int) -> Refused | None:
    """The call at the failing instruction, where its callee is torch's and the text shows which."""
    call = _call_at(frame.f_code, lasti)
    if call is None:
        return None
    target, name = _callee(call.func, frame)
    if target is None or not _is_torchs(target):
        return None
    args = tuple(_value(node, frame) for node in call.args)
    kwargs = {k.arg: _value(k.value, frame) for k in call.keywords if k.arg is not None}
    if any(isinstance(node, ast.Starred) for node in call.args) or len(kwargs) < len(call.keywords):
        return None
    if isinstance(target, type):
        return _refused("constructor", target, args, kwargs)
    if isinstance(target, nn.Module):
        return _refused("layer", target, args, kwargs)
    if isinstance(call.func, ast.Attribute) and getattr(torch.Tensor, name, None) is target:
        args = (_value(call.func.value, frame), *args)
    return _refused("function", target, args, kwargs)


def _call_at(code: CodeType, lasti: int) -> ast.Call | None:
    """The call that the failing instruction makes; on a Python without columns, the line's only call."""
    span = span_of(code, lasti)
    lines = linecache.getlines(code.co_filename)
    try:
        tree = ast.parse("".join(lines))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and n.lineno <= span.line <= (n.end_lineno or n.lineno)]
    if span.end_column:
        end = span.end_line, _offset(lines, span.end_line, span.end_column)
        calls = [n for n in calls if (n.end_lineno, n.end_col_offset) == end and n.lineno == span.line]
        calls = [n for n in calls if n.col_offset == _offset(lines, span.line, span.column)] or [
            n for n in calls if n.lineno != n.end_lineno
        ]
    return calls[0] if len(calls) == 1 else None


def _offset(lines: list[str], line: int, column: int) -> int:
    """A character's place in its line, in bytes."""
    return len(lines[line - 1][:column].encode()) if 0 < line <= len(lines) else 0


def _callee(node: ast.expr, frame: FrameType) -> tuple[Any, str]:
    if isinstance(node, ast.Attribute):
        owner = _value(node.value, frame)
        if is_a(owner, (ModuleType, type)):
            return _member(owner, node.attr, None), node.attr
        if is_a(owner, torch.Tensor) or owner is UNKNOWN:  # what can't be looked up may be a tensor: its message will say the name
            return getattr(torch.Tensor, node.attr, None), node.attr
        return getattr(type(owner), node.attr, None) if is_a(owner, torch.Generator) else None, node.attr
    found = _value(node, frame)
    return (None if found is UNKNOWN else found), ""


def _is_torchs(target: Any) -> bool:
    if is_a(target, type) or module_of(type(target)) != "builtins":
        return module_of(target if is_a(target, type) else type(target)).partition(".")[0] == "torch"
    module = getattr(target, "__module__", None) or getattr(getattr(target, "__objclass__", None), "__module__", "") or ""
    if is_a(target, FunctionType):
        return str(module).partition(".")[0] == "torch"
    owner = type(getattr(target, "__self__", None)).__module__
    return f"{module}.".startswith("torch") or owner.startswith("torch") or getattr(torch, getattr(target, "__name__", ""), None) is target


def _member(owner: Any, name: str, default: Any) -> Any:
    """An attribute of a module or a class, as far as that can be had without running the program's code."""
    if not is_a(owner, type):
        return held_by(owner).get(name, default)
    if module_of(owner).partition(".")[0] == "torch":
        return getattr(owner, name, default)
    found = member_of(owner, name, default)
    is_asked = member_of(type(found), "__get__", None) is not None
    return default if is_asked and not is_a(found, FunctionType) else found


_LITERALS = (ast.Constant, ast.UnaryOp, ast.BinOp)


def _value(node: ast.expr, frame: FrameType) -> Any:
    """What an expression stands for, where that can be looked up."""
    if isinstance(node, ast.Name):
        for names in (variables_of(frame), frame.f_globals, frame.f_builtins):
            if node.id in names:
                return names[node.id]
        return UNKNOWN
    if isinstance(node, ast.Attribute):
        owner = _value(node.value, frame)
        return _member(owner, node.attr, UNKNOWN) if is_a(owner, (ModuleType, type)) else _held(owner, node.attr)
    if isinstance(node, (ast.Tuple, ast.List)):
        items = [_value(item, frame) for item in node.elts]
        return UNKNOWN if UNKNOWN in _by_identity(items) else tuple(items) if isinstance(node, ast.Tuple) else items
    if isinstance(node, _LITERALS):
        try:
            return ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return UNKNOWN
    return UNKNOWN


def _by_identity(items: list[Any]) -> list[Any]:
    return [UNKNOWN] if any(item is UNKNOWN for item in items) else []


def _held(owner: Any, name: str) -> Any:
    """An attribute that the object simply holds, or a layer's parameter or part."""
    if owner is UNKNOWN or is_a(owner, torch.Tensor):
        return UNKNOWN
    held = held_by(owner)
    for place in (held, held.get("_modules"), held.get("_parameters"), held.get("_buffers")):
        if isinstance(place, dict) and name in place:
            return place[name]
    return UNKNOWN
