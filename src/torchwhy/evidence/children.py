"""Failures of child processes: the parent gets the child's traceback as a text, which is read back into frames."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import takewhile

from ..model import Evidence, Failure, Frame, Span
from ..record.spans import origin, relative
from .gather import read_sources
from .log.failures import read_text
from .worker_text import caught

_CHILD = re.compile(
    r"-- Process (?P<rank>\d+) terminated with the following error:\s{0,99}\n"  # torch.multiprocessing.spawn
    r"|\btraceback : (?=Traceback)"  # torchrun
    r'|^(?:""")?\s{0,99}(?=Traceback \(most recent call last\):\n  File )',  # a pool's worker; a program's own text
    re.MULTILINE,
)
_RANK = re.compile(r"\brank\s*: (\d+)")


def with_children(evidence: Evidence) -> Evidence:
    """The evidence with what a child process raised as the reason of the parent's exception, or of the one that this was raised from."""
    chain = list(_chain(evidence.failure))
    told = chain[-1] if chain and caught(chain[-1].message) is None else None
    found = _CHILD.search(told.message) if told is not None else None
    if told is None or found is None:
        return evidence
    listed = _RANK.findall(told.message[: found.start()])
    number = found["rank"] or (listed[-1] if listed else None)
    inner = read_text(told.message[found.end() :].rstrip().removesuffix('"""'))
    if inner is None:
        return evidence
    child = _here(inner, int(number) if number else None)
    files = [frame.span.file for one in _chain(child) for frame in one.frames]
    known = dict(evidence.sources)
    sources = {**known, **dict(read_sources(f for f in files if f not in known and origin(os.path.abspath(f)) == "user"))}
    asking = takewhile(lambda frame: frame.origin == "user", chain[0].frames) if '"""' in told.message else ()
    child = _placed(child, sources)
    failure = replace(child, process="another process", frames=(*asking, *child.frames))
    for outer in reversed(chain):
        failure = replace(outer, caused_by=failure)
    return replace(evidence, failure=failure, sources=tuple(sources.items()))


def _chain(failure: Failure | None) -> Iterator[Failure]:
    while failure is not None:
        yield failure
        failure = failure.caused_by


def _here(failure: Failure, rank: int | None) -> Failure:
    """With names of files as the rest of the evidence has them."""
    cause = _here(failure.caused_by, rank) if failure.caused_by is not None else None
    return replace(failure, frames=tuple(_frame(f) for f in failure.frames), rank=rank, caused_by=cause)


def _frame(frame: Frame) -> Frame:
    kind = origin(frame.span.file)
    return replace(frame, span=replace(frame.span, file=relative(frame.span.file)), origin="library" if kind == "own" else kind)


def _placed(failure: Failure, sources: dict[str, str]) -> Failure:
    cause = _placed(failure.caused_by, sources) if failure.caused_by is not None else None
    return replace(failure, frames=tuple(_in_columns(f, sources) for f in failure.frames), caused_by=cause)


def _in_columns(frame: Frame, sources: dict[str, str]) -> Frame:
    lines = sources.get(frame.span.file, "").splitlines()
    if not 0 < frame.span.line <= len(lines):
        return frame
    line = lines[frame.span.line - 1]
    span = frame.span
    return replace(frame, span=Span(span.file, span.line, len(line) - len(line.lstrip()), span.line, len(line.rstrip()), span.function))
