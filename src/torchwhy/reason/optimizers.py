"""What an optimizer was given and holds, read off torch's frames and the record."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from ..model import Frame, Items, OptimizerFacts, Plain, Span, TensorFacts, Value, tensors_in
from .links import made_at
from .origins import argument, origins
from .reading import Cause, Reading
from .source import Expression


def torch_frame(run: Reading, local: str, function: str = "") -> Frame | None:
    """The innermost frame of torch that has a local variable of this name (in a function that ends so)."""
    for frame in reversed(run.failure.frames):
        if frame.origin == "torch" and frame.local(local) is not None and frame.span.function.endswith(function):
            return frame
    return None


def given(run: Reading) -> Expression | None:
    """The expression for `params` in the failing constructor call."""
    return argument(run.sources, run.raised, "params", ("params",))


def given_origin(run: Reading) -> tuple[Span, str]:
    """Where the parameters given were written, and the text there."""
    written = given(run)
    if written is None:
        return run.raised, run.sources.segment(run.raised)
    chain = origins(run.sources, written.span, run.calls)
    return (chain[-1].span, chain[-1].text) if chain else (written.span, written.text)


def group_tensors(group: Value | None) -> tuple[TensorFacts, ...]:
    """The parameters of a group as it was passed: a dict with `params`."""
    if isinstance(group, Items) and "params" in group.keys:
        return tensors_in(group.items[group.keys.index("params")])
    return ()


def group_sizes(groups: Value | None) -> tuple[int, ...]:
    """How many parameters each group of a list has."""
    if not isinstance(groups, Items):
        return ()
    found = []
    for group in groups.items:
        inside = group.items[group.keys.index("params")] if isinstance(group, Items) and "params" in group.keys else None
        found.append(inside.length if isinstance(inside, Items) else 1)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Twice:
    """Parameters that a new group shares with those before: the tensors, the number of the new group, and how many there are."""

    tensors: tuple[TensorFacts, ...]
    index: int | None
    count: int


def twice(run: Reading) -> Twice:
    """What `some parameters appear in more than one parameter group` is about."""
    frame = torch_frame(run, "param_group", "add_param_group")
    new = group_tensors(frame.local("param_group")) if frame is not None else ()
    before = {t.id for t in tensors_in(frame.local("param_set") or Plain("NoneType", ""))} if frame is not None else set[int]()
    shared = tuple(t for t in new if t.id in before)
    outer = torch_frame(run, "param_groups", "__init__")
    groups = outer.local("param_groups") if outer is not None else None
    items = groups.items if isinstance(groups, Items) else ()
    wanted = [t.id for t in new]
    index = next((i for i, g in enumerate(items) if [t.id for t in group_tensors(g)] == wanted and i > 0), None)
    return Twice(shared, index, len(items))


def group_expression(run: Reading, index: int | None) -> Span | None:
    """The place of one group in the list of groups that the program wrote."""
    if index is None:
        return None
    place, _ = given_origin(run)
    node, source = run.sources.node_at(place), run.sources.file(place.file)
    if source is None or not isinstance(node, (ast.List, ast.Tuple)) or index >= len(node.elts):
        return place
    return source.span(node.elts[index])


def the_optimizer(run: Reading) -> OptimizerFacts | None:
    """The optimizer of the failing call: the one built where its expression leads to, else the only one of the failing `self`'s kind."""
    frame, call, source = torch_frame(run, "self"), run.sources.call_at(run.raised), run.sources.file(run.raised.file)
    if source is not None and call is not None and isinstance(call.func, ast.Attribute):
        built = made_at(run, source.span(call.func.value))
        for one in run.evidence.optimizers:
            if one.built and (one.built[0].file, one.built[0].line) == (built.file, built.line):
                return one
    me = frame.local("self") if frame is not None else None
    found = [o for o in run.evidence.optimizers if not isinstance(me, Plain) or o.kind == me.kind]
    return found[-1] if len(found) == 1 else None


def built_with(run: Reading, optimizer: OptimizerFacts | None, parameter: str = "params") -> Cause | None:
    """The expression behind an argument of an optimizer's constructor call."""
    if optimizer is None or not optimizer.built:
        return None
    return run.argument_origins(optimizer.built, parameter, ("params", "lr"))
