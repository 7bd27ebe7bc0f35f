"""The program run again, in a trial: what its processes raise counts as its failure."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..record.kinds import is_a
from ..replay.trial import Elsewhere, failure_in
from . import folder, tell
from .order import order
from .watch import Watch

if TYPE_CHECKING:
    from ..evidence.refused import Refused
    from ..model import Evidence
    from ..program import Loaded
    from ..record.recorder import Recorder


def run_again(program: Loaded, record: str, show: Callable[[dict[str, Any]], None] | None) -> None:
    """Run it; `show` is given the evidence of its failure. Raises what comes out of it, and `Elsewhere`."""
    recorder = _recorder(record)

    def forked(path: str) -> None:
        if recorder is not None:
            recorder.go_on()
        tell.tell_what_is_printed(path, lambda: recorder)

    watch = Watch({"record": record}, forked)
    path = watch.path
    watch.begin()
    try:
        program.execute()
    except BaseException as end:
        error = failure_in(end)
        refused = _refused(error, recorder)
        at = time.time()
        if is_a(error, SystemExit):
            own = None if error.code in (None, 0) else tell.gathered(error, None, None)
        else:
            own = tell.gathered(error, recorder, refused)
        _raise_elsewhere(path, own, at, show)
        if show is not None and own is not None and is_a(error, Exception):
            _show(own, show)
        raise
    _raise_elsewhere(path, None, time.time(), show)


def _recorder(record: str) -> Recorder | None:
    if record == "off":
        return None
    from ..record.recorder import Recorder

    recorder = Recorder(record)  # type: ignore[arg-type]
    recorder.start()  # in a trial torch is there before the program begins
    return recorder


def _refused(error: BaseException, recorder: Recorder | None) -> Refused | None:
    if recorder is None or not is_a(error, Exception):
        return None
    from ..evidence.refused import refused_call

    recorder.failing(error)
    return refused_call(error, recorder)


def _raise_elsewhere(path: str, own: Evidence | None, at: float, show: Callable[[dict[str, Any]], None] | None) -> None:
    """Raise what another process raised, where that is why the program failed."""
    from ..diagnose import is_torchs

    told, _ = folder.read(path)
    ordered = order(own, at, told, own is not None and is_torchs(own))
    first = ordered.evidence if ordered is not None else own
    failure = first.failure.began if first is not None and first.failure is not None else None
    if first is None or failure is None or not failure.process:
        return
    if show is not None:
        _show(first, show)
    at_line = failure.user_frames[-1].span if failure.user_frames else None
    place = (at_line.file, at_line.line, at_line.function or "") if at_line is not None else ()
    raise Elsewhere(failure.error_type, failure.message, *place)


def _show(evidence: Evidence, show: Callable[[dict[str, Any]], None]) -> None:
    from ..incident import to_plain

    show(to_plain(evidence))
