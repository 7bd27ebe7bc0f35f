"""Which failure came first, and which are only its consequences: peers that waited in vain, processes that were ended, launchers that tell of it."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...model import Failure
from .failures import Found
from .lines import Line

_ENDED = ("SIGTERM", "SIGABRT", "ChildFailedError", "SignalException", "ProcessExitedException", "CalledProcessError")
_PEER = re.compile(
    r"Connection (?:reset|closed) by peer|Broken pipe|[Ww]atchdog|collective operation timeout|Socket Timeout|recvValue failed|"
    r"remote process exited|ncclRemoteError|communicator was aborted|Some NCCL operations have failed|taking the entire process down|store.{0,400}(?:timed out|closed)|"
    r"was terminated with signal SIG(?:TERM|ABRT|KILL)|exits with return code = [1-9-]|Ran out of input|gracefully closed|has been shut ?down",
    re.IGNORECASE | re.DOTALL,
)
_AFTERMATH = (
    "EOFError",
    "BrokenPipeError",
    "ConnectionResetError",
    "KeyboardInterrupt",
    "SystemExit",
    "DistNetworkError",
    "DistStoreError",
    "CancelledError",
)
_ROOT = re.compile(
    r"Root Cause \(first observed failure\):.{0,300}?rank\s{0,20}:\s{0,20}(?P<rank>\d{1,9}).{0,300}?exitcode\s{0,20}:\s{0,20}(?P<code>-?\d{1,9})",
    re.DOTALL,
)
_MOST_RANKS = 100_000
_PROGRESS = re.compile(
    r"(?<!\d)\d+%\||\bit/s\b|\bs/it\b|\b(?:epoch|step|iter(?:ation)?|batch)\b[\s:=\[#]{0,20}\d+.{0,300}\bloss\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The failures that stand for themselves, the first cause first; what followed from it; and which ranks shared it."""

    roots: tuple[Found, ...]
    consequences: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def judge_order(found: Sequence[Found], lines: Sequence[Line]) -> Verdict:
    """Tell first causes from consequences."""
    if not found:
        return Verdict(())
    ordered = sorted(found, key=lambda f: f.start)
    apart, shared = _merged(ordered)
    roots = [f for f in apart if not _follows(f.failure, alone=len(apart) == 1)] or [_best_of(apart)]
    named = _rank_named(lines)
    progress = _progress(lines) if len(roots) > 1 else {}
    survived = {id(f) for n, f in enumerate(roots[:-1]) if _survived(f, roots[-1:], progress, lines)}
    first = min(
        roots,
        key=lambda f: (
            id(f) in survived,
            _is_killed(f),
            not f.failure.frames and not _is_killed_by_system(f),
            named is not None and f.failure.rank != named,
            f.start,
        ),
    )
    rest = [f for f in roots if f is not first]
    after = [f for f in apart if f not in roots]
    if first.failure.rank is not None:
        after += [f for f in rest if f.failure.rank is None and f.failure.error_type.startswith("SIG") and f.start > first.start]
        rest = [f for f in rest if f not in after]
    first = _with_place(_with_rank(first, named), after)
    told = tuple(_told(f, shared) for f in sorted(after, key=lambda f: f.start)[:8])
    together = shared.get(_key(first.failure), ())
    return Verdict((first, *rest), told, (*_absent(first, together, lines), *_remarks(first, together, told)))


def _with_rank(first: Found, named: int | None) -> Found:
    if first.failure.rank is None and named is not None:
        return replace(first, failure=replace(first.failure, rank=named))
    return first


def _with_place(first: Found, after: Sequence[Found]) -> Found:
    """A watchdog's line names no place: where its rank was stopped is the place where it waited."""
    if first.failure.frames or first.failure.error_type != "DistBackendError":
        return first
    stopped = next((f.failure for f in after if f.failure.frames and f.failure.rank == first.failure.rank), None)
    return replace(first, failure=replace(first.failure, frames=stopped.frames)) if stopped is not None else first


def _merged(ordered: Sequence[Found]) -> tuple[list[Found], dict[object, tuple[int, ...]]]:
    """The same failure of several ranks, or printed twice, counts once."""
    apart: dict[object, Found] = {}
    ranks: dict[object, tuple[int, ...]] = {}
    for one in ordered:
        key = _key(one.failure)
        apart.setdefault(key, one)
        if one.failure.rank is not None:
            ranks[key] = tuple(dict.fromkeys((*ranks.get(key, ()), one.failure.rank)))
    return _without_echoes(list(apart.values())), ranks


def _without_echoes(apart: list[Found]) -> list[Found]:
    """An error's bare line that repeats a traceback's error is no failure of its own."""
    full = {_words(f.failure.message.split("\n")[0]) for f in apart if f.failure.frames}
    kept = []
    for one in apart:
        said = _words(one.failure.message.split("\n")[0])
        if not one.failure.frames and said and any(said in text or (len(text) > 20 and text in said) for text in full):
            continue
        kept.append(one)
    return kept


