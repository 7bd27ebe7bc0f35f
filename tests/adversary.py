"""Every regular expression of the package, and for each the texts that are hardest for it."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from torchwhy.family import Trigger
from torchwhy.model.patterns import parser, search

SOURCE = Path(__file__).resolve().parent.parent / "src" / "torchwhy"
_ASKED = {"search", "match", "fullmatch", "findall", "finditer", "sub", "split", "subn"}
_AT_START = {"match", "fullmatch"}
_FLAGS = {"DOTALL": re.DOTALL, "MULTILINE": re.MULTILINE, "IGNORECASE": re.IGNORECASE}
_KEPT = re.IGNORECASE | re.MULTILINE | re.DOTALL
_SKIPPED = ("examples", "near_misses", "log_examples", "log_near_misses")
_PLAIN = [*" 1[(a_/-A\n\"'`<>{\t", "a ", "1, ", "1,", "a.", "[1, ", "\n ", "a:", "a=", "(1, 2)", "  a", "::", "ab/c", ": ", "# "]
_CANDIDATES = "a1 _-.,:(['\"`\nzAé/=%"


@dataclass(frozen=True)
class Asked:
    """A pattern as it is used."""

    pattern: str
    flags: int
    where: str
    at_start: bool = False
    is_trigger: bool = False

    def ask(self, text: str) -> None:
        if self.is_trigger:
            search(self.pattern, text)
            return
        compiled = re.compile(self.pattern, self.flags)
        (compiled.match if self.at_start else compiled.search)(text)


@lru_cache(maxsize=1)
def patterns() -> tuple[Asked, ...]:
    """Those written in calls of `re`, those compiled at the top of a module, and those in the families' and sayings' tables."""
    trees = {file: ast.parse(file.read_text(encoding="utf-8")) for file in sorted(SOURCE.rglob("*.py"))}
    methods: dict[str, set[str]] = {}
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr in _ASKED:
                methods.setdefault(node.value.id, set()).add(node.attr)
    found: dict[tuple[str, int, bool], Asked] = {}
    for file, tree in trees.items():
        place = file.relative_to(SOURCE)
        for asked in (*_in_calls(tree, str(place)), *_in_module(_imported(place), str(place), methods)):
            found.setdefault((asked.pattern, asked.flags, asked.is_trigger), asked)
    return tuple(found.values())


def _imported(place: Path) -> ModuleType | None:
    if place.stem in ("ask_torch", "__main__", "__init__", "sitecustomize"):  # those that act when they are loaded
        return None
    try:
        return importlib.import_module(".".join(("torchwhy", *place.with_suffix("").parts)))
    except ImportError:  # made for another system
        return None


def _in_calls(tree: ast.AST, place: str) -> Iterator[Asked]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr not in _ASKED:
            continue
        if not isinstance(node.func.value, ast.Name) or node.func.value.id != "re" or not isinstance(node.args[0], ast.Constant):
            continue
        words = " ".join(ast.unparse(a) for a in (*node.args[1:], *(k.value for k in node.keywords)))
        flags = sum(flag for name, flag in _FLAGS.items() if name in words)
        yield Asked(node.args[0].value, flags, f"{place}:{node.lineno}", node.func.attr in _AT_START)


def _in_module(module: ModuleType | None, place: str, methods: dict[str, set[str]]) -> Iterator[Asked]:
    seen: set[int] = set()
    for name, value in vars(module).items() if module is not None else ():
        if name.startswith("__"):
            continue
        for text, flags, is_trigger in _within(value, module.__name__, seen):  # type: ignore[union-attr]
            yield Asked(text, flags, f"{place}:{name}", methods.get(name, {"search"}) <= _AT_START, is_trigger)


def _within(value: Any, module: str, seen: set[int]) -> Iterator[tuple[str, int, bool]]:
    """The patterns in a value: compiled, of triggers, and texts that can only be meant as one."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, re.Pattern):
        text = value.pattern
        yield text if isinstance(text, str) else text.decode("latin-1"), value.flags & _KEPT, False
    elif isinstance(value, Trigger):
        yield value.pattern, re.DOTALL, True
    elif isinstance(value, str):
        if re.search(r"\\[dwsSWDb(\[.]|\.\*|\(\?", value) and len(value) < 3000 and "\n" not in value and _is_pattern(value):
            yield value, re.DOTALL, False
    elif is_dataclass(value) and not isinstance(value, type):
        for each in fields(value):
            yield from _within(getattr(value, each.name), module, seen)
    elif isinstance(value, (tuple, list, set, frozenset)):
        for item in value:
            yield from _within(item, module, seen)
    elif isinstance(value, dict):
        for item in (*value.keys(), *value.values()):
            yield from _within(item, module, seen)
    elif isinstance(value, type) and value.__module__ == module:
        for name, item in vars(value).items():
            if name not in _SKIPPED and not name.startswith("__"):
                yield from _within(item, module, seen)


