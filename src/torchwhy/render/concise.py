"""One line a diagnosis: `file:line: CODE slug: headline`."""

from __future__ import annotations

from collections.abc import Iterator

from ..model import Report
from .text import Line, visible


def report_lines(report: Report) -> Iterator[Line]:
    for d in report.diagnoses:
        yield (
            (f"{visible(d.cause.span.file)}:{d.cause.span.line}: ", ""),
            (f"{d.code} {d.family}", "code"),
            (f": {visible(d.headline)}", ""),
        )
