"""The NVIDIA driver and its GPUs, without torch: `nvidia-smi`, the driver's own library, and what the kernel says."""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path
from typing import Any

from .children import Said, ask
from .machine import Driver, Gpu

SECONDS = 20.0
_FIELDS = ("driver_version", "name", "memory.total", "memory.used", "compute_mode")


def driver() -> Driver:
    smi = _ask_smi((*_FIELDS, "compute_cap"))
    if smi.ended and "not a valid field" in smi.output + smi.errors:  # drivers before 470 or so don't tell it
        smi = _ask_smi(_FIELDS)
    return put_together(smi, ask([sys.executable, str(Path(__file__).with_name("ask_driver.py"))], SECONDS), _kernel(), _devices())


def put_together(smi: Said, library: Said, kernel: str, devices: bool) -> Driver:
    """The driver as both tell it. The library's list comes first: it is what a program sees, after `CUDA_VISIBLE_DEVICES`."""
    version, by_smi = read_smi(smi.output) if not smi.ended else ("", ())
    told = _told(library)
    gpus = tuple(Gpu(gpu["name"], (gpu["capability"][0], gpu["capability"][1]), gpu["total_bytes"]) for gpu in told.get("gpus", ()))
    known = told.get("cuda")
    return Driver(
        version=version,
        kernel=_version_in(kernel),
        cuda=(known[0], known[1]) if known else None,
        gpus=_with_use(gpus, by_smi) if gpus else by_smi,
        devices=devices,
        smi_error=_why(smi),
        library_error=told.get("error", "") or ("" if told else library.ended),
    )


def read_smi(output: str) -> tuple[str, tuple[Gpu, ...]]:
    """The driver's version and the GPUs of `nvidia-smi --query-gpu --format=csv,noheader,nounits`."""
    version, gpus = "", []
    for row in csv.reader(output.splitlines(), skipinitialspace=True):
        if len(row) < len(_FIELDS):
            continue
        version = row[0].strip()
        level = re.fullmatch(r"\s*(\d+)\.(\d+)\s*", row[5]) if len(row) > 5 else None
        gpus.append(
            Gpu(
                row[1].strip(),
                (int(level[1]), int(level[2])) if level else None,
                _bytes(row[2]),
                _bytes(row[3]),
                row[4].strip() in ("Exclusive_Process", "Prohibited", "Exclusive_Thread"),
            )
        )
    return version, tuple(gpus)


def _with_use(gpus: tuple[Gpu, ...], by_smi: tuple[Gpu, ...]) -> tuple[Gpu, ...]:
    """The memory in use is known to `nvidia-smi` alone; the two lists are the same only where all GPUs are visible."""
    if [gpu.name for gpu in gpus] != [gpu.name for gpu in by_smi]:
        return gpus
    return tuple(Gpu(a.name, a.capability, a.total_bytes, b.used_bytes, b.exclusive) for a, b in zip(gpus, by_smi))


def _told(said: Said) -> dict[str, Any]:
    lines = said.output.strip().splitlines()
    try:
        told = json.loads(lines[-1]) if lines else {}
    except ValueError:
        told = {}
    return told if isinstance(told, dict) else {}


def _why(smi: Said) -> str:
    if smi.ended == "missing":
        return "missing"
    text = next((line.strip() for line in (smi.output + "\n" + smi.errors).splitlines() if line.strip()), "")
    return "" if not smi.ended else f"no answer in {SECONDS:.0f} s" if smi.ended == "timeout" else text or smi.ended


def _ask_smi(names: tuple[str, ...]) -> Said:
    return ask(["nvidia-smi", f"--query-gpu={','.join(names)}", "--format=csv,noheader,nounits"], SECONDS)


def _kernel() -> str:
    try:
        return Path("/proc/driver/nvidia/version").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _version_in(text: str) -> str:
    match = re.search(r"Module(?: for \S+)?\s+(\d+(?:\.\d+)+)", text)
    return match[1] if match else ""


def _devices() -> bool:
    return any(Path("/dev").glob("nvidia[0-9]*"))


def _bytes(mebibytes: str) -> int | None:
    return int(mebibytes) * 2**20 if mebibytes.strip().isdigit() else None
