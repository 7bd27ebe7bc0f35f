"""Hooks inside of torch's own functions: a function's code is replaced by the same code with calls of ours in it.

The function object, its signature, its frames, their names, lines and columns stay as they are, so that whatever looks
at the stack, at a traceback or at the function (`inspect`, `pdb`, `traceback`, a profiler) finds what it finds without
us. A wrapper would stand as one more frame below everything that the program does inside of the call.
"""

from __future__ import annotations
import __future__

import ast
import inspect
import os
import sys
import tokenize
from collections.abc import Iterable
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any, Protocol, TypeVar

from .compiled import Kept

_FUTURES = sum(getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)
_HOOK = "\0torchwhy hook"
"""Stands for the hook in the compiled text, until it is put among the constants of the code."""
_CLOSING = 12
"""Lines that may follow the last one that has code: brackets that close, comments."""
_PARAMETERS: dict[str, Any] = {"type_params": []} if sys.version_info >= (3, 12) else {}
_DISPATCH = "handle_torch_function"


class Hook(Protocol):
    """What a rewritten function calls. `enter` is followed by exactly one of `leave` and `fail`; none of them raises."""

    def enter(self, *arguments: Any) -> None:
        """At the function's start, with its arguments in the order of its signature, `*args` and `**kwargs` as they are."""

    def leave(self, result: Any) -> Any:
        """Gives back the result."""

    def fail(self) -> None:
        """While the exception that leaves the function is being handled."""


class Silent:
    """A hook that looks at the beginning alone."""

    def leave(self, result: Any) -> Any:
        """Gives back the result."""
        return result

    def fail(self) -> None:
        """Nothing to do."""


class CannotRewrite(Exception):
    """The text of a function is not to be had, or does not compile to the same function."""


def rewritten(function: FunctionType, hook: Hook) -> CodeType:
    """The function's code with the hook's calls in it.

    Raises:
        CannotRewrite: there is no source, or it compiles to something that can't stand in the function's place.
    """
    code = _compile(function.__code__, _surround)
    return put_hook(code, hook)


def rewritten_dispatch(function: FunctionType, hook: Hook, kept: Kept) -> CodeType:
    """The same for a function that offers its call to `__torch_function__` (torch/overrides.py): `enter` comes before
    the offer, with what is offered: the public function, its positional arguments and its keyword arguments.

    Raises:
        CannotRewrite: as above, or no such offer is found.
    """
    code = kept.get(function.__code__)
    if code is None or not _can_replace(code, function.__code__):
        code = _compile(function.__code__, _surround_dispatch)
        kept.put(function.__code__, code)
    return put_hook(code, hook)


def unwrapped(function: Any) -> FunctionType:
    """The Python function below decorators and methods.

    Raises:
        CannotRewrite: there is none.
    """
    function = inspect.unwrap(getattr(function, "__func__", function))
    if not isinstance(function, FunctionType):
        raise CannotRewrite(f"{getattr(function, '__qualname__', function)!s} is no Python function")
    return function


def put_hook(code: CodeType, hook: Hook) -> CodeType:
    """The code with the hook among its constants."""
    return code.replace(co_consts=tuple(hook if c is _HOOK or c == _HOOK else c for c in code.co_consts))


@lru_cache(maxsize=1024)
def _compile(code: CodeType, change: Any) -> CodeType:
    definition, classes, moved = _definition(code)
    change(definition)
    body: list[ast.stmt] = [definition]
    for name in reversed(classes):  # names with two underscores are mangled by the class, `super()` needs it
        body = [ast.ClassDef(name, [], [], body, [], **_PARAMETERS)]
    outer = sorted(set(code.co_freevars) - {"__class__"})
    if outer:
        body = [_enclose(outer, body)]
    for around in body:
        _locate(around, definition)
    flags = code.co_flags & _FUTURES
    module = compile(ast.Module(body, []), code.co_filename, "exec", flags, dont_inherit=True)
    found = _move(_find(module, code.co_name, definition.lineno), moved)
    if sys.version_info >= (3, 11):
        found = found.replace(co_qualname=code.co_qualname)
    if not _can_replace(found, code):
        raise CannotRewrite(f"{code.co_name} compiles to another function")
    return found


def _move(code: CodeType, lines: int) -> CodeType:
    """The code some lines further down: what is compiled is the function's text alone."""
    inner = tuple(_move(c, lines) if isinstance(c, CodeType) else c for c in code.co_consts)
    return code.replace(co_firstlineno=code.co_firstlineno + lines, co_consts=inner)


