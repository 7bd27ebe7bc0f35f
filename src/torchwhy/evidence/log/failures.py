"""All failures of one printer (a rank, a process, the whole file): tracebacks with the exceptions they were raised from, then signs without one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...model import Failure
from ..worker_text import in_worker
from .formats import CAUSE, CONTEXT, Block, read_block
from .lines import Line
from .signs import signs

_CAUGHT = re.compile(
    r"^Caught (?P<type>[\w.]+) in (?P<where>DataLoader worker process (?P<worker>\d+)|.{1,80}?)\.\s*$|-- Process (?P<rank>\d+) terminated with the following error:",
    re.MULTILINE,
)
MOST = 400


@dataclass(frozen=True, slots=True)
class Found:
    """A failure and the lines of its text: places in the whole log's list."""

    failure: Failure
    start: int
    end: int


def failures_in(lines: Sequence[Line], places: Sequence[int]) -> list[Found]:
    """In the order of their lines. `places`: of these lines in the whole log."""
    found: list[Found] = []
    taken: set[int] = set()
    at = 0
    chained: Failure | None = None
    began = 0
    while at < len(lines) and len(found) < MOST:
        block = read_block(lines, at)
        if block is None:
            at += 1
            continue
        taken.update(range(block.start, block.end))
        if not block.type:  # a traceback that was cut off
            at = block.end
            continue
        failure = _with_inner(block.failure(chained), block)
        began = began if chained is not None else block.start
        at, link = _after(lines, block.end)
        if link:
            chained = failure
            continue
        if found and _inside_group(block, lines) and found[-1].failure.frames:
            outer = found.pop()
            failure = replace(outer.failure, caused_by=_deepest_with(outer.failure.caused_by, failure))
            began = outer.start - places[0] if places else outer.start
        found.append(Found(failure, places[min(began, len(places) - 1)], places[block.end - 1] + 1))
        chained = None
        at = block.end
    if chained is not None:
        found.append(Found(chained, places[min(began, len(places) - 1)], places[-1] + 1))
    for place, failure in signs(lines, frozenset(taken)):
        found.append(Found(failure, places[place], places[place] + 1 + failure.message.count("\n")))
    return sorted(found, key=lambda f: f.start)


def read_text(text: str, rank: int | None = None, number: int = 0) -> Failure | None:
    """The last failure of a small text, such as the one that an outer exception holds."""
    lines = [Line(number, line, "", rank) for line in text.splitlines()[:1200]]
    found = failures_in(lines, range(len(lines)))
    return found[-1].failure if found else None


def _after(lines: Sequence[Line], end: int) -> tuple[int, str]:
    """Where to go on, and whether the block before is the reason for the next one."""
    for place in range(end, min(end + 4, len(lines))):
        text = lines[place].text.strip(" |")
        if text in (CAUSE, CONTEXT):
            after = next((n for n in range(place + 1, min(place + 5, len(lines))) if lines[n].text.strip(" |")), len(lines))
            return after, text
        if text:
            break
    return end, ""


def _with_inner(failure: Failure, block: Block) -> Failure:
    """An exception whose text holds another's traceback (a worker's, a child process's) was raised from that one."""
    caught = _CAUGHT.search(failure.message) if "\n" in failure.message else None
    if caught is None:
        return failure
    rank = int(caught["rank"][:6]) if caught["rank"] else failure.rank
    inner = read_text(failure.message[caught.end() :], rank, block.first.number)
    if inner is None:
        return failure
    worker = int(caught["worker"][:6]) if caught["worker"] else None
    if worker is None:
        return replace(failure, caused_by=inner)
    outer = replace(failure, worker=worker)
    return replace(outer, caused_by=in_worker(inner, outer))


def _inside_group(block: Block, lines: Sequence[Line]) -> bool:
    """Whether the block is a member of the exception group before it."""
    before = lines[block.start - 1].text if block.start else ""
    return bool(re.match(r"^\s*\+-[+-]*- \d+ -+", before) or re.match(r"^\s+\| ", lines[block.start].text))


def _deepest_with(failure: Failure | None, cause: Failure) -> Failure:
    """The first member of a group is its reason; the later ones are left as they are."""
    return failure if failure is not None else cause