def _is_pattern(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return True


# ── the hardest texts ─────────────────────────────────────────────────────────────────────────────────────────────────
def hard_texts(asked: Asked) -> list[tuple[str, str, str]]:
    """Beginnings, what to repeat after them, and ends: for every repetition in the pattern what leads to it, and what it takes."""
    tree = parser.parse(asked.pattern, asked.flags)
    pairs = [("", body) for body in (*_PLAIN, _example(tree), _example(tree)[:-1], _example(tree)[1:])]
    for before, body in _repetitions(tree, ""):
        pairs += [(before, body), ("", before + body), ("", body), ("", before)]
    return [(before, body, end) for before, body in dict.fromkeys(pairs) if body for end in ("!", "\x00\n")]


def _repetitions(tree: Iterable[tuple[Any, Any]], before: str) -> Iterator[tuple[str, str]]:
    for operation, argument in tree:
        name = str(operation)
        if name in ("MAX_REPEAT", "MIN_REPEAT"):
            yield before, _example(argument[2]) or "a"
            yield from _repetitions(argument[2], before)
        elif name == "SUBPATTERN":
            yield from _repetitions(argument[3], before)
        elif name == "BRANCH":
            for branch in argument[1]:
                yield from _repetitions(branch, before)
        before += _example([(operation, argument)])


def _example(tree: Iterable[tuple[Any, Any]]) -> str:
    """The shortest text of a kind that the pattern takes."""
    said = ""
    for operation, argument in tree:
        name = str(operation)
        if name == "LITERAL":
            said += chr(argument)
        elif name in ("ANY", "NOT_LITERAL"):
            said += "b" if argument == ord("a") else "a"
        elif name == "IN":
            said += _member(argument)
        elif name == "BRANCH":
            said += _example(argument[1][0])
        elif name == "SUBPATTERN":
            said += _example(argument[3])
        elif name in ("MAX_REPEAT", "MIN_REPEAT"):
            said += _example(argument[2]) * argument[0]
    return said


def _member(items: list[tuple[Any, Any]]) -> str:
    """A character of a class."""
    kinds = {"DIGIT": r"\d", "SPACE": r"\s", "WORD": r"\w"}
    wanted = not any(str(operation) == "NEGATE" for operation, _ in items)
    letters = [chr(a) for o, a in items if str(o) == "LITERAL"] + [chr(a[0]) for o, a in items if str(o) == "RANGE"]
    for candidate in (*_CANDIDATES, *letters):
        fits = candidate in letters
        for operation, argument in items:
            if str(operation) == "RANGE":
                fits |= argument[0] <= ord(candidate) <= argument[1]
            elif str(operation) == "CATEGORY":
                kind = str(argument).removeprefix("CATEGORY_")
                fits |= bool(re.match(kinds[kind.removeprefix("NOT_")], candidate)) != kind.startswith("NOT_")
        if fits == wanted:
            return candidate
    return "\x01"
