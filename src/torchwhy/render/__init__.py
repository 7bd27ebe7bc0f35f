"""A report in the form that was asked for: `FORMATS` is the list. What only some runs need (rich, JSON) is imported when they do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

from ..model import Report


def show(report: Report, form: str, stream: TextIO, color: str = "auto") -> None:
    """Write the report to the stream in one of `FORMATS`."""
    FORMATS[form](report, stream, color)


def _terminal(report: Report, stream: TextIO, color: str) -> None:
    from .terminal import report_lines
    from .text import put, width_of

    put(report_lines(report, width_of(stream)), stream, color)


def _concise(report: Report, stream: TextIO, color: str) -> None:
    from .concise import report_lines
    from .text import put

    put(report_lines(report), stream, color)


def _json(report: Report, stream: TextIO, color: str) -> None:
    from .json import as_text

    stream.write(as_text(report))
    stream.flush()


FORMATS: dict[str, Callable[[Report, TextIO, str], None]] = {"terminal": _terminal, "concise": _concise, "json": _json}
