"""The piece of the program to run again: a loop's body, a module's call or one statement, from the live frames of the failure."""

from __future__ import annotations

import ast
import tokenize
from collections.abc import Callable, Iterable
from types import CodeType, FrameType, TracebackType
from typing import Any

_MODULE_CALL = ("torch/nn/modules/module.py", "_call_impl")
_FETCH = ("torch/utils/data/_utils/fetch.py", "fetch")


Loop = ast.For | ast.While
LEFT, ROUNDS = "__torchwhy_left__", "__torchwhy_rounds__"


class Left(Exception):
    """The piece was left by a `return`."""


class _Adapted(ast.NodeTransformer):
    """Statements of a function made fit to run on their own: `return` leaves, `global` and `nonlocal` go."""

    def visit_Return(self, node: ast.Return) -> ast.AST:
        leave = ast.Raise(ast.Name(LEFT, ast.Load()), None)
        value = node.value or ast.Constant(None)
        return ast.copy_location(ast.If(ast.Constant(True), [ast.Expr(value), leave], []), node)

    def visit_Global(self, node: ast.Global) -> ast.AST:
        return ast.copy_location(ast.Pass(), node)

    def visit_Nonlocal(self, node: ast.Nonlocal) -> ast.AST:
        return ast.copy_location(ast.Pass(), node)

    def _leave_alone(self, node: ast.AST) -> ast.AST:
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = visit_Lambda = _leave_alone


def pieces(levels: list[TracebackType], is_user: Callable[[str], bool]) -> list[Callable[[], object]]:
    """What can be run again, best first: the innermost loop body of the program outside any module, the outermost module call, the failing statement."""
    found: list[Callable[[], object]] = []
    outside = before_first_module(levels)
    for level in reversed(outside):
        if is_user(level.tb_frame.f_code.co_filename) and (piece := _loop_body(level)) is not None:
            found.append(piece)
            break
    for level in levels:
        code = level.tb_frame.f_code
        where = code.co_filename.replace("\\", "/")
        local = level.tb_frame.f_locals
        if where.endswith(_FETCH[0]) and code.co_name == _FETCH[1] and "possibly_batched_index" in local:
            found.insert(0, _fetch(local))
        if where.endswith(_MODULE_CALL[0]) and code.co_name == _MODULE_CALL[1] and {"self", "args", "kwargs"}.issubset(local):
            found.append(_module_call(local))
            break
    if levels and is_user(levels[-1].tb_frame.f_code.co_filename) and (piece := _statement(levels[-1])) is not None:
        found.append(piece)  # an op that the program's own line called
    return found


def _module_call(local: dict[str, Any]) -> Callable[[], object]:
    module, args, kwargs = local["self"], local["args"], local["kwargs"]
    return lambda: module(*args, **kwargs)


def _fetch(local: dict[str, Any]) -> Callable[[], object]:
    fetcher, indices = local["self"], local["possibly_batched_index"]
    return lambda: fetcher.fetch(indices)


def before_first_module(levels: list[TracebackType]) -> list[TracebackType]:
    """The levels outside of any module's call."""
    for number, level in enumerate(levels):
        if level.tb_frame.f_code.co_filename.replace("\\", "/").endswith(_MODULE_CALL[0]):
            return levels[:number]
    return levels


def _loop_body(level: TracebackType) -> Callable[[], object] | None:
    tree = parsed(level.tb_frame.f_code.co_filename)
    loop = innermost_loop(tree, level.tb_frame.f_code, level.tb_lineno) if tree is not None else None
    return loop_piece(loop, level.tb_frame) if loop is not None else None


def loop_piece(loop: Loop, frame: FrameType) -> Callable[[], object] | None:
    """A loop's body, once, with the frame's variables; None where it would suspend."""
    code = compiled(loop, loop.body, frame.f_code.co_filename)
    return (lambda: _run(code, frame)) if code is not None else None


def compiled(loop: Loop | None, body: list[ast.stmt], file: str) -> CodeType | None:
    """These statements fit to run on their own; a loop's body once for each of the `ROUNDS`. None where they would suspend."""
    if _suspends(body):
        return None
    if loop is not None:
        again = ast.For(ast.Name("__torchwhy_round__", ast.Store()), ast.Name(ROUNDS, ast.Load()), body, [])
        body = [ast.copy_location(again, loop)]
    module = ast.fix_missing_locations(_Adapted().visit(ast.Module(body, [])))
    return compile(module, file, "exec", dont_inherit=True)


def _statement(level: TracebackType) -> Callable[[], object] | None:
    """The failing line's own statement, where that is a simple one."""
    frame, line = level.tb_frame, level.tb_lineno
    tree = parsed(frame.f_code.co_filename)
    simple = (ast.Expr, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Return)
    held = (
        [n for n in ast.walk(tree) if isinstance(n, simple) and n.lineno <= line <= (n.end_lineno or n.lineno)] if tree is not None else []
    )
    code = compiled(None, [held[0]], frame.f_code.co_filename) if len(held) == 1 else None
    return (lambda: _run(code, frame)) if code is not None else None


def parsed(file: str) -> ast.Module | None:
    """The file's syntax tree; None where there is none."""
    try:
        with tokenize.open(file) as stream:
            return ast.parse(stream.read())
    except (OSError, SyntaxError, UnicodeDecodeError, ValueError):  # no source, nothing to run
        return None


def _run(code: CodeType, frame: FrameType) -> None:
    execute(code, {**frame.f_globals, **frame.f_locals}, (0,))


def execute(code: CodeType, namespace: dict[str, Any], rounds: Iterable[int]) -> None:
    """Run what was compiled here, till its end or its `return`."""
    namespace.update({LEFT: Left, ROUNDS: rounds})
    try:
        exec(code, namespace)
    except Left:
        return


def innermost_loop(tree: ast.AST, code: CodeType, line: int) -> Loop | None:
    """The loop of this very function whose body has the line."""
    return next(iter(loops_around(tree, code, line)), None)


def loops_around(tree: ast.AST, code: CodeType, line: int) -> list[Loop]:
    """The loops of this very function whose bodies have the line, the innermost first."""
    scope = tree if code.co_name == "<module>" else function_of(tree, code)
    found: list[Loop] = []
    waiting = list(ast.iter_child_nodes(scope)) if scope is not None else []
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            continue
        waiting.extend(ast.iter_child_nodes(node))
        if isinstance(node, (ast.For, ast.While)) and node.body[0].lineno <= line <= (node.body[-1].end_lineno or 0):
            found.append(node)
    return sorted(found, key=lambda loop: -loop.lineno)


def function_of(tree: ast.AST, code: CodeType) -> ast.FunctionDef | None:
    """The definition that a code was made from."""
    named = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == code.co_name)
    return next((n for n in named if _first_line(n) == code.co_firstlineno), None)


def _first_line(node: ast.FunctionDef) -> int:
    return min([node.lineno, *(d.lineno for d in node.decorator_list)])


def _suspends(body: list[ast.stmt]) -> bool:
    return any(isinstance(n, (ast.Yield, ast.YieldFrom, ast.Await, ast.AsyncFor, ast.AsyncWith)) for s in body for n in ast.walk(s))
