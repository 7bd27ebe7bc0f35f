"""Libraries of CUDA that stand before those of the wheel, and settings that change how torch runs."""

from __future__ import annotations

from collections.abc import Iterator

from .known import CUDNN_PARTS, CUDNN_PATH
from .machine import Check, Library, Machine, Verdict
from .versions import release

_PART = "libcudnn_engines_tensor_ir.so.9"
_OUT = "take that folder out of LD_LIBRARY_PATH; torch brings its own libraries"


def judge_paths(machine: Machine) -> Iterator[Check]:
    yield from _shadowing(machine)
    yield from _mixed(machine)
    yield from _variables(machine)


def _shadowing(machine: Machine) -> Iterator[Check]:
    """What LD_LIBRARY_PATH has under a name that the wheel has too is loaded in its place."""
    if machine.variable("LD_LIBRARY_PATH") is None:
        return
    own = {one.soname: one for one in machine.wheel_libraries}
    loaded = {one.soname: one.path for one in machine.torch.loaded}
    found = [(one, own[one.soname]) for one in machine.library_path if one.soname in own and one.path != own[one.soname].path]
    for other, mine in found:
        seen = "is" if loaded.get(other.soname, "").startswith(other.path.rpartition("/")[0]) else "can be"
        what = f"{other.path}{_version(other)} {seen} loaded in place of torch's own{_version(mine)}"
        yield Check(
            "LD_LIBRARY_PATH", what, "broken" if _clash(other, mine) else "warning", _OUT, CUDNN_PATH if "cudnn" in other.soname else ""
        )
    if not found:
        more = f"; {len(machine.library_path)} CUDA libraries there, none under a name that torch brings" if machine.library_path else ""
        yield Check("LD_LIBRARY_PATH", f"nothing in it hides a library of torch{more}")


def _clash(other: Library, mine: Library) -> bool:
    """An older library does not have what torch was linked against."""
    have, wanted = release(other.version), release(mine.version)
    return len(have) > 1 and len(wanted) > 1 and have < wanted[: len(have)]


def _version(one: Library) -> str:
    return f" ({one.version})" if "." in one.version else ""


def _mixed(machine: Machine) -> Iterator[Check]:
    """A process that loaded parts of cuDNN from two folders fails at its first convolution."""
    folders = dict.fromkeys(one.path.rpartition("/")[0] for one in machine.torch.loaded if one.soname.startswith("libcudnn"))
    if len(folders) > 1:
        what = f"parts of cuDNN are loaded from {len(folders)} folders: {', '.join(folders)}"
        yield Check("cuDNN", what, "broken", "uninstall the system's cuDNN, or give it the version of nvidia-cudnn", CUDNN_PARTS)

    yield from _missing_part(machine)


def _missing_part(machine: Machine) -> Iterator[Check]:
    """The cuDNN wheel of some builds asks for a part that it does not have; a system's cuDNN of another version then fills in."""
    own = {one.soname for one in machine.wheel_libraries}
    others = [one for one in (*machine.library_path, *machine.system_libraries) if one.soname == _PART]
    tried = any(trial.what == "convolution" and not trial.error for trial in machine.torch.trials)
    package = machine.package("nvidia-cudnn-cu13")
    if package is None or not package.version.startswith("9.20.") or _PART in own or not others or tried:
        return
    what = f"nvidia-cudnn-cu13 {package.version} lacks {_PART}, and {others[0].path}{_version(others[0])} of another cuDNN is loaded for it"
    yield Check(
        "cuDNN", what, "broken", "uninstall the system's cuDNN, or install a newer nvidia-cudnn-cu13 (9.23 has the part)", CUDNN_PARTS
    )


def _variables(machine: Machine) -> Iterator[Check]:
    for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"):
        value = machine.variable(name)
        if value is not None and machine.hides_gpus:
            verdict: Verdict = "warning" if machine.cuda_build or machine.torch.hip else "ok"
            yield Check(name, f"`{name}={value}` hides every GPU", verdict, f"unset {name}" if verdict == "warning" else "")
        elif value is not None:
            yield Check(name, f"`{name}={value}`: the program sees these GPUs only, numbered anew from 0")
    for name, (what, advice) in _SETTINGS.items():
        value = machine.variable(name)
        if value not in (None, "", "0"):
            yield Check(name, f"`{name}={value}`: {what}", "warning", advice)


_SETTINGS = {
    "CUDA_LAUNCH_BLOCKING": ("each kernel is waited for; good for finding a line, slow for training", "unset it when the line is found"),
    "PYTORCH_NO_CUDA_MEMORY_CACHING": ("every allocation goes to the driver, which is very slow", "unset it outside of debugging"),
    "KMP_DUPLICATE_LIB_OK": ("two OpenMP runtimes may be loaded, which can give wrong results or hang", "find the package that brings the second libiomp5 or libomp"),
    "NCCL_P2P_DISABLE": ("GPUs talk through the host's memory, slower than directly", "unset it if the GPUs can reach each other"),
    "LD_PRELOAD": ("these libraries come before all others", "unset it if something here does not load"),
}  # fmt: skip
