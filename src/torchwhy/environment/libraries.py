"""The shared libraries of CUDA: which came with torch, which stand in the folders of `LD_LIBRARY_PATH`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from .machine import Library

_NAMES = r"lib(?:cudart|cudnn|cudnn_\w+|nccl|cublas|cublasLt|nvJitLink|cusparse|cusparseLt|cusolver|cufft|curand|nvrtc|cupti)"
_FILE = re.compile(rf"({_NAMES}\.so\.\d{{1,9}})(?:[.\d]{{0,40}})$")

_SYSTEM = (
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/cuda/lib64",
)


def library(path: Path) -> Library:
    """The library at the path: its soname, and its version as far as the name of the real file tells it."""
    real = Path(os.path.realpath(path))
    soname = _FILE.match(path.name)
    version = re.search(r"\.so\.([\d.]+)$", real.name)
    return Library(soname[1] if soname else path.name, str(path), version[1] if version else "")


def in_library_path(folders: str) -> tuple[Library, ...]:
    """The first of each name, in the order in which the loader looks."""
    found: dict[str, Library] = {}
    for folder in filter(None, folders.split(":")):
        for one in _in_folder(Path(folder)):
            found.setdefault(one.soname, one)
    return tuple(found.values())


def of_system() -> tuple[Library, ...]:
    """The first of each name in the folders where the loader looks when no package has it."""
    return in_library_path(":".join(_SYSTEM))


def of_wheels(locations: Iterable[str]) -> tuple[Library, ...]:
    """Those in `torch/lib` and `nvidia/*/lib` below the folders that packages are installed in."""
    found: dict[str, Library] = {}
    for location in sorted(set(locations)):
        for folder in (Path(location) / "torch" / "lib", *sorted((Path(location) / "nvidia").glob("*/lib"))):
            for one in _in_folder(folder):
                found.setdefault(one.soname, one)
    return tuple(found.values())


def _in_folder(folder: Path) -> list[Library]:
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError:  # folders of LD_LIBRARY_PATH need not exist, and the loader passes over them too
        return []
    found: dict[str, Library] = {}
    for name in names:
        match = _FILE.match(name)
        if match:
            found.setdefault(match[1], library(folder / name))
    return list(found.values())
