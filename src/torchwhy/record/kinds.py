"""Questions about values that run none of the program's code.

`isinstance` asks an object for its `__class__`, `vars` and `getattr` ask its class, `len`, `==`, `in` and `str` its methods: all of that may be the
program's, and may raise, hang, or do something a second time. What is asked here is answered by the interpreter alone.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from types import FrameType, GetSetDescriptorType, MemberDescriptorType
from typing import Any, TypeGuard, TypeVar

T = TypeVar("T")

_is_subclass: Callable[[type, type], bool] = type.__subclasscheck__
_OF_TYPES = type.__dict__
_mro: Callable[[type], tuple[type, ...]] = _OF_TYPES["__mro__"].__get__
_namespace: Callable[[type], Any] = _OF_TYPES["__dict__"].__get__
_name: Callable[[type], str] = _OF_TYPES["__name__"].__get__
_qualname: Callable[[type], str] = _OF_TYPES["__qualname__"].__get__
_OF_PYTHONS = (GetSetDescriptorType, MemberDescriptorType)
_module: Callable[[type], Any] = _OF_TYPES["__module__"].__get__


def is_a(value: object, kinds: type[T] | tuple[type[T], ...]) -> TypeGuard[T]:
    """Whether the value's own type is one of these, or derived from it."""
    kind = type(value)
    if type(kinds) is tuple:
        return any(_is_subclass(each, kind) for each in kinds)
    return _is_subclass(kinds, kind)  # type: ignore[arg-type]


def is_one_of(kind: type, kinds: tuple[type, ...]) -> bool:
    """Whether it is one of these very types: `in` would ask a metaclass whether they are equal."""
    for each in kinds:  # noqa: SIM110  (a generator takes three times as long, and each argument of each op is asked)
        if kind is each:
            return True
    return False


def bases_of(kind: type) -> tuple[type, ...]:
    """The type and those that it is derived from, in the order in which Python looks."""
    return _mro(kind)


def name_of(kind: type) -> str:
    """The type's name."""
    return _name(kind)


def qualname_of(kind: type) -> str:
    """The type's name with those of what it was defined in."""
    return _qualname(kind)


def module_of(kind: type) -> str:
    """The name of the module that the type says it comes from; empty where that is no text."""
    try:
        found = _module(kind)
    except AttributeError:  # deleted
        return ""
    return found if type(found) is str else ""


def held_by(value: object) -> dict[str, Any]:
    """What the object holds in its dictionary; empty where it has none, or its class hides it."""
    for kind in _mro(type(value)):
        found = _namespace(kind).get("__dict__")
        if found is not None:
            held = found.__get__(value) if is_one_of(type(found), _OF_PYTHONS) else None
            return held if type(held) is dict else {}
    return {}


def member_of(owner: type, name: str, default: Any) -> Any:
    """What the class, or one that it is derived from, holds under that name."""
    for kind in _mro(owner):
        if name in _namespace(kind):
            return _namespace(kind)[name]
    return default


def variables_of(frame: FrameType) -> dict[str, Any]:
    """The frame's variables; empty where a class's body keeps them in something of the program's."""
    found: Any = frame.f_locals
    if type(found) is dict:
        return found
    if is_a(found, dict):
        return dict(dict.items(found))
    return dict(found) if type(found).__module__ == "builtins" else {}  # Python 3.13 has a view


_messages: list[tuple[BaseException, str]] = []
_MOST_MESSAGES = 16


def message_of(error: BaseException) -> str:
    """The exception's text. Python asks for it too when it prints the traceback; we ask once, until `forget_messages`."""
    for known, text in _messages:
        if known is error:
            return text
    try:
        text = str(error)[:]  # torch has texts of a type of its own
    except Exception:  # of the program's `__str__`, or an argument's; Python's traceback says the same
        text = "<exception str() failed>"
    if len(_messages) < _MOST_MESSAGES:
        _messages.append((error, text))
    return text


def forget_messages() -> None:
    """Let go of the exceptions whose texts were asked for."""
    _messages.clear()


def group_of(error: BaseException) -> tuple[BaseException, ...]:
    """The exceptions that a group holds."""
    kind: Any = getattr(builtins, "BaseExceptionGroup", None)  # Python 3.11
    return tuple(kind.exceptions.__get__(error)) if kind is not None and is_a(error, kind) else ()
