"""Finds the families: one file each below `families/`, and those that other packages offer by the entry point `torchwhy.families`.

Nothing is imported before somebody asks. A family that can't be loaded is a problem to tell, and the others work on.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from . import families as package
from .family import Family

ENTRY_POINTS = "torchwhy.families"
_ORDER = ("shape", "dtype", "device", "autograd", "memory", "data", "module", "cuda", "dist", "compile", "numeric", "argument", "silent")
GROUPS = {name: f"TW{number:02}" for number, name in enumerate(_ORDER, start=1)}
"""The first four characters of a group's codes."""


@dataclass(frozen=True)
class Catalogue:
    """All families in the order of their codes. `problems` says what could not be loaded."""

    families: tuple[Family, ...]
    problems: tuple[str, ...] = ()

    def by_code(self, code: str) -> Family | None:
        return next((f for f in self.families if code.upper() == f.code or code.lower() == f.slug), None)


@cache
def load() -> Catalogue:
    """Import every family, once."""
    found: list[Family] = []
    problems: list[str] = []
    for source, name in _names():
        try:
            found += [kind() for kind in _families_in(_imported(name))]
        except Exception as error:
            problems.append(f"the family {source} could not be loaded: {type(error).__name__}: {error}")
    found.sort(key=lambda family: family.code)
    return Catalogue(tuple(found), tuple(problems))


def faults(families: Sequence[Family]) -> tuple[str, ...]:
    """What a catalogue must not have: codes used twice or out of their group's range; no title, page, trigger or example."""
    said: list[str] = []
    seen: dict[str, str] = {}
    for family in families:
        start = GROUPS.get(family.slug.partition(".")[0], "TW")
        if not re.fullmatch(start + r"\d{2}" if start != "TW" else r"TW\d{4}", family.code):
            said.append(f"{family.slug}: the code {family.code!r} should be {start}nn")
        if family.code in seen:
            said.append(f"{family.slug}: {family.code} is the code of {seen[family.code]}")
        seen[family.code] = family.slug
        said += [f"{family.slug} has no {what}" for what in ("title", "page", "triggers") if not getattr(family, what)]
        said += [f"{family.slug} has no examples"] if not (family.examples or family.log_examples) else []
    return tuple(said)


def free_code(group: str) -> str:
    """The first code of a group that no family has."""
    taken = {family.code for family in load().families}
    return next(code for code in (f"{GROUPS[group]}{n:02}" for n in range(1, 100)) if code not in taken)


def _names() -> Iterator[tuple[str, str]]:
    root = Path(next(iter(package.__path__)))
    for file in sorted(root.rglob("*.py")):
        parts = file.relative_to(root).with_suffix("").parts
        if not any(part.startswith("_") for part in parts):
            yield ".".join(parts), ".".join((package.__name__, *parts))
    for point in entry_points(group=ENTRY_POINTS):
        yield point.name, point.value


def _imported(name: str) -> ModuleType:
    return importlib.import_module(name.partition(":")[0])


def _families_in(module: ModuleType) -> Iterator[type[Family]]:
    for _, kind in inspect.getmembers(module, inspect.isclass):
        if issubclass(kind, Family) and kind is not Family and kind.__module__ == module.__name__ and kind.code:
            yield kind
