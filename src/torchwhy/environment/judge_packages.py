"""The packages around torch: those that it asks for, those that ask for it, and numpy."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .known import AUDIO, NUMPY, NUMPY_WINDOWS, VISION, VISION_OF
from .machine import Check, Machine, Package, Verdict
from .versions import applies, local, minor, release, requirement, satisfies

_ITS_OWN = ("nvidia-", "triton", "pytorch-triton")
_SOURCES = {"torchvision": VISION, "torchaudio": AUDIO}


def judge_packages(machine: Machine) -> Iterator[Check]:
    torch = machine.package("torch")
    if torch is not None:
        yield from _asked_for(machine, torch)
        yield from _companions(machine, torch)
    yield from _numpy(machine)
    yield from _triton(machine)


def _asked_for(machine: Machine, torch: Package) -> Iterator[Check]:
    """The libraries of CUDA and Triton that torch's metadata pins."""
    right: list[str] = []
    for name, wanted in _wanted(machine, torch):
        package = machine.package(name)
        if package is None:
            yield Check(name, f"torch {torch.version} asks for {name} {wanted}, which is not installed", "warning" if machine.torch.imported else "broken", f'install it: python -m pip install "{name}{wanted}"')  # fmt: skip
        elif satisfies(package.version, wanted) is False:
            verdict: Verdict = "broken" if name.startswith(("triton", "pytorch-triton")) else "warning"
            yield Check(name, f"torch {torch.version} asks for {name} {wanted}, {package.version} is installed", verdict, f'install what it asks for: python -m pip install "{name}{wanted}"')  # fmt: skip
        else:
            right.append(name)
    if right:
        some = ", ".join(right[:3]) + (" …" if len(right) > 3 else "")
        yield Check("dependencies", f"{len(right)} packages that torch asks for are there in its versions ({some})")


def _wanted(machine: Machine, torch: Package) -> Iterator[tuple[str, str]]:
    facts = _facts(machine)
    for text in torch.requires:
        one = requirement(text)
        if one is not None and one.name.startswith(_ITS_OWN) and applies(one.marker, facts):
            yield one.name, one.wanted


def _facts(machine: Machine) -> dict[str, str]:
    """What the markers of requirements ask about."""
    return {
        "platform_system": machine.system,
        "sys_platform": {"Linux": "linux", "Darwin": "darwin", "Windows": "win32"}.get(machine.system, ""),
        "os_name": "nt" if machine.system == "Windows" else "posix",
        "platform_machine": machine.processor,
        "python_version": ".".join(map(str, release(machine.python)[:2])),
        "python_full_version": machine.python,
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "extra": "",
    }


def _companions(machine: Machine, torch: Package) -> Iterator[Check]:
    """Packages that ask for torch: torchvision and torchaudio are built for exactly one."""
    facts = _facts(machine)
    for package in machine.packages:
        wanted = ",".join(
            one.wanted
            for one in map(requirement, package.requires)
            if one is not None and one.name == "torch" and one.wanted and applies(one.marker, facts)
        )
        source = _SOURCES.get(package.name, "")
        if wanted and satisfies(torch.version, wanted) is False:
            verdict: Verdict = "broken" if "==" in wanted else "warning"
            advice = f"install the two together: python -m pip install torch {package.name}"
            yield Check(package.name, f"{package.name} {package.version} asks for torch {wanted}, {torch.version} is installed", verdict, advice, source)  # fmt: skip
        elif package.name == "torchvision" and (pair := _pair(torch, package)):
            yield Check(package.name, pair, "broken", "install the two together: python -m pip install torch torchvision", VISION)
        elif package.name in _SOURCES and (other := _other_build(torch, package)):
            yield Check(package.name, other, "warning", f"install both from the index of {local(torch.version) or 'cpu'} builds", source)  # fmt: skip
        elif package.name in _SOURCES:
            yield Check(
                package.name,
                f"{package.name} {package.version} goes with torch {torch.version}" if wanted else f"{package.name} {package.version}",
            )


def _pair(torch: Package, vision: Package) -> str:
    wanted = VISION_OF.get(minor(torch.version) or (0, 0))
    if wanted is None or minor(vision.version) == wanted:
        return ""
    return f"torch {torch.version} goes with torchvision {wanted[0]}.{wanted[1]}, {vision.version} is installed"


def _other_build(torch: Package, package: Package) -> str:
    mine, its = local(torch.version), local(package.version)
    known = re.compile(r"cpu|cu\d+|rocm[\d.]+|xpu")
    if mine == its or not known.fullmatch(mine) or not known.fullmatch(its):
        return ""
    return f"{package.name} is built for {its}, torch for {mine}: its own ops (such as `nms`) will be missing"


def _numpy(machine: Machine) -> Iterator[Check]:
    package, error = machine.package("numpy"), machine.torch.numpy_error
    if package is None:
        if machine.package("torch") is not None:
            yield Check("numpy", "numpy is not installed: `.numpy()` and `from_numpy` will not work", "warning", "install it if the program needs it: python -m pip install numpy")  # fmt: skip
        return
    torch, two = release(machine.torch_version), release(package.version)[:1] >= (2,)
    if error == "":
        yield Check("numpy", f"numpy {package.version}; arrays go to torch and back")
    elif two and torch and torch[:2] < (2, 3):
        yield Check("numpy", f"torch {machine.torch_version} is built for numpy 1, numpy {package.version} is installed", "broken", "install numpy<2, or torch 2.3 or newer", NUMPY)  # fmt: skip
    elif two and torch[:3] == (2, 4, 0) and machine.system == "Windows":
        yield Check("numpy", f"the Windows build of torch 2.4.0 is made for numpy 1, numpy {package.version} is installed", "broken", "install numpy<2, or torch 2.4.1 or newer", NUMPY_WINDOWS)  # fmt: skip
    elif error:
        yield Check("numpy", f"torch can't use numpy {package.version}: {error}", "broken", "install numpy and torch again, in one command")
    else:
        yield Check("numpy", f"numpy {package.version}; not tried with torch", "unknown" if torch else "ok")


def _triton(machine: Machine) -> Iterator[Check]:
    torch = machine.torch
    if torch.triton_error:
        yield Check("triton", f"triton does not import: {torch.triton_error}", "broken", "install the version that torch asks for; without it `torch.compile` does not work on a GPU")  # fmt: skip
    elif torch.triton:
        yield Check("triton", f"triton {torch.triton}")
    elif machine.cuda_build and torch.imported and machine.system != "Darwin":
        advice = "python -m pip install triton-windows" if machine.system == "Windows" else "install the version that torch asks for"
        yield Check("triton", "triton is not installed: `torch.compile` does not work on the GPU", "warning", advice)