def _key(failure: Failure) -> object:
    raised = failure.raised_at
    return failure.error_type, _words(failure.message[:600]), (raised.file, raised.line) if raised is not None else None


def _words(message: str) -> str:
    return re.sub(r"0x[0-9a-f]+|\d+", "#", message)


def _follows(failure: Failure, alone: bool) -> bool:
    """Whether this is the kind of failure that another one brings about."""
    if alone or failure.caused_by is not None and not _follows(failure.caused_by, False):
        return False
    if not failure.message and not failure.frames:  # `terminate called` without its reason
        return True
    if failure.error_type in _ENDED or failure.error_type in _AFTERMATH:
        return not failure.error_type.startswith("Dist") or bool(_PEER.search(failure.message))
    return bool(_PEER.search(failure.message))


def _is_killed(found: Found) -> bool:
    """A signal without more to say comes after an error that says why, except a kill by the system."""
    return found.failure.error_type.startswith("SIG") and found.failure.error_type != "SIGKILL"


def _is_killed_by_system(found: Found) -> bool:
    return found.failure.error_type in ("SIGKILL", "SIGBUS", "SIGSEGV")


def _best_of(found: Sequence[Found]) -> Found:
    """Only consequences are in the text: the one that says most."""
    return min(found, key=lambda f: (f.failure.error_type in _ENDED, f.failure.error_type in _AFTERMATH, f.start))


def _rank_named(lines: Sequence[Line]) -> int | None:
    """The rank that torchrun's table gives as the first."""
    start = next((n for n, line in enumerate(lines) if "Root Cause (first observed" in line.text), None)
    found = _ROOT.search("\n".join(line.text for line in lines[start : start + 14])) if start is not None else None
    return int(found["rank"][:6]) if found else None


def _survived(one: Found, later: Sequence[Found], progress: dict[str, list[int]], lines: Sequence[Line]) -> bool:
    """The program went on after it, until a later failure: it was caught and printed."""
    end = max(f.start for f in later)
    places = progress.get(lines[one.start].stream if one.start < len(lines) else "", [])
    return bisect_left(places, end) - bisect_left(places, one.end) >= 2


def _progress(lines: Sequence[Line]) -> dict[str, list[int]]:
    """The places of the lines that tell of a step done, by printer."""
    found: dict[str, list[int]] = {}
    for place, line in enumerate(lines):
        if line.text and _PROGRESS.search(line.text[:400]):
            found.setdefault(line.stream, []).append(place)
    return found


def _told(found: Found, shared: dict[object, tuple[int, ...]]) -> str:
    failure = found.failure
    ranks = shared.get(_key(failure)) or ((failure.rank,) if failure.rank is not None else ())
    who = f"rank{'s' if len(ranks) > 1 else ''} {', '.join(map(str, sorted(ranks)[:16]))}: " if ranks else ""
    first = next((line.strip()[:160] for line in failure.message.split("\n") if re.search(r"\w", line)), "")
    where = f" (line {failure.log_line})" if failure.log_line is not None else ""
    return f"{who}{failure.error_type}{': ' + first if first else ''}{where}"


def _absent(first: Found, waited: Sequence[int], lines: Sequence[Line]) -> tuple[str, ...]:
    """Of ranks that all waited in vain: which of their number did not, and what it said last."""
    if "collective operation timeout" not in first.failure.message or not waited:
        return ()
    missing = sorted(set(range(min(max(waited), _MOST_RANKS) + 1)) - set(waited))
    if not missing or len(missing) > len(waited):
        return ()
    who = f"rank{'s' if len(missing) > 1 else ''} {', '.join(map(str, missing[:8]))}"
    is_not = "is" if len(missing) == 1 else "are"
    said = [f"{who} {is_not} not among those that timed out: most likely the others waited for {who}, busy elsewhere or gone"]
    name = re.compile(rf"\brank[ :=_]?{missing[0]}\b", re.IGNORECASE)
    before = (
        line for line in reversed(lines[: first.start]) if line.rank == missing[0] or line.rank is None and name.search(line.text[:400])
    )
    last = next((line for line in before if re.search(r"[A-Za-z]{3}", line.text)), None)
    if last is not None:
        said.append(f"rank {missing[0]} said last (line {last.number}): `{' '.join(last.text.replace('`', chr(39)).split())[:200]}`")
    return tuple(said)


def _remarks(first: Found, ranks: tuple[int, ...], told: Sequence[str]) -> tuple[str, ...]:
    failure = first.failure
    said = []
    if len(ranks) > 1:
        said.append(f"ranks {', '.join(map(str, sorted(ranks)[:16]))} failed in the same way")
    if told and failure.rank is not None:
        said.append(
            f"rank {failure.rank} failed first; {len(told)} other {'failure is a consequence' if len(told) == 1 else 'failures are consequences'}"
        )
    return tuple(said)