def _find(module: CodeType, name: str, line: int) -> CodeType:
    waiting = [module]
    while waiting:
        for constant in waiting.pop().co_consts:
            if isinstance(constant, CodeType):
                if constant.co_name == name and abs(constant.co_firstlineno - line) < 64:
                    return constant
                waiting.append(constant)
    raise CannotRewrite(f"{name} is not in its file's text")


def _can_replace(code: CodeType, like: CodeType) -> bool:
    arguments = like.co_argcount + like.co_kwonlyargcount + bool(like.co_flags & 4) + bool(like.co_flags & 8)
    return (
        code.co_firstlineno == like.co_firstlineno
        and code.co_freevars == like.co_freevars
        and code.co_argcount == like.co_argcount
        and code.co_posonlyargcount == like.co_posonlyargcount
        and code.co_kwonlyargcount == like.co_kwonlyargcount
        and code.co_flags == like.co_flags
        and code.co_varnames[:arguments] == like.co_varnames[:arguments]
    )


def _definition(code: CodeType) -> tuple[ast.FunctionDef, list[str], int]:
    """The function's syntax tree, the names of the classes around it, and by how many lines the tree is too high."""
    lines = _lines(code.co_filename)
    first = code.co_firstlineno
    indented = lines[first - 1 : first] and lines[first - 1][:1].isspace()
    tree = _parse(["if 1:\n"] if indented else [], lines[first - 1 :], _last_line(code) - first + 1)
    found: Any = tree.body[0]
    if indented and isinstance(found, ast.If):
        found = found.body[0]
    if not isinstance(found, ast.FunctionDef) or found.name != code.co_name:
        raise CannotRewrite(f"{code.co_name} is not where its code says")
    # decorators and annotations are evaluated where the function is made, and defaults are kept by the function
    found.decorator_list = [ast.copy_location(ast.Constant(None), d) for d in found.decorator_list]
    arguments = found.args
    for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg):
        if argument is not None:
            argument.annotation = None
    found.returns = None
    arguments.defaults = []
    arguments.kw_defaults = [None] * len(arguments.kwonlyargs)
    qualified = getattr(code, "co_qualname", code.co_name).rpartition("<locals>.")[2]
    names = qualified.split(".")[:-1]
    classes = names or (["_"] if "__class__" in code.co_freevars else [])
    return found, classes, first - (2 if indented else 1)


def _last_line(code: CodeType) -> int:
    own = max((line for _, _, line in code.co_lines() if line), default=code.co_firstlineno)
    return max([own, *(_last_line(c) for c in code.co_consts if isinstance(c, CodeType))])


def _parse(head: list[str], lines: list[str], count: int) -> ast.Module:
    """The tree of the first `count` lines, and of as many more as it takes to close what they open."""
    for more in range(_CLOSING):
        try:
            return ast.parse("".join(head + lines[: count + more]))
        except SyntaxError:
            continue
    raise CannotRewrite("the file's text is not that of the function")


@lru_cache(maxsize=64)
def _lines(file: str) -> list[str]:
    if file.startswith("<frozen "):
        file = os.path.join(os.path.dirname(os.__file__), *file[8:-1].split(".")) + ".py"
    try:
        with tokenize.open(file) as stream:
            return stream.readlines()
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise CannotRewrite(f"{file}: {error}") from None


def _enclose(names: list[str], body: list[ast.stmt]) -> ast.FunctionDef:
    """A function that has the names which the body takes from around it."""
    given: list[ast.stmt] = [ast.Assign([ast.Name(name, ast.Store())], ast.Constant(None)) for name in names]
    nothing = ast.arguments([], [], None, [], [], None, [])
    return ast.FunctionDef("_", nothing, [*given, *body], [], None, None, **_PARAMETERS)


def _surround(definition: ast.FunctionDef) -> None:
    """`enter` before the body, `leave` around each result, `fail` where it raises."""
    a = definition.args
    names = [*(x.arg for x in (*a.posonlyargs, *a.args)), *(x.arg for x in (a.vararg, *a.kwonlyargs, a.kwarg) if x)]
    arguments: list[ast.expr] = [ast.Name(name, ast.Load()) for name in names]
    opening, body = _docstring(definition.body)
    definition.body = [*opening, _statement("enter", arguments, definition), *_guarded(body, definition)]


