"""Which statement gave a name its value: bindings, and those of them that reach a use."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Union

from ..model import Span
from .source import COMPREHENSIONS, FUNCTIONS, SourceFile, Sources

Step = Union[int, str]
"""One step of unpacking: the number of the element (from the end when negative), `*` for a starred rest."""

BindingKind = Literal["assignment", "augmented", "loop", "with", "import", "definition", "other"]


@dataclass(frozen=True, slots=True)
class Binding:
    """A place where a name (`x`, `self.x`, `cfg["k"]`) gets a value: `path` leads to its part of `value` when that is unpacked."""

    name: str
    kind: BindingKind
    target: ast.AST
    statement: ast.AST
    value: ast.AST | None = None
    path: tuple[Step, ...] = ()


def dotted(node: ast.AST) -> str | None:
    """`a.b["k"].c` as one text, for chains of names, attributes and constant keys; None for all else."""
    parts: list[str] = []
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Attribute):
            parts.append(f".{node.attr}")
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            parts.append(f"[{node.slice.value!r}]")
        else:
            return None
        node = node.value
    return node.id + "".join(reversed(parts))


def _targets(target: ast.AST, path: tuple[Step, ...] = ()) -> Iterator[tuple[ast.AST, tuple[Step, ...]]]:
    if isinstance(target, ast.Starred):
        yield from _targets(target.value, (*path[:-1], "*"))
    elif isinstance(target, (ast.Tuple, ast.List)):
        starred = next((i for i, t in enumerate(target.elts) if isinstance(t, ast.Starred)), len(target.elts))
        for i, element in enumerate(target.elts):
            yield from _targets(element, (*path, i if i <= starred else i - len(target.elts)))
    else:
        yield target, path


def _bound(node: ast.AST) -> Iterator[Binding]:
    pairs: list[tuple[ast.AST, ast.AST | None, BindingKind]] = []
    if isinstance(node, ast.Assign):
        pairs = [(target, node.value, "assignment") for target in node.targets]
    elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)) and node.value is not None:
        pairs = [(node.target, node.value, "assignment")]
    elif isinstance(node, ast.AugAssign):
        pairs = [(node.target, node, "augmented")]
    elif isinstance(node, (ast.For, ast.AsyncFor, ast.comprehension)):
        pairs = [(node.target, node.iter, "loop")]
    elif isinstance(node, (ast.With, ast.AsyncWith)):
        pairs = [(item.optional_vars, item.context_expr, "with") for item in node.items if item.optional_vars]
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        for alias in node.names:
            yield Binding(alias.asname or alias.name.split(".")[0], "import", node, node)
    elif isinstance(node, (*FUNCTIONS, ast.ClassDef)):
        yield Binding(node.name, "definition", node, node)
    elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
        yield Binding(node.name, "other", node, node)
    for target, value, kind in pairs:
        for part, path in _targets(target):
            name = dotted(part)
            if name:
                yield Binding(name, kind, part, node, value, path)


def scope_of(source: SourceFile, node: ast.AST) -> ast.AST | None:
    """The function, lambda, class, comprehension or module in which the node's names are looked up first."""
    return source.scope(node)


def _within(source: SourceFile, node: ast.AST, outer: ast.AST) -> bool:
    return source.lies_within(node, outer)


@lru_cache(maxsize=4096)
def bindings(source: SourceFile) -> dict[ast.AST, tuple[Binding, ...]]:
    """All bindings of a file by the scope that they belong to, in the order of the text."""
    found: dict[ast.AST, list[Binding]] = {}
    shared = {(scope_of(source, n), name) for n in source.nodes if isinstance(n, ast.Global) for name in n.names}
    for node in source.nodes:
        for binding in _bound(node):
            scope = scope_of(source, node)
            while isinstance(node, ast.NamedExpr) and isinstance(scope, COMPREHENSIONS):
                scope = scope_of(source, scope)
            if (scope, binding.name) in shared:
                scope = source.tree
            if scope is not None:
                found.setdefault(scope, []).append(binding)
    return {scope: tuple(sorted(all_, key=lambda b: _start(source, b.target))) for scope, all_ in found.items()}


@lru_cache(maxsize=4096)
def _bindings_of(source: SourceFile) -> dict[tuple[ast.AST, str], list[Binding]]:
    """The bindings of a file by scope and name."""
    found: dict[tuple[ast.AST, str], list[Binding]] = {}
    for scope, all_ in bindings(source).items():
        for binding in all_:
            found.setdefault((scope, binding.name), []).append(binding)
    return found


