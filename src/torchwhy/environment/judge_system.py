"""What the system grants: shared memory for DataLoader workers, memory, files, threads."""

from __future__ import annotations

from collections.abc import Iterator

from .machine import Check, Limits, Machine, Verdict

_MIB, _GIB = 2**20, 2**30
SMALL_SHM = 256 * _MIB
"""A container's default is 64 MiB: a batch of pictures or two."""
FEW_FILES = 4096
"""Each tensor that a worker sends takes a file descriptor, under the sharing strategy of Linux."""
MUCH_SPACE = 64 * _GIB


def judge_system(machine: Machine) -> Iterator[Check]:
    yield from _shared(machine)
    yield from _memory(machine)
    yield from _limits(machine.limits, bool(machine.torch.nccl))


def _shared(machine: Machine) -> Iterator[Check]:
    size, free = machine.shm_bytes, machine.shm_free
    if size is None:
        return
    text = f"{_size(size)} of shared memory" + (f", {_size(free)} free" if free is not None else "")
    more = "start the container with --shm-size=8g or --ipc=host" if machine.container else "enlarge it: mount -o remount,size=8G /dev/shm"
    if size < SMALL_SHM:
        yield Check("/dev/shm", f"{text}: DataLoader workers die of a bus error when it is full", "warning", f"{more}; or num_workers=0")
    elif free is not None and free < SMALL_SHM:
        yield Check("/dev/shm", f"{text}: nearly full", "warning", "remove what ended processes left: ls -l /dev/shm")
    else:
        yield Check("/dev/shm", text)


def _memory(machine: Machine) -> Iterator[Check]:
    total, limit = machine.memory_bytes, machine.memory_limit
    if limit is not None and (total is None or limit < total):
        of = f" of the machine's {_size(total)}" if total else ""
        verdict: Verdict = "warning" if limit < 4 * _GIB else "ok"
        yield Check("memory", f"this process may use {_size(limit)}{of}; above that it is killed without a traceback", verdict, "raise the container's memory limit" if verdict == "warning" else "")  # fmt: skip
    elif total:
        yield Check("memory", _size(total))


def _limits(limits: Limits, nccl: bool) -> Iterator[Check]:
    files = limits.open_files
    if files is not None and 0 <= files < FEW_FILES:
        yield Check("open files", f"{files} at most: workers that send many tensors end with `Too many open files`", "warning", 'raise it: ulimit -n 65536, or torch.multiprocessing.set_sharing_strategy("file_system")')  # fmt: skip
    elif files != -1:
        yield Check("open files", "no limit" if files is None else f"{files} at most")
    locked = limits.locked_memory
    if nccl and locked is not None and 0 <= locked < 64 * _MIB:
        yield Check("locked memory", f"{_size(locked)} at most: RDMA (InfiniBand) between machines needs more", "warning", "between machines with InfiniBand: ulimit -l unlimited")  # fmt: skip
    stack = limits.stack
    if stack is not None and 0 <= stack < 8 * _MIB:
        yield Check(
            "stack",
            f"{_size(stack)} at most, where 8 MiB is usual: deep graphs can crash the process",
            "warning",
            "raise it: ulimit -s 8192",
        )
    space = limits.address_space
    if space is not None and 0 <= space < MUCH_SPACE:
        yield Check("address space", f"{_size(space)} at most: CUDA reserves far more than it uses, and fails", "warning", "lift it: ulimit -v unlimited")  # fmt: skip
    processes = limits.processes
    if processes is not None and 0 <= processes < 1024:
        yield Check(
            "processes", f"{processes} at most, threads included: workers and OpenMP may not start", "warning", "raise it: ulimit -u 16384"
        )


def _size(count: int) -> str:
    return f"{count / _GIB:.1f} GiB" if count >= _GIB else f"{count / _MIB:.0f} MiB"
