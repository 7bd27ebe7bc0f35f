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


class Unreadable(ValueError):
    """The data is not what it should be; the text says where."""


def to_plain(value: Any, declared: Any = None) -> Any:
    """A value of `model.py` as JSON knows it. Fields at their default are left out; where a type is one of several, `is` names it."""
    if is_dataclass(value) and not isinstance(value, type):
        hints = _hints(type(value))
        plain = {"is": type(value).__name__} if _is_choice(declared) else {}
        for each in fields(value):
            item = getattr(value, each.name)
            if each.default is MISSING or item != each.default or type(item) is not type(each.default):
                plain[each.name] = to_plain(item, hints[each.name])
        return plain
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (tuple, list)):
        inner = _item_types(declared, len(value))
        return [to_plain(item, kind) for item, kind in zip(value, inner)]
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if value is None or isinstance(value, (str, int, float)):
        return value
    raise TypeError(f"{type(value).__name__} is not plain")


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
    origin = get_origin(declared)
    if origin in (Union, types.UnionType):
        return _read_choice(data, get_args(declared), where)
    if origin is Literal:
        if data not in get_args(declared):
            raise Unreadable(f"{where} is {data!r}, not one of {get_args(declared)}")
        return data
    if origin is tuple:
        if not isinstance(data, list):
            raise Unreadable(f"{where} is not a list")
        if len(_item_types(declared, len(data))) != len(data):
            raise Unreadable(f"{where} has the length {len(data)}")
        return tuple(_read(item, kind, f"{where}[{n}]") for n, (item, kind) in enumerate(zip(data, _item_types(declared, len(data)))))
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
    missing = [f.name for f in fields(declared) if f.name not in data and f.default is MISSING and f.default_factory is MISSING]
    if missing:
        raise Unreadable(f"{where} lacks {', '.join(missing)}")
    return declared(**{name: _read(data[name], hint, f"{where}.{name}") for name, hint in hints.items() if name in data})


def _read_atom(data: Any, declared: Any, where: str) -> Any:
    if declared is float and isinstance(data, dict) and data.get("float") in ("nan", "inf", "-inf"):
        return float(data["float"])
    fits = type(data) is declared or (declared is float and type(data) is int)
    if not fits:
        raise Unreadable(f"{where} is a {type(data).__name__}, not a {getattr(declared, '__name__', declared)}")
    return data


def _is_choice(declared: Any) -> bool:
    return get_origin(declared) in (Union, types.UnionType) and sum(map(is_dataclass, get_args(declared))) > 1


def _item_types(declared: Any, length: int) -> tuple[Any, ...]:
    if get_origin(declared) in (Union, types.UnionType):
        declared = next((c for c in get_args(declared) if get_origin(c) is tuple), None)
    inner = get_args(declared) or (None, ...)
    return inner if inner[-1] is not ... else (inner[0],) * length


@cache
def _hints(kind: type) -> dict[str, Any]:
    from . import model

    return get_type_hints(kind, vars(model))
