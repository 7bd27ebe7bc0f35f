"""A failure that came while the recorder stood aside, looked at once more: the piece that failed is run again, recorded in full, in a child.

Where no child can go on from here (CUDA, a platform without fences) nothing is.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING

from ..model import Failure, GraphNode, ModuleFacts, OpRecord, SampleFacts
from ..record.kinds import message_of
from ..record.spans import origin
from .body import pieces
from .child import can_fork, in_child, unfenced

if TYPE_CHECKING:
    from ..record.recorder import Recorder

SECONDS = 8.0
_AGAIN = "a second time"


@dataclass(frozen=True)
class Replayed:
    """What the second look brought. Ids are those of the first run."""

    ops: tuple[OpRecord, ...]
    op: OpRecord | None
    graph: tuple[GraphNode, ...]
    modules: tuple[ModuleFacts, ...]
    names: tuple[tuple[int, str], ...]
    samples: tuple[SampleFacts, ...] = ()
    failure: Failure | None = None
    """The failure itself, where the first run brought only its text."""


Look = Callable[[BaseException], Replayed]


def replay(error: BaseException, levels: list[TracebackType], recorder: "Recorder", look: Look) -> Replayed | None:
    """The first piece that fails in the same way when it is run again, as `look` sees it; None where none does."""
    for piece in pieces(levels, lambda file: origin(file) == "user")[:3] if can_fork() else ():

        def attempt(piece: Callable[[], object] = piece) -> Replayed | None:
            return _attempt(piece, type(error).__name__, message_of(error), recorder, look)

        found = in_child(attempt, SECONDS)
        if found is not None:
            return found
    _tell_missing(recorder)
    return None


def replay_text(piece: Callable[[], object], told: Failure, recorder: "Recorder", look: Look) -> Replayed | None:
    """The same for a failure in another process, of which only the text is known."""
    found = in_child(lambda: _attempt(piece, told.error_type, told.message, recorder, look), SECONDS)
    _tell_missing(recorder)
    return found


def _tell_missing(recorder: "Recorder") -> None:
    if sys.platform == "linux" and (why := unfenced()):
        recorder.problems.append(f"what failed was not run again, for it could not be closed off: {why}")


def _attempt(piece: Callable[[], object], kind: str, message: str, recorder: "Recorder", look: Look) -> Replayed | None:
    before = recorder.tape.count
    recorder.mode = "full"
    recorder.start()
    again = _run(piece)
    if again is not None and _AGAIN in message:  # the graph that is gone was made one round earlier: see that round too
        again = _run(piece) or again
    recorder.stop()
    if again is None or type(again).__name__ != kind or _pattern(message_of(again)) != _pattern(message):
        return None
    seen = look(again)
    return replace(seen, ops=tuple(replace(op, replayed=op.index >= before) for op in seen.ops))


def _run(piece: Callable[[], object]) -> BaseException | None:
    handled = sys.exc_info()[1]
    try:
        piece()
    except Exception as error:
        link: BaseException = error
        while link.__context__ is not None and link.__context__ is not handled:
            link = link.__context__
        link.__context__ = None  # not raised while the first run's was handled
        return error
    return None


def _pattern(message: str) -> str:
    return re.sub(r"0x[\da-f]+|\d+", "#", message.strip())[:300]
