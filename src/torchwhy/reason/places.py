"""A place in the text with what is known at it at run time, and the steps from place to place."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from ..model import Span
from .constants import UNKNOWN, Constant, compute, literal, same
from .source import SourceFile, Sources

FUNCTIONS_OF_CONSTANTS: dict[str, Callable[..., Constant]] = {"int": int, "len": len, "max": max, "min": min, "sum": sum}

Answer = TypeVar("Answer")
_NOTHING = 1 << 30

Kind = Literal["expression", "argument", "default", "assignment", "attribute", "config", "import", "argparse", "loop", "call"]
"""How the walk came to the expression; `expression` is the first."""


@dataclass(frozen=True, slots=True)
class Place:
    """A node with what is known at it: the calls around (nearest first) and the value that it had at run time."""

    source: SourceFile
    node: ast.AST
    calls: tuple[Span, ...] = ()
    value: Constant = None
    kind: Kind = "expression"
    name: str = ""


def part(place: Place, node: ast.AST, value: Constant = None) -> Place:
    """A part of the expression at a place."""
    return replace(place, node=node, value=value, kind="expression", name="")


@dataclass(slots=True)
class Memory:
    """What all walks through one program know, and how many steps they may still take together."""

    left: int = 40_000
    found: dict[tuple[object, ...], Any] = field(default_factory=dict)
    _calls: dict[tuple[Span, ...], int] = field(default_factory=dict)
    _known: dict[int, tuple[tuple[Span, ...], int]] = field(default_factory=dict)

    def number(self, calls: tuple[Span, ...]) -> int:
        """One number for the same calls: they are compared so often that their hashes would take most of the time."""
        if id(calls) not in self._known:  # the tuple is kept, so that its id stays its own
            self._known[id(calls)] = calls, self._calls.setdefault(calls, len(self._calls))
        return self._known[id(calls)][1]


class Places:
    """What can be said of a place once the next one (`next_place`) is known.

    The walk is long where factories call each other and each hands on what it was handed: so every place is
    asked once for all walks, a place that is being asked leads nowhere (that is a circle), and the steps are
    counted, of one walk and of all together.
    """

    def __init__(self, sources: Sources, budget: int = 3000) -> None:
        self.sources = sources
        self.budget = budget
        self.memory: Memory = sources.remember(Memory)
        self.depth = 0
        self._asked: dict[tuple[object, ...], int] = {}
        """The places that are being asked, and how deep."""
        self._leans_on = _NOTHING
        """The least deep of the places that an answer was cut short for: it holds only below that one."""

    def next_place(self, place: Place) -> Place | None:
        raise NotImplementedError

    def step(self, place: Place) -> Place | None:
        """The next place towards what decides this one; None at the end."""
        return None if literal(place.node) is not UNKNOWN else self._ask("step", self.next_place, place, None)

    def _ask(self, what: str, question: Callable[[Place], Answer], place: Place, unknown: Answer) -> Answer:
        """The answer to a question about a place: remembered, unless it was cut short."""
        value = place.value if isinstance(place.value, (int, str, float)) else repr(place.value)
        key = (what, place.source, place.node, self.memory.number(place.calls), type(place.value), value, place.kind, place.name)
        if key in self.memory.found:
            answer: Answer = self.memory.found[key]
            return answer
        if key in self._asked:
            self._leans_on = min(self._leans_on, self._asked[key])
            return unknown
        self.budget -= 1
        self.memory.left -= 1
        if self.budget < 0 or self.memory.left < 0 or self.depth > 60:
            self._leans_on = 0
            return unknown
        self.depth += 1
        depth = self._asked[key] = self.depth
        outer, self._leans_on = self._leans_on, _NOTHING
        try:
            answer = question(place)
        finally:
            self.depth -= 1
            del self._asked[key]
        if self._leans_on >= depth:
            self.memory.found[key] = answer
            self._leans_on = _NOTHING
        self._leans_on = min(outer, self._leans_on)
        return answer

    def choose(self, places: Sequence[Place], value: Constant) -> Place | None:
        """The one place that fits the value; None where that is not exactly one."""
        if len(places) <= 1:
            return places[0] if places else None
        folded = [(place, self.fold(place)) for place in places]
        if value is None:
            fitting = [place for place, constant in folded if constant is not None]
        else:
            fitting = [p for p, c in folded if same(c, value)] or [p for p, c in folded if c is UNKNOWN]
        return fitting[0] if len({place.node for place in fitting}) == 1 else None

    def seek(self, place: Place, *types: type[ast.AST]) -> Place | None:
        """The first place on the way whose node has one of the types."""
        at: Place | None = replace(place, value=None)
        for _ in range(20):
            if at is None or isinstance(at.node, types):
                return at
            at = self.step(at) if not isinstance(at.node, (ast.BinOp, ast.AugAssign, ast.UnaryOp)) else None
        return None

    def fold(self, place: Place) -> Constant:
        """The constant at a place, or UNKNOWN."""
        written = literal(place.node)
        return written if written is not UNKNOWN else self._ask("fold", self._fold, place, UNKNOWN)

    def _fold(self, place: Place) -> Constant:
        node = place.node
        if isinstance(node, (ast.BinOp, ast.AugAssign)):
            sides = (node.left, node.right) if isinstance(node, ast.BinOp) else (node.target, node.value)
            return compute(node.op, *(self.fold(part(place, side)) for side in sides))
        if isinstance(node, ast.UnaryOp):
            value = self.fold(part(place, node.operand))
            if isinstance(node.op, ast.Not):
                return value if value is UNKNOWN else not value
            return -value if isinstance(node.op, ast.USub) and isinstance(value, (int, float)) else UNKNOWN
        if isinstance(node, (ast.Tuple, ast.List)):
            values = [self.fold(part(place, e)) for e in node.elts]
            return UNKNOWN if UNKNOWN in values else tuple(values) if isinstance(node, ast.Tuple) else values
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            left, right = (self.fold(part(place, n)) for n in (node.left, node.comparators[0]))
            if UNKNOWN in (left, right):
                return UNKNOWN
            equal = left is None and right is None or same(left, right)
            if isinstance(node.ops[0], (ast.Eq, ast.Is)):
                return equal
            return not equal if isinstance(node.ops[0], (ast.NotEq, ast.IsNot)) else UNKNOWN
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords and node.func.id in FUNCTIONS_OF_CONSTANTS:
            values = [self.fold(part(place, a)) for a in node.args]
            try:
                return UNKNOWN if UNKNOWN in values else FUNCTIONS_OF_CONSTANTS[node.func.id](*values)
            except (TypeError, ValueError, OverflowError):
                return UNKNOWN
        if isinstance(node, ast.BoolOp):
            for value in (self.fold(part(place, v)) for v in node.values):
                if value is UNKNOWN or bool(value) is isinstance(node.op, ast.Or):
                    return value
            return value
        on = self.step(place)
        return self.fold(on) if on is not None else UNKNOWN
