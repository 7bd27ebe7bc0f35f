"""Does torch import, and if not, why: the import's own failure is the most telling fact of a broken installation."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from .known import FBGEMM, MKL, NVJITLINK, PROVIDERS
from .machine import Check, Machine

_REINSTALL = "install torch again into a fresh environment"


def judge_import(machine: Machine) -> Iterator[Check]:
    torch = machine.torch
    yield from _copies(machine)
    if torch.imported:
        yield Check("torch", f"torch {torch.version}, {_build(machine)}")
        if torch.ended:
            yield _crash(machine)
        for text in torch.trouble:
            yield Check("torch", f"{_short(text)}", "unknown", "save the error and run `torchwhy explain -` on it")
    elif torch.error:
        yield _why(machine)
    elif torch.ended:
        yield _crash(machine)
    else:
        yield Check("torch", "whether torch imports could not be found out", "unknown")


def _build(machine: Machine) -> str:
    torch = machine.torch
    for name, version in (("CUDA", torch.cuda), ("ROCm", torch.hip), ("XPU", torch.xpu)):
        if version:
            return f"built for {name} {version}"
    return "built with MPS" if torch.mps_built else "a build for the CPU"


def _copies(machine: Machine) -> Iterator[Check]:
    """Two installations, and files that are imported in the place of torch."""
    copies = list(machine.all_of("torch"))
    if len(copies) > 1:
        places = " and ".join(f"{copy.version} in {copy.location}" for copy in copies)
        yield Check("torch", f"torch is installed {len(copies)} times: {places}", "warning", "uninstall all of them, then install one")
    file = machine.torch.file.replace("\\", "/")
    if copies and file and not any(file.startswith(copy.location.replace("\\", "/")) for copy in copies):
        yield Check("torch", f"`import torch` finds {machine.torch.file}, not the installed package", "broken", "rename that file or folder, or take its folder out of PYTHONPATH")  # fmt: skip
    mine = [name for name in machine.shadows if name.removesuffix(".py") == "torch"]
    others = [name for name in machine.shadows if name not in mine]
    for name in mine:
        yield Check(
            "working directory", f"`{name}` here is imported in place of PyTorch by programs of this folder", "broken", f"rename `{name}`"
        )
    if others:
        some = ", ".join(f"`{name}`" for name in others[:4]) + (" …" if len(others) > 4 else "")
        what = f"{some} here {'hide' if len(others) > 1 else 'hides'} a module of the same name that torch may need, from programs of this folder"
        yield Check("working directory", what, "warning", "rename what is imported by mistake, or start programs from another folder")


def _crash(machine: Machine) -> Check:
    torch = machine.torch
    doing = torch.stage or "importing torch"
    words = {
        "SIGILL": (f"the processor met an instruction it does not have while {doing}", "install a build for this processor; the wheel uses instructions (AVX, AVX2) that it lacks, or that a virtual machine hides"),
        "SIGSEGV": (f"the process crashed (SIGSEGV) while {doing}", "look for libraries of two versions below, then " + _REINSTALL),
        "SIGBUS": (f"the process crashed (SIGBUS) while {doing}", "look at the space in /dev/shm and on the disk"),
        "SIGABRT": (f"the process aborted while {doing}", "look for libraries of two versions below, then " + _REINSTALL),
        "SIGKILL": (f"the system killed the process while {doing}", "look at the memory limit below: it was most likely used up"),
        "timeout": (f"no answer came while {doing}", "look at the disk (a network folder?) and, where a GPU was asked, at `nvidia-smi` and `dmesg`"),
    }  # fmt: skip
    what, advice = words.get(torch.ended, (f"the process ended with {torch.ended} while {doing}", _REINSTALL))
    return Check("torch", what, "broken", advice)


def _why(machine: Machine) -> Check:
    text = machine.torch.error
    for pattern, answer in _REASONS:
        match = re.search(pattern, text, re.DOTALL)
        if match is not None:
            what, advice, source = answer(match, machine)
            return Check("torch", what, "broken", advice, source)
    return Check("torch", f"torch does not import: {_short(text)}", "broken", _REINSTALL)


Answer = tuple[str, str, str]


def _not_installed(match: re.Match[str], machine: Machine) -> Answer:
    if machine.package("torch") is not None:
        return "torch's metadata is here, its files are not", "install it again: python -m pip install --force-reinstall torch", ""
    return (
        f"torch is not installed for {machine.executable or 'this Python'}",
        "install it with this Python: python -m pip install torch",
        "",
    )


def _no_module(match: re.Match[str], machine: Machine) -> Answer:
    name = match[1]
    if name.startswith("torch"):
        return f"torch has no `{name}`: its folder is incomplete, or a source checkout is imported", "leave the folder of the checkout, or " + _REINSTALL, ""  # fmt: skip
    return f"torch needs `{name}`, which is not installed", f"install it: python -m pip install {name.partition('.')[0]}", ""


def _missing(match: re.Match[str], machine: Machine) -> Answer:
    name = match[1]
    stem, _, number = name.partition(".so.")
    package = PROVIDERS.get(re.sub(r"_[a-zA-Z0-9]+$", "", stem), PROVIDERS.get(stem, ""))
    what = f"the library `{name}` is missing"
    if stem == "libcuda":
        return f"{what}: it belongs to the NVIDIA driver", "install the driver; in a container, start it with --gpus all", ""
    if package:
        asked = next((r for p in machine.all_of("torch") for r in p.requires if r.startswith(package)), "")
        there = next((p for p in machine.packages if p.name.startswith(package)), None)
        brings = re.split(r"[ ;(=<>!~]", asked)[0] or package
        note = f"{what}; {brings} brings it and {'is ' + there.version + ' here' if there else 'is not installed'}"
        return note, f"install torch again with its dependencies (not --no-deps), or {brings} alone", ""
    return what, f"install the system's package that has `{name}`", ""


def _symbol(match: re.Match[str], machine: Machine) -> Answer:
    symbol = match[1]
    file = re.search(r"(?<![\w.+-])([\w.+-]{1,200}\.so[.\d]{0,40}): undefined symbol", machine.torch.error)
    where = f" (asked for by {file[1]})" if file else ""
    if symbol.startswith("iJIT_"):
        return f"MKL has no `{symbol}`: this torch does not go with MKL 2024.1 or newer", "install mkl 2024.0, or torch from pip", MKL
    if "nvJitLink" in symbol:
        return f"an older libnvJitLink is loaded: it has no `{symbol}`", "take CUDA's folders out of LD_LIBRARY_PATH, or put the wheel's nvidia/nvjitlink/lib first", NVJITLINK  # fmt: skip
    if symbol.startswith("nccl"):
        return f"an older NCCL is loaded: it has no `{symbol}`", "take the folder of the other libnccl.so.2 out of LD_LIBRARY_PATH", ""
    if symbol.startswith(("cudnn", "cublas", "cusparse", "cusolver", "cuda")):
        return f"a library of another CUDA version is loaded: no `{symbol}`{where}", "take CUDA's folders out of LD_LIBRARY_PATH", ""
    if symbol.startswith("_ZN") or "c10" in symbol or "at6" in symbol:
        return f"parts of two builds of PyTorch meet: no `{_short(symbol, 40)}`{where}", _REINSTALL, ""
    return f"a library of another version is loaded: no `{_short(symbol, 40)}`{where}", "take other folders out of LD_LIBRARY_PATH, then " + _REINSTALL, ""  # fmt: skip


_REASONS: tuple[tuple[str, Callable[[re.Match[str], Machine], Answer]], ...] = (
    (r"No module named '?torch'?(?!\.)(?:\W|$)", _not_installed),
    (r"No module named '([\w.]+)'", _no_module),
    (r"version [`'](GLIBC_[\d.]+)' not found", lambda m, _: (f"torch needs {m[1].replace('_', ' ')}, this system's is older", "use a newer distribution or container image, or an older torch", "")),
    (r"version [`']((?:GLIBCXX|CXXABI)_[\d.]+)' not found", lambda m, _: (f"the libstdc++ that is loaded is too old: it has no {m[1]}", "put a newer libstdc++ first (conda install -c conda-forge libstdcxx-ng), or take its folder out of LD_LIBRARY_PATH", "")),
    (r"undefined symbol: (\w+)", _symbol),
    (r"(lib[\w.+-]{1,200}): cannot allocate memory in static TLS block", lambda m, _: (f"`{m[1]}` was loaded too late: no thread-local room is left for it", f"import torch first, or preload it: LD_PRELOAD=<path of {m[1]}>", "")),
    (r"(lib[\w+.-]{1,200}?\.so(?:\.\d{1,9})?)[.\d]{0,40}: cannot open shared object file", _missing),
    (r"failed to map segment from shared object", lambda m, _: ("a library could not be mapped: no address space is left, or its disk forbids execution", "look at `ulimit -v` and at the mount option noexec", "")),
    (r"cannot enable executable stack", lambda m, _: ("the system forbids a library its executable stack", "use a newer torch, whose libraries need none", "")),
    (r"WinError 126[^\n]{0,300}?\b(\w{1,100}\.dll)", lambda m, _: (f"Windows could not load `{m[1]}` or a library that it needs", "install the newest Microsoft Visual C++ Redistributable (and libomp140.x86_64.dll), or a newer torch", FBGEMM)),
    (r"WinError 1455", lambda m, _: ("the page file is too small to load torch's libraries", "enlarge the page file, or start fewer worker processes", "")),
    (r"WinError 1114|DLL load failed", lambda m, _: ("Windows could not start one of torch's libraries", "install the newest Microsoft Visual C++ Redistributable, then " + _REINSTALL, "")),
    (r"incompatible architecture \(have '([\w ,]+)', need '([\w ,]+)'", lambda m, _: (f"torch was installed for {m[1]}, this Python runs as {m[2]}", "install torch and Python for the same processor (under Rosetta, Python is x86_64)", "")),
    (r"Failed to load PyTorch C extensions|partially initialized module 'torch'|circular import", lambda m, _: ("a folder or file named torch is imported in place of the package", "leave the source checkout's folder, or rename the file `torch.py`", "")),
    (r"numpy\.core\.multiarray failed to import|_ARRAY_API not found", lambda m, _: ("a package on the way was built for another numpy", "upgrade that package, or install numpy<2", "")),
    (r"^MemoryError|Cannot allocate memory", lambda m, _: ("not enough memory to load torch", "look at `ulimit -v` and the container's memory limit", "")),
)  # fmt: skip
"""The first pattern found in the import's error, and what it says: the fact, what to do, the source."""


def _short(text: str, length: int = 200) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"
