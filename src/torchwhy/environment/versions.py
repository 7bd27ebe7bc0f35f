"""Versions and requirements as packages write them. What can't be read is no statement: `None`."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TESTS = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
}


@dataclass(frozen=True, slots=True)
class Requirement:
    name: str
    wanted: str
    """`==2.9.0` or `>=1,<2`; empty for any version."""
    marker: str = ""


def release(version: str) -> tuple[int, ...]:
    """The numbers of a version: `2.9.0+cu128` gives (2, 9, 0)."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", version.strip())
    return tuple(map(int, match[1].split("."))) if match else ()


def local(version: str) -> str:
    """`cu128` of `2.9.0+cu128`."""
    return version.partition("+")[2]


def minor(version: str) -> tuple[int, int] | None:
    """The first two numbers."""
    numbers = release(version)
    return (numbers[0], numbers[1]) if len(numbers) > 1 else None


def requirement(text: str) -> Requirement | None:
    """`torch (==2.9.0) ; python_version < "3.12"`, as metadata has it."""
    match = re.match(r"\s*([A-Za-z0-9._-]+)\s*(?:\[[^]]*\])?\s*\(?([^;)]*)\)?\s*(?:;\s*(.*))?$", text)
    if match is None or "@" in match[2]:
        return None
    return Requirement(normal(match[1]), match[2].strip(), (match[3] or "").strip())


def normal(name: str) -> str:
    """A package's name, as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def satisfies(version: str, wanted: str) -> bool | None:
    """Whether the version is one of those wanted. A development version counts as its release."""
    have = release(version)
    if not have:
        return None
    for part in filter(None, (p.strip() for p in wanted.split(","))):
        match = re.fullmatch(r"(===|==|!=|>=|<=|~=|>|<)\s*v?(\d+(?:\.\d+)*)(\.\*)?(?:[+a-z.].*)?", part)
        if match is None:
            return None
        kind, numbers, star = match[1].replace("===", "=="), tuple(map(int, match[2].split("."))), match[3]
        if kind == "~=":
            kind, fine = ">=", have[: len(numbers) - 1] == numbers[:-1]
            if not fine:
                return False
        if star:
            same = have[: len(numbers)] == numbers
            if same != (kind == "=="):
                return False
            continue
        wide = max(len(have), len(numbers))
        if not _TESTS[kind](have + (0,) * (wide - len(have)), numbers + (0,) * (wide - len(numbers))):
            return False
    return True


def applies(marker: str, facts: dict[str, str]) -> bool | None:
    """Whether a requirement's marker holds on a machine: `platform_system == "Linux" and python_version < "3.13"`."""
    if not marker:
        return True
    words = re.findall(r"\(|\)|\band\b|\bor\b|[<>=!~]=?=?|\bnot in\b|\bin\b|'[^']*'|\"[^\"]*\"|\w+", marker)
    try:
        answer, rest = _either(words, facts)
    except (IndexError, KeyError, ValueError):
        return None
    return answer if not rest else None


def _either(words: list[str], facts: dict[str, str]) -> tuple[bool, list[str]]:
    answer, words = _both(words, facts)
    while words and words[0] == "or":
        other, words = _both(words[1:], facts)
        answer = answer or other
    return answer, words


def _both(words: list[str], facts: dict[str, str]) -> tuple[bool, list[str]]:
    answer, words = _one(words, facts)
    while words and words[0] == "and":
        other, words = _one(words[1:], facts)
        answer = answer and other
    return answer, words


def _one(words: list[str], facts: dict[str, str]) -> tuple[bool, list[str]]:
    if words[0] == "(":
        answer, rest = _either(words[1:], facts)
        if rest[0] != ")":
            raise ValueError(words)
        return answer, rest[1:]
    left, kind, right = (w[1:-1] if w[0] in "'\"" else facts.get(w, w) for w in words[:3])
    if kind in ("in", "not in"):
        return (left in right) == (kind == "in"), words[3:]
    if release(left) and release(right):
        held = satisfies(left, kind + right)
        if held is None:
            raise ValueError(words)
        return held, words[3:]
    return bool(_TESTS[kind](left, right)), words[3:]
