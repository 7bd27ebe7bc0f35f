"""The new interpreter's side: the program is called from C, and how it ends is learnt (see `torchwhy.launch.command`)."""

from __future__ import annotations

import ast
import functools
import importlib.machinery
import json
import os
import sys
import warnings
from collections.abc import Callable
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from ..program import Program, absolute_path
from ..record.rewriting import CannotRewrite, put_hook, rewritten, surround_module

if TYPE_CHECKING:
    from ..session import Session

_RUN = "_run_module_as_main"
_MODULE = "runpy"


def prepare(given: str, modules: frozenset[str]) -> None:
    """In the new interpreter, before anything of the program's: be asked for what runs `__main__`.

    `modules` are those that were there before ours.
    """
    from ..session import Options, Session

    told = json.loads(given)
    program = Program(told["program"]["target"], tuple(told["program"]["arguments"]), told["program"]["is_module"])
    session = Session(program, Options(**told["options"]))
    finder = None
    if session.loaded.source is not None:
        import ctypes  # now, since a file of the program's may have its name

        finder = _Finder(absolute_path(program.target), ctypes)
        sys.path_hooks.insert(0, finder)
    sys.modules[_MODULE] = _Asked(lambda: _begin(session, finder, modules))


class _Finder:
    """Claims that the script is a folder with a program in it, so that the interpreter asks `runpy` to run it."""

    def __init__(self, path: str, ctypes: Any) -> None:
        self.path = path
        self.ctypes = ctypes

    def __call__(self, path: str) -> _Finder:
        if path != self.path:
            raise ImportError
        return self

    def find_spec(self, name: str, target: ModuleType | None = None) -> None:
        return None

    def leave(self) -> None:
        """The interpreter has asked: all as it was, and the first entry of `sys.path` as for a script."""
        sys.path_hooks.remove(self)
        sys.path_importer_cache[self.path] = None
        if sys.path[:1] == [self.path]:
            del sys.path[0]
        if not getattr(sys.flags, "safe_path", False) and not sys.flags.isolated:
            sys.path.insert(0, os.path.dirname(os.path.realpath(self.path)))


class _Asked(ModuleType):
    """Stands for `runpy` until the interpreter asks it for the function that runs `__main__`."""

    def __init__(self, begin: Callable[[], Any]) -> None:
        super().__init__(_MODULE)
        self.__dict__.update(_begin=begin, _real=None)

    def __getattr__(self, name: str) -> Any:
        given = self.__dict__
        if name != _RUN:  # another asks, such as the environment's own `sitecustomize`
            here = sys.modules.pop(_MODULE, None)
            given["_real"] = _runpy()
            if here is self:
                sys.modules[_MODULE] = self
            return getattr(given["_real"], name)
        del sys.modules[_MODULE]
        if given["_real"] is not None:
            sys.modules[_MODULE] = given["_real"]
        return given["_begin"]()


def _runpy() -> ModuleType:
    import runpy

    return runpy


def _begin(session: Session, finder: _Finder | None, modules: frozenset[str]) -> Any:
    """Start watching; gives what the interpreter is to call, from C, to run the program."""
    if finder is not None:
        finder.leave()
    known = set(sys.path_importer_cache)
    with session.apart:
        session.begin()
    forget_importers(known)
    session.apart.shadow(sys.path[0] if sys.path else "", modules)
    return _watched_runpy(session) if finder is None else _watched_script(session, finder)


def _watched_script(session: Session, finder: _Finder) -> Any:
    main = sys.modules["__main__"].__dict__
    path = finder.path
    main.update(__file__=path, __loader__=importlib.machinery.SourceFileLoader("__main__", path))
    if sys.version_info < (3, 13):
        main["__cached__"] = None
    source = session.loaded.source or b""
    try:
        code = _compile(source, path)
    except Exception as error:  # it does not compile: the interpreter is to say so, in its own way
        session.end(error)
        compiled = _c_function(finder.ctypes, "Py_CompileString", "z", "z", "i")
        return functools.partial(compiled, source, os.fsencode(path), 257)
    if code is None:
        return lambda *_: session.go()
    session.when_over.append(functools.partial(_forget_file, main))
    evaluate = _c_function(finder.ctypes, "PyEval_EvalCode", "O", "O", "O")
    return functools.partial(evaluate, put_hook(code, _End(session)), main, main)


def forget_importers(known: set[str]) -> None:
    """The folders that only we have looked into are unknown again."""
    for path in [path for path in sys.path_importer_cache if path not in known]:
        del sys.path_importer_cache[path]


def _forget_file(main: dict[str, Any]) -> None:
    """The interpreter takes these names off a script that has run, or whose failure has been shown."""
    for name in ("__file__", "__cached__"):
        main.pop(name, None)


def _compile(source: bytes, path: str) -> CodeType | None:
    """The script's code, in a handler; None where that is one block too many. Warnings are given once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            _compile_watched(source, path)
        except SyntaxError:
            compile(source, path, "exec", dont_inherit=True)
            return None
    return _compile_watched(source, path)


def _compile_watched(source: bytes, path: str) -> CodeType:
    tree: Any = compile(source, path, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
    surround_module(tree)
    code: CodeType = compile(tree, path, "exec", dont_inherit=True)  # type: ignore[call-overload]
    return code


def _c_function(ctypes: Any, name: str, *kinds: str) -> Any:
    """A function of the interpreter's, called without a frame. It takes the arguments that it knows and drops the rest."""
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
