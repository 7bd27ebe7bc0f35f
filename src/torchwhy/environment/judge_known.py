"""Versions that are known not to work together, from release notes."""

from __future__ import annotations

from collections.abc import Iterator

from .known import PAIRS, Pair
from .machine import Check, Machine
from .versions import satisfies


def judge_known(machine: Machine) -> Iterator[Check]:
    for pair in PAIRS:
        if machine.torch_version and satisfies(machine.torch_version, pair.torch) and (other := _other(machine, pair)):
            yield Check("known", f"torch {machine.torch_version} with {other}: {pair.what}", "warning", pair.advice, pair.source)


def _other(machine: Machine, pair: Pair) -> str:
    """What stands beside torch; empty where the pair is not this machine's."""
    if pair.capability is not None and pair.capability not in [gpu.capability for gpu in machine.gpus]:
        return ""
    if pair.rocm_without_gpu:
        return f"ROCm {machine.torch.hip} and no GPU" if machine.torch.hip and machine.torch.cuda_available is False else ""
    found = (p for p in machine.packages if p.name == pair.package or p.name.startswith(f"{pair.package}-cu"))
    return next((f"{p.name} {p.version}" for p in found if satisfies(p.version, pair.versions)), "")
