"""The user's program, run in this process as `python SCRIPT ARGS…` and `python -m MODULE ARGS…` run it."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import io
import marshal
import os
import runpy
import sys
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass
from types import CodeType, ModuleType, TracebackType

_launcher: list[ModuleType] = []
"""The module that started us. The interpreter borrows its names after a failure, so it must not go away."""


_ALONE = "bBdEIOPqsuv"
_WITH_VALUE = "WX"


class BadInput(Exception):
    """What the user named can't be used; the text is one clear line."""


@dataclass(frozen=True)
class Program:
    """A script (a file, or a folder or archive with a `__main__.py`) or a module, and its arguments."""

    target: str
    arguments: tuple[str, ...] = ()
    is_module: bool = False

    @property
    def is_archive(self) -> bool:
        """Whether it is a folder or an archive, whose `__main__.py` runs: the interpreter asks its import system."""
        for hook in sys.path_hooks:
            try:
                hook(absolute_path(self.target))
            except ImportError:
                continue
            return True
        return False

    @property
    def can_be_read_again(self) -> bool:
        """Whether another interpreter finds the same text, which isn't so where it comes through a pipe."""
        return self.is_module or os.path.isdir(self.target) or os.path.isfile(self.target)

    def load(self) -> Loaded:
        """Check that it can be run at all, before anything is changed."""
        if self.is_module:
            return self._found_module()
        if self.is_archive:
            return self._found_archive()
        try:
            with open(self.target, "rb") as file:
                source = file.read()
        except OSError as error:
            raise BadInput(f"can't open {self.target!r}: {error.strerror or error}") from None
        if self.target.endswith(".pyc") or source[:2] == importlib.util.MAGIC_NUMBER[:2]:
            return Loaded(self, code=_unmarshalled(source, self.target))
        check_is_text(source, self.target)
        return Loaded(self, source)

    def _found_module(self) -> Loaded:
        top = self.target.partition(".")[0]
        here = [os.getcwd(), *sys.path]
        if not top or not (top in sys.builtin_module_names or importlib.machinery.PathFinder.find_spec(top, here) or _is_known(top)):
            raise BadInput(f"no module named {self.target!r}")
        return Loaded(self)

    def _found_archive(self) -> Loaded:
        if not importlib.machinery.PathFinder.find_spec("__main__", [self.target]):
            raise BadInput(f"can't find '__main__' in {self.target!r}")
        return Loaded(self)


@dataclass(frozen=True)
class Loaded:
    """A program that exists. `source` is the text of a plain script, as bytes, `code` that of a compiled one."""

    program: Program
    source: bytes | None = None
    code: CodeType | None = None

    def execute(self) -> None:
        """Run it as `__main__`. What it raises comes out as it is; `without_us` takes our frames off."""
        program = self.program
        old = sys.modules["__main__"]
        _launcher.append(old)
        main = ModuleType("__main__")
        main.__dict__.update(__builtins__=sys.modules["builtins"], **{name: {} for name in ("__annotations__",) if name in old.__dict__})
        sys.modules["__main__"] = main
        if self.source is not None or self.code is not None:
            path = absolute_path(program.target)
            sys.argv[:] = [program.target, *program.arguments]
            _set_first_path(os.path.dirname(os.path.realpath(program.target)))
            main.__file__ = path
            kind = importlib.machinery.SourceFileLoader if self.code is None else importlib.machinery.SourcelessFileLoader
            main.__loader__ = kind("__main__", path)
            if "__cached__" in globals():  # a module from a file has one in this Python
                main.__dict__["__cached__"] = None
            exec(self.code or _compile(self.source or b"", path), main.__dict__)
        elif program.is_module:
            sys.argv[:] = ["-m", *program.arguments]
            _set_first_path(os.getcwd())
            runpy._run_module_as_main(program.target)  # type: ignore[attr-defined]
        else:
            sys.argv[:] = [program.target, *program.arguments]
            _set_first_path(absolute_path(program.target))
            runpy._run_module_as_main("__main__", False)  # type: ignore[attr-defined]


def without_us(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the program's first frame on; None where there is none (a syntax error)."""
    mine = (Loaded.execute.__code__, _compile.__code__)
    step, rest = trace, trace
    while step is not None:
        if step.tb_frame.f_code in mine:
            rest = step.tb_next
            if rest is None or rest.tb_frame.f_code not in mine:
                return rest
        step = step.tb_next
    return trace


def check_is_text(source: bytes, name: str) -> None:
    """Refuse what is no Python text."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
        source.decode(encoding)
    except (SyntaxError, UnicodeDecodeError, LookupError):
        raise BadInput(f"{name!r} is not a Python program: it can't be read as text") from None
    if b"\0" in source:
        raise BadInput(f"{name!r} is not a Python program: it holds null bytes")


def _unmarshalled(data: bytes, name: str) -> CodeType:
    """The code in a compiled file."""
    try:
        code = marshal.loads(data[16:]) if data[:4] == importlib.util.MAGIC_NUMBER else None
    except (EOFError, ValueError, TypeError):
        code = None
    if not isinstance(code, CodeType):
        raise BadInput(f"{name!r} was not compiled by this Python")
    return code


def _compile(source: bytes, path: str) -> CodeType:
    return compile(source, path, "exec", dont_inherit=True)


def absolute_path(path: str) -> str:
    """As the interpreter makes a script's path absolute: not normalised where the system's own function doesn't."""
    if os.name == "nt":
        return os.path.abspath(path)
    try:
        return path if os.path.isabs(path) else os.path.join(os.getcwd(), path)
    except FileNotFoundError:  # the folder that we stand in is gone
        return path


def _set_first_path(entry: str) -> None:
    """The interpreter put the folder of our command (or the working directory) first in `sys.path`; a program expects its own there."""
    if getattr(sys.flags, "safe_path", False) or sys.flags.isolated:
        return
    sys.path[0:1] = [entry]


def _is_known(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def count_flags(args: Sequence[str]) -> int | None:
    """How many words come before the script or `-m`; None where the interpreter does something else."""
    place = 1
    while place < len(args):
        word = args[place]
        if not word.startswith("-"):
            return place
        if word == "-m":
            return place if place + 1 < len(args) else None
        letters = word[1:].lstrip(_ALONE)
        if letters and letters[0] not in _WITH_VALUE or word == "-":
            return None
        place += 2 if len(letters) == 1 else 1
    return None
