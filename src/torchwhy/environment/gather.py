"""The facts of this machine, gathered without importing torch here. What can't be found out is left out, never guessed."""

from __future__ import annotations

import json
import os
import platform
import struct
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from .children import ask
from .driver import driver
from .libraries import in_library_path, library, of_system, of_wheels
from .limits import limits, memory, memory_limit, shared_memory
from .machine import Gpu, Machine, Torch, Trial
from .packages import installed

TORCH_SECONDS = 180.0
VARIABLES = (
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "CUDA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "CUDA_LAUNCH_BLOCKING",
    "PYTORCH_NO_CUDA_MEMORY_CACHING",
    "TORCH_USE_CUDA_DSA",
    "NCCL_P2P_DISABLE",
    "NCCL_IB_DISABLE",
    "OMP_NUM_THREADS",
    "KMP_DUPLICATE_LIB_OK",
    "PYTHONPATH",
)
"""Those that change how torch loads or runs."""
_NEEDED = (
    "torch",
    "numpy",
    "torchvision",
    "torchaudio",
    "triton",
    "typing_extensions",
    "sympy",
    "networkx",
    "jinja2",
    "fsspec",
    "filelock",
)


def gather(seconds: float = TORCH_SECONDS) -> Machine:
    """This machine. Importing torch gets at most so long."""
    packages, shared = installed(), shared_memory()
    return Machine(
        system=platform.system(),
        processor=platform.machine(),
        release=platform.mac_ver()[0] or platform.release(),
        libc=" ".join(filter(None, platform.libc_ver())),
        python=platform.python_version(),
        executable=sys.executable,
        free_threaded=bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        bits=struct.calcsize("P") * 8,
        container=_in_container(),
        packages=packages,
        driver=driver(),
        torch=ask_torch(seconds),
        library_path=in_library_path(os.environ.get("LD_LIBRARY_PATH", "")),
        wheel_libraries=of_wheels({p.location for p in packages if p.name == "torch" or p.name.startswith("nvidia-")}),
        system_libraries=of_system(),
        variables=tuple((name, os.environ[name]) for name in VARIABLES if name in os.environ),
        shadows=_shadows(Path.cwd()),
        memory_bytes=memory(),
        memory_limit=memory_limit(),
        limits=limits(),
        shm_bytes=shared[0] if shared else None,
        shm_free=shared[1] if shared else None,
    )


def ask_torch(seconds: float) -> Torch:
    """What torch says of itself in a process of its own."""
    said = ask([sys.executable, str(Path(__file__).with_name("ask_torch.py"))], seconds)
    return heard(said.output, said.ended)


def heard(output: str, ended: str) -> Torch:
    """The lines of `ask_torch.py`, put together. Lines that are not its own (torch and its libraries print too) are passed over."""
    torch = Torch(ended=ended)
    names = {field.name for field in fields(Torch)}
    for line in output.splitlines():
        try:
            told = json.loads(line)
        except ValueError:
            continue
        if isinstance(told, dict):
            torch = replace(torch, **{key: _value(torch, key, value) for key, value in told.items() if key in names})
    return replace(torch, stage=torch.stage if ended else "")


def _value(torch: Torch, key: str, value: Any) -> Any:
    if key == "gpus":
        return tuple(Gpu(gpu["name"], tuple(gpu["capability"]), gpu["total_bytes"]) for gpu in value)
    if key == "trials":
        return (*torch.trials, *(Trial(**trial) for trial in value))
    if key == "trouble":
        return (*torch.trouble, value)
    if key == "warnings":
        return tuple(dict.fromkeys((*torch.warnings, *value)))
    if key == "loaded":
        return tuple(library(Path(path)) for path in value)
    return tuple(value) if isinstance(value, list) else value


def _shadows(folder: Path) -> tuple[str, ...]:
    """Files here that a program in this folder imports in place of a package or of the standard library."""
    names = {*_NEEDED, *(name for name in sys.stdlib_module_names if not name.startswith("_"))}
    return tuple(sorted(entry.name for entry in _entries(folder) if _module(entry) in names))


def _module(entry: Path) -> str:
    """The module that the entry would be."""
    if entry.suffix == ".py":
        return entry.stem
    return entry.name if (entry / "__init__.py").is_file() else ""


def _entries(folder: Path) -> Iterable[Path]:
    try:
        return [entry for entry in folder.iterdir() if entry.name not in ("test", "__main__.py")]
    except OSError:  # a folder that may not be read shadows nothing either
        return []


def _in_container() -> bool:
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists() or "KUBERNETES_SERVICE_HOST" in os.environ:
        return True
    try:
        groups = Path("/proc/1/cgroup").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return any(word in groups for word in ("docker", "kubepods", "containerd", "lxc"))
