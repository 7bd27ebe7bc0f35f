"""Questions to the program's own text: which expression lies at a span, what it is made of, which statement holds it.

Nothing here runs the program's code or raises on any text: a file that does not parse, or that is not there, answers None.
"""

from __future__ import annotations

import ast
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, TypeVar, Union

from ..model import Evidence, Span

Function = Union[ast.FunctionDef, ast.AsyncFunctionDef]
Memory = TypeVar("Memory")
Position = tuple[int, int, int, int]

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_INSTALLED = ("site-packages/", "dist-packages/", "/lib/python")
UNREADABLE = (SyntaxError, ValueError, TypeError, MemoryError, RecursionError)
"""What `ast` raises on text that it cannot take (nesting too deep and lone surrogates among it)."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A piece of the user's text; `keyword` where it is a keyword argument, `*` or `**` where it is unpacked."""

    span: Span
    text: str
    keyword: str | None = None


def split_lines(text: str) -> list[str]:
    """Lines with their ends, split where Python's own tokenizer splits (`str.splitlines` knows more ends)."""
    return [line for line in re.split(r"(?<=\n)|(?<=\r)(?!\n)", text) if line]


class SourceFile:
    """One file, parsed; `tree` is None where it does not parse."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text.removeprefix("\ufeff")
        self.lines = split_lines(self.text)
        self._wide: dict[int, tuple[list[int], list[int]]] = {}
        self._around: dict[Span, ast.AST | None] = {}
        self.tree: ast.Module | None = None
        try:
            self.tree = ast.parse(self.text)
        except UNREADABLE:
            pass

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Every node, outer before inner."""
        return tuple(ast.walk(self.tree)) if self.tree else ()

    @cached_property
    def uses(self) -> Counter[tuple[str, str]]:
        """On how many lines of the file each name is read, as a `name`, an `attribute` or a `key`."""
        found: set[tuple[str, str, int]] = set()
        for node in self.nodes:
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                found.add(("name", node.id, node.lineno))
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                found.add(("attribute", node.attr, node.lineno))
            elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
                found.add(("key", node.slice.value, node.lineno))
        return Counter((kind, name) for kind, name, _ in found)

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        # `Load` and the operators are shared objects: no parent is right for them, and nobody asks.
        return {child: node for node in self.nodes for child in ast.iter_child_nodes(node)}

    @cached_property
    def _homes(self) -> dict[ast.AST, tuple[Function | None, ast.AST | None]]:
        """Of each node the function that runs it, and the scope in which its names are looked up first."""
        found: dict[ast.AST, tuple[Function | None, ast.AST | None]] = {}
        waiting: list[tuple[ast.AST, Function | None, ast.AST | None]] = [(self.tree, None, None)] if self.tree else []
        while waiting:
            node, function, scope = waiting.pop()
            found[node] = (function, scope)
            body = set(node.body) if isinstance(node, (*FUNCTIONS, ast.ClassDef)) else ()
            for child in ast.iter_child_nodes(node):
                if child in body:
                    waiting.append((child, node if isinstance(node, FUNCTIONS) else None, node))
                elif isinstance(node, (ast.Module, *COMPREHENSIONS)) or isinstance(node, ast.Lambda) and child is node.body:
                    waiting.append((child, function, node))
                elif isinstance(node, ast.comprehension) and child is node.iter and self._is_first(node):
                    waiting.append((child, function, found[self.parents[node]][1]))  # the first iterable is looked up outside
                else:
                    waiting.append((child, function, scope))
        return found

    def _is_first(self, loop: ast.comprehension) -> bool:
        return self.parents[loop].generators[0] is loop  # type: ignore[attr-defined]

    @cached_property
    def _extents(self) -> dict[ast.AST, tuple[int, int]]:
        """The number of each node, outer before inner and left before right, and that of the last node within it."""
        order: list[ast.AST] = []
        waiting: list[ast.AST] = [self.tree] if self.tree else []
        while waiting:
            node = waiting.pop()
            order.append(node)
            waiting += reversed(list(ast.iter_child_nodes(node)))
        found: dict[ast.AST, tuple[int, int]] = {}
        for number in range(len(order) - 1, -1, -1):
            node = order[number]
            last = max((found[child][1] for child in ast.iter_child_nodes(node)), default=number)
            found[node] = (number, max(number, last))
        return found

    def lies_within(self, node: ast.AST, outer: ast.AST) -> bool:
        """Whether a node is the other, or a part of it."""
        first, last = self._extents[outer]
        return first <= self._extents[node][0] <= last

    @cached_property
    def named(self) -> dict[str, list[ast.AST]]:
        """The names and attributes of the text, by what they say."""
        found: dict[str, list[ast.AST]] = {}
        for node in self.nodes:
            said = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else None
            if said is not None:
                found.setdefault(said, []).append(node)
        return found

    @cached_property
    def statements(self) -> tuple[ast.stmt, ...]:
        return tuple(node for node in self.nodes if isinstance(node, ast.stmt))

    @cached_property
    def imports(self) -> tuple[ast.Import | ast.ImportFrom, ...]:
        return tuple(node for node in self.statements if isinstance(node, (ast.Import, ast.ImportFrom)))

    @cached_property
    def imported(self) -> frozenset[str]:
        """The names that import statements bind, anywhere in the file."""
        return frozenset((a.asname or a.name).split(".")[0] for n in self.imports for a in n.names)

    @cached_property
    def _innermost(self) -> dict[int, ast.stmt]:
        """Of each line the innermost statement that has it."""
        found: dict[int, ast.stmt] = {}
        for node in self.statements:
            for line in range(first_line(node), (node.end_lineno or node.lineno) + 1):
                if line not in found or (node.lineno, node.col_offset) > (found[line].lineno, found[line].col_offset):
                    found[line] = node
        return found

    def innermost(self, line: int) -> ast.stmt | None:
        """The innermost statement that has the line."""
        return self._innermost.get(line)

    @cached_property
    def _calls_of(self) -> dict[int, list[ast.Call]]:
        found: dict[int, list[ast.Call]] = {}
        for node in self.nodes:
            if isinstance(node, ast.Call):
                found.setdefault(node.lineno, []).append(node)
        return found

    @cached_property
    def _at(self) -> dict[Position, ast.AST]:
        found: dict[Position, ast.AST] = {}
        for node in self.nodes:
            if not isinstance(node, (ast.expr, ast.stmt)):
                continue
            position = self.position(node)
            if position not in found or isinstance(found[position], ast.Expr):
                found[position] = node
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.lineno != node.func.end_lineno:
                # CPython places a method call that spans lines at the method's name
                end_line, end_column = self.position(node.func)[2:]
                found.setdefault((end_line, end_column - len(node.func.attr), *position[2:]), node)
        return found

    def column(self, line: int, offset: int) -> int:
        """The character at a UTF-8 offset."""
        text = self.lines[line - 1] if 0 < line <= len(self.lines) else ""
        if text.isascii():
            return offset
        if line not in self._wide:
            self._wide[line] = _wide_characters(text)
        ends, gained = self._wide[line]
        return offset - gained[bisect_left(ends, offset + 1)]

    def position(self, node: ast.expr | ast.stmt) -> Position:
        end_line, end_offset = node.end_lineno or node.lineno, node.end_col_offset or node.col_offset
        return node.lineno, self.column(node.lineno, node.col_offset), end_line, self.column(end_line, end_offset)

    def span(self, node: ast.AST) -> Span:
        """The node's place; of the nearest node around it that has one, for nodes without."""
        at: ast.AST | None = node
        while at is not None and not hasattr(at, "lineno"):
            at = self.parents.get(at)
        if at is None:
            return Span(self.file, 1)
        return Span(self.file, *self.position(at), function=self.function_name(node))  # type: ignore[arg-type]

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        """The nodes around, nearest first, without the node itself."""
        at = self.parents.get(node)
        while at is not None:
            yield at
            at = self.parents.get(at)

    def function(self, node: ast.AST) -> Function | None:
        """The function whose body runs the node (a function's defaults and decorators run outside of it)."""
        return self._homes.get(node, (None, None))[0]

    def scope(self, node: ast.AST) -> ast.AST | None:
        """The function, lambda, class, comprehension or module in which the node's names are looked up first."""
        return self._homes.get(node, (None, None))[1]

    def function_name(self, node: ast.AST) -> str:
        function = self.function(node)
        return function.name if function else "<module>"

    def class_of(self, node: ast.AST) -> ast.ClassDef | None:
        """The nearest class around the node."""
        return next((outer for outer in self.ancestors(node) if isinstance(outer, ast.ClassDef)), None)

    def statement(self, node: ast.AST) -> ast.stmt | None:
        """The node itself, or the statement that it is part of."""
        return next((at for at in (node, *self.ancestors(node)) if isinstance(at, ast.stmt)), None)

    def exactly_at(self, span: Span) -> ast.AST | None:
        if span.end_line:
            return self._at.get((span.line, span.column, span.end_line, span.end_column))
        calls = self._calls_of.get(span.line, [])
        return calls[0] if len(calls) == 1 else None

    def around(self, span: Span) -> ast.AST | None:
        """The smallest expression or statement that holds the span."""
        if span in self._around:
            return self._around[span]
        start, end = (span.line, span.column), (span.end_line or span.line, span.end_column)
        best = None
        for node in self.nodes:
            if isinstance(node, (ast.expr, ast.stmt)) and node.lineno <= start[0] and end[0] <= (node.end_lineno or node.lineno):
                line, column, end_line, end_column = self.position(node)
                if (line, column) <= start and end <= (end_line, end_column):
                    best = node
        self._around[span] = best
        return best

    def cut(self, line: int, column: int, end_line: int, end_column: int) -> str:
        rows = self.lines[max(line - 1, 0) : end_line]
        if not rows:
            return ""
        rows[-1] = rows[-1][:end_column]
        rows[0] = rows[0][column:]
        return "".join(rows)

    def segment(self, node: ast.AST) -> str:
        return self.cut(*self.position(node)) if isinstance(node, (ast.expr, ast.stmt)) else ""

    def expression(self, node: ast.AST, keyword: str | None = None) -> Expression:
        return Expression(self.span(node), self.segment(node), keyword)


