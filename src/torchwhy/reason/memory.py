"""The numbers of an out-of-memory message, in bytes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

_UNITS = {
    "bytes": 1,
    "B": 1,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
    "PiB": 1 << 50,
    "KB": 1000,
    "MB": 10**6,
    "GB": 10**9,
}
_AMOUNT = r"(?<![\d.])([\d.]{1,40}) (bytes|[KMGTP]?i?B)"


@dataclass(frozen=True, slots=True)
class MemoryNumbers:
    """What an allocator said; None where it did not. `foreign` is held by other processes."""

    tried: float | None = None
    total: float | None = None
    free: float | None = None
    allocated: float | None = None
    reserved: float | None = None
    idle: float | None = None
    """Reserved by PyTorch's allocator and not in use."""
    foreign: float | None = None

    def known(self) -> dict[str, float]:
        return {f"{name}_bytes": value for name, value in asdict(self).items() if value is not None}


def memory_numbers(message: str) -> MemoryNumbers | None:
    """The numbers of an out-of-memory message of the CPU's, CUDA's, HIP's or XPU's allocator, of any torch version; None for any other text."""
    message = " ".join(message.split())
    if not re.search(r"out of memory|DefaultCPUAllocator|[Uu]nable to allocate", message):
        return None
    tried = _find(message, rf"[Tt]ried to allocate {_AMOUNT}") or _find(message, rf"[Uu]nable to allocate {_AMOUNT}")
    total = _find(message, rf"total capac(?:i)?ty of {_AMOUNT}") or _find(message, rf"{_AMOUNT} total capacity")
    free = _find(message, rf"{_AMOUNT}(?: is)? free")
    allocated = _find(message, rf"{_AMOUNT} is allocated by PyTorch") or _find(message, rf"{_AMOUNT} already allocated")
    idle = _find(message, rf"{_AMOUNT} is reserved by PyTorch but unallocated") or _find(message, rf"{_AMOUNT} cached")
    reserved = _find(message, rf"{_AMOUNT} reserved in total")
    if reserved is None and allocated is not None and idle is not None:
        reserved = allocated + idle
    if idle is None and reserved is not None and allocated is not None:
        idle = reserved - allocated
    others = [_bytes(amount, unit) for amount, unit in re.findall(rf"Process \d+ has {_AMOUNT} memory in use", message)]
    said = _find(message, rf"this process has {_AMOUNT} memory in use")
    here = said or reserved
    if said is None and reserved is not None and others and max(others) >= 0.98 * reserved:
        others.remove(max(others))  # one of the processes in the list is this one, which the message does not tell apart
    known = others or "Process" in message
    foreign = (
        sum(others) if known else max(0.0, total - free - here) if total is not None and free is not None and here is not None else None
    )
    return MemoryNumbers(tried, total, free, allocated, reserved, idle, foreign)


def growth(lines: Sequence[str]) -> tuple[str, ...]:
    """The amounts that a log prints again and again, where they only ever grow: `3.1 GiB`, `5.4 GiB`, … (memory that is kept from step to step)."""
    found = [(_bytes(*pair), " ".join(pair)) for line in lines if (pair := _amount(line)) is not None]
    values = [value for value, _ in found]
    grows = len(found) >= 3 and all(b >= a for a, b in zip(values, values[1:])) and values[-1] > 1.3 * max(values[0], 1)
    return tuple(text for _, text in found) if grows else ()


def _amount(line: str) -> tuple[str, str] | None:
    found = (
        re.search(rf"(?:alloc|mem|reserved|used)\w*\W{{0,6}}{_AMOUNT.replace(' ', ' ?')}", line, re.IGNORECASE) if len(line) < 400 else None
    )
    return (found[1], found[2]) if found is not None else None


def _find(text: str, pattern: str) -> float | None:
    found = re.search(pattern, text)
    return _bytes(*found.groups()[:2]) if found is not None else None


def _bytes(amount: str, unit: str) -> float:
    return float(amount) * _UNITS.get(unit, 1)
