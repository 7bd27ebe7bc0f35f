"""Where in the source: code objects and instruction offsets become spans, and file names become origins."""

from __future__ import annotations

import ast
import linecache
import os
import sys
import sysconfig
from functools import lru_cache
from itertools import islice
from types import CodeType, FrameType, SimpleNamespace
from typing import Any, Literal

from ..model import Span
from .own import OWN

Origin = Literal["user", "library", "torch", "own"]
Place = tuple[CodeType, int]
"""A code object and the offset of the instruction that ran last in it."""

_STANDARD = tuple(
    {os.path.normcase(os.path.abspath(sysconfig.get_path(name))) + os.sep for name in ("stdlib", "platstdlib")}
    | {os.path.normcase(os.path.dirname(os.path.abspath(os.__file__))) + os.sep}
)
_PACKAGES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


def _torch_folder() -> str | None:
    torch = sys.modules.get("torch")
    file = getattr(torch, "__file__", None)
    return os.path.dirname(os.path.abspath(file)) + os.sep if file else None


@lru_cache(maxsize=4096)
def origin(filename: str) -> Origin:
    """Whose file it is: the program's, another package's (or Python's own), torch's, or torchwhy's."""
    if filename.startswith(OWN):
        return "own"
    if filename.startswith("<"):
        return "user" if filename.startswith(("<ipython", "<stdin", "<string", "<exec", "<cell")) else "library"
    path = os.path.normcase(os.path.abspath(filename))
    torch = _torch_folder()
    if torch and path.startswith(os.path.normcase(torch)):
        return "torch"
    if any(part in path for part in _PACKAGES):
        return "torch" if f"{_PACKAGES[0]}torch{os.sep}" in path else "library"
    return "library" if path.startswith(_STANDARD) else "user"


@lru_cache(maxsize=4096)
def is_standard(filename: str) -> bool:
    """Whether a file belongs to Python's standard library."""
    if filename.startswith("<frozen"):
        return True
    path = os.path.normcase(os.path.abspath(filename))
    return path.startswith(_STANDARD) and not any(part in path for part in _PACKAGES)


@lru_cache(maxsize=4096)
def is_counted(filename: str) -> bool:
    """Whether a call there is told in `where`: the program's files and those of other packages, not torch, Python itself or torchwhy."""
    return origin(filename) in ("user", "library") and not is_standard(filename)


@lru_cache(maxsize=4096)
def relative(filename: str) -> str:
    """The file's name as reports write it: relative to the working directory where it lies below it."""
    if filename.startswith("<"):
        return filename
    path, here = os.path.abspath(filename), os.getcwd()
    return os.path.relpath(path, here) if path.startswith(here.rstrip(os.sep) + os.sep) else path


def _characters(filename: str, line: int, column: int) -> int:
    """A UTF-8 byte offset as a character offset."""
    text = linecache.getline(filename, line)
    return column if text.isascii() else len(text.encode()[:column].decode(errors="replace"))


def _looked_up(code: CodeType, lasti: int, line: int) -> tuple[tuple[int | None, int | None, int | None, int | None], str]:
    """Python 3.10 keeps neither columns nor qualified names: they are found again from the bytecode and the source."""
    from executing import Source

    found = Source.executing(SimpleNamespace(f_code=code, f_lasti=lasti, f_lineno=line, f_globals={}))  # type: ignore[arg-type]
    node: Any = found.node
    for statement in found.statements or () if node is None else ():
        if isinstance(statement, ast.AugAssign):
            node = statement
        elif isinstance(statement, ast.For):
            node = statement.iter
        elif isinstance(statement, ast.With) and len(statement.items) == 1:
            node = statement.items[0].context_expr
    span = (node.lineno, node.end_lineno, node.col_offset, node.end_col_offset) if hasattr(node, "col_offset") else (line, line, None, None)
    return span, found.code_qualname()


@lru_cache(maxsize=16384)
def span_of(code: CodeType, lasti: int) -> Span:
    """The source span of one instruction; without columns where they are not to be had (`-X no_debug_ranges`, no source)."""
    file, function = relative(code.co_filename), code.co_name if code.co_name != "<module>" else ""
    lines = [number for start, end, number in code.co_lines() if start <= lasti < end and number]
    first = lines[0] if lines else code.co_firstlineno
    if sys.version_info >= (3, 11):
        line, end_line, column, end_column = next(islice(code.co_positions(), max(lasti, 0) // 2, None), (None,) * 4)
        qualified = code.co_qualname
    else:
        (line, end_line, column, end_column), qualified = _looked_up(code, lasti, first)
    function = function and qualified
    line = line or first
    if column is None or end_column is None:
        return Span(file, line, 0, end_line or line, 0, function)
    last = end_line or line
    return Span(file, line, _characters(code.co_filename, line, column), last, _characters(code.co_filename, last, end_column), function)


def spans(places: tuple[Place, ...]) -> tuple[Span, ...]:
    """The spans of several places, in their order."""
    return tuple(span_of(code, lasti) for code, lasti in places)


def places_from(frame: FrameType | None, limit: int = 6, depth: int = 160) -> tuple[Place, ...]:
    """The nearest calls that are told, beginning with this frame; generated methods, such as a dataclass's `__init__`, are not."""
    found: list[Place] = []
    while frame is not None and depth:
        code = frame.f_code
        if is_counted(code.co_filename) and not (
            code.co_name == "__torchwhy__" or (code.co_filename == "<string>" and code.co_name.startswith("__"))
        ):
            found.append((code, frame.f_lasti))
            if len(found) == limit:
                break
        frame, depth = frame.f_back, depth - 1
    return tuple(found)
