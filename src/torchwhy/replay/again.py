"""The failing step run again from its live state with a changed text, in a forked child: for
failures too late in a run to begin it anew.

What can run again are the bodies of the loops around the failure, in every function on the way to
it, and last the script's own statement that failed with all that follows. Which of them holds a
whole training step is not guessed from the text: each run tells how many optimizer steps and
backward passes it made. Changed functions get their new code in place; what was changed anywhere
else ran long ago and can't be tried so.
"""

from __future__ import annotations

import ast
import gc
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import CodeType, FrameType, FunctionType, TracebackType
from typing import Any

from ..record.elsewhere import setprofile
from ..record.spans import origin
from .body import (
    Loop,
    before_first_module,
    compiled,
    execute,
    function_of,
    loops_around,
    parsed,
)
from .child import in_child, why_not
from .trial import Outcome

_ROUNDS = 2
_WAIT, _WAITS = 30.0, 4.0
"""Seconds by the clock beyond so many times the CPU time: a step may sleep, a machine be busy."""
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef)
_Codes = dict[str, CodeType]


@dataclass(frozen=True, slots=True)
class Ran:
    """How a piece ended, and what training it made."""

    outcome: Outcome
    steps: int = 0
    """Optimizer steps of its first round; of what came before the failure where it has none."""
    backwards: int = 0
    rounds: int = 0
    """How many rounds of a loop's body came to their end; a `break` or `return` leaves one."""
    optimizers: bool = False
    """Whether the program has an optimizer."""


@dataclass(frozen=True)
class Piece:
    """What can run again: a loop's body, or the script's statements from the failing one on."""

    frame: FrameType
    tree: ast.Module
    loop: Loop | None
    body: list[ast.stmt]
    entered: tuple[CodeType, ...]
    """The functions that were running around it: they are not called again."""

    @property
    def path(self) -> str:
        return os.path.abspath(self.frame.f_code.co_filename)


@dataclass(frozen=True)
class _Change:
    """One file's text as it is and as it shall be."""

    path: str
    old: ast.Module
    new: ast.Module


@dataclass(frozen=True)
class _Living:
    """What is searched for among all objects once, in the program's own process: in a child each
    look copies memory."""

    functions: tuple[FunctionType, ...] = ()
    """Those of the program."""
    optimizers: bool = False

    @classmethod
    def now(cls) -> _Living:
        from torch.optim import Optimizer

        things = gc.get_objects()
        made = [thing for thing in things if type(thing) is FunctionType]
        own = tuple(each for each in made if origin(each.__code__.co_filename) == "user")
        return cls(own, any(issubclass(type(thing), Optimizer) for thing in things))


class Steps:
    """The pieces around one failure, the innermost first."""

    def __init__(self, levels: list[TracebackType]) -> None:
        self.trees: dict[str, ast.Module | None] = {}
        self.pieces = [] if why_not() else list(self._found(levels))
        self.living = _Living.now() if self.pieces else _Living()
        self.spent = 0.0
        """Seconds of CPU time."""

    @property
    def why_not(self) -> str:
        """Why nothing can run again from here."""
        return why_not()

    def run(self, number: int, texts: Mapping[str, str], seconds: float) -> Ran | None:
        """How a piece ends with the new texts, by absolute path. None where it can't be run, or
        does not run all that was changed; it has `died` where it needed more CPU time."""
        known = [change for path, text in texts.items() if (change := self._change(path, text))]
        if len(known) < len(texts):
            return None
        piece, before = self.pieces[number], _children_spent()
        wall = _WAIT + _WAITS * seconds
        told = in_child(lambda: (_ran(piece, known, self.living, seconds),), wall)
        self.spent += _children_spent() - before
        return told[0] if told is not None else Ran(Outcome())

    def _found(self, levels: list[TracebackType]) -> Iterator[Piece]:
        outside = before_first_module(levels)
        user = [level for level in outside if origin(level.tb_frame.f_code.co_filename) == "user"]
        for number, level in reversed(list(enumerate(user))):
            frame, line = level.tb_frame, level.tb_lineno
            tree = self._tree(frame.f_code.co_filename)
            if tree is None:
                continue
            entered = tuple(each.tb_frame.f_code for each in user[: number + 1])
            for loop in loops_around(tree, frame.f_code, line):
                yield Piece(frame, tree, loop, loop.body, entered)
            if not number and frame.f_code.co_name == "<module>":
                yield Piece(frame, tree, None, _from(tree, line), entered)

    def _tree(self, file: str) -> ast.Module | None:
        path = os.path.abspath(file)
        if path not in self.trees:
            self.trees[path] = parsed(path)
        return self.trees[path]

    def _change(self, path: str, text: str) -> _Change | None:
        old = self._tree(path)
        try:
            new = ast.parse(text.removeprefix("\ufeff"))
        except (SyntaxError, ValueError):
            return None
        return _Change(path, old, new) if old is not None else None


