"""A process that the system ended because the computer's memory was full: what a text tells of it."""

from __future__ import annotations

import re

from ..model import Evidence
from .printed import around, find
from .wording import bytes_text, code


def killed(evidence: Evidence) -> tuple[str, list[str], str]:
    """Headline, notes and remedy."""
    text = around(evidence)
    failure = evidence.failure
    rank = failure.rank if failure is not None else None
    kernel = bool(re.search(r"[Oo]ut of memory: Kill|oom[-_]kill|OOM[Kk]illed|oom_reaper", text))
    python = failure is not None and failure.error_type == "MemoryError"
    resident = find(r"anon-rss:(\d+)kB", text, 1)
    total = find(r"^Mem:\s+(\d+)", text, 1) or find(r"Mem:\s+(\d+)", text, 1)
    world = find(r"(?:nproc[-_]per[-_]node|world[-_]size|WORLD_SIZE)[ =:]+(\d+)", text, 1)
    ended = len(set(re.findall(r"[Ss]ending process (\d+) closing signal", text)))
    who = f"rank {rank}" if rank is not None else "the process"
    if python:
        headline = "the computer's memory is full: Python got no more of it"
    elif kernel:
        headline = f"{who} was killed by the system: the computer's memory (RAM) was full"
    else:
        headline = f"{who} was killed (SIGKILL), as the system does when memory (RAM) is full"
    notes = []
    if resident:
        notes.append(f"it held {bytes_text(int(resident) * 1024)} of memory when the kernel's out-of-memory killer ended it")
    elif not kernel and not python:
        notes.append(
            "signal 9 leaves no traceback; `dmesg | grep -i kill` or the scheduler's log says whether the out-of-memory (OOM) killer sent it"
        )
    if total:
        notes.append(f"the host has {total} GiB of memory in all (the figure of `free -g`)")
    if rank is not None or ended:
        count = int(world) if world else ended + 1 if ended else 0
        notes.append(
            f"each rank is a process of its own: {f'{count} processes' if count > 1 else 'all of them'} hold their copy of whatever they load into RAM (a checkpoint, a dataset) at the same time"
        )
    limit = find(r"((?:memory cgroup|cgroup|--mem|--memory|limit)[^\n]{0,60}\d+ ?[kKMG]i?B?)", text, 1)
    if limit:
        notes.append(f"a limit is named: {code(limit)}")
    notes.append("this is the computer's own memory (RAM): where a GPU is full, an error is raised and no process is killed")
    if re.search(r"worker|num_workers", text):
        notes.append(
            "each DataLoader worker holds a copy of the dataset's Python objects: fewer workers, or data in one array or a memory-mapped file, need less"
        )
    return (
        headline,
        notes,
        "load less at once: on one rank at a time or with low_cpu_mem_usage, mmap=True or the meta device; fewer workers; or give the job more memory",
    )
