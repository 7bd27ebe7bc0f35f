"""From the bytes of a log to evidence of its failures."""

from __future__ import annotations

import os
import re
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from ...model import Environment, Evidence, Failure, Frame, Recording, Span
from .failures import Found, failures_in
from .lines import Line, lines_of
from .ranks import judge_order
from .scan import Binary, excerpts
from .signs import strange, typeless

BinaryText = Binary
_BEFORE, _AFTER, _HEAD = 120, 80, 80
_CONTEXT = 260
_SOURCE_LIMIT = 2_000_000
_NOTABLE = re.compile(r"warn|error|cuda|torch|device|dtype|version|param|class|label|index|shape|size|memory|rank|\$ ", re.IGNORECASE)
_VERSION = re.compile(
    r"(?i:\bpy)?torch(?:\.__version__|[ _]version)?\s{0,20}(?:[:=]|version)?\s{0,20}v?(?P<torch>[12]\.\d{1,2}\.\d(?:[\w.]{0,40}\+\w+)?)",
    re.IGNORECASE,
)
_BUILD = re.compile(r"\b([12]\.\d{1,2}\.\d\+(?:cu\d{2,3}|cpu|rocm[\d.]+|xpu))\b")
_PYTHON = re.compile(r"[/\\]python(3\.\d{1,2})[/\\]|Python (3\.\d{1,2}\.\d{1,2})")


@dataclass(frozen=True, slots=True)
class Log:
    """What a text tells: the evidence of its first cause, and remarks on the whole."""

    evidence: Evidence
    remarks: tuple[str, ...] = ()


def read_log(stream: BinaryIO) -> Log:
    """Read a text of any size. Raises `BinaryText` where the bytes are none."""
    lines = lines_of(excerpts(stream))
    verdict = judge_order(_all_failures(lines), lines)
    if not verdict.roots:
        return Log(Evidence(from_text=True, context=_context(lines, None), environment=_environment(lines), recording=_NOTHING))
    first, *others = verdict.roots
    failure = first.failure
    sources = dict(_sources(failure))
    for other in others[:20]:
        sources.update(_sources(other.failure))
    evidence = Evidence(
        failure=_in_columns(failure, sources),
        others=tuple(_in_columns(other.failure, sources) for other in others[:20]),
        consequences=verdict.consequences,
        context=_context(lines, first),
        sources=tuple(sources.items()),
        environment=_environment(lines),
        recording=_NOTHING,
        from_text=True,
    )
    return Log(evidence, verdict.remarks)


_NOTHING = Recording(mode="off", full=False)


def _all_failures(lines: Sequence[Line]) -> list[Found]:
    """Each printer's lines are read by themselves, so that interleaved ranks come apart."""
    streams: dict[str, list[int]] = {}
    for place, line in enumerate(lines):
        streams.setdefault(line.stream, []).append(place)
    found = [one for places in streams.values() for one in failures_in([lines[p] for p in places], places)]
    found = found or [Found(failure, place, place + 1) for place, failure in (*typeless(lines), *strange(lines))][:1]
    return sorted(found, key=lambda f: f.start)


# ── what stands around ────────────────────────────────────────────────────────────────────────────────────────────────
def _context(lines: Sequence[Line], first: Found | None) -> tuple[str, ...]:
    """The lines near the failure, and the notable ones of the log's head; repeated lines (a thousand asserts) once."""
    start, end = (first.start, first.end) if first is not None else (len(lines), len(lines))
    stream = lines[start].stream if start < len(lines) else ""
    chosen = [p for p in range(max(0, start - _BEFORE), min(len(lines), end + _AFTER)) if not start <= p < end]
    chosen = [p for p in chosen if lines[p].stream in ("", stream) or p < start and not lines[p].text.startswith(" ")]
    if first is not None and stream:
        chosen += [p for p in range(start, end) if lines[p].stream == ""]
    head = [p for p in range(min(_HEAD, len(lines), max(0, start - _BEFORE))) if _NOTABLE.search(lines[p].text[:400])]
    seen: dict[str, str] = {}
    for place in sorted({*head, *chosen}):
        text = lines[place].text.strip()[:600]
        if text and len(seen) < _CONTEXT:
            seen.setdefault(_shape(text), text)
    return tuple(seen.values())


def _shape(text: str) -> str:
    """Lines of GPU asserts differ in block and thread only; other lines are told apart by all of their text."""
    return re.sub(r"\[\d+,\d+,\d+\]", "", text) if "ssertion" in text else text


def _environment(lines: Sequence[Line]) -> Environment:
    """What the log says of the machine that it comes from."""
    torch, python, platform = "", "", ""
    for line in lines[:20_000]:
        text = line.text[:600]
        if not torch and "." in text and (found := _BUILD.search(text)) is not None:
            torch = found[1]
        elif not torch and "orch" in text and (found := _VERSION.search(text)) is not None:
            torch = found["torch"]
        if not python and "ython" in text and (found := _PYTHON.search(text)) is not None:
            python = found[1] or found[2]
        if not platform and re.search(r'File "[A-Z]:\\|[A-Z]:\\\w+\\', text):
            platform = "Windows"
    return Environment(torch=torch or None, python=python, platform=platform)


# ── the program's files, where they are here ──────────────────────────────────────────────────────────────────────────
def _sources(failure: Failure) -> Iterator[tuple[str, str]]:
    """The text of the program's files that the traceback names, where they exist here and still have the printed lines."""
    seen: set[str] = set()
    for one in _chain(failure):
        for frame in one.user_frames:
            file = frame.span.file
            if file in seen or not file.endswith(".py"):
                continue
            text = _text_of(os.path.expanduser(file))
            lines = text.splitlines() if text else []
            if 0 < frame.span.line <= len(lines) and frame.code and lines[frame.span.line - 1].strip() == frame.code.split("\n")[0].strip():
                seen.add(file)
                yield file, text


def _text_of(file: str) -> str:
    try:
        path = Path(file)
        if path.is_file() and path.stat().st_size <= _SOURCE_LIMIT:
            with tokenize.open(path) as stream:
                return stream.read()
    except (OSError, SyntaxError, ValueError):  # not there, not readable, not Python's text: told from the traceback alone
        pass
    return ""


def _in_columns(failure: Failure, sources: dict[str, str]) -> Failure:
    """The frames with their columns, where the source is at hand; a line is meant whole."""
    cause = _in_columns(failure.caused_by, sources) if failure.caused_by is not None else None
    return replace(failure, frames=tuple(_placed(f, sources) for f in failure.frames), caused_by=cause)


def _placed(frame: Frame, sources: dict[str, str]) -> Frame:
    text = sources.get(frame.span.file)
    lines = text.splitlines() if text else []
    if frame.origin != "user" or not 0 < frame.span.line <= len(lines):
        return frame
    source = lines[frame.span.line - 1]
    span = frame.span
    placed = Span(span.file, span.line, len(source) - len(source.lstrip()), span.line, len(source.rstrip()), span.function)
    return replace(frame, span=placed)


def _chain(failure: Failure | None) -> Iterable[Failure]:
    while failure is not None:
        yield failure
        failure = failure.caused_by
