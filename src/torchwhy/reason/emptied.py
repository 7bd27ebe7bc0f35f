"""Why an optimizer got no parameters: from the expression that it was given, followed to where the parameters were lost."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Literal

from ..model import Items, ModuleFacts, OpRecord, Plain, Span
from .members import below, loose_in, module_named, parameters_of
from .origins import Origin, argument, origins
from .reading import Reading
from .scopes import dotted
from .source import SourceFile

Why = Literal["unregistered", "no-layers", "used-up", "frozen", "filtered", "empty", "unknown"]
GENERATORS = ("generator", "filter", "map", "zip", "chain", "islice", "filterfalse")
_GIVE_PARAMETERS = ("parameters", "named_parameters")


@dataclass(frozen=True, slots=True)
class Emptied:
    """`why`: the layers are kept where torch does not look · the module has none · the iterator was used before · all are frozen ·
    none passed the filter · the list itself is empty.

    `made` is where the iterable came from, `used` where it was used up, `ops` what froze the parameters.
    """

    why: Why
    expression: str
    made: Span | None = None
    used: Span | None = None
    module: ModuleFacts | None = None
    ops: tuple[OpRecord, ...] = ()
    kind: str = ""


def emptied(run: Reading) -> Emptied:
    """The reading of `optimizer got an empty parameter list`."""
    given = argument(run.sources, run.raised, "params", ("params",))
    frame = next((f for f in reversed(run.failure.frames) if f.local("params") is not None and f.origin == "torch"), None)
    value = frame.local("params") if frame is not None else None
    kind = value.kind if isinstance(value, (Plain, Items)) else ""
    if given is None:
        return Emptied("unknown", "", kind=kind)
    chain = origins(run.sources, given.span, run.calls)
    made = chain[-1] if chain else None
    place = made.span if made is not None else given.span
    module = _module(run, place)
    names = [o for o in chain if o.form == "name"] if kind in GENERATORS else []
    used = next((u for ask in (_used_before, _used_elsewhere) for o in names if (u := ask(run, o, place)) is not None), None)
    if used is not None:
        return Emptied("used-up", given.text, place, used, module, kind=kind)
    if module is None:
        return Emptied("empty" if kind in ("list", "tuple") else "unknown", given.text, place, kind=kind)
    parameters = parameters_of(run, module)
    if not parameters:
        kept = [one for one in loose_in(run, module) if one.module is not None or one.tensor is not None and one.tensor.requires_grad]
        return Emptied("unregistered" if kept else "no-layers", given.text, place, None, module, kind=kind)
    if not any(t.requires_grad for t in parameters.values()):
        ids = {t.id for t in parameters.values()}
        return Emptied("frozen", given.text, place, None, module, _freezing(run, ids, module), kind)
    return Emptied("filtered", given.text, place, None, module, kind=kind)


def _module(run: Reading, place: Span) -> ModuleFacts | None:
    """The module whose parameters the expression takes."""
    node, source = run.sources.node_at(place), run.sources.file(place.file)
    for call in ast.walk(node) if node is not None and source is not None else ():
        if (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Attribute)
            and call.func.attr in _GIVE_PARAMETERS
            and source is not None
        ):
            return module_named(run, source.segment(call.func.value))
    return None


def _freezing(run: Reading, ids: set[int], module: ModuleFacts) -> tuple[OpRecord, ...]:
    inside = {m.id for m in below(run, module)}
    names = ("requires_grad.set", "requires_grad_")
    return tuple(op for op in run.evidence.ops if op.name in names and (op.module in inside or any(t.id in ids for t in op.inputs)))


def _used_before(run: Reading, origin: Origin, made: Span) -> Span | None:
    """The first use of an iterator above the place where it is passed on, in the same function: a loop over it, a call that took it."""
    source = run.sources.file(origin.span.file)
    passed = source.exactly_at(origin.span) if source is not None else None
    for node in source.nodes if source is not None and passed is not None else ():
        if not isinstance(node, (ast.Name, ast.Attribute)) or dotted(node) != origin.text or not isinstance(node.ctx, ast.Load):
            continue
        span = source.span(node) if source is not None else made
        after = span.file != made.file or (span.line, span.column) > (made.line, made.column) or span.function != made.function
        before = (span.line, span.column) < (origin.span.line, origin.span.column)
        if source is not None and passed is not None and after and before and source.function(node) is source.function(passed):
            user = _user(source, node)
            if user is not None:
                return source.span(user)
    return None


def _used_elsewhere(run: Reading, origin: Origin, made: Span) -> Span | None:
    """The same for an attribute (`self.params`): a use of it in another method."""
    source = run.sources.file(origin.span.file)
    passed = source.exactly_at(origin.span) if source is not None else None
    if source is None or not isinstance(passed, ast.Attribute):
        return None
    for node in source.nodes:
        if isinstance(node, ast.Attribute) and dotted(node) == origin.text and isinstance(node.ctx, ast.Load):
            user = _user(source, node)
            if user is not None and source.function(node) is not source.function(passed):
                return source.span(user)
    return None


def _user(source: SourceFile, node: ast.AST) -> ast.AST | None:
    """What takes the items: the call that the name is passed to, the loop or comprehension over it, an unpacking."""
    parent = source.parents.get(node)
    if isinstance(parent, ast.Call) and node in parent.args or isinstance(parent, (ast.For, ast.Starred)):
        return node if isinstance(parent, ast.For) else parent
    if isinstance(parent, ast.comprehension):
        outer = source.parents.get(parent)
        return source.parents.get(outer) if outer is not None and isinstance(source.parents.get(outer), ast.Call) else outer
    if isinstance(parent, ast.keyword):
        return source.parents.get(parent)
    return None
