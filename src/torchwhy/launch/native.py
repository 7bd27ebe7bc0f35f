"""The new interpreter's side: the program is called from C, and how it ends is learnt (see `torchwhy.launch.command`)."""

from __future__ import annotations

import ast
import functools
import importlib.machinery
import json
import os
import sys
from collections.abc import Callable
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from ..program import Program, absolute_path
from ..record.rewriting import CannotRewrite, put_hook, rewritten, surround_module

if TYPE_CHECKING:
    from ..session import Session

_RUN = "_run_module_as_main"
_MODULE = "runpy"


def prepare(given: str) -> None:
    """In the new interpreter, before anything of the program's: be asked for what runs `__main__`."""
    told = json.loads(given)
    program = Program(told["program"]["target"], tuple(told["program"]["arguments"]), told["program"]["is_module"])
    begin = functools.partial(_begin, program, told["options"])
    is_script = not program.is_module and not program.is_archive
    finder = _Finder(absolute_path(program.target)) if is_script else None
    if finder is not None:
        sys.path_hooks.insert(0, finder)
    sys.modules[_MODULE] = _Asked(lambda: begin(finder))


class _Finder:
    """Claims that the script is a folder with a program in it, so that the interpreter asks `runpy` to run it."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __call__(self, path: str) -> _Finder:
        if path != self.path:
            raise ImportError
        return self

    def find_spec(self, name: str, target: ModuleType | None = None) -> None:
        return None

    def leave(self) -> None:
        """The interpreter has asked: all as it was, and the first entry of `sys.path` as for a script."""
        sys.path_hooks.remove(self)
        sys.path_importer_cache.pop(self.path, None)
        if sys.path[:1] == [self.path]:
            del sys.path[0]
        if not getattr(sys.flags, "safe_path", False) and not sys.flags.isolated:
            sys.path.insert(0, os.path.dirname(os.path.realpath(self.path)))


class _Asked(ModuleType):
    """Stands for `runpy` until the interpreter asks it for the function that runs `__main__`."""

    def __init__(self, begin: Callable[[], Any]) -> None:
        super().__init__(_MODULE)
        self.__dict__["_begin"] = begin

    def __getattr__(self, name: str) -> Any:
        sys.modules.pop(_MODULE, None)
        if name == _RUN:
            return self.__dict__["_begin"]()
        return getattr(_runpy(), name)


def _runpy() -> ModuleType:
    import runpy

    return runpy


def _begin(program: Program, options: dict[str, Any], finder: _Finder | None) -> Any:
    """Start watching; gives what the interpreter is to call, from C, to run the program."""
    from ..session import Options, Session

    if finder is not None:
        finder.leave()
    session = Session(program, Options(**options))
    session.begin()
    if finder is None:
        return _watched_runpy(session)
    main = sys.modules["__main__"].__dict__
    path = finder.path
    main.update(__file__=path, __loader__=importlib.machinery.SourceFileLoader("__main__", path))
    if sys.version_info < (3, 13):
        main["__cached__"] = None
    source = session.loaded.source or b""
    try:
        code = put_hook(_compile(source, path), _End(session))
    except Exception as error:  # it does not compile: the interpreter is to say so, in its own way
        session.end(error)
        return functools.partial(_c_function("Py_CompileString", "z", "z", "i"), source, os.fsencode(path), 257)
    return functools.partial(_c_function("PyEval_EvalCode", "O", "O", "O"), code, main, main)


def _compile(source: bytes, path: str) -> CodeType:
    """The script's code, in a handler. The plain one where that is one block too many."""
    plain: CodeType = compile(source, path, "exec", dont_inherit=True)
    tree: Any = compile(source, path, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
    surround_module(tree)
    try:
        watched: CodeType = compile(tree, path, "exec", dont_inherit=True)  # type: ignore[call-overload]
    except SyntaxError:
        return plain
    return watched


def _c_function(name: str, *kinds: str) -> Any:
    """A function of the interpreter's, called without a frame. It takes the arguments that it knows and drops the rest."""
    import ctypes

    types: dict[str, Any] = {"O": ctypes.py_object, "z": ctypes.c_char_p, "i": ctypes.c_int}
    return ctypes.PYFUNCTYPE(ctypes.py_object, *(types[kind] for kind in kinds))((name, ctypes.pythonapi))


class _End:
    """The hook around the program: learns how it ended."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def enter(self, *given: Any) -> None:
        """It begins."""

    def leave(self, result: Any) -> Any:
        """It came to its end."""
        self.session.end(None)
        return result

    def fail(self) -> None:
        """It was left by an exception."""
        self.session.end(sys.exc_info()[1])


def _watched_runpy(session: Session) -> Any:
    runpy = _runpy()
    function: FunctionType = getattr(runpy, _RUN)
    plain = function.__code__
    hook = _End(session)
    try:
        function.__code__ = rewritten(function, hook)
    except CannotRewrite as reason:
        session.problems.append(f"how the program ends is not seen: {reason}")
    else:
        session.when_ended.append(lambda: setattr(function, "__code__", plain))
    return function