def _children_spent() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _from(tree: ast.Module, line: int) -> list[ast.stmt]:
    """The statements of a script from the one on that has the line."""
    at = next((n for n, each in enumerate(tree.body) if line <= (each.end_lineno or 0)), 0)
    return tree.body[at:]


def _is_apart(piece: Piece, body: list[ast.stmt]) -> bool:
    """Whether no function made outside of the body sees the local variables that it sets: it runs
    on copies of them. A script's own are no copies."""
    code = piece.frame.f_code
    scope = function_of(piece.tree, code) if code.co_name != "<module>" else None
    if scope is None:
        return code.co_name == "<module>"
    inside = {id(node) for statement in piece.body for node in ast.walk(statement)}
    seen = set(code.co_freevars)
    for node in ast.walk(scope):
        if isinstance(node, ast.Global):
            seen.update(node.names)
        elif isinstance(node, (*_SCOPES, ast.Lambda)) and node is not scope:
            names = (n for n in ast.walk(node) if isinstance(n, ast.Name))
            seen.update(n.id for n in names if id(node) not in inside)
    used = [n for each in body for n in ast.walk(each) if isinstance(n, ast.Name)]
    return not seen.intersection(n.id for n in used if not isinstance(n.ctx, ast.Load))


# ── one run ───────────────────────────────────────────────────────────────────────────────────────
def _ran(piece: Piece, changes: list[_Change], living: _Living, seconds: float) -> Ran | None:
    """In the child: the piece with the changes, None where it does not run all of them."""
    _limit_cpu(seconds)
    body, new, old = piece.body, dict[str, CodeType](), set[CodeType]()
    for change in changes:
        after = _counterpart(piece, change) if change.path == piece.path else []
        changed = _changed_functions(piece, change, after)
        if after is None or changed is None:
            return None
        if change.path == piece.path:
            body = after
        for path, (before, code) in changed.items():
            old.add(before)
            new[f"{change.path}:{path}"] = code
        _swap(change, living.functions)
    file = piece.frame.f_code.co_filename
    runs = compiled(piece.loop, body, file) if _is_apart(piece, body) else None
    if runs is None:
        return None
    watch = _Watch(frozenset(new.values()), frozenset(old))
    ran = watch.run(piece, runs, living.optimizers)
    return ran if watch.ran >= watch.wanted and not watch.ran & watch.stale else None


def _limit_cpu(seconds: float) -> None:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    most = math.ceil(seconds)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (most, hard))