@lru_cache(maxsize=1 << 15)
def _start(source: SourceFile, node: ast.AST) -> tuple[int, int]:
    span = source.span(node)
    return span.line, span.column


@lru_cache(maxsize=1 << 15)
def _branches(source: SourceFile, node: ast.AST) -> frozenset[tuple[ast.AST, str]]:
    """The branches of `if`, `except` and `match` that must be taken to come to the node."""
    found: set[tuple[ast.AST, str]] = set()
    inner = node
    for outer in source.ancestors(node):
        if isinstance(outer, ast.If) and inner is not outer.test and not _is_main_guard(outer.test):
            found.add((outer, "body" if inner in outer.body else "orelse"))
        elif isinstance(outer, (ast.ExceptHandler, ast.match_case)):
            found.add((outer, "body"))
        if isinstance(outer, (*FUNCTIONS, ast.Lambda, ast.ClassDef)):
            break
        inner = outer
    return frozenset(found)


def _is_main_guard(test: ast.AST) -> bool:
    return isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__"


def _leaves(branch: tuple[ast.AST, str]) -> bool:
    block = getattr(branch[0], branch[1])
    return bool(block) and isinstance(block[-1], (ast.Return, ast.Raise, ast.Continue, ast.Break))


def reaching(source: SourceFile, name: str, use: ast.AST, scope: ast.AST) -> tuple[tuple[Binding, ...], bool]:
    """The bindings of a name in a scope that may have given the value used at `use`, the last first; and whether it may also have come from
    before all of them (a parameter, an outer scope)."""
    every = _bindings_of(source).get((scope, name), [])
    if isinstance(scope, COMPREHENSIONS):
        return tuple(every), not every
    if scope_of(source, use) is not scope and not any(isinstance(at, COMPREHENSIONS) for at in source.ancestors(use)):
        before, branches = every, frozenset[tuple[ast.AST, str]]()  # seen from a function inside: all of the scope has run
    else:
        start, branches = _start(source, use), _branches(source, use)
        before = [b for b in every if _start(source, b.target) <= start and not (b.value is not None and _within(source, use, b.value))]
    found: list[Binding] = []
    other_ways = {(node, "orelse" if field == "body" else "body") for node, field in branches if isinstance(node, ast.If)}
    for binding in reversed(before):
        needed = _branches(source, binding.target) - branches
        if needed & other_ways or any(_leaves(branch) for branch in needed):
            continue
        found.append(binding)
        if not needed:
            return tuple(found), False
    if not found and len(every) == 1 and scope_of(source, use) is scope and not _within(source, use, every[0].statement):
        return tuple(every), False  # bound further down, in the round of a loop before
    return tuple(found), True


def assignments(sources: Sources, name: str, file: str, line: int | None = None) -> tuple[Span, ...]:
    """Every statement that binds a name in the function around `line`; at the top level of the file without a line."""
    source = sources.file(file)
    if source is None or source.tree is None:
        return ()
    scope = sources.function_at(file, line) if line else None
    found = [b for b in bindings(source).get(scope or source.tree, ()) if b.name == name]
    return tuple(source.span(b.statement) for b in found)


def producer_of(sources: Sources, name: str, file: str, line: int, column: int | None = None) -> Span | None:
    """The statement (a loop's or a `with`'s header line) that last gave `name` its value above `line` in the same function.

    None where the name comes from outside of the function. Of several branches the last in the text.
    """
    source, binding = sources.file(file), _binding_of(sources, name, file, line, column)
    return _header(source, binding) if source is not None and binding is not None else None


def value_of(sources: Sources, name: str, file: str, line: int) -> Span | None:
    """The expression behind that statement: the right side of the assignment, or what the loop runs over (without `enumerate` and the like)."""
    source, binding = sources.file(file), _binding_of(sources, name, file, line, None)
    node = binding.value if binding is not None else None
    if source is None or binding is None or node is None:
        return None
    while binding.kind == "loop" and isinstance(node, ast.Call) and (dotted(node.func) or "").rpartition(".")[2] in _WRAPPERS and node.args:
        node = node.args[0]
    return source.span(node)


_WRAPPERS = ("enumerate", "tqdm", "trange", "islice", "iter", "track", "list", "tuple", "cycle")


