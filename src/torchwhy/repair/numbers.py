"""The whole numbers that may take part in a conflict: those on the lines of the diagnosis, and where the names there are defined."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from ..model import Diagnosis, Edit, Failure
from ..reason.source import SourceFile, Sources
from .writing import is_outside

_DEPTH = 2


@dataclass(frozen=True)
class Number:
    """A whole number in the program, what it is called, and how many definitions lie between it and the lines of the diagnosis."""

    source: SourceFile
    node: ast.Constant
    name: str
    depth: int

    @property
    def value(self) -> int:
        assert isinstance(self.node.value, int)
        return self.node.value

    @property
    def call(self) -> str:
        """The function that the number is given to; empty where it stands in none."""
        call = next((a for a in self.source.ancestors(self.node) if isinstance(a, (ast.Call, ast.stmt))), None)
        if not isinstance(call, ast.Call):
            return ""
        return call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""

    def becomes(self, value: int) -> tuple[Edit, ...]:
        return (Edit(self.source.span(self.node), str(value)),)

    def title(self, value: int) -> str:
        what = f"set `{self.name}` to {value}" if self.name else f"write {value} instead of {self.value}"
        return f"{what} at {self.place}"

    @property
    def place(self) -> str:
        return f"{self.source.file}:{self.node.lineno}"


def numbers(diagnosis: Diagnosis, failure: Failure, sources: Sources) -> Iterator[Number]:
    """Those on the lines of the diagnosis, then those that define the names there, two steps far."""
    spans = [diagnosis.cause.span, *(label.span for label in reversed(diagnosis.trail)), *(f.span for f in reversed(failure.user_frames))]
    lines = list(dict.fromkeys((span.file, line) for span in spans if not is_outside(span.file) for line in span.lines))
    seen: set[ast.AST] = set()
    waiting = [(source, node) for file, line in lines if (source := sources.file(file)) for node in _on_line(source, line)]
    for depth in range(_DEPTH + 1):
        names: set[str] = set()
        for source, node in waiting:
            for part in ast.walk(node):
                if part in seen:
                    continue
                seen.add(part)
                if isinstance(part, ast.Constant) and type(part.value) is int:
                    yield Number(source, part, _name_of(source, part), depth)
                elif isinstance(part, (ast.Name, ast.Attribute)):
                    names.add(part.id if isinstance(part, ast.Name) else part.attr)
        own = [file for file, _ in sources.evidence.sources if not is_outside(file)]
        files = [source for file in own if (source := sources.file(file)) is not None]
        waiting = [(source, value) for source in files for name, value in _definitions(source) if name in names and value not in seen]


def _on_line(source: SourceFile, line: int) -> Iterator[ast.AST]:
    """The outermost expressions of the simple statements that the line is part of."""
    for node in source.nodes:
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or node.lineno):
            yield from (child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr))


def _definitions(source: SourceFile) -> Iterator[tuple[str, ast.expr]]:
    """Names and the expressions that they are given: by assignment, as a default, by keyword, in a dict, as an option."""
    for node in source.nodes:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    yield target.id, node.value
                elif isinstance(target, ast.Attribute):
                    yield target.attr, node.value
        elif isinstance(node, ast.arguments):
            positional = [*node.posonlyargs, *node.args]
            yield from ((a.arg, d) for a, d in zip(positional[len(positional) - len(node.defaults) :], node.defaults))
            yield from ((a.arg, d) for a, d in zip(node.kwonlyargs, node.kw_defaults) if d is not None)
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.arg, node.value
        elif isinstance(node, ast.Dict):
            yield from ((k.value, v) for k, v in zip(node.keys, node.values) if isinstance(k, ast.Constant) and isinstance(k.value, str))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument":
            default = next((k.value for k in node.keywords if k.arg == "default"), None)
            options = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            yield from ((o.lstrip("-").replace("-", "_"), default) for o in options if default is not None)


def _name_of(source: SourceFile, node: ast.Constant) -> str:
    """What the number is called where it stands: a keyword, a variable, a key; empty where it is one of several."""
    parent = source.parents.get(node)
    if isinstance(parent, ast.keyword):
        return parent.arg or ""
    return next((name for name, value in _definitions(source) if value is node), "")
