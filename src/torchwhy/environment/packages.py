"""The installed distributions that have to do with torch, read from their metadata."""

from __future__ import annotations

import re
from importlib.metadata import Distribution, distributions
from pathlib import Path

from .machine import Package
from .versions import normal

_WANTED = re.compile(r"torch|torch[-a-z]+|pytorch-.*|numpy|triton.*|nvidia-.*|mkl|intel-openmp|setuptools|typing-extensions|xformers|flash-attn|bitsandbytes|deepspeed|.*-pytorch")  # fmt: skip


def installed() -> tuple[Package, ...]:
    """Packages of PyTorch's neighbourhood, and any other that asks for torch; the same name twice where it is there twice."""
    found: dict[tuple[str, str], Package] = {}
    for one in distributions():
        package = _package(one)
        if package is not None:
            found.setdefault((package.name, package.location), package)
    return tuple(sorted(found.values(), key=lambda package: (package.name, package.location)))


def _package(one: Distribution) -> Package | None:
    name = one.metadata["Name"] if one.metadata is not None else None
    if not name:
        return None
    requires = tuple(text for text in one.requires or () if not re.search(r"\bextra\s*==", text))
    needs_torch = any(re.match(r"torch\b(?![-_])", text) for text in requires)
    if not needs_torch and _WANTED.fullmatch(normal(name)) is None:
        return None
    location = str(one.locate_file(""))
    return Package(
        name=normal(name),
        version=one.version or "",
        location=location.rstrip("/\\"),
        requires=requires,
        requires_python=one.metadata.get("Requires-Python") or "",  # type: ignore[attr-defined]
        tags=tuple(re.findall(r"^Tag: (\S+)", one.read_text("WHEEL") or "", re.M)),
        cuda=_cuda(Path(location)) if normal(name) == "torch" else "",
    )


def _cuda(location: Path) -> str:
    """What `torch/version.py` says, for when torch can't be imported."""
    try:
        text = (location / "torch" / "version.py").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    match = re.search(r"""^cuda\b[^=\n]*=\s*['"]([\d.]+)['"]""", text, re.M)
    return match[1] if match else ""