def surround_module(tree: Any) -> None:
    """The same around a module's body; what must stand first in a module stays first."""
    head, body = _docstring(tree.body)
    while body and isinstance(body[0], ast.ImportFrom) and body[0].module == "__future__":
        head.append(body.pop(0))
    at = body[-1] if body else ast.Pass(lineno=1, col_offset=0)
    handler = ast.ExceptHandler(None, None, [_statement("fail", [], at), ast.Raise()])
    guarded = ast.Try(body or [ast.copy_location(ast.Pass(), at)], [handler], [], [])
    tree.body = [*head, _locate(guarded, at, 3), _statement("leave", [ast.Constant(None)], at)]


def _surround_dispatch(definition: ast.FunctionDef) -> None:
    opening, body = _docstring(definition.body)
    if not _place_enter(body):
        raise CannotRewrite(f"{definition.name} offers its call to no __torch_function__")
    definition.body = [*opening, _statement("start", [], definition), *_guarded(body, definition)]


def _place_enter(body: list[ast.stmt]) -> bool:
    """Puts `enter` before the first statement `if has_torch_function(…): return handle_torch_function(…)`."""
    for place, statement in enumerate(body):
        if isinstance(statement, ast.If):
            offer = _offer(statement)
            if offer is not None:
                public, _, *positional = offer.args
                keywords = [ast.keyword(k.arg, k.value) for k in offer.keywords]
                given: list[ast.expr] = [
                    public,
                    ast.Tuple(list(positional), ast.Load()),
                    ast.Dict([ast.Constant(k.arg) if k.arg else None for k in keywords], [k.value for k in keywords]),
                ]
                body.insert(place, _statement("enter", given, statement))
                return True
        for inner in _bodies(statement):
            if _place_enter(inner):
                return True
    return False


def _bodies(statement: Any) -> Iterable[list[ast.stmt]]:
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return
    for name in ("body", "orelse", "finalbody"):
        inner = getattr(statement, name, None)
        if isinstance(inner, list):
            yield inner
    for name in ("handlers", "cases"):
        for branch in getattr(statement, name, ()):
            yield branch.body


def _offer(statement: ast.If) -> ast.Call | None:
    last = statement.body[-1]
    call = last.value if isinstance(last, ast.Return) else None
    if isinstance(call, ast.Call):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if name == _DISPATCH and len(call.args) >= 2:
            return call
    return None


def _docstring(body: list[ast.stmt]) -> tuple[list[ast.stmt], list[ast.stmt]]:
    has = body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
    return (body[:1], body[1:]) if has and isinstance(body[0].value.value, str) else ([], body)  # type: ignore[attr-defined]


def _guarded(body: list[ast.stmt], definition: ast.FunctionDef) -> list[ast.stmt]:
    ended = isinstance(body[-1], (ast.Return, ast.Raise)) if body else False
    _tell_returns(body)
    last = [] if ended else [_statement("leave", [ast.Constant(None)], definition)]
    again = [_statement("fail", [], definition), ast.Raise()]
    handler = ast.ExceptHandler(ast.Name("BaseException", ast.Load()), None, again)
    return [_locate(ast.Try([*body, *last], [handler], [], []), definition, 3)]


def _tell_returns(body: list[ast.stmt]) -> None:
    """`return x` becomes `return hook.leave(x)`; functions inside are left alone."""
    for statement in body:
        if isinstance(statement, ast.Return):
            value = statement.value or ast.Constant(None)
            statement.value = _call("leave", [value])
            _locate(statement.value, value if hasattr(value, "lineno") else statement)
        else:
            for inner in _bodies(statement):
                _tell_returns(inner)


def _call(name: str, arguments: list[ast.expr]) -> ast.Call:
    return ast.Call(ast.Attribute(ast.Constant(_HOOK), name, ast.Load()), arguments, [])


def _statement(name: str, arguments: list[ast.expr], at: ast.stmt) -> ast.Expr:
    """A call of the hook, all of it on the first line of `at`."""
    return _locate(ast.Expr(_call(name, arguments)), at)


Node = TypeVar("Node", bound=ast.AST)


def _locate(node: Node, at: Any, depth: int = 4) -> Node:
    """Gives a place to the nodes that have none: that where `at` begins; torch's own keep theirs."""
    if depth and not hasattr(node, "lineno"):
        if isinstance(node, (ast.expr, ast.stmt, ast.ExceptHandler)):
            node.lineno = node.end_lineno = at.lineno
            node.col_offset = node.end_col_offset = at.col_offset
        for child in ast.iter_child_nodes(node):
            _locate(child, at, depth - 1)
    return node