def _binding_of(sources: Sources, name: str, file: str, line: int, column: int | None) -> Binding | None:
    source, statement = sources.file(file), sources.statement_at(file, line)
    if source is None or statement is None:
        return None
    use: ast.AST = statement
    for node in ast.walk(statement):
        if isinstance(node, ast.expr) and dotted(node) == name and isinstance(getattr(node, "ctx", None), ast.Load) and node.lineno == line:
            use = node if column is None or source.position(node)[1] <= column else use
    scope = scope_of(source, use)
    while isinstance(scope, (*COMPREHENSIONS, ast.Lambda)):
        if reaching(source, name, use, scope)[0]:
            break
        scope = scope_of(source, scope)
    found = reaching(source, name, use, scope)[0] if scope else ()
    return found[0] if found else None


def _header(source: SourceFile, binding: Binding) -> Span:
    if not isinstance(binding.statement, (ast.For, ast.AsyncFor, ast.With, ast.AsyncWith, ast.comprehension)) or binding.value is None:
        return source.span(binding.statement)
    target, value = source.span(binding.target), source.span(binding.value)
    first, last = sorted((target, value), key=lambda s: (s.line, s.column))
    return Span(source.file, first.line, first.column, last.end_line, last.end_column, first.function)


def definition(sources: Sources, name: str, file: str, line: int | None = None) -> Span | None:
    """Where a name seen at a line gets its value: in the function around, at the top of the file, or in the file it is imported from."""
    source = sources.file(file)
    if source is None or source.tree is None:
        return None
    use: ast.AST = (sources.statement_at(file, line) if line else None) or source.tree
    found = producer_of(sources, name, file, line) if line else None
    scope: ast.AST | None = source.tree if found is None else None
    binding = next(iter(reaching(source, name, use, scope)[0]), None) if scope else None
    if found is not None:
        binding = next((b for all_ in bindings(source).values() for b in all_ if b.name == name and _header(source, b) == found), None)
    if binding is not None and binding.kind == "import":
        found_there = imported(sources, source, binding)
        if len(found_there) == 1:
            return found_there[0].source.span(found_there[0].node)
    return _header(source, binding) if binding else None


# ── other files ───────────────────────────────────────────────────────────────────────────────────────────────────────
def module_file(sources: Sources, source: SourceFile, module: str, level: int = 0) -> SourceFile | None:
    """The program's file for a module named in an import statement of `source`; None where not exactly one fits."""
    tail = module.replace(".", "/")
    folder = source.file.replace("\\", "/").split("/")[:-level] if level else []
    base = "/".join([*folder, tail]).strip("/") if level else tail
    if not base:
        return None
    names = (f"{base}.py", f"{base}/__init__.py")
    fitting = [file for name in names for file in sources.modules.get(name, ())]
    found = [file for file in fitting if file.replace("\\", "/") in names] or fitting
    return sources.file(found[0]) if len(found) == 1 else None


@dataclass(frozen=True, slots=True)
class Found:
    """What a name of another file stands for: the file itself (its module node), or a binding in it."""

    source: SourceFile
    node: ast.AST
    binding: Binding | None = None


def imported(sources: Sources, source: SourceFile, binding: Binding, depth: int = 8) -> tuple[Found, ...]:
    """What an import statement binds to a name; several where branches give it several values; none outside of the program."""
    node = binding.statement
    if isinstance(node, ast.Import):
        alias = next(a for a in node.names if (a.asname or a.name.split(".")[0]) == binding.name)
        file = module_file(sources, source, alias.name if alias.asname else alias.name.split(".")[0])
        return (Found(file, file.tree),) if file and file.tree else ()
    if not isinstance(node, ast.ImportFrom) or depth == 0:
        return ()
    name = next((a.name for a in node.names if (a.asname or a.name) == binding.name), "")
    file = module_file(sources, source, node.module or "", node.level)
    found = exported(sources, file, name, depth - 1) if file else ()
    submodule = None if found else module_file(sources, source, ".".join(p for p in (node.module, name) if p), node.level)
    return (Found(submodule, submodule.tree),) if submodule and submodule.tree else found


def exported(sources: Sources, file: SourceFile, name: str, depth: int = 8) -> tuple[Found, ...]:
    """What a name at the top level of a file stands for, through the file's own imports (`from x import *` too)."""
    if file.tree is None or depth == 0:
        return ()
    found: list[Found] = []
    for binding in reaching(file, name, file.tree, file.tree)[0]:
        found += imported(sources, file, binding, depth - 1) if binding.kind == "import" else [Found(file, binding.statement, binding)]
    for star in () if found else bindings(file).get(file.tree, ()):
        if star.name == "*" and isinstance(star.statement, ast.ImportFrom):
            other = module_file(sources, file, star.statement.module or "", star.statement.level)
            found += exported(sources, other, name, depth - 1) if other else ()
    return tuple(found)
