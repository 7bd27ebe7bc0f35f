"""The failing step run again from its live state with a changed text, in a forked child: for failures too late in a run to begin it anew.

The innermost loop's body around the failure is what runs. Changed functions get their new code in place; what was changed anywhere else ran
long ago and can't be tried so.
"""

from __future__ import annotations

import ast
import gc
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import CodeType, FrameType, FunctionType, TracebackType
from typing import Any

from ..record.spans import origin
from .body import before_first_module, innermost_loop, loop_piece, parsed
from .child import can_fork, in_child
from .trial import Outcome

SECONDS = 5.0


@dataclass(frozen=True)
class _Change:
    """One file's text as it is and as it shall be."""

    path: str
    old: ast.Module
    new: ast.Module


def run_again(levels: list[TracebackType], texts: Mapping[str, str]) -> Outcome | None:
    """How the step ends with the new texts (by absolute path); None where it can't be run, or does not run what was changed."""
    user = [level for level in before_first_module(levels) if origin(level.tb_frame.f_code.co_filename) == "user"]
    changes = {path: _change(path, text) for path, text in texts.items()}
    if not can_fork() or None in changes.values():
        return None
    known = {path: change for path, change in changes.items() if change is not None}
    for level in reversed(user):
        tree = parsed(level.tb_frame.f_code.co_filename)
        loop = innermost_loop(tree, level.tb_frame.f_code, level.tb_lineno) if tree is not None else None
        if tree is not None and loop is not None:
            return in_child(lambda level=level, tree=tree, loop=loop: _ran(level, tree, loop, known), SECONDS)  # type: ignore[misc]
    return None


def _ran(level: TracebackType, tree: ast.Module, loop: ast.For | ast.While, changes: Mapping[str, _Change]) -> Outcome | None:
    path = level.tb_frame.f_code.co_filename
    wanted: set[CodeType] = set()
    in_body = False
    for change in changes.values():
        swapped = _swapped(change)
        if change.path == path:
            new_loop = _counterpart(loop, tree, change.new)
            if new_loop is None:
                return None
            in_body = ast.dump(ast.Module(new_loop.body, [])) != ast.dump(ast.Module(loop.body, []))
            loop = new_loop
        wanted |= swapped
    if changes and not (in_body or wanted):
        return None
    piece = loop_piece(loop, level.tb_frame)
    return _watched(piece, wanted, in_body or not changes) if piece is not None else None


def _watched(piece: Callable[[], object], wanted: set[CodeType], used: bool) -> Outcome | None:
    """Run the piece; None where none of the wanted code ran in it."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    ran: set[CodeType] = set()
    steps = [0]

    def count(*_: Any) -> None:
        steps[0] += 1

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code in wanted:
            ran.add(frame.f_code)

    register_optimizer_step_post_hook(count)
    if wanted:
        sys.setprofile(note)
    try:
        piece()
        outcome = Outcome("ended", steps=steps[0])
    except Exception as error:
        outcome = Outcome("raised", error_type=type(error).__name__, message=str(error), steps=steps[0])
    finally:
        sys.setprofile(None)
    return outcome if used or ran else None


def _change(path: str, text: str) -> _Change | None:
    old = parsed(path)
    try:
        return _Change(path, old, ast.parse(text.removeprefix("\ufeff"))) if old is not None else None
    except (SyntaxError, ValueError):
        return None


def _swapped(change: _Change) -> set[CodeType]:
    """Gives living functions their new code; the new codes that found one."""
    old, new = (_codes(compile(tree, change.path, "exec", dont_inherit=True)) for tree in (change.old, change.new))
    became = {code: new[name] for name, code in old.items() if name in new and _meaning(code) != _meaning(new[name])}
    found: set[CodeType] = set()
    for thing in gc.get_objects():
        if (
            type(thing) is FunctionType
            and (code := became.get(thing.__code__)) is not None
            and code.co_freevars == thing.__code__.co_freevars
        ):
            thing.__code__ = code
            found.add(code)
    return found


def _codes(code: CodeType, prefix: str = "") -> dict[str, CodeType]:
    """The functions' codes by path; those of one name in one place are left out."""
    found: dict[str, CodeType] = {}
    twice: set[str] = set()
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            for name, each in {f"{prefix}{inner.co_name}": inner, **_codes(inner, f"{prefix}{inner.co_name}.")}.items():
                if name in found:
                    twice.add(name)
                found[name] = each
    return {name: each for name, each in found.items() if name not in twice}


def _meaning(code: CodeType) -> tuple[Any, ...]:
    """What a code does, without where it stands."""
    constants = tuple(_meaning(c) if isinstance(c, CodeType) else (type(c), c) for c in code.co_consts)
    return code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars


def _counterpart(loop: ast.For | ast.While, old: ast.Module, new: ast.Module) -> ast.For | ast.While | None:
    """The same loop in the new text: the one with the same number, in a text with as many loops."""
    before, after = ([n for n in ast.walk(tree) if isinstance(n, (ast.For, ast.While))] for tree in (old, new))
    place = next((n for n, each in enumerate(before) if each.lineno == loop.lineno and each.col_offset == loop.col_offset), None)
    return after[place] if place is not None and len(before) == len(after) else None
