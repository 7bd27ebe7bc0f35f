"""Processes that should take part in one collective call did not all call it, or called it with other tensors.

Typical text (TW0901):

{example}

Why: `all_reduce`, `broadcast`, `all_gather`, `barrier` and the like are one call of all ranks together. A rank that skips it (a branch on the rank, an early return, a shorter loop, an exception), calls another one,
or brings a tensor of another size, dtype or device, leaves the others waiting. What they report, minutes later, is a time-out or a closed connection, which is a consequence.

Fix: make every rank reach the same collectives in the same order with the same sizes: move the call out of `if rank == 0:`, pad uneven data (`drop_last=True`, `Join`), and read the log of the rank that
ended *first*. `TORCH_DISTRIBUTED_DEBUG=DETAIL` names a mismatch; `TORCH_NCCL_DUMP_ON_TIMEOUT=1` with `TORCH_FR_BUFFER_SIZE` writes what each rank was doing.

Messages: `Watchdog caught collective operation timeout: WorkNCCL(SeqNum=…, OpType=ALLREDUCE, …)`; `Connection closed by peer`; `Timed out waiting 10000ms for recv operation to complete`;
`Detected mismatch between collectives on ranks`; `No backend type associated with device type cpu`; `invalid tensor size at index 0 (expected (4), got (3))`; `Rank 1 failed to pass monitoredBarrier`.

Not to be confused with: `dist.init` (the group never came up), `dist.ddp`, `cuda.library` (NCCL's own error codes).
"""

from __future__ import annotations

import re

from ...family import Example, Family, LogExample, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, Label, Span
from ...reason.printed import find, written_call
from ...reason.ranks import behind_branch, collective_calls, made_at, parted, rank_branch, rank_loop, rank_value, size_of_data, way_out
from ...reason.reading import Reading, reading
from ...reason.structure import calls_of
from ...reason.wording import code, first_fitting, place

_WAITED = re.compile(r"peer|Timed? ?out|timeout|Watchdog|remote|Application timeout|monitoredBarrier|Broken pipe|recvValue", re.IGNORECASE)
_BETWEEN_TWO = re.compile(r"\bi?(?:send|recv)\(")
_FINGERPRINT = re.compile(r"Rank (\d+) is running collective: CollectiveFingerPrint\(.{0,200}?OpType=(\w{1,60})(?:, TensorShape=\[([\d, ]*)\])?")
_ALL = "a collective is one call of all ranks together: every rank must reach it, in the same order and with the same sizes"


def _made(text: str, at: Span) -> str:
    """What is said of the statement that made the tensor."""
    because = ": its size depends on the values, which may differ between ranks" if size_of_data(text) else ""
    return f"{code(text)} at {place(at)} makes what the collective is given{because}"


