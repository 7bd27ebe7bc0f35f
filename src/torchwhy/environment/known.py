"""Facts of public release notes, tables and issues, each with where it is written. What was not found written is not here."""

from __future__ import annotations

from dataclasses import dataclass

RELEASES = "https://github.com/pytorch/pytorch/blob/main/RELEASE.md"
DRIVERS = "https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html"
OLD_GPUS = "https://github.com/pytorch/pytorch/pull/158700"
VOLTA = "https://github.com/pytorch/pytorch/issues/172352"
NUMPY = "https://github.com/pytorch/pytorch/issues/132179"
NUMPY_WINDOWS = "https://github.com/pytorch/pytorch/issues/131668"
CUDNN_PARTS = "https://github.com/pytorch/pytorch/issues/188892"
CUDNN_PATH = "https://github.com/pytorch/pytorch/issues/119989"
NVJITLINK = "https://github.com/pytorch/pytorch/issues/111469"
MKL = "https://github.com/pytorch/pytorch/issues/123097"
FBGEMM = "https://github.com/pytorch/pytorch/issues/131662"
VISION = "https://github.com/pytorch/vision#installation"
AUDIO = "https://github.com/pytorch/audio/blob/main/docs/source/installation.rst"
MPS = "https://developer.apple.com/metal/pytorch/"
MANYLINUX = "https://github.com/pypa/manylinux"

PYTHONS: dict[tuple[int, int], tuple[tuple[int, int], tuple[int, int], tuple[int, int] | None]] = {
    (2, 14): ((3, 10), (3, 15), None),
    (2, 13): ((3, 10), (3, 15), None),
    (2, 12): ((3, 10), (3, 14), None),
    (2, 11): ((3, 10), (3, 14), None),
    (2, 10): ((3, 10), (3, 14), None),
    (2, 9): ((3, 10), (3, 14), None),
    (2, 8): ((3, 9), (3, 13), None),
    (2, 7): ((3, 9), (3, 13), None),
    (2, 6): ((3, 9), (3, 13), None),
    (2, 5): ((3, 9), (3, 12), (3, 13)),
    (2, 4): ((3, 8), (3, 12), None),
}
"""By minor version of torch: the first and the last Python, and one that is experimental (`RELEASES`)."""

LEAST_DRIVER = {13: 580, 12: 525, 11: 450}
"""By major version of CUDA: the least driver branch (`DRIVERS`)."""

VISION_OF: dict[tuple[int, int], tuple[int, int]] = {(2, 3): (0, 18), (2, 2): (0, 17), (2, 1): (0, 16), (2, 0): (0, 15), (1, 13): (0, 14)}
"""The torchvision of each torch that its README lists; later ones name their torch in their metadata (`VISION`)."""


@dataclass(frozen=True, slots=True)
class Builds:
    """The architectures of official builds for one CUDA (x86 Linux and Windows), for torch from one minor version to another."""

    since: tuple[int, int]
    until: tuple[int, int]
    cuda: str
    capabilities: tuple[tuple[int, int], ...]
    source: str


_NEW = ((7, 5), (8, 0), (8, 6), (9, 0), (10, 0), (12, 0))
_OLD = ((5, 0), (6, 0), (7, 0), (7, 5), (8, 0), (8, 6), (9, 0))
BUILDS = (
    Builds((2, 8), (2, 14), "12.6", _OLD, RELEASES),
    Builds((2, 8), (2, 8), "12.8", ((7, 0), *_NEW), OLD_GPUS),
    Builds((2, 11), (2, 11), "12.8", _NEW, VOLTA),
    Builds((2, 11), (2, 14), "13.0", _NEW, RELEASES),
    Builds((2, 12), (2, 14), "13.2", _NEW, RELEASES),
)
"""For builds that can't be asked themselves, because torch does not import."""

ONLY_THEMSELVES = {(5, 3), (6, 2), (7, 2), (8, 7), (10, 1)}
"""Capabilities of integrated GPUs: their code runs nowhere else, and code for their elder sisters not on them (torch/cuda/__init__.py)."""

PROVIDERS = {
    "libcudart": "nvidia-cuda-runtime",
    "libcublas": "nvidia-cublas",
    "libcublasLt": "nvidia-cublas",
    "libcudnn": "nvidia-cudnn",
    "libnccl": "nvidia-nccl",
    "libcusparse": "nvidia-cusparse",
    "libcusparseLt": "nvidia-cusparselt",
    "libcufft": "nvidia-cufft",
    "libcurand": "nvidia-curand",
    "libcusolver": "nvidia-cusolver",
    "libnvJitLink": "nvidia-nvjitlink",
    "libcupti": "nvidia-cuda-cupti",
    "libnvrtc": "nvidia-cuda-nvrtc",
    "libnvToolsExt": "nvidia-nvtx",
    "libcufile": "nvidia-cufile",
    "libnvshmem_host": "nvidia-nvshmem",
}
"""The package that brings a library of CUDA; its name ends in `-cu12` or `-cu13`, or in nothing."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two things that a release note says do not go together: this torch, and a package or a kind of machine."""

    torch: str
    what: str
    advice: str
    source: str
    package: str = ""
    """The name of the other package, without `-cu12`; `versions` are those concerned."""
    versions: str = ""
    capability: tuple[int, int] | None = None
    rocm_without_gpu: bool = False


PAIRS = (
    Pair(
        "==2.9.*",
        "3D convolutions in bfloat16 take several times the memory with this cuDNN",
        "install a cuDNN of 9.15 or newer beside it, or a newer torch",
        "https://github.com/pytorch/pytorch/issues/166643",
        package="nvidia-cudnn",
        versions=">=9.8,<9.15",
    ),
    Pair(
        "==2.12.0",
        "a convolution kernel of this Triton reads memory that is not its own on B100 and B200",
        "install torch 2.12.1 or newer, which brings Triton 3.7.1",
        "https://github.com/pytorch/pytorch/releases/tag/v2.12.1",
        package="triton",
        versions="<3.7.1",
        capability=(10, 0),
    ),
    Pair(
        "==2.13.0",
        "this build for ROCm can't compile for the CPU where there is no GPU: Can't detect vectorized ISA for CPU",
        "install a build for the CPU on machines without a GPU",
        "https://github.com/pytorch/pytorch/issues/189194",
        rocm_without_gpu=True,
    ),
)
