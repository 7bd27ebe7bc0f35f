"""What a module's tree holds: registered parameters and buffers, and what it keeps in plain attributes, of which torch knows nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..model import ModuleFacts, Plain, Span, TensorFacts
from .holdings import Stored, class_of, lineage, method_of, stores_of
from .reading import Cause, Reading
from .source import COMPREHENSIONS, FUNCTIONS, Function, SourceFile
from .structure import last_name


@dataclass(frozen=True, slots=True)
class Loose:
    """Something that `owner` keeps in a plain attribute: `name` is `heads[0]`, `attribute` is `heads`; a module or a tensor."""

    owner: ModuleFacts
    name: str
    module: ModuleFacts | None = None
    tensor: TensorFacts | None = None

    @property
    def attribute(self) -> str:
        return self.name.partition("[")[0]

    @property
    def in_container(self) -> bool:
        return "[" in self.name


def below(run: Reading, module: ModuleFacts) -> Iterator[ModuleFacts]:
    """The module and all that are registered below it."""
    waiting, seen = [module], set[int]()
    while waiting:
        at = waiting.pop(0)
        if at.id not in seen:
            seen.add(at.id)
            yield at
            waiting += [m for _, child in at.children if (m := run.history.module(child)) is not None]


def parameters_of(run: Reading, module: ModuleFacts) -> dict[str, TensorFacts]:
    """Registered parameters of the whole tree by their path from the module, as `named_parameters` gives them."""
    return _tensors(run, module, buffers=False)


def state_of(run: Reading, module: ModuleFacts) -> dict[str, TensorFacts]:
    """Parameters and buffers of the whole tree by their path, as `state_dict` gives them."""
    return _tensors(run, module, buffers=True)


def _tensors(run: Reading, module: ModuleFacts, buffers: bool) -> dict[str, TensorFacts]:
    found: dict[str, TensorFacts] = {}
    waiting, seen = [("", module)], set[int]()
    while waiting:
        path, at = waiting.pop(0)
        if at.id in seen:
            continue
        seen.add(at.id)
        for argument in (*at.parameters, *(at.buffers if buffers else ())):
            if isinstance(argument.value, TensorFacts):
                found[path + argument.name] = argument.value
        waiting[:0] = [(f"{path}{name}.", m) for name, child in at.children if (m := run.history.module(child)) is not None]
    return found


def member(run: Reading, module: ModuleFacts, path: str) -> ModuleFacts | None:
    """The module that holds a parameter of this path (`head.1.weight` → `head.1`)."""
    at: ModuleFacts | None = module
    for name in path.split(".")[:-1]:
        child = next((number for key, number in at.children if key == name), None) if at is not None else None
        at = run.history.module(child)
    return at


def paths_of(run: Reading, tensor: TensorFacts) -> list[str]:
    """Every name that the modules have for a parameter: more than one where it is tied."""
    return [
        f"{m.fqn}.{a.name}"
        for m in run.evidence.modules
        for a in m.parameters
        if isinstance(a.value, TensorFacts) and a.value.id == tensor.id
    ]


def loose_in(run: Reading, module: ModuleFacts) -> tuple[Loose, ...]:
    """What the tree keeps in plain attributes."""
    found: list[Loose] = []
    for owner in below(run, module):
        found += [Loose(owner, name, module=m) for name, child in owner.loose_children if (m := run.history.module(child)) is not None]
        found += [Loose(owner, a.name, tensor=a.value) for a in owner.loose if isinstance(a.value, TensorFacts)]
    return tuple(found)


def loose_holder(run: Reading, tensor: TensorFacts) -> Loose | None:
    """The plain attribute that holds the tensor, or a layer of the tensor."""
    owned = run.history.owner_of.get(tensor.id)
    for module in run.evidence.modules:
        for argument in module.loose:
            if isinstance(argument.value, TensorFacts) and argument.value.id == tensor.id:
                return Loose(module, argument.name, tensor=argument.value)
        for name, child in module.loose_children if owned is not None else ():
            inner = run.history.module(child)
            if inner is not None and owned is not None and any(m.id == owned[0].id for m in below(run, inner)):
                return Loose(module, name, module=inner)
    return None


def stored_at(run: Reading, loose: Loose) -> Stored | None:
    """The statement that keeps it: in `__init__` before elsewhere, one that gives a value before one that only makes room."""
    found = stores_of(run.sources, loose.owner, loose.attribute)
    return min(found, key=lambda s: (s.is_empty, s.function != "__init__"), default=None)


def module_named(run: Reading, expression: str) -> ModuleFacts | None:
    """The module that an expression of the traceback's lines stands for: by its path, else the only one of its kind."""
    found = [m for m in run.evidence.modules if m.fqn == expression]
    if found:
        return found[0]
    name, _, rest = expression.partition(".")
    for frame in reversed(run.failure.user_frames):
        if name == "self" and frame.module is not None:
            return _down(run, run.history.module(frame.module), rest)
        value = frame.local(name)
        if isinstance(value, Plain):
            kinds = [m for m in run.evidence.modules if m.kind == value.kind]
            outer = [m for m in kinds if m.id not in run.history.parents] or kinds
            if len(outer) == 1:
                return _down(run, outer[0], rest)
    return None


def _down(run: Reading, module: ModuleFacts | None, path: str) -> ModuleFacts | None:
    return member(run, module, f"{path}.") if module is not None and path else module


def constructor_of(run: Reading, module: ModuleFacts) -> tuple[SourceFile, Function] | None:
    """The `__init__` of the program that builds the module: its class's own, or the nearest parent's."""
    own = class_of(run.sources, module)
    for source, cls in lineage(run.sources, *own) if own is not None else ():
        function = method_of(cls, "__init__")
        if function is not None:
            return source, function
    return None


def header(source: SourceFile, line: int, function: str = "") -> Span:
    """The text of one line, as a place."""
    text = source.lines[line - 1].rstrip()
    return Span(source.file, line, len(text) - len(text.lstrip()), line, len(text), function)


def shown(paths: Sequence[str], limit: int = 4) -> str:
    """`a`, `b`, `c`, … and 7 more: names as inline code."""
    named = [f"`{path}`" for path in paths[:limit]]
    rest = len(paths) - len(named)
    return ", ".join(named) + (f" and {rest} more" if rest > 0 else "")


def repeated(run: Reading, module: ModuleFacts) -> Cause | None:
    """What decided how many modules a loop or comprehension built: `depth` in `Block(width) for _ in range(depth)`."""
    built = module.built[0] if module.built else None
    source, node = (run.sources.file(built.file), run.sources.node_at(built)) if built is not None else (None, None)
    if source is None or node is None:
        return None
    for outer in source.ancestors(node):
        if isinstance(outer, FUNCTIONS):
            return None
        over = outer.generators[0].iter if isinstance(outer, COMPREHENSIONS) else outer.iter if isinstance(outer, ast.For) else None
        if isinstance(over, ast.Call) and last_name(over) == "range" and over.args:
            return run.expression_origins(source.span(over.args[-1]), module.built[1:])
    return None