def _wide_characters(text: str) -> tuple[list[int], list[int]]:
    """Where each character of several bytes ends, in bytes; and how many bytes more than characters lie before each, and before the line's end."""
    ends, gained, at, more = [], [0], 0, 0
    for character in text:
        size = len(character.encode("utf-8", "replace"))
        at += size
        if size > 1:
            more += size - 1
            ends.append(at)
            gained.append(more)
    return ends, gained


@lru_cache(maxsize=4096)
def read(file: str, text: str) -> SourceFile:
    """The parsed file, kept so that many families may ask."""
    return SourceFile(file, text)


def is_installed(file: str) -> bool:
    """Whether the file belongs to an installed package or to Python."""
    return any(part in file.replace("\\", "/") for part in _INSTALLED)


class Sources:
    """All files of a program. Cheap to make: parses are shared."""

    def __init__(self, evidence: Evidence | Mapping[str, str]) -> None:
        self.evidence = evidence if isinstance(evidence, Evidence) else Evidence(sources=tuple(evidence.items()))
        self._memory: dict[type, Any] = {}

    def remember(self, kind: type[Memory]) -> Memory:
        """The one memory of this kind that all questions to these files share."""
        memory: Memory = self._memory.setdefault(kind, kind())
        return memory

    @cached_property
    def modules(self) -> dict[str, list[str]]:
        """The files by each end of their path that a folder's name does not cut: `b.py`, `a/b.py`."""
        found: dict[str, list[str]] = {}
        for name in dict.fromkeys(name for name, _ in self.evidence.sources):
            path = name.replace("\\", "/")
            while path:
                found.setdefault(path, []).append(name)
                path = path.partition("/")[2]
        return found

    @cached_property
    def _texts(self) -> dict[str, str]:
        return dict(reversed(self.evidence.sources))

    def file(self, name: str) -> SourceFile | None:
        text = self._texts.get(name)
        return None if text is None else read(name, text)

    def uses(self, name: str, *kinds: str) -> int:
        """On how many lines the program reads a name, as any of these kinds: `name`, `attribute`, `key`."""
        return sum(source.uses[kind, name] for source in self.files() for kind in kinds)

    def files(self) -> Iterator[SourceFile]:
        """The files of the program itself: not torch's, another package's or Python's own."""
        return (read(name, text) for name, text in self.evidence.sources if not is_installed(name))

    def every_file(self) -> Iterator[SourceFile]:
        return (read(name, text) for name, text in self.evidence.sources)

    def line_text(self, file: str, line: int) -> str:
        """One line without its end; empty where there is none."""
        source = self.file(file)
        return source.lines[line - 1].rstrip("\r\n") if source and 0 < line <= len(source.lines) else ""

    def segment(self, span: Span) -> str:
        """The text of a span; the stripped line where the span has no end, a loop's header where it is the whole loop."""
        source = self.file(span.file)
        if source is None or not span.end_line:
            return self.line_text(span.file, span.line).strip()
        node = source.exactly_at(span)
        if isinstance(node, (ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith)):
            return source.cut(span.line, span.column, node.body[0].lineno, 0).strip().removesuffix(":")
        return source.cut(span.line, span.column, span.end_line, span.end_column)

    def span_of(self, file: str, node: ast.AST) -> Span:
        source = self.file(file)
        return source.span(node) if source else Span(file, getattr(node, "lineno", 1))

    def node_at(self, span: Span) -> ast.expr | ast.stmt | None:
        """The node with exactly this position: the expression rather than the statement made of it alone."""
        source = self.file(span.file)
        node = source.exactly_at(span) if source else None
        return node if isinstance(node, (ast.expr, ast.stmt)) else None

    def call_at(self, span: Span) -> ast.Call | None:
        """The call at the span, else the nearest one around it in the same statement."""
        source = self.file(span.file)
        if source is None:
            return None
        node = source.exactly_at(span)
        if node is None and span.end_line:
            node = source.around(span)
        while node is not None and not isinstance(node, (ast.Call, ast.stmt)):
            node = source.parents.get(node)
        if isinstance(node, ast.Expr) or (isinstance(node, (ast.Assign, ast.Return)) and source.exactly_at(span) is node):
            node = node.value  # a span that is the whole statement means the call that it is made of
        return node if isinstance(node, ast.Call) else None

    def statement_at(self, file: str, line: int) -> ast.stmt | None:
        """The innermost statement that has this line."""
        source = self.file(file)
        return source.innermost(line) if source else None

    def function_at(self, file: str, line: int) -> Function | None:
        """The innermost function whose body has this line."""
        source, statement = self.file(file), self.statement_at(file, line)
        return source.function(statement) if source and statement else None

    def class_at(self, file: str, line: int) -> ast.ClassDef | None:
        """The innermost class that has this line."""
        source, statement = self.file(file), self.statement_at(file, line)
        if source is None or statement is None or isinstance(statement, ast.ClassDef):
            return statement if isinstance(statement, ast.ClassDef) else None
        return source.class_of(statement)

    def assigned(self, statement: Span) -> Expression | None:
        """What an assignment at a span gives."""
        source, node = self.file(statement.file), self.node_at(statement)
        value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)) else None
        return source.expression(value) if source is not None and value is not None else None

    def arguments(self, call: Span) -> tuple[Expression, ...]:
        """The expressions passed by the call at a span, in the order of the text."""
        source, node = self.file(call.file), self.call_at(call)
        if source is None or node is None:
            return ()
        passed = [source.expression(a.value, "*") if isinstance(a, ast.Starred) else source.expression(a) for a in node.args] + [
            source.expression(k.value, k.arg or "**") for k in node.keywords
        ]
        return tuple(sorted(passed, key=lambda e: (e.span.line, e.span.column)))

    def listed_around(self, span: Span) -> tuple[Expression, ...]:
        """The elements of the list or tuple display, or the arguments of the call, from the expression at a span on."""
        source, node = self.file(span.file), self.node_at(span)
        parent = source.parents.get(node) if source is not None and node is not None else None
        elements = parent.elts if isinstance(parent, (ast.List, ast.Tuple)) else parent.args if isinstance(parent, ast.Call) else []
        if source is None or node not in elements or any(isinstance(e, ast.Starred) for e in elements):
            return ()
        return tuple(source.expression(e) for e in elements[elements.index(node) :])

    def operands(self, span: Span, op: str = "") -> tuple[Expression, ...]:
        """The user's expressions for what the operation at a span works on, in order; lists and tuples are taken apart.

        The receiver of a method call is the first, unless it is a module, `self`, or `op` names a call other than the method
        (`self.net.fc(x)` is no method of a tensor for the op `linear`).
        """
        source, node = self.file(span.file), self.node_at(span)
        if source is None or node is None:
            return ()
        if isinstance(node, (ast.Assign, ast.AnnAssign, ast.Return, ast.Expr)) and node.value is not None:
            node = node.value
        keywords = {k.value: k.arg for k in node.keywords} if isinstance(node, ast.Call) else {}
        return tuple(source.expression(n, keywords.get(n)) for n in _operands(source, node, op))


