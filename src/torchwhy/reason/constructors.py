"""How a module's constructor is written: whether `nn.Module` is set up, when, and what becomes of the layers that it makes."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Literal

from ..model import Confidence, Fix, Frame, ModuleFacts, Span
from .edits import Edits, delete_statement, insert_before, replace_text
from .holdings import lineage, method_of
from .loaders import class_named
from .members import constructor_of, header
from .reading import Reading
from .source import Function, SourceFile, Sources
from .structure import misspelled
from .told import Told
from .wording import code, place

State = Literal["missing", "late", "uncalled", "unbound", "fine"]


@dataclass(frozen=True, slots=True)
class SetUp:
    """The call that sets `nn.Module` up: missing · after the first layer · written without `()` · `super(Net).__init__()` · fine."""

    state: State
    source: SourceFile
    init: Function
    call: Span | None = None


def failing_class(run: Reading, name: str = "") -> tuple[SourceFile, ast.ClassDef] | None:
    """The program's class that failed: around the innermost `__init__` of the traceback, else by its name."""
    frame = init_frame(run)
    source = run.sources.file(frame.span.file) if frame is not None else None
    cls = run.sources.class_at(frame.span.file, frame.span.line) if frame is not None else None
    if source is not None and cls is not None and (not name or cls.name == name):
        return source, cls
    found = [(f, n) for f in run.sources.files() for n in f.nodes if isinstance(n, ast.ClassDef) and n.name == name]
    return found[0] if len(found) == 1 else None


def init_frame(run: Reading) -> Frame | None:
    """The innermost frame of the program in a constructor."""
    named = [f for f in run.failure.user_frames if f.span.function.rpartition(".")[2] == "__init__"]
    return named[-1] if named else None


def set_up(run: Reading, source: SourceFile, cls: ast.ClassDef) -> SetUp | None:
    """How the nearest constructor of the class calls its parent's."""
    for where, at in lineage(run.sources, source, cls):
        init = method_of(at, "__init__")
        if init is not None:
            return _set_up(where, init)
    return None


def _set_up(source: SourceFile, init: Function) -> SetUp:
    calls = [n for n in ast.walk(init) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and n.func.attr == "__init__"]
    bare = [
        n
        for n in ast.walk(init)
        if isinstance(n, ast.Attribute) and n.attr == "__init__" and not isinstance(source.parents.get(n), ast.Call)
    ]
    if bare and not calls:
        return SetUp("uncalled", source, init, source.span(bare[0]))
    if not calls:
        return SetUp("missing", source, init)
    call, owner = calls[0], calls[0].func.value if isinstance(calls[0].func, ast.Attribute) else None
    if isinstance(owner, ast.Call) and len(owner.args) == 1:
        return SetUp("unbound", source, init, source.span(call))
    first = next((n.lineno for n in init.body if _assigns_to_self(n, init)), None)
    late = first is not None and call.lineno > first
    return SetUp("late" if late else "fine", source, init, source.span(call))


def _assigns_to_self(node: ast.stmt, init: Function) -> bool:
    me = init.args.args[0].arg if init.args.args else "self"
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return any(isinstance(t, ast.Attribute) and isinstance(t.value, ast.Name) and t.value.id == me for t in targets)


def set_up_first(sources: Sources, found: SetUp) -> Edits:
    """`super().__init__()` as the constructor's first statement."""
    body = [n for n in found.init.body if not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))]
    if found.state in ("uncalled", "unbound") and found.call is not None:
        return replace_text(found.call, "super().__init__()")
    text = sources.segment(found.call) if found.call is not None else "super().__init__()"
    moved = delete_statement(sources, found.call) if found.state == "late" and found.call is not None else ()
    return (*insert_before(sources, found.source.file, body[0].lineno, text), *moved) if body else ()


@dataclass(frozen=True, slots=True)
class Misnamed:
    """A method whose name nearly is one that Python or torch calls."""

    span: Span
    name: str
    meant: str


def misnamed(run: Reading, source: SourceFile, cls: ast.ClassDef, meant: str) -> Misnamed | None:
    """`_init_` for `__init__`, `foward` for `forward`: in the class or its parents."""
    for where, at in lineage(run.sources, source, cls):
        for span, name, wanted in misspelled(run.sources, where.file, at, (meant,)):
            return Misnamed(span, name, wanted)
    return None


def calls_misnamed(run: Reading, cls: ast.ClassDef, source: SourceFile, name: str) -> tuple[Span, ...]:
    """The names of calls to `super()._init_(…)` inside of the class."""
    found = []
    for node in ast.walk(cls):
        if isinstance(node, ast.Attribute) and node.attr == name and isinstance(node.value, ast.Call):
            span = source.span(node)
            found.append(Span(span.file, span.end_line, span.end_column - len(name), span.end_line, span.end_column, span.function))
    return tuple(found)


def only_local(run: Reading, module: ModuleFacts) -> list[tuple[str, Span]]:
    """Layers that the constructor binds to plain variables (`fc = nn.Linear(3, 2)`) and never reads again: the name and its place."""
    found = constructor_of(run, module)
    if found is None:
        return []
    source, init = found
    read = {n.id for n in ast.walk(init) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    local = []
    for node in ast.walk(init):
        target = node.targets[0] if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and _is_layer(node.value) else None
        if isinstance(target, ast.Name) and target.id not in read:
            local.append((target.id, source.span(target)))
    return local


def _is_layer(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""
    return name[:1].isupper()


def generated(run: Reading) -> Told | None:
    """A dataclass: its `__init__`, which nobody wrote, sets the fields at once."""
    frame = next((f for f in reversed(run.failure.frames) if f.span.file == "<string>"), None)
    kind = getattr(frame.local("self"), "kind", "") if frame is not None else ""
    names = [kind] if kind else sorted({m.kind for m in run.evidence.modules})
    classes = [found for name in names if (found := class_named(run, name)) is not None]
    written = [(s, c, d) for s, c in classes for d in c.decorator_list if "dataclass" in s.segment(d)]
    if len(written) != 1:
        return None
    source, cls, decorator = written[0]
    after = method_of(cls, "__post_init__")
    late = after is not None and "super().__init__()" in source.segment(after)
    notes = [
        f"`@dataclass` writes an `__init__` that assigns the fields of {code(cls.name)}; `nn.Module.__init__` has not run by then",
        f"the `super().__init__()` in `__post_init__` ({place(header(source, after.lineno, '__post_init__'))}) comes after that"
        if after is not None and late
        else "",
    ]
    return Told(
        f"the dataclass {code(cls.name)} sets its fields before `super().__init__()`",
        source.span(decorator),
        "writes the constructor",
        notes=tuple(notes),
        fixes=(Fix("write `__init__` by hand, with `super().__init__()` first, in the place of `@dataclass`"),),
        confidence=Confidence.CERTAIN,
    )
