"""Where the program puts something into an attribute, a list or a dictionary; and the class that a module is of."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from ..model import ModuleFacts, Span
from .source import FUNCTIONS, SourceFile, Sources

_PUTS = ("append", "extend", "insert", "add", "appendleft")
_REGISTERS = ("setattr", "register_buffer", "register_parameter", "register_module", "add_module")


@dataclass(frozen=True, slots=True)
class Stored:
    """One statement that stores a value under a name: `self.maps = x`, `self.maps.append(x)`, `best["loss"] = x`, `{"loss": x}`."""

    source: SourceFile
    value: ast.expr
    statement: ast.stmt

    @property
    def span(self) -> Span:
        """The value's place."""
        return self.source.span(self.value)

    @property
    def function(self) -> str:
        function = self.source.function(self.statement)
        return function.name if function is not None else ""

    @property
    def is_empty(self) -> bool:
        """Whether it only makes room: None, a number, an empty list."""
        value = self.value
        if isinstance(value, (ast.List, ast.Tuple, ast.Set)):
            return not value.elts
        if isinstance(value, ast.Dict):
            return not value.keys
        if isinstance(value, ast.Call):
            return not value.args and not value.keywords and isinstance(value.func, ast.Name) and value.func.id in ("list", "dict", "set")
        return isinstance(value, ast.Constant)


def class_of(sources: Sources, module: ModuleFacts) -> tuple[SourceFile, ast.ClassDef] | None:
    """The class statement of a module whose class the program defines."""
    source = sources.file(module.defined.file) if module.defined is not None else None
    cls = sources.class_at(module.defined.file, module.defined.line) if module.defined is not None else None
    return (source, cls) if source is not None and cls is not None else None


def lineage(sources: Sources, source: SourceFile, cls: ast.ClassDef) -> Iterator[tuple[SourceFile, ast.ClassDef]]:
    """The class and those of the program that it derives from, found by name."""
    waiting, seen = [(source, cls)], set[ast.ClassDef]()
    while waiting:
        where, at = waiting.pop(0)
        if at in seen:
            continue
        seen.add(at)
        yield where, at
        for base in at.bases:
            name = base.id if isinstance(base, ast.Name) else base.attr if isinstance(base, ast.Attribute) else ""
            waiting += [(f, n) for f in sources.files() for n in f.nodes if isinstance(n, ast.ClassDef) and n.name == name]


def stores(source: SourceFile, name: str, within: ast.AST | None = None) -> list[Stored]:
    """What the text stores under an attribute or a constant key of this name, in the order of the text."""
    found = (
        [s for node in ast.walk(within) for s in _stored(source, node, name)]
        if within is not None
        else [s for node in source.nodes for s in _stored(source, node, name)]
    )
    return sorted(found, key=lambda s: (s.span.line, s.span.column))


def stores_of(sources: Sources, module: ModuleFacts, attribute: str) -> list[Stored]:
    """What the module's own class (and its parents in the program) stores in an attribute; those outside of `__init__` first."""
    own = class_of(sources, module)
    found = [s for f, cls in lineage(sources, *own) for s in stores(f, attribute, cls)] if own is not None else []
    return sorted(found, key=lambda s: s.function == "__init__")


def stored_anywhere(sources: Sources, name: str) -> list[Stored]:
    """The same in all files of the program."""
    return [s for source in sources.files() for s in stores(source, name)]


def _stored(source: SourceFile, node: ast.AST, name: str) -> Iterator[Stored]:
    pairs: list[tuple[ast.expr, ast.expr]] = []
    if isinstance(node, ast.Assign):
        pairs = [pair for target in node.targets for pair in _paired(target, node.value)]
    elif isinstance(node, (ast.AnnAssign, ast.AugAssign)) and node.value is not None:
        pairs = [(node.target, node.value)]
    elif isinstance(node, ast.Call):
        pairs = _put(node, name)
    elif isinstance(node, ast.Dict):
        pairs = [(value, value) for key, value in zip(node.keys, node.values) if isinstance(key, ast.Constant) and key.value == name]
    for target, value in pairs:
        if target is value or _is_named(target, name):
            statement = source.statement(node)
            if statement is not None:
                yield Stored(source, value, statement)


def _paired(target: ast.expr, value: ast.expr) -> list[tuple[ast.expr, ast.expr]]:
    if not isinstance(target, (ast.Tuple, ast.List)):
        return [(target, value)]
    if isinstance(value, (ast.Tuple, ast.List)) and len(value.elts) == len(target.elts):
        return list(zip(target.elts, value.elts))
    return [(one, value) for one in target.elts]


def _put(call: ast.Call, name: str) -> list[tuple[ast.expr, ast.expr]]:
    if isinstance(call.func, ast.Attribute) and call.func.attr in _PUTS and call.args and _is_named(call.func.value, name):
        return [(call.func.value, call.args[-1])]
    called = call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""
    if called in _REGISTERS and len(call.args) > 1:
        key, value = call.args[-2], call.args[-1]
        return [(value, value)] if isinstance(key, ast.Constant) and key.value == name else []
    if called == "dict":
        return [(k.value, k.value) for k in call.keywords if k.arg == name]
    return []


def _is_named(target: ast.expr, name: str) -> bool:
    """Whether the target is the attribute or entry of this name, or an entry of it."""
    if isinstance(target, ast.Subscript):
        return isinstance(target.slice, ast.Constant) and target.slice.value == name or _is_named(target.value, name)
    return isinstance(target, ast.Attribute) and target.attr == name


def method_of(cls: ast.ClassDef, name: str) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """The method of this name that the class itself defines."""
    return next((n for n in cls.body if isinstance(n, FUNCTIONS) and n.name == name), None)
