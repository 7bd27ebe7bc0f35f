"""From an expression on to what decides it: the literal, the default, the entry of a config, maybe in another file.

Only steps with one answer are taken. Where a name has several possible values the one seen at run time (`value`) chooses; where that
does not choose either, the walk ends at the name. Nothing is evaluated but arithmetic on constants.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ..model import Span
from .constants import UNKNOWN, Constant, literal, same
from .places import Kind, Place
from .source import Expression, Sources
from .walk import Walk

Form = Literal["literal", "name", "call", "expression"]


FACTS = ("shape", "ndim", "dtype", "device")
"""Attributes that tensors decide, not the text."""


@dataclass(frozen=True, slots=True)
class Origin:
    """One place on the way. `name` is the name that was followed to it, `value` what it folds to, `form` what stands there.

    A last origin of form `name` means that the walk lost the trail; every other form decides.
    """

    span: Span
    text: str
    kind: Kind
    form: Form
    value: Constant = None
    name: str = ""


def origins(sources: Sources, expression: Span, calls: Sequence[Span] = (), value: Constant = None) -> tuple[Origin, ...]:
    """The places that decide the expression at a span, nearest first, the span itself included.

    `calls` are the calls around it as recorded (nearest first; the first may be the one that the expression is an argument of).
    """
    source = sources.file(expression.file)
    node = source.exactly_at(expression) if source else None
    return _way(Walk(sources), Place(source, node, tuple(calls), value)) if source and node else ()


def argument_origins(
    sources: Sources, calls: Sequence[Span], parameter: str, signature: Sequence[str] = (), value: Constant = None
) -> tuple[Origin, ...]:
    """The same for a parameter of the call `calls[0]`: from the expression passed, or from the default in the program's own def."""
    walk = Walk(sources)
    place = walk.argument(tuple(calls), parameter, signature)
    return _way(walk, replace(place, value=value)) if place else ()


def argument(sources: Sources, call: Span, parameter: str, signature: Sequence[str] = ()) -> Expression | None:
    """The expression that gives a parameter in the call at a span; None when unknown or not passed."""
    place = Walk(sources).argument((call,), parameter, signature)
    return place.source.expression(place.node) if place and place.kind != "default" else None


def default(sources: Sources, call: Span, parameter: str) -> Expression | None:
    """The default in the def of the program's own function or class, when the call at a span does not pass the parameter."""
    place = Walk(sources).argument((call,), parameter)
    return place.source.expression(place.node) if place and place.kind == "default" else None


def settable(chain: Sequence[Origin], value: Constant) -> Origin | None:
    """The furthest origin that itself has the value, so that another may be written in its place.

    For `nn.Linear(WIDTH * 2, 10)` that is `WIDTH * 2`, though the last origin is the literal of `WIDTH`.
    """
    return next((o for o in reversed(chain) if same(o.value, value)), None)


def deciding(sources: Sources, chain: Sequence[Origin], value: Constant = None) -> tuple[Origin, ...]:
    """The chain up to the place to blame.

    As long as the value is only handed on (arguments, assignments, configs, defaults), not computed with: for `len(words) - 5` that is the subtraction,
    though the walk also knows where `words` comes from. A place further on that itself has the run's value counts again (the branch of a conditional
    expression, an entry of a list). And not into a definition that other places of the program read too: a name that several share was not wrong, the
    call that chose it may be.
    """
    end = next((i for i, origin in enumerate(chain) if i and origin.kind in ("expression", "call")), len(chain))
    if value is not None:
        end = max(end, max((i + 1 for i, origin in enumerate(chain) if origin.value is not None and same(origin.value, value)), default=0))
    handed = 1
    while handed < end and chain[handed].kind in ("argument", "default"):
        handed += 1
    for i in range(handed, end):
        local = chain[i].span.function == chain[i - 1].span.function != "<module>"
        if not local and chain[i].form != "name" and _is_shared(sources, chain[i]):
            return tuple(chain[:i])
    return tuple(chain[:end])


def _is_shared(sources: Sources, definition: Origin) -> bool:
    """Whether the program reads the defined name on several lines."""
    if definition.kind in ("expression", "call", "argument", "default"):
        return False
    kinds = (
        ("key", "attribute")
        if definition.kind == "config"
        else ("attribute",)
        if definition.kind in ("attribute", "argparse")
        else ("name", "attribute")
    )
    return sources.uses(_last_word(definition.name), *kinds) > 1


def _last_word(name: str) -> str:
    """`hidden` of `self.cfg.hidden` and of `CONFIG['hidden']`."""
    words = re.findall(r"\w+", name)
    return words[-1] if words else ""


def fold(sources: Sources, expression: Span, calls: Sequence[Span] = ()) -> Constant:
    """The constant that an expression comes to by arithmetic on literals and on names of such; None when unknown."""
    source = sources.file(expression.file)
    node = source.exactly_at(expression) if source else None
    found = Walk(sources).fold(Place(source, node, tuple(calls))) if source and node else UNKNOWN
    return None if found is UNKNOWN else found


def _way(walk: Walk, place: Place) -> tuple[Origin, ...]:
    found: list[Origin] = []
    seen: set[ast.AST] = set()
    at: Place | None = place
    while at is not None and at.node not in seen and len(found) < 40:
        seen.add(at.node)
        found.append(origin_at(walk, at))
        at = walk.step(at)
    return tuple(found)


def origin_at(walk: Walk, place: Place) -> Origin:
    """What is told of a place."""
    value = walk.fold(place)
    form: Form = "literal" if literal(place.node) is not UNKNOWN else "call" if isinstance(place.node, ast.Call) else "expression"
    if isinstance(place.node, ast.Name) or isinstance(place.node, ast.Attribute) and place.node.attr not in FACTS:
        form = "name"
    return Origin(
        place.source.span(place.node), place.source.segment(place.node), place.kind, form, None if value is UNKNOWN else value, place.name
    )
