"""What a function of torch takes: parameter names, types and defaults, from Python's signature, ATen's schemas or the docstring's first line."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch

from ..record.kinds import name_of
from ..record.names import plain_name

NO_DEFAULT: Any = inspect.Parameter.empty
_TEXT = 300


@dataclass(frozen=True)
class Slot:
    """One parameter. `place`: where the call gives it (a number: positional, a name: keyword), None where it does not."""

    name: str
    place: int | str | None = None
    takes: str = ""
    default: Any = NO_DEFAULT
    also: str = ""
    """Another name of it: ATen's `self` is `input` in the documentation."""
    by_keyword: bool = False


def bound(callee: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], skip_self: bool = False) -> tuple[Slot, ...]:
    """The parameters of a call in their order; what fits none of them comes last, under a name of its own."""
    known, rest = _parameters(callee, len(args), tuple(kwargs), tuple(name_of(type(a)) for a in args))
    if skip_self and known[:1] and known[0].name == "self":
        known = known[1:]
    positional = [slot for slot in known if not slot.by_keyword]
    slots = []
    for slot in known:
        number = positional.index(slot) if slot in positional else len(args)
        place: int | str | None = number if number < len(args) else slot.name if slot.name in kwargs else None
        if place is None and slot.also in kwargs:
            place = slot.also
        slots.append(replace(slot, place=place))
    taken = {slot.place for slot in slots}
    for number in range(len(positional), len(args)):
        listed = rest or (positional[-1].name if positional and "List[int]" in positional[-1].takes else "")
        name = f"{listed}[{number - len(positional) + (not rest)}]" if listed else f"argument {number + 1}" if number or known else "input"
        slots.append(Slot(name, number, also=listed))
    slots += [Slot(name, name) for name in kwargs if name not in taken]
    return tuple(slots)


def signature_text(callee: Callable[..., Any]) -> str:
    """The signature in one line, as the documentation or Python has it; empty where neither does."""
    first = next((line.strip() for line in (getattr(callee, "__doc__", "") or "").strip().splitlines()[:1]), "")
    if re.match(r"[\w.]+\(.*\)", first):
        return first[:_TEXT]
    try:
        return f"{getattr(callee, '__name__', '')}{inspect.signature(callee)}"[:_TEXT]
    except (TypeError, ValueError):
        return ""


@lru_cache(maxsize=512)
def _parameters(callee: Callable[..., Any], count: int, keywords: tuple[str, ...], kinds: tuple[str, ...]) -> tuple[tuple[Slot, ...], str]:
    """The parameters, and the name of `*args`, if there is one."""
    schema = getattr(callee, "_schema", None)
    if schema is not None and hasattr(schema, "arguments"):
        return _of_schema(schema), ""
    try:
        found = list(inspect.signature(callee).parameters.values())
    except (TypeError, ValueError):
        found = []
    named = [p for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    rest = next((p.name for p in found if p.kind is p.VAR_POSITIONAL), "")
    if named:
        return tuple(Slot(p.name, None, _kind(p.annotation), p.default, by_keyword=p.kind is p.KEYWORD_ONLY) for p in named), rest
    if isinstance(callee, type):
        return (), rest
    slots = _of_aten(plain_name(callee), count, keywords, kinds)
    documented = _documented(callee)
    if (
        documented and slots and "Tensor" not in slots[0].takes and slots[0].name not in documented
    ):  # an operator of TorchScript with that name
        return tuple(Slot(name) for name in documented), rest
    return slots, rest


def _documented(callee: Callable[..., Any]) -> list[str]:
    """The names of the parameters that can be given by position, by the docstring's first line."""
    found = re.match(r"[\w.]+\(([^*)]*)", (getattr(callee, "__doc__", "") or "").strip())
    return re.findall(r"(?:^|,)\s*(\w+)", found[1]) if found is not None else []


def _kind(annotation: Any) -> str:
    if annotation is inspect.Parameter.empty:
        return ""
    text = annotation if isinstance(annotation, str) else annotation.__name__ if isinstance(annotation, type) else str(annotation)
    return re.sub(r"\b(?:torch|typing|builtins|collections\.abc)\.", "", text)[:60]


def _of_schema(schema: Any) -> tuple[Slot, ...]:
    return tuple(
        Slot(
            "input" if a.name == "self" else str(a.name),
            None,
            str(getattr(a, "real_type", a.type)),
            a.default_value if a.has_default_value() else NO_DEFAULT,
            "self" if a.name == "self" else "",
            a.kwarg_only,
        )
        for a in schema.arguments
    )


def _of_aten(name: str, count: int, keywords: tuple[str, ...], kinds: tuple[str, ...]) -> tuple[Slot, ...]:
    """Of the overload that fits the call best by number, names and kinds."""
    schemas = _schemas(name) or _schemas(name.rstrip("_"))
    taking = [s for s in schemas if any("Tensor" in str(a.type) for a in s.arguments)]  # the others are TorchScript's, for plain numbers
    schemas = tuple(taking) or schemas
    return max((_of_schema(s) for s in schemas), key=lambda slots: _fit(slots, count, keywords, kinds), default=())


@lru_cache(maxsize=512)
def _schemas(name: str) -> tuple[Any, ...]:
    try:
        return tuple(torch._C._jit_get_schemas_for_operator(f"aten::{name}"))
    except RuntimeError:  # no such operator
        return ()


def _fit(slots: tuple[Slot, ...], count: int, keywords: tuple[str, ...], kinds: tuple[str, ...]) -> float:
    names = {n for slot in slots for n in (slot.name, slot.also)}
    positional = [slot for slot in slots if not slot.by_keyword]
    strange = sum(k not in names and k not in ("out", "dtype", "device", "requires_grad") for k in keywords)
    out = sum(slot.name == "out" and "out" not in keywords for slot in slots)
    fitting = sum(("Tensor" in kind or kind == "Parameter") == ("Tensor" in slot.takes) for kind, slot in zip(kinds, positional))
    lacking = sum(slot.default is NO_DEFAULT and slot.name not in keywords and slot.also not in keywords for slot in positional[count:])
    return fitting - 2 * strange - out - 0.5 * max(0, count - len(positional)) - 0.5 * lacking - 0.01 * len(slots)
