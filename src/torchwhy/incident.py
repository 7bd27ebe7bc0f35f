"""Plain data to JSON and back, read off the dataclasses themselves; and evidence in a file: an incident."""

from __future__ import annotations

import json
import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from .model import Evidence

SCHEMA = "torchwhy.incident/1"
T = TypeVar("T")
_ATOMS = frozenset({str, int, bool, type(None)})


class Unreadable(ValueError):
    """The data is not what it should be; the text says where."""


def to_plain(value: Any, declared: Any = None) -> Any:
    """A value of `model/` as JSON knows it. Fields at their default are left out; where a type is one of several, `is` names it."""
    kind: Any = type(value)
    if kind in _ATOMS:
        return value
    if kind is tuple or kind is list:
        return [item if type(item) in _ATOMS else to_plain(item, inner) for item, inner in zip(value, _item_types(declared, len(value)))]
    if kind is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, Enum):
        return value.value
    if not is_dataclass(value):
        raise TypeError(f"{kind.__name__} is not plain")
    plain: dict[str, Any] = {"is": kind.__name__} if _is_choice(declared) else {}
    for name, default, hint in _fields(kind):
        item = getattr(value, name)
        if item is not default and (item != default or type(item) is not type(default)):
            plain[name] = item if type(item) in _ATOMS else to_plain(item, hint)
    return plain


def from_plain(data: Any, declared: type[T], where: str = "") -> T:
    """The reverse of `to_plain`. Raises `Unreadable`."""
    return _read(data, declared, where or getattr(declared, "__name__", "value"))  # type: ignore[no-any-return]


def write_incident(evidence: Evidence, path: str) -> None:
    Path(path).write_text(json.dumps({"schema": SCHEMA, "evidence": to_plain(evidence)}), encoding="utf-8")


def read_incident(data: Mapping[str, Any]) -> Evidence:
    if data.get("schema") != SCHEMA:
        raise Unreadable(f"its schema is {data.get('schema')!r}, this version reads {SCHEMA}")
    return from_plain(data.get("evidence"), Evidence, "evidence")


def _read(data: Any, declared: Any, where: str) -> Any:
    if type(data) is declared and declared in _ATOMS:
        return data
    origin = _origin(declared)
    if origin in (Union, types.UnionType):
        return _read_choice(data, get_args(declared), where)
    if origin is Literal:
        if data not in get_args(declared):
            raise Unreadable(f"{where} is {data!r}, not one of {get_args(declared)}")
        return data
    if origin is tuple:
        if not isinstance(data, list):
            raise Unreadable(f"{where} is not a list")
        kinds = _item_types(declared, len(data))
        if len(kinds) != len(data):
            raise Unreadable(f"{where} has the length {len(data)}")
        return tuple([_read(item, kind, where) for item, kind in zip(data, kinds)])
    if is_dataclass(declared) and isinstance(declared, type):
        return _read_record(data, declared, where)
    if isinstance(declared, type) and issubclass(declared, Enum):
        try:
            return declared(data)
        except ValueError as error:
            raise Unreadable(f"{where}: {error}") from None
    return _read_atom(data, declared, where)


def _read_choice(data: Any, choices: tuple[Any, ...], where: str) -> Any:
    if data is None and type(None) in choices:
        return None
    records = [c for c in choices if isinstance(c, type) and is_dataclass(c)]
    rest = [c for c in choices if c not in records and c is not type(None)]
    if isinstance(data, dict) and records and "float" not in data:
        kind = next((r for r in records if data.get("is") == r.__name__), records[0] if len(records) == 1 else None)
        if kind is None:
            raise Unreadable(f"{where} is a {data.get('is')!r}, which is unknown here")
        return _read_record(data, kind, where)
    for choice in rest:
        try:
            return _read(data, choice, where)
        except Unreadable:
            continue
    raise Unreadable(f"{where} is a {type(data).__name__}, which it can't be")


def _read_record(data: Any, declared: type, where: str) -> Any:
    if not isinstance(data, dict):
        raise Unreadable(f"{where} is not an object")
    hints = _hints(declared)
    known = {name: _read(item, hints[name], f"{where}.{name}") for name, item in data.items() if name in hints}
    try:
        return declared(**known)
    except TypeError:
        missing = [f.name for f in fields(declared) if f.name not in data and f.default is MISSING and f.default_factory is MISSING]
        raise Unreadable(f"{where} lacks {', '.join(missing)}") from None


def _read_atom(data: Any, declared: Any, where: str) -> Any:
    if declared is float and isinstance(data, dict) and data.get("float") in ("nan", "inf", "-inf"):
        return float(data["float"])
    fits = type(data) is declared or (declared is float and type(data) is int)
    if not fits:
        raise Unreadable(f"{where} is a {type(data).__name__}, not a {getattr(declared, '__name__', declared)}")
    return data


@cache
def _is_choice(declared: Any) -> bool:
    return get_origin(declared) in (Union, types.UnionType) and sum(map(is_dataclass, get_args(declared))) > 1


def _item_types(declared: Any, length: int) -> tuple[Any, ...]:
    inner, endless = _inner(declared)
    return inner * length if endless else inner


@cache
def _inner(declared: Any) -> tuple[tuple[Any, ...], bool]:
    """The types of a tuple's items, and whether there may be any number of them."""
    if get_origin(declared) in (Union, types.UnionType):
        declared = next((c for c in get_args(declared) if get_origin(c) is tuple), None)
    inner = get_args(declared) or (None, ...)
    return (inner[:1], True) if inner[-1] is ... else (inner, False)


@cache
def _fields(kind: type) -> tuple[tuple[str, Any, Any], ...]:
    """Name, default and declared type of each field."""
    return tuple((each.name, each.default, _hints(kind)[each.name]) for each in fields(kind))


@cache
def _origin(declared: Any) -> Any:
    return get_origin(declared)


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