class Collective(Family):
    code = "TW0901"
    title = "ranks do not agree on a collective call"
    rank = 1
    triggers = (
        Trigger(
            r"No backend type associated with device type (?P<device>\w+)|[Tt]ensors must be (?P<must>CUDA and dense|contiguous|dense|on GPU)"
        ),
        Trigger(r"Detected mismatch between collectives on ranks?\.?(?P<mismatch>.*)"),
        Trigger(r"OpType=(?P<op>\w{1,60})\b.{0,600}?Timeout\(ms\)=(?P<ms>\d+)"),
        Trigger(r"[Ww]atchdog.{0,600}(?:timeout|terminated)"),
        Trigger(
            r"ProcessGroup\w{1,40}::(?P<call>\w{1,60}): (?P<why>[^\n]{0,400}(?:size|dtype|shape|inconsistent|invalid)[^\n]*)|(?P<bytes>op\.preamble\.length <= op\.nbytes[^\n]*)"
        ),
        Trigger(r"(?P<wrong>Invalid function argument\. Expected parameter `(?P<name>\w+)` (?:to be )?of type (?P<wants>[\w.\[\]]+)\s+but got <class '(?P<kind>[\w.]+)'>)"),
        Trigger(r"(?P<list>Argument ``(?P<argument>\w+)`` must (?:NOT )?be specified on [^\n]*)"),
        Trigger(r"(?P<scope>Global|Group) rank (?P<outside>\d+) is not part of group"),
        Trigger(r"terminated with signal (?P<signal>SIGABRT|SIGSEGV)", types=("ProcessExitedException",)),
        Trigger(r"monitoredBarrier|failed to pass"),
        Trigger(
            r"(?:gloo|tcp/|unbound_buffer|ProcessGroup).{0,400}(?:Timed out|Connection (?:closed|reset)|Read error|Application timeout|wait timeout|Broken pipe)"
        ),
        Trigger(
            r"Connection (?:closed|reset) by peer|Timed out waiting \d+ms|[Ss]ocket [Tt]imeout|Wait timeout",
            raised_in="distributed/distributed_c10d.py",
        ),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        groups = match.groupdict()
        if groups.get("device") or groups.get("must"):
            return self._backend(run, groups.get("device") or "cpu")
        if groups.get("wrong") or groups.get("list"):
            return self._argument(run, groups)
        if groups.get("outside"):
            return self._outside(run, int(groups["outside"] or 0))
        if groups.get("signal"):
            return self._ended(run, groups["signal"] or "")
        call = self._call(run, groups)
        if _BETWEEN_TWO.search(call):
            return self._unanswered(run, call)
        branch, value = rank_branch(run), rank_value(run)
        who = f"rank {run.failure.rank}" if run.failure.rank is not None else ""
        notes = [_ALL]
        ms = groups.get("ms")
        if ms:
            number = find(r"SeqNum=(\d+)", run.failure.message, 1)
            size = find(r"NumelIn=(\d+)", run.failure.message, 1)
            notes.append(
                f"{who or 'this rank'} waited {int(ms) // 1000} s in {groups['op']}"
                + (f" number {number}" if number else "")
                + (f" of {size} elements" if size else "")
                + ": another rank did not come"
            )
        fixes = []
        because, cause = (
            "the call that some ranks did not make" if _WAITED.search(run.failure.message) else "the call that does not fit",
            run.raised,
        )
        if branch is not None and _WAITED.search(run.failure.message):
            if branch.leaves:
                headline, cause, because = (
                    f"{call} is not reached by ranks where {code(branch.test)}",
                    branch.condition,
                    "the other ranks leave here",
                )
            else:
                headline, cause = f"{call} is reached only by ranks where {code(branch.test)}", branch.line
            notes.append(
                f"the condition {code(branch.test)} at {place(branch.condition)} keeps the other ranks from the call: they went on or ended, and this rank waits for them"
            )
            moved = () if branch.leaves else behind_branch(run.sources, branch)
            fixes.append(Fix(f"move the call out of the branch at {place(branch.condition)}, so that every rank makes it", moved))
        elif value is not None:
            headline, cause, because = f"{call} gets a tensor that differs between ranks", value[1], "made from the rank"
            notes.append(f"{code(value[0])} at {place(value[1])} depends on the rank, so the sizes or contents that meet are not the same")
            fixes.append(Fix("make the tensor the same size on every rank, or pad it to the largest", (), "display-only"))
        elif (loop := rank_loop(run)) is not None and _WAITED.search(run.failure.message):
            headline = first_fitting(f"ranks loop over {code(loop[0])} a different number of times", "the ranks loop a different number of times")
            cause, because = loop[1], "made from the rank"
            notes.append(f"{code(loop[0])} at {place(loop[1])} depends on the rank: where it does not divide evenly, one rank makes a call more than the others")
            fixes.append(Fix("give every rank the same number of steps (drop the rest, pad it, or `Join`)", (), "display-only"))
        elif groups.get("why") or groups.get("bytes") or groups.get("mismatch"):
            said = groups.get("why") or groups.get("bytes") or " ".join((groups.get("mismatch") or "").split())
            headline = f"{call}: the ranks' tensors or calls do not match"
            calls = [f"rank {rank} is in {name} of [{sizes}]" for rank, name, sizes in _FINGERPRINT.findall(said)]
            if len(calls) == 2:
                headline = ", ".join(calls).replace(", rank", " while rank")
                notes.append("at the same place in their order of calls the ranks make different ones: one of them made a call that is not made on every rank, or left one out")
                fixes.append(Fix("see that all ranks make the calls in the same order: what only one rank is to do (logging, saving) may hold no collective", (), "display-only"))
            else:
                notes.append(f"torch says: {code(said)}")
            if not groups.get("mismatch") and (made := made_at(run, run.raised)) is not None:
                cause, because = made[1], "makes what does not fit"
                notes.append(_made(*made))
            fixes.append(
                Fix("give the collective tensors of the same shape and dtype on every rank, in the same order of calls", (), "display-only")
            )
        elif (apart := parted(run)) is not None:
            other = f"rank {apart.rank}" if apart.rank is not None else "another process"
            theirs = code(f"{written_call(run.sources.segment(apart.waits))[0]}()")
            headline = f"{who or 'a rank'} waits in {call}, {other} in {theirs}"
            notes.append(f"{other} waits at {place(apart.waits)}, this rank at {place(run.raised)}: they came to different calls")
            if apart.left is not None:
                cause, because = apart.left, "one rank leaves the loop here, another stays"
                notes.append(f"each rank decides by itself whether {code(apart.test)}; one breaks out of the loop, another goes on in it")
            fixes.append(Fix("let all ranks decide alike: share the condition (`all_reduce` or `broadcast` it) before it is asked", (), "display-only"))
        else:
            headline = f"{who or 'a rank'} waited in {call} for another rank that did not come"
            notes.append("the other rank crashed, ended, hung, or took another path; its own log, earlier in time, holds the reason")
            if (out := way_out(run)) is not None:
                notes.append(f"the loop around the call is left at {place(out[1])} where {code(out[0])}: a rank for which that is so earlier makes fewer calls")
            fixes.append(
                Fix(
                    "read the first error of the other ranks; see that all ranks make the same number of steps (drop_last, Join)",
                    (),
                    "display-only",
                )
            )
        return run.diagnosis(
            self, first_fitting(headline, headline.replace("is reached only by ranks where", "runs only where"), f"{call} was not called by every rank"), cause, because,
            notes=notes, fixes=fixes, confidence=Confidence.LIKELY if branch or value or groups.get("why") or ms or cause != run.raised else Confidence.POSSIBLE,
        )  # fmt: skip

    def _call(self, run: Reading, groups: dict[str, str | None]) -> str:
        written = written_call(run.sources.segment(run.raised) or (run.frame.code if run.frame else ""))[0]
        if re.search(r"reduce|gather|broadcast|barrier|scatter|all_to_all|send|recv|wait", written):
            return code(f"{written}()")
        return (
            code((groups.get("op") or groups.get("call") or "the collective").lower())
            if groups.get("op") or groups.get("call")
            else "the collective"
        )

    def _argument(self, run: Reading, groups: dict[str, str | None]) -> Diagnosis:
        """A collective that was given something that it does not take."""
        call, given = written_call(run.sources.segment(run.raised) or (run.frame.code if run.frame else ""))
        if groups.get("list"):
            headline, told = f"{code(call or 'the collective')} has the wrong list on this rank", f"torch says: {code(groups['list'] or '')}"
            fix = f"give {code(groups['argument'] or '')} on the rank that sends or receives it, and None on the others"
        else:
            what = code(given[0]) if given else "its argument"
            headline = f"{what} is a {groups['kind']}, {code(call or 'the collective')} takes a {groups['wants']}"
            told = "a collective fills the memory of a tensor on every rank: a Python number has none"
            fix = f"make it a tensor first: t = torch.tensor({given[0] if given else 'value'}), then {call or 'the collective'}(t) and t.item()"
        return run.diagnosis(
            self, first_fitting(headline, f"a {groups.get('kind') or 'wrong list'} is given to a collective"), run.raised, "given here",
            notes=[told], fixes=[Fix(fix, (), "display-only")], confidence=Confidence.CERTAIN,
        )  # fmt: skip

    def _outside(self, run: Reading, rank: int) -> Diagnosis:
        """A rank that the group does not have, as `src` or `dst` of a call in it."""
        given = next((e for e in run.sources.arguments(run.raised) if e.keyword in ("src", "dst") or e.text == str(rank)), None)
        cause = run.expression_origins(given.span, run.calls, rank) if given is not None else run.raised
        call = code(f"{written_call(run.sources.segment(run.raised) or (run.frame.code if run.frame else ''))[0] or 'the collective'}()")
        name = (given.keyword if given is not None else "") or "src"
        made = calls_of(run.sources, "new_group")
        notes = [f"{code(name)} is a global rank, that of the whole job, not a place in the group: the group has no rank {rank}"]
        notes += [f"a group is made at {place(span)}: {code(run.sources.segment(span))}" for span in made[:3]]
        fixes = [
            Fix(f"name a global rank that is in the group, or its place in the group: `group_{name}=0`", (), "display-only"),
            Fix(f"make the group with rank {rank} in it, if that rank is to take part", (), "display-only"),
        ]
        headline = first_fitting(f"{code(f'{name}={rank}')} of {call} is not in its group", f"rank {rank} is not in the group")
        return run.diagnosis(self, headline, cause, "no rank of the group", notes=notes, fixes=fixes, confidence=Confidence.CERTAIN)

    def _unanswered(self, run: Reading, call: str) -> Diagnosis:
        """`send` and `recv` are calls of two ranks."""
        return run.diagnosis(
            self, f"{call} has no counterpart: the other rank does not make its call", run.raised, "waits here",
            notes=["each `send` needs a `recv` of the same size and dtype on the other rank, in the same order, and the other way round"],
            fixes=[Fix("make the matching call on the other rank", (), "display-only")],
        )  # fmt: skip

    def _ended(self, run: Reading, signal: str) -> Diagnosis | None:
        """gloo ends the process when sizes or dtypes do not match: the call is looked for in the program."""
        calls = collective_calls(run.sources)
        values = [(call, value) for call in calls if (value := rank_value(run, call)) is not None]
        if len(values) != 1 and len(calls) != 1:
            return None
        call, value = values[0] if len(values) == 1 else (calls[0], None)
        name = code(written_call(run.sources.segment(call))[0] + "()")
        made = value or made_at(run, call)
        notes = [_ALL, f"a process ended with {signal}, as gloo ends one whose tensor has another size or dtype than its peer's"]
        if value is not None:
            notes.append(f"{code(value[0])} at {place(value[1])} depends on the rank, so the sizes or contents that meet are not the same")
        elif made is not None:
            notes.append(_made(*made))
        return run.diagnosis(
            self, first_fitting(f"{name} gets a tensor that differs between ranks"), made[1] if made is not None else call,
            "made from the rank" if value is not None else "makes what does not fit" if made is not None else "the collective",
            trail=(Label(call, "the collective"),), notes=notes,
            fixes=[Fix("make the tensor the same size and dtype on every rank, or pad it to the largest", (), "display-only")],
            confidence=Confidence.LIKELY if value is not None else Confidence.POSSIBLE,
        )  # fmt: skip

    def _backend(self, run: Reading, device: str) -> Diagnosis:
        call, given = written_call(run.sources.segment(run.raised) or (run.frame.code if run.frame else ""))
        what = code(given[0]) if given else "the tensor"
        backend = "nccl" if device == "cpu" else "gloo"
        other = "cuda" if device == "cpu" else "cpu"
        return run.diagnosis(
            self,
            first_fitting(
                f"{what} is a {device} tensor, the process group has no backend for {device}",
                f"the process group has no backend for {device} tensors",
            ),
            run.raised,
            f"a {device} tensor is given to a collective",
            notes=[
                f"the group was made with a backend for {other} only (`{backend}` works on {other} tensors): {code(call or 'the collective')} wants a tensor on that device"
            ],
            fixes=[Fix(f'make {what} on the rank\'s {other} device, or use init_process_group("cpu:gloo,cuda:nccl")', (), "display-only")],
            confidence=Confidence.LIKELY,
        )

    examples = (
        Example(
            {
                "ranks.py": """\
import tempfile
from datetime import timedelta

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def log(loss, rank):
    if rank == 0:
        dist.all_reduce(loss)  #~ cause
        print("mean", loss.item() / dist.get_world_size())


def run(rank, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2, timeout=timedelta(seconds=5))
    log(torch.ones(1), rank)
    dist.destroy_process_group()


if __name__ == "__main__":
    mp.start_processes(run, args=(tempfile.mkdtemp(),), nprocs=2, start_method="fork")
"""
            },
            says=("all_reduce", "rank == 0", "every rank"),
        ),
    )
    near_misses = (NearMiss({"ok.py": "import torch.distributed as dist\nprint(dist.is_initialized())\n"}),)
    log_examples = (
        LogExample(
            """\
[rank5]:[E ProcessGroupNCCL.cpp:616] [Rank 5] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=812, OpType=ALLGATHER, NumelIn=512, NumelOut=4096, Timeout(ms)=1800000) ran for 1800043 milliseconds before timing out.
[rank5]:[E ProcessGroupNCCL.cpp:630] Some NCCL operations have failed or timed out.
""",
            says=("rank 5", "1800 s", "ALLGATHER"),
        ),
    )
    log_near_misses = (
        LogExample(
            'Traceback (most recent call last):\n  File "get.py", line 3, in <module>\n    requests.get(url)\nConnectionResetError: [Errno 104] Connection reset by peer\n'
        ),
    )
