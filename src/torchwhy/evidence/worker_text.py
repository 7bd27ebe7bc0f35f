"""Exceptions that arrive as text: printed tracebacks, and what a DataLoader worker (or another helper of torch's) raised.

A worker can't send its exception, only the printed traceback; torch raises it again in the main process as
`Caught KeyError in DataLoader worker process 0.\\nOriginal Traceback (most recent call last): …`.
Pure text: nothing here needs torch or the files that the text names.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from ..model import Failure, Frame, Span

Origin = Literal["user", "library", "torch"]
_LOOP = "torch/utils/data/_utils/worker.py"
START = "Traceback (most recent call last):"
_CAUGHT = re.compile(
    r"\ACaught (?P<type>[\w.]+) (?P<where>in .+?)\.\nOriginal (?P<trace>Traceback \(most recent call last\):\n.*)", re.DOTALL
)
_WORKER = re.compile(r"in DataLoader worker process (\d+)")
_LINKS = re.compile(
    r"\n{1,3}(?:During handling of the above exception, another exception occurred"
    r"|The above exception was the direct cause of the following exception):\n+"
)
_FRAME = re.compile(r'^  File "(?P<file>[^"\n]+)", line (?P<line>\d+)(?:, in (?P<function>.+))?$')
_MARKS = re.compile(r"^ +[~^]+ *$")
_ERROR = re.compile(r"^(?P<type>[A-Za-z_][\w.]*)(?:: (?P<message>.*))?\Z", re.DOTALL)
_ELSEWHERE = re.compile(r"/(?:site|dist)-packages/|/lib/python\d|^<frozen ")


@dataclass(frozen=True, slots=True)
class Caught:
    """An exception that was raised again from its text. `where`: `in DataLoader worker process 0`, `in pin memory thread for device 0`."""

    error_type: str
    where: str
    traceback: str

    @property
    def worker(self) -> int | None:
        """The DataLoader worker's number, if it was one."""
        found = _WORKER.fullmatch(self.where)
        return int(found[1]) if found else None


def caught(message: str) -> Caught | None:
    """What an exception's message holds of another exception that was raised elsewhere."""
    found = _CAUGHT.match(message)
    return Caught(found["type"], found["where"], found["trace"]) if found else None


def read_traceback(
    text: str, origin: Callable[[str], Origin] | None = None, line_of: Callable[[str, int], str] | None = None
) -> Failure | None:
    """A printed traceback as a failure, with those that it was raised from as `caused_by`; None where the text holds none.

    `origin` and `line_of` are for files that are at hand: whose a file is, and the text of its line (it turns `^^^^` into columns).
    """
    failure: Failure | None = None
    for block in _LINKS.split(text.strip("\n")):
        one = _read_one(block, origin or origin_by_name, line_of)
        if one is not None:
            again = failure is not None and (one.error_type, one.message) == (failure.error_type, failure.message)
            failure = replace(one, caused_by=failure.caused_by if failure is not None and again else failure)
    return failure


def in_worker(inner: Failure, outer: Failure) -> Failure:
    """A worker's failure as it would have come without workers: below the program's lines that asked for the batch."""
    asking = next((n for n, frame in enumerate(outer.frames) if frame.origin == "torch"), 0)
    frames = [f for f in inner.frames if not f.span.file.replace("\\", "/").endswith(_LOOP)]
    return replace(inner, frames=(*outer.frames[:asking], *frames), worker=outer.worker, loader=outer.loader)


def origin_by_name(file: str) -> Origin:
    """Whose file it is, by its name alone."""
    name = file.replace("\\", "/")
    if "-packages/torch/" in name:
        return "torch"
    return "library" if _ELSEWHERE.search(name) else "user"


def _read_one(block: str, origin: Callable[[str], Origin], line_of: Callable[[str, int], str] | None) -> Failure | None:
    start = block.find(START)
    lines = block[start:].splitlines()[1:] if start >= 0 else []
    frames: list[Frame] = []
    end = 0
    for number, line in enumerate(lines):
        found = _FRAME.match(line)
        if found:
            code, marks = _code_below(lines, number + 1)
            frames.append(_frame(found, code, marks, origin, line_of))
        elif line and not line.startswith(" "):
            end = number
            break
    error = _ERROR.match("\n".join(lines[end:])) if frames and end else None
    if error is None:
        return None
    module, _, name = error["type"].rpartition(".")
    return Failure(name, (error["message"] or "").rstrip("\n"), module or "builtins", tuple(frames))


def _code_below(lines: list[str], number: int) -> tuple[str, str]:
    """The source line that is printed below a frame, and the marks below that."""
    code = lines[number] if number < len(lines) and lines[number].startswith("    ") else ""
    marks = lines[number + 1] if code and number + 1 < len(lines) and _MARKS.match(lines[number + 1]) else ""
    return code.strip(), marks


def _frame(
    found: re.Match[str], code: str, marks: str, origin: Callable[[str], Origin], line_of: Callable[[str, int], str] | None
) -> Frame:
    file, line, function = found["file"], int(found["line"]), found["function"] or ""
    span = Span(file, line, 0, line, 0, "" if function == "<module>" else function)
    source = line_of(file, line) if line_of is not None and code else ""
    if source.strip() == code:
        # the code is printed four columns in; a line without marks is meant whole
        indent = len(source) - len(source.lstrip())
        first, last = (len(marks) - len(marks.lstrip()) - 4, len(marks.rstrip()) - 4) if marks else (0, len(code))
        span = replace(span, column=indent + first, end_column=indent + last)
    return Frame(span, origin(file), code)