@dataclass
class _Watch:
    """Runs a piece; counts its optimizer steps and backward passes, and notes changed functions."""

    wanted: frozenset[CodeType]
    stale: frozenset[CodeType]
    ran: set[CodeType] = field(default_factory=set)
    steps: int = 0
    backwards: int = 0
    rounds: list[tuple[int, int]] = field(default_factory=list)

    def run(self, piece: Piece, code: CodeType, optimizers: bool) -> Ran:
        from .rerun import described

        self._count()
        frame = piece.frame
        is_script = frame.f_code.co_name == "<module>"
        # what a script's functions see is its namespace itself; those of functions are copied
        own = frame.f_globals if is_script else {**frame.f_globals, **frame.f_locals}
        if self.wanted:
            setprofile(self._note)
        try:
            execute(code, own, self._rounds(piece, own))
            outcome = Outcome("ended", steps=self.steps)
        except SystemExit as leaving:
            status = leaving.code if isinstance(leaving.code, int) else int(bool(leaving.code))
            outcome = Outcome("ended", exit_code=status, steps=self.steps)
        except Exception as error:
            outcome = Outcome("raised", steps=self.steps, **described(error))
        finally:
            setprofile(None)
        first = self.rounds[0] if self.rounds else (self.steps, self.backwards)
        return Ran(outcome, *first, len(self.rounds), optimizers)

    def _rounds(self, piece: Piece, namespace: dict[str, Any]) -> Iterator[int]:
        """Two: what the first leaves behind must suit the next. Each begins with the loop's own
        variables as they are now."""
        target = piece.loop.target if isinstance(piece.loop, ast.For) else None
        named = [n.id for n in ast.walk(target) if isinstance(n, ast.Name)] if target else []
        given = {name: namespace[name] for name in named if name in namespace}
        for number in range(_ROUNDS):
            namespace.update(given)
            yield number
            self.rounds.append((self.steps, self.backwards))

    def _count(self) -> None:
        import torch
        from torch.optim.optimizer import register_optimizer_step_post_hook

        def stepped(*_: Any) -> None:
            self.steps += 1

        register_optimizer_step_post_hook(stepped)
        backward = torch.autograd.backward

        def counted(*args: Any, **kwargs: Any) -> None:
            backward(*args, **kwargs)
            self.backwards += 1

        torch.autograd.backward = counted

    def _note(self, frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and (frame.f_code in self.wanted or frame.f_code in self.stale):
            self.ran.add(frame.f_code)


# ── the new text in the place of the old ──────────────────────────────────────────────────────────
def _counterpart(piece: Piece, change: _Change) -> list[ast.stmt] | None:
    """The piece's statements in the new text: of the loop with the same number, in a text with as
    many loops; or those from the statement with the same number on."""
    if piece.loop is None:
        return change.new.body[len(piece.tree.body) - len(piece.body) :]
    before, after = ([n for n in ast.walk(tree) if isinstance(n, (ast.For, ast.While))] for tree in (change.old, change.new))
    return after[before.index(piece.loop)].body if len(before) == len(after) else None


def _changed_functions(piece: Piece, change: _Change, after: list[ast.stmt] | None) -> dict[str, tuple[CodeType, CodeType]] | None:
    """Functions that the change gives another body, by path; None where it changes more than
    those and the piece's own statements."""
    if after is None:
        return None
    own = change.path == piece.path
    scopes = [function_of(change.old, code) for code in piece.entered] if own else []
    old = _Outline(frozenset(map(id, piece.body if own else [])))
    entered = frozenset(old.paths(change.old, [scope for scope in scopes if scope is not None]))
    new = _Outline(frozenset(map(id, after)))
    if old.of(change.old, "", entered) != new.of(change.new, "", entered):
        return None
    changed = [path for path, body in old.bodies.items() if new.bodies.get(path) != body]
    before, becomes = (_codes(_compiled(tree, change.path)) for tree in (change.old, change.new))
    if not all(path in before and path in becomes for path in changed):
        return None
    return {path: (before[path], becomes[path]) for path in changed}


class _Outline:
    """A text to compare with another, without the piece's statements; the bodies of functions that
    can be called again stand apart."""

    def __init__(self, left_out: frozenset[int]) -> None:
        self.left_out = left_out
        self.bodies: dict[str, list[object]] = {}

    def of(self, node: object, path: str, entered: frozenset[str]) -> object:
        if isinstance(node, list):
            return [self.of(n, path, entered) for n in node if id(n) not in self.left_out]
        if not isinstance(node, ast.AST):
            return type(node), repr(node)
        fields = dict(ast.iter_fields(node))
        if isinstance(node, (*_SCOPES, ast.ClassDef)):
            path = f"{path}.{node.name}" if path else node.name
            if isinstance(node, _SCOPES) and path not in entered:
                body = self.of(fields.pop("body"), path, entered)
                self.bodies.setdefault(path, []).append(body)
        inner = {name: self.of(value, path, entered) for name, value in fields.items()}
        return type(node), inner

    def paths(self, node: ast.AST, wanted: list[ast.FunctionDef], path: str = "") -> Iterator[str]:
        """The paths of these functions."""
        for child in ast.iter_child_nodes(node):
            inner = path
            if isinstance(child, (*_SCOPES, ast.ClassDef)):
                inner = f"{path}.{child.name}" if path else child.name
            if any(child is each for each in wanted):
                yield inner
            yield from self.paths(child, wanted, inner)


def _compiled(tree: ast.Module, path: str) -> CodeType:
    return compile(tree, path, "exec", dont_inherit=True)


def _swap(change: _Change, functions: tuple[FunctionType, ...]) -> None:
    """Gives living functions their new code."""
    old, new = (_codes(_compiled(tree, change.path)) for tree in (change.old, change.new))
    became = {code: new[name] for name, code in old.items() if name in new and _meaning(code) != _meaning(new[name])}
    for function in functions:
        code = became.get(function.__code__)
        if code is not None and code.co_freevars == function.__code__.co_freevars:
            function.__code__ = code


def _codes(code: CodeType, prefix: str = "") -> _Codes:
    """The functions' codes by path; those of one name in one place are left out."""
    found: _Codes = {}
    twice: set[str] = set()
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            name = f"{prefix}{inner.co_name}"
            for path, each in {name: inner, **_codes(inner, f"{name}.")}.items():
                if path in found:
                    twice.add(path)
                found[path] = each
    return {path: each for path, each in found.items() if path not in twice}


def _meaning(code: CodeType) -> tuple[Any, ...]:
    """What a code does, without where it stands."""
    constants = tuple(_meaning(c) if isinstance(c, CodeType) else (type(c), c) for c in code.co_consts)
    names = (code.co_names, code.co_varnames, code.co_freevars)
    return code.co_code, constants, *names
