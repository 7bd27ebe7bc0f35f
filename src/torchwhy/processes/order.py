"""Which of several processes failed first, and what of it is only a consequence."""

from __future__ import annotations

import ast
import linecache
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..evidence.log.failures import Found
from ..evidence.log.ranks import judge_order
from ..model import Evidence, Failure, Frame
from ..reason.source import Sources
from .folder import Kind, Told

_WAITERS = (
    "multiprocessing",
    "concurrent",
    "subprocess",
    "queue",
    "threading",
    "torch/multiprocessing",
    "torch/distributed/elastic",
    "torch/distributed/launcher",
)
_EXITS = re.compile(r"\b(?:exit|quit|_exit)\(")
_ENDED = re.compile(
    r"\bexit(?:ed)?[ -]?(?:code|status|with)|\breturn ?code|\bsubprocess|\b(?:child|worker) process"
    r"|\bprocess(?:es)?\b.{0,40}\b(?:failed|died|terminated|crashed|exited)",
    re.IGNORECASE,
)
"""How launchers say in words of their own that a process of theirs has failed."""


@dataclass(frozen=True, slots=True)
class Order:
    """The evidence of what failed first, with the chain that led from there to this process's own exception; and what to say of it."""

    evidence: Evidence
    kind: Kind
    notes: tuple[str, ...] = ()


def killed(own: Evidence | None, ended: Sequence[tuple[str, str]]) -> Order | None:
    """What to diagnose when a process was ended by a signal and none told of an exception; `ended`: names of processes and signals."""
    failure = own.failure if own is not None else None
    if not ended or own is None or failure is None or not _is_about_processes(own):
        return None
    name, signal = ended[0]
    first = Failure(
        "ProcessExitedException",
        f"{name} terminated with signal {signal}",
        "torch.multiprocessing.spawn",
        process=name,
        frames=failure.frames,
    )
    evidence = replace(own, failure=first if failure.error_type == "SystemExit" else replace(_plain(failure), caused_by=first))
    return Order(evidence, "process", (f"{name}, a process that the program started, was ended by {signal}",))


def order(own: Evidence | None, at: float, told: Sequence[Told], is_torchs: bool) -> Order | None:
    """What to diagnose when other processes failed; None where it is this process's own failure, or none.

    `own`: this process's failure, if one came out, at a time; `is_torchs`: whether torch raised it.
    """
    mine = own.failure if own is not None else None
    told = [one for one in told if one.kind != "caught" or _is_sent_on(one, mine)]
    about = _is_about_processes(own)
    is_torchs = is_torchs and not about
    if not told or (mine is not None and not is_torchs and not about):
        return None
    found = [Found(_named(one), number, number) for number, one in enumerate(told)]
    if mine is not None and is_torchs:
        found.append(Found(mine, sum(one.at <= at for one in told), len(told)))
    verdict = judge_order(found, ())
    first = verdict.roots[0].failure
    chosen = next((one for one in told if _named(one) == first), None)
    if chosen is None:
        return None
    failure = replace(_plain(mine), caused_by=first) if mine is not None and not is_torchs else first
    others = tuple(f.failure for f in verdict.roots[1:])
    peers = tuple(_plain(_named(one)) for one in told if one is not chosen)
    evidence = replace(chosen.evidence, failure=failure, others=others, peers=peers, consequences=verdict.consequences)
    where = f"rank {first.rank}" if first.rank is not None else chosen.name
    notes = (f"raised in {where}, a process that the program started",) if not verdict.remarks else ()
    return Order(evidence, chosen.kind, (*notes, *verdict.remarks, *(f"because of it: {line}" for line in verdict.consequences[:4])))


def _is_sent_on(told: Told, outer: Failure | None) -> bool:
    """Whether what a process caught is in the exception that came out of this one."""
    inner = told.evidence.failure
    said = inner.message.strip().split("\n")[0] if inner is not None else ""
    while outer is not None:
        if said and said in outer.message:
            return True
        outer = outer.caused_by
    return False


def _named(told: Told) -> Failure:
    failure = told.evidence.failure
    assert failure is not None
    return replace(failure, process=told.name)


def _plain(failure: Failure) -> Failure:
    """Without this process's tensors and modules, whose numbers mean others in the other process."""
    return replace(
        failure, frames=tuple(replace(f, locals=(), module=None) for f in failure.frames), op=None, operands=(), module=None, loader=None
    )


def _is_about_processes(own: Evidence | None) -> bool:
    """Whether the exception tells of another process: raised by what waits for one, or by the program's own `raise`."""
    failure = own.failure if own is not None else None
    if own is None or failure is None:
        return False
    if failure.error_type == "SystemExit" or not failure.frames:
        return True
    if _is_of(failure.error_module.replace(".", "/")):
        return True
    last = failure.frames[-1]
    if last.origin != "user":
        return _is_of(last.span.file) or _ENDED.search(failure.message) is not None
    return isinstance(_statement(own, last), (ast.Raise, ast.Assert)) or _EXITS.search(last.code) is not None


def _is_of(file: str) -> bool:
    """Whether a file, or a module as one, belongs to what waits for processes."""
    whole = f"/{file.replace(chr(92), '/').removesuffix('.py')}/"
    return any(f"/{part}/" in whole for part in _WAITERS)


def _statement(own: Evidence, frame: Frame) -> ast.stmt | None:
    """The statement that a frame is at; a process that has no torch gathers no sources."""
    file = frame.span.file
    known = own.source(file) or "".join(linecache.getlines(os.path.abspath(file)))
    return Sources({file: known}).statement_at(file, frame.span.line)
