"""The plain facts of a machine, and what is said of them. A hand-made machine is as good as a real one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warning", "broken", "unknown"]
VERDICTS: tuple[Verdict, ...] = ("broken", "warning", "unknown", "ok")
"""The worst first."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the answer: what is, whether it works, what to do, and where that is written."""

    topic: str
    what: str
    verdict: Verdict = "ok"
    advice: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Package:
    """An installed distribution, from its metadata: nothing of it is imported."""

    name: str
    version: str
    location: str = ""
    requires: tuple[str, ...] = ()
    requires_python: str = ""
    tags: tuple[str, ...] = ()
    """Platform tags of the wheel, such as `cp311-cp311-manylinux_2_28_x86_64`."""
    cuda: str = ""
    """Of torch: the CUDA version of the build, as its `version.py` says."""


@dataclass(frozen=True, slots=True)
class Gpu:
    name: str
    capability: tuple[int, int] | None = None
    total_bytes: int | None = None
    used_bytes: int | None = None
    exclusive: bool = False
    """In a compute mode that lets only one process in, or none."""


@dataclass(frozen=True, slots=True)
class Driver:
    """The NVIDIA driver, asked by `nvidia-smi` and by its own library."""

    version: str = ""
    kernel: str = ""
    """The version of the module that runs in the kernel."""
    cuda: tuple[int, int] | None = None
    """The newest CUDA that the driver knows."""
    gpus: tuple[Gpu, ...] = ()
    devices: bool = False
    """Whether the system has device files of an NVIDIA GPU."""
    smi_error: str = ""
    library_error: str = ""
    """Why `libcuda` did not answer: missing, or the name of its error."""


@dataclass(frozen=True, slots=True)
class Library:
    """A shared library of CUDA: `libcudnn.so.9` of version 9.1.0."""

    soname: str
    path: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """A small computation on a device. `error` is empty where it gave the right result."""

    device: str
    what: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class Torch:
    """What torch says of itself, in a process of its own."""

    imported: bool = False
    error: str = ""
    """The import's exception, `Type: message`."""
    ended: str = ""
    """How the process ended where it did not end well: `SIGSEGV`, `timeout`, `exit code 3`."""
    stage: str = ""
    """What it was doing then."""
    trouble: tuple[str, ...] = ()
    """Questions that ended in an exception, and which."""
    version: str = ""
    file: str = ""
    cuda: str | None = None
    hip: str | None = None
    xpu: str | None = None
    architectures: tuple[str, ...] = ()
    cudnn: int | None = None
    cudnn_error: str = ""
    nccl: tuple[int, ...] | None = None
    cuda_available: bool | None = None
    warnings: tuple[str, ...] = ()
    gpus: tuple[Gpu, ...] = ()
    numpy_error: str | None = None
    """Empty: arrays go both ways. None: not tried."""
    triton: str | None = None
    triton_error: str = ""
    cpu_capability: str = ""
    mps_built: bool | None = None
    mps_available: bool | None = None
    trials: tuple[Trial, ...] = ()
    loaded: tuple[Library, ...] = ()
    """The CUDA libraries that the process had loaded in the end."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a process, in bytes or pieces; None is unlimited, -1 is not known."""

    open_files: int | None = -1
    locked_memory: int | None = -1
    stack: int | None = -1
    address_space: int | None = -1
    processes: int | None = -1


@dataclass(frozen=True, slots=True)
class Machine:
    system: str = ""
    """Linux, Darwin or Windows."""
    processor: str = ""
    """x86_64, arm64 …"""
    release: str = ""
    """The system's version: of macOS its own, else the kernel's."""
    libc: str = ""
    """`glibc 2.35`; empty where there is none."""
    python: str = ""
    executable: str = ""
    free_threaded: bool = False
    bits: int = 64
    container: bool = False
    packages: tuple[Package, ...] = ()
    driver: Driver = Driver()
    torch: Torch = Torch()
    library_path: tuple[Library, ...] = ()
    """CUDA libraries in the folders of `LD_LIBRARY_PATH`."""
    wheel_libraries: tuple[Library, ...] = ()
    """Those that came with torch, or with the `nvidia-*` packages beside it."""
    system_libraries: tuple[Library, ...] = ()
    """Those in the folders where the loader looks in the end."""
    variables: tuple[tuple[str, str], ...] = ()
    shadows: tuple[str, ...] = ()
    """Files of the working directory that a program here would import in place of torch, or of what torch imports."""
    shm_bytes: int | None = None
    shm_free: int | None = None
    memory_bytes: int | None = None
    memory_limit: int | None = None
    """The container's or control group's limit."""
    limits: Limits = Limits()

    def package(self, name: str) -> Package | None:
        return next(self.all_of(name), None)

    def all_of(self, name: str) -> Iterator[Package]:
        return (p for p in self.packages if p.name == name)

    def variable(self, name: str) -> str | None:
        return next((value for key, value in self.variables if key == name), None)

    @property
    def torch_version(self) -> str:
        """As torch says it, else as its metadata does."""
        package = self.package("torch")
        return self.torch.version or (package.version if package is not None else "")

    @property
    def cuda_build(self) -> str:
        """The CUDA version that torch is built for; empty for another build."""
        package = self.package("torch")
        return (self.torch.cuda or "") if self.torch.imported else package.cuda if package is not None else ""

    @property
    def hides_gpus(self) -> bool:
        """Whether a setting lets programs see no GPU."""
        values = (self.variable(name) for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"))
        return any(value is not None and value.strip() in ("", "-1", "none", "NoDevFiles") for value in values)

    @property
    def gpus(self) -> tuple[Gpu, ...]:
        return self.driver.gpus or self.torch.gpus
