"""Python and the C library against what this torch is made for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .known import MANYLINUX, PYTHONS, RELEASES
from .machine import Check, Machine, Package, Verdict
from .versions import minor, release, satisfies


def judge_python(machine: Machine) -> Iterator[Check]:
    yield _python(machine)
    package = machine.package("torch")
    if package is not None:
        yield from _wheel(machine, package)


def _python(machine: Machine) -> Check:
    what = f"Python {machine.python}{', free-threaded' if machine.free_threaded else ''}"
    if machine.bits != 64:
        return Check(
            "python", f"{what} is a {machine.bits}-bit build, and PyTorch is made for 64 bits only", "broken", "install a 64-bit Python"
        )
    package, have, torch = machine.package("torch"), minor(machine.python), minor(machine.torch_version)
    if package is not None and satisfies(machine.python, package.requires_python) is False:
        wanted = f"torch {package.version} asks for Python {package.requires_python}"
        return Check("python", f"{what}; {wanted}", "broken", "install PyTorch for this Python, or another Python")
    known = PYTHONS.get(torch) if torch is not None else None
    if have is None or torch is None or known is None:
        return Check("python", what)
    first, last, experimental = known
    span = f"torch {_dotted(torch)} is released for Python {_dotted(first)} to {_dotted(last)}"
    if have == experimental:
        return Check("python", f"{what}; {span}, {_dotted(have)} is experimental", "warning", "expect parts that do not work", RELEASES)
    if not first <= have <= last:
        verdict: Verdict = "warning" if machine.torch.imported else "broken"
        return Check("python", f"{what}; {span}", verdict, f"use Python {_dotted(last)}, or another release of torch", RELEASES)
    return Check("python", f"{what}; {span}")


def _wheel(machine: Machine, package: Package) -> Iterator[Check]:
    """The wheel's own tags: the interpreter, the processor and the C library that it was made for."""
    tags = [tag.split("-", 2) for tag in package.tags if tag.count("-") >= 2]
    have = minor(machine.python)
    interpreters = {tag[0] for tag in tags}
    if have is not None and interpreters and not any(_fits(tag[0], tag[1], have) for tag in tags):
        made = ", ".join(sorted(interpreters))
        yield Check("wheel", f"torch was installed for {made}, this is Python {_dotted(have)}", "broken", _AGAIN)
        return
    platforms = [part for tag in tags for part in tag[2].split(".")]
    processors = {p for p in ("x86_64", "aarch64", "arm64", "amd64") if any(part.endswith(p) for part in platforms)}
    if processors and _same(machine.processor) not in map(_same, processors) and "universal2" not in " ".join(platforms):
        yield Check(
            "wheel", f"torch was installed for {', '.join(sorted(processors))}, this processor is {machine.processor}", "broken", _AGAIN
        )
        return
    wanted = _glibc(platforms)
    if wanted is None or machine.system != "Linux":
        return
    text = f"the wheel of torch needs glibc {_dotted(wanted)}"
    if not machine.libc.startswith("glibc"):
        yield Check("libc", f"{text}; this system has none (musl?)", "broken", "use a distribution with glibc, such as Debian", MANYLINUX)
    elif release(machine.libc.split()[-1])[:2] < wanted:
        advice = "use a newer distribution or container image, or an older torch"
        yield Check("libc", f"{text}; this is {machine.libc}", "broken", advice, MANYLINUX)
    else:
        yield Check("libc", f"{machine.libc}; {text}")


_AGAIN = "install it again with this Python: python -m pip install --force-reinstall torch"


def _fits(interpreter: str, abi: str, have: tuple[int, int]) -> bool:
    for one in interpreter.split("."):
        match = re.fullmatch(r"(cp|py)(\d)(\d*)", one)
        if match is None:
            return True  # another implementation, of which nothing is known here
        made = (int(match[2]), int(match[3] or 0))
        if match[1] == "py" or made == have or (abi == "abi3" and made <= have):
            return True
    return False


def _glibc(platforms: list[str]) -> tuple[int, int] | None:
    """The least glibc that one of the tags asks for."""
    found = [(int(m[1]), int(m[2])) for part in platforms if (m := re.match(r"manylinux_(\d+)_(\d+)_", part))]
    found += [(2, 17) for part in platforms if part.startswith("manylinux2014_")]
    return min(found, default=None)


def _same(processor: str) -> str:
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(processor.lower(), processor.lower())


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))