def first_line(node: ast.stmt) -> int:
    """The statement's first line, decorators included."""
    return min([d.lineno for d in getattr(node, "decorator_list", ())], default=node.lineno)


def _operands(source: SourceFile, node: ast.AST, op: str) -> list[ast.expr]:
    if isinstance(node, ast.BinOp):
        return [node.left, node.right]
    if isinstance(node, ast.AugAssign):
        return [node.target, node.value]
    if isinstance(node, ast.Compare):
        return [node.left, *node.comparators]
    if isinstance(node, ast.BoolOp):
        return list(node.values)
    if isinstance(node, ast.UnaryOp):
        return [node.operand]
    if isinstance(node, ast.Subscript):
        parent = source.parents.get(node)
        stored = [parent.value] if isinstance(parent, (ast.Assign, ast.AugAssign)) and isinstance(node.ctx, ast.Store) else []
        return [node.value, *_flat([node.slice]), *stored]
    if isinstance(node, (ast.Tuple, ast.List)) and isinstance(node.ctx, ast.Store):
        parent = source.parents.get(node)
        return [parent.value] if isinstance(parent, ast.Assign) else [parent.iter] if isinstance(parent, (ast.For, ast.AsyncFor)) else []
    if isinstance(node, ast.Attribute):
        return [node.value]
    if not isinstance(node, ast.Call):
        return []
    found: list[ast.expr] = []
    if isinstance(node.func, ast.Attribute) and _is_receiver(source, node.func, op):
        found.append(node.func.value)
    return found + _flat([*node.args, *(k.value for k in node.keywords)])


def _flat(nodes: list[ast.expr]) -> list[ast.expr]:
    found: list[ast.expr] = []
    for node in nodes:
        node = node.value if isinstance(node, ast.Starred) else node
        found += node.elts if isinstance(node, (ast.List, ast.Tuple)) and node.elts else [node]
    return found


def _is_receiver(source: SourceFile, method: ast.Attribute, op: str) -> bool:
    if op and method.attr.strip("_") != op.strip("_"):
        return False
    root = method.value
    if isinstance(root, ast.Name) and root.id in ("self", "cls"):
        return False
    if isinstance(root, ast.Call) and isinstance(root.func, ast.Name) and root.func.id == "super":
        return False
    while isinstance(root, ast.Attribute):
        root = root.value
    return not (isinstance(root, ast.Name) and root.id in source.imported)
