"""Machines made by hand, most of them broken in one way, and what is said of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from torchwhy.environment.judge import judge, worst
from torchwhy.environment.machine import Check, Driver, Gpu, Library, Limits, Machine, Package, Torch, Trial
from torchwhy.render.environment import check_lines
from torchwhy.render.text import plain

GIB = 2**30
H100 = Gpu("NVIDIA H100 80GB HBM3", (9, 0), 80 * GIB, GIB)
OLD = Gpu("NVIDIA GeForce GTX 1080", (6, 1), 8 * GIB)
SITE = "/env/lib/python3.12/site-packages"
CODES = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120")
TORCH = Package(
    "torch",
    "2.10.0+cu128",
    SITE,
    ('nvidia-cudnn-cu12==9.10.2.21; platform_system == "Linux"', 'triton==3.5.0; platform_system == "Linux"', "filelock"),
    ">=3.10",
    ("cp312-cp312-manylinux_2_28_x86_64",),
    "12.8",
)
PACKAGES = (
    TORCH,
    Package("nvidia-cudnn-cu12", "9.10.2.21", SITE),
    Package("triton", "3.5.0", SITE),
    Package("numpy", "2.3.1", SITE),
    Package("torchvision", "0.24.0+cu128", SITE, ("torch==2.10.0",)),
)
TRIALS = tuple(
    Trial(device, what) for device, what in (("cpu", "matmul"), ("cuda:0", "add"), ("cuda:0", "matmul"), ("cuda:0", "convolution"))
)
GOOD = Machine(
    system="Linux",
    processor="x86_64",
    release="6.8.0",
    libc="glibc 2.39",
    python="3.12.4",
    executable="/env/bin/python",
    packages=PACKAGES,
    driver=Driver("580.65.06", "580.65.06", (13, 0), (H100,), True),
    torch=Torch(
        imported=True,
        version="2.10.0+cu128",
        file=f"{SITE}/torch/__init__.py",
        cuda="12.8",
        architectures=CODES,
        cudnn=91002,
        nccl=(2, 27, 5),
        cuda_available=True,
        gpus=(H100,),
        numpy_error="",
        triton="3.5.0",
        mps_built=False,
        trials=TRIALS,
    ),
    wheel_libraries=(Library("libcudnn.so.9", f"{SITE}/nvidia/cudnn/lib/libcudnn.so.9", "9.10.2"),),
    shm_bytes=64 * GIB,
    shm_free=60 * GIB,
    memory_bytes=512 * GIB,
    limits=Limits(1048576, None, 8 * 2**20, None, 100_000),
)
NO_DRIVER = Driver(smi_error="missing", library_error="libcuda.so.1: cannot open shared object file: No such file or directory")


def packages(**changed: Package | None) -> tuple[Package, ...]:
    """The good machine's packages, some of them others or gone."""
    table: dict[str, Package | None] = {p.name: p for p in PACKAGES}
    table.update({name.replace("_", "-"): package for name, package in changed.items()})
    return tuple(p for p in table.values() if p is not None)


def not_importing(error: str = "", ended: str = "", stage: str = "importing torch", **changed: object) -> Machine:
    return replace(GOOD, torch=Torch(error=error, ended=ended, stage=stage), **changed)  # type: ignore[arg-type]


def of(machine: Machine, topic: str) -> Check:
    found = [check for check in judge(machine) if check.topic == topic]
    assert found, [check.topic for check in judge(machine)]
    return min(found, key=lambda check: ("broken", "warning", "unknown", "ok").index(check.verdict))


def test_a_good_machine_is_good() -> None:
    checks = judge(GOOD)
    assert {check.verdict for check in checks} == {"ok"}, [check for check in checks if check.verdict != "ok"]
    assert worst(checks) == "ok"
    assert not [check for check in checks if check.advice]


BROKEN = [
    ("python of 32 bits", replace(GOOD, bits=32), "python", "broken", "32-bit"),
    ("python too old for the wheel", replace(GOOD, python="3.9.2"), "python", "broken", "asks for Python >=3.10"),
    ("wheel of another python", not_importing("ImportError: x", python="3.13.1"), "wheel", "broken", "cp312"),
    ("wheel of another processor", replace(GOOD, processor="aarch64"), "wheel", "broken", "x86_64, this processor is aarch64"),
    ("glibc too old", replace(GOOD, libc="glibc 2.17"), "libc", "broken", "needs glibc 2.28; this is glibc 2.17"),
    ("musl", replace(GOOD, libc=""), "libc", "broken", "needs glibc 2.28"),
    ("no torch", not_importing("ModuleNotFoundError: No module named 'torch'", packages=packages(torch=None)), "torch", "broken", "not installed for /env/bin/python"),
    ("torch's files gone", not_importing("ModuleNotFoundError: No module named 'torch'"), "torch", "broken", "its files are not"),
    ("a source checkout", not_importing("ModuleNotFoundError: No module named 'torch._C'"), "torch", "broken", "source checkout"),
    ("a dependency missing", not_importing("ModuleNotFoundError: No module named 'sympy'"), "torch", "broken", "needs `sympy`"),
    ("libcudart missing", not_importing("ImportError: libcudart.so.12: cannot open shared object file: No such file or directory"), "torch", "broken", "nvidia-cuda-runtime brings it"),
    ("libcudnn missing", not_importing("OSError: libcudnn.so.9: cannot open shared object file"), "torch", "broken", "nvidia-cudnn-cu12 brings it and is 9.10.2.21 here"),
    ("libcuda missing", not_importing("ImportError: libcuda.so.1: cannot open shared object file"), "torch", "broken", "belongs to the NVIDIA driver"),
    ("libgomp missing", not_importing("OSError: libgomp.so.1: cannot open shared object file"), "torch", "broken", "`libgomp.so.1` is missing"),
    ("glibc at import", not_importing("ImportError: /lib64/libm.so.6: version `GLIBC_2.29' not found (required by libtorch_cpu.so)"), "torch", "broken", "needs GLIBC 2.29"),
    ("libstdc++", not_importing("ImportError: /lib/libstdc++.so.6: version `GLIBCXX_3.4.30' not found"), "torch", "broken", "GLIBCXX_3.4.30"),
    ("nvjitlink", not_importing("ImportError: libcusparse.so.12: undefined symbol: __nvJitLinkComplete_12_4, version libnvJitLink.so.12"), "torch", "broken", "libnvJitLink"),
    ("mkl", not_importing("ImportError: libtorch_cpu.so: undefined symbol: iJIT_NotifyEvent"), "torch", "broken", "MKL 2024.1"),
    ("nccl", not_importing("ImportError: libtorch_cuda.so: undefined symbol: ncclCommWindowRegister"), "torch", "broken", "older NCCL"),
    ("mixed builds", not_importing("ImportError: a.so: undefined symbol: _ZN3c106detail14torchCheckFailE"), "torch", "broken", "two builds of PyTorch"),
    ("static tls", not_importing("ImportError: libgomp-804f19d4.so.1.0.0: cannot allocate memory in static TLS block"), "torch", "broken", "thread-local"),
    ("windows dll", not_importing('OSError: [WinError 126] The specified module could not be found. Error loading "C:\\torch\\lib\\fbgemm.dll" or one of its dependencies.', system="Windows"), "torch", "broken", "fbgemm.dll"),
    ("rosetta", not_importing("ImportError: dlopen(x.dylib): mach-o file, but is an incompatible architecture (have 'arm64', need 'x86_64')", system="Darwin"), "torch", "broken", "installed for arm64"),
    ("something new", not_importing("RuntimeError: never seen before"), "torch", "broken", "never seen before"),
    ("no avx", not_importing(ended="SIGILL"), "torch", "broken", "instruction"),
    ("a crash", not_importing(ended="SIGSEGV"), "torch", "broken", "SIGSEGV"),
    ("out of memory", not_importing(ended="SIGKILL"), "torch", "broken", "killed"),
    ("a hang", not_importing(ended="timeout"), "torch", "broken", "no answer came while importing torch"),
    ("a crash on the gpu", replace(GOOD, torch=replace(GOOD.torch, ended="SIGSEGV", stage="computing on the GPU")), "torch", "broken", "while computing on the GPU"),
    ("torch twice", replace(GOOD, packages=(*PACKAGES, replace(TORCH, version="2.4.0", location="/home/a/.local"))), "torch", "warning", "installed 2 times"),
    ("a file torch.py", replace(GOOD, shadows=("torch.py",)), "working directory", "broken", "torch.py"),
    ("a file queue.py", replace(GOOD, shadows=("queue.py",)), "working directory", "warning", "queue.py"),
    ("torch from elsewhere", replace(GOOD, torch=replace(GOOD.torch, file="/home/a/torch/__init__.py")), "torch", "broken", "/home/a/torch"),
    ("numpy 2 with an old torch", replace(GOOD, packages=packages(torch=replace(TORCH, version="2.2.2")), torch=Torch(imported=True, version="2.2.2", numpy_error="RuntimeError: Numpy is not available")), "numpy", "broken", "built for numpy 1"),
    ("numpy 2 with 2.4.0 on Windows", replace(GOOD, system="Windows", torch=replace(GOOD.torch, version="2.4.0", numpy_error="x")), "numpy", "broken", "2.4.0"),
    ("no numpy", replace(GOOD, packages=packages(numpy=None), torch=replace(GOOD.torch, numpy_error=None)), "numpy", "warning", "not installed"),
    ("another cudnn", replace(GOOD, packages=packages(nvidia_cudnn_cu12=Package("nvidia-cudnn-cu12", "9.1.0.70", SITE))), "nvidia-cudnn-cu12", "warning", "9.1.0.70 is installed"),
    ("no cudnn", replace(GOOD, packages=packages(nvidia_cudnn_cu12=None)), "nvidia-cudnn-cu12", "warning", "not installed"),
    ("no cudnn, and no import", not_importing("ImportError: libcudnn.so.9: cannot open shared object file", packages=packages(nvidia_cudnn_cu12=None)), "nvidia-cudnn-cu12", "broken", "not installed"),
    ("a cudnn with a part of another", replace(GOOD, packages=packages(nvidia_cudnn_cu13=Package("nvidia-cudnn-cu13", "9.20.0.48", SITE)), system_libraries=(Library("libcudnn_engines_tensor_ir.so.9", "/usr/lib/libcudnn_engines_tensor_ir.so.9", "9.23.0"),), torch=replace(GOOD.torch, trials=())), "cuDNN", "broken", "of another cuDNN"),
    ("a cudnn known for its memory", replace(GOOD, torch=replace(GOOD.torch, version="2.9.1+cu128")), "known", "warning", "bfloat16"),
    ("a triton known on new GPUs", replace(GOOD, torch=replace(GOOD.torch, version="2.12.0+cu130"), driver=replace(GOOD.driver, gpus=(Gpu("NVIDIA B200", (10, 0)),))), "known", "warning", "B200"),
    ("rocm for the CPU", replace(GOOD, torch=replace(GOOD.torch, version="2.13.0+rocm7.2", cuda=None, hip="7.2", cuda_available=False, gpus=(), trials=())), "known", "warning", "no GPU"),
    ("rocm without its GPU", replace(GOOD, torch=replace(GOOD.torch, cuda=None, hip="6.4", cuda_available=False, gpus=(), trials=())), "torch.cuda", "warning", "ROCm 6.4"),
    ("another triton", replace(GOOD, packages=packages(triton=Package("triton", "3.1.0", SITE))), "triton", "broken", "==3.5.0"),
    ("a broken triton", replace(GOOD, torch=replace(GOOD.torch, triton=None, triton_error="ImportError: libtriton.so")), "triton", "broken", "libtriton.so"),
    ("torchvision of another torch", replace(GOOD, packages=packages(torchvision=Package("torchvision", "0.19.0", SITE, ("torch==2.4.0",)))), "torchvision", "broken", "asks for torch ==2.4.0"),
    ("torchvision of another build", replace(GOOD, packages=packages(torchvision=Package("torchvision", "0.24.0+cpu", SITE, ("torch==2.10.0",)))), "torchvision", "warning", "built for cpu"),
    ("torchvision by the table", replace(GOOD, packages=packages(torch=replace(TORCH, version="2.2.0"), torchvision=Package("torchvision", "0.15.2", SITE))), "torchvision", "broken", "0.17"),
    ("no driver", replace(GOOD, driver=NO_DRIVER, torch=replace(GOOD.torch, cuda_available=False, gpus=(), trials=())), "driver", "warning", "no NVIDIA driver"),
    ("no driver in a container", replace(GOOD, container=True, driver=NO_DRIVER, torch=replace(GOOD.torch, cuda_available=False, gpus=(), trials=())), "driver", "warning", "no NVIDIA driver"),
    ("driver and kernel differ", replace(GOOD, driver=Driver(kernel="535.54.03", smi_error="Failed to initialize NVML: Driver/library version mismatch", devices=True)), "driver", "broken", "535.54.03"),
    ("driver without its kernel", replace(GOOD, driver=Driver(smi_error="NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.")), "driver", "broken", "couldn't communicate"),
    ("nvidia-smi hangs", replace(GOOD, driver=Driver(smi_error="no answer in 20 s", devices=True, library_error="timeout")), "driver", "broken", "does not answer"),
    ("cuda can't start", replace(GOOD, driver=replace(GOOD.driver, library_error="CUDA_ERROR_UNKNOWN (999)")), "driver", "broken", "CUDA_ERROR_UNKNOWN"),
    ("driver too old", replace(GOOD, driver=Driver("470.57.02", "470.57.02", (11, 4), (H100,), True)), "CUDA", "broken", "knows CUDA 11.4"),
    ("driver too old for CUDA 13", replace(GOOD, torch=replace(GOOD.torch, cuda="13.0"), driver=Driver("570.86", "570.86", (12, 8), (H100,), True)), "CUDA", "broken", "CUDA 13.0"),
    ("driver that only has a number", replace(GOOD, torch=replace(GOOD.torch, cuda="13.0"), driver=Driver("570.86", "", None, (H100,), True)), "CUDA", "broken", "older than 580"),
    ("an old GPU", replace(GOOD, driver=replace(GOOD.driver, gpus=(OLD,))), "GPU 0", "broken", "compute capability 6.1; this torch has no code"),
    ("an old GPU, torch does not import", replace(not_importing("ImportError: x", packages=packages(torch=replace(TORCH, version="2.11.0+cu128"))), driver=replace(GOOD.driver, gpus=(OLD,))), "GPU 0", "broken", "official builds"),
    ("a new GPU with PTX", replace(GOOD, driver=replace(GOOD.driver, gpus=(Gpu("new", (13, 0)),))), "GPU 0", "warning", "PTX"),
    ("a new GPU without PTX", replace(GOOD, torch=replace(GOOD.torch, architectures=CODES[:4]), driver=replace(GOOD.driver, gpus=(Gpu("new", (12, 0)),))), "GPU 0", "broken", "no code"),
    ("an Orin", replace(GOOD, driver=replace(GOOD.driver, gpus=(Gpu("Orin", (8, 7)),)), torch=replace(GOOD.torch, architectures=CODES[:6])), "GPU 0", "broken", "8.7"),
    ("a GPU for a CPU build", replace(GOOD, packages=packages(torch=replace(TORCH, cuda="")), torch=replace(GOOD.torch, cuda=None, architectures=(), cudnn=None, nccl=None, cuda_available=False, trials=())), "GPU 0", "warning", "without CUDA"),
    ("torch sees no GPU", replace(GOOD, torch=replace(GOOD.torch, cuda_available=False, gpus=(), trials=(), warnings=("CUDA initialization: CUDA unknown error",))), "torch.cuda", "broken", "CUDA unknown error"),
    ("a GPU that does not compute", replace(GOOD, torch=replace(GOOD.torch, trials=(Trial("cuda:0", "matmul", "AcceleratorError: CUDA error: no kernel image"),))), "cuda:0", "broken", "no kernel image"),
    ("cudnn that does not fit", replace(GOOD, torch=replace(GOOD.torch, cudnn=None, cudnn_error="RuntimeError: cuDNN version incompatibility")), "cuDNN", "broken", "incompatibility"),
    ("cudnn in parts", replace(GOOD, torch=replace(GOOD.torch, loaded=(Library("libcudnn.so.9", f"{SITE}/nvidia/cudnn/lib/libcudnn.so.9"), Library("libcudnn_engines_tensor_ir.so.9", "/usr/lib/libcudnn_engines_tensor_ir.so.9")))), "cuDNN", "broken", "2 folders"),
    ("an older cudnn in the way", replace(GOOD, variables=(("LD_LIBRARY_PATH", "/cuda/lib64"),), library_path=(Library("libcudnn.so.9", "/cuda/lib64/libcudnn.so.9", "9.1.0"),)), "LD_LIBRARY_PATH", "broken", "(9.1.0) can be loaded in place of torch's own (9.10.2)"),
    ("a newer cudnn in the way", replace(GOOD, variables=(("LD_LIBRARY_PATH", "/cuda/lib64"),), library_path=(Library("libcudnn.so.9", "/cuda/lib64/libcudnn.so.9", "9.24.0"),)), "LD_LIBRARY_PATH", "warning", "in place of"),
    ("a full GPU", replace(GOOD, driver=replace(GOOD.driver, gpus=(replace(H100, used_bytes=70 * GIB),))), "GPU 0 memory", "warning", "70.0 of 80.0 GiB"),
    ("GPUs hidden", replace(GOOD, variables=(("CUDA_VISIBLE_DEVICES", ""),)), "CUDA_VISIBLE_DEVICES", "warning", "hides every GPU"),
    ("blocking", replace(GOOD, variables=(("CUDA_LAUNCH_BLOCKING", "1"),)), "CUDA_LAUNCH_BLOCKING", "warning", "slow"),
    ("little shm", replace(GOOD, container=True, shm_bytes=64 * 2**20), "/dev/shm", "warning", "64 MiB"),
    ("full shm", replace(GOOD, shm_free=2**20), "/dev/shm", "warning", "nearly full"),
    ("little memory", replace(GOOD, memory_limit=2 * GIB), "memory", "warning", "2.0 GiB of the machine's 512.0 GiB"),
    ("few files", replace(GOOD, limits=replace(GOOD.limits, open_files=256)), "open files", "warning", "256"),
    ("little stack", replace(GOOD, limits=replace(GOOD.limits, stack=2**20)), "stack", "warning", "1 MiB"),
    ("little address space", replace(GOOD, limits=replace(GOOD.limits, address_space=8 * GIB)), "address space", "warning", "8.0 GiB"),
    ("few processes", replace(GOOD, limits=replace(GOOD.limits, processes=100)), "processes", "warning", "100"),
    ("little locked memory", replace(GOOD, limits=replace(GOOD.limits, locked_memory=65536)), "locked memory", "warning", "InfiniBand"),
]  # fmt: skip


@pytest.mark.parametrize(("machine", "topic", "verdict", "word"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_broken_machine_is_told(machine: Machine, topic: str, verdict: str, word: str) -> None:
    check = of(machine, topic)
    assert check.verdict == verdict and word in check.what, check
    assert check.advice, check


FINE = [
    ("minor version compatibility", replace(GOOD, driver=Driver("535.54", "535.54", (12, 2), (H100,), True)), "CUDA", "minor version"),
    ("a later GPU of the same generation", replace(GOOD, driver=replace(GOOD.driver, gpus=(Gpu("L4", (8, 9)),))), "GPU 0", "code that runs on it"),
    ("no GPU, a CPU build", replace(GOOD, packages=packages(torch=replace(TORCH, cuda="")), driver=NO_DRIVER, torch=Torch(imported=True, version="2.10.0+cpu", file=f"{SITE}/torch/__init__.py", numpy_error="")), "driver", "needs none"),
    ("GPUs hidden on purpose", replace(GOOD, variables=(("CUDA_VISIBLE_DEVICES", ""),), driver=replace(GOOD.driver, library_error="CUDA_ERROR_NO_DEVICE (100)"), torch=replace(GOOD.torch, cuda_available=False, gpus=(), trials=())), "driver", "hidden"),
    ("libraries under other names", replace(GOOD, variables=(("LD_LIBRARY_PATH", "/cuda"),), library_path=(Library("libcudnn.so.8", "/cuda/libcudnn.so.8", "8.9"),)), "LD_LIBRARY_PATH", "nothing in it hides"),
    ("an old GPU in the old build", replace(not_importing("ImportError: x", packages=packages(torch=replace(TORCH, cuda="12.6"))), driver=replace(GOOD.driver, gpus=(OLD,))), "GPU 0", "have code for it"),
]  # fmt: skip


@pytest.mark.parametrize(("machine", "topic", "word"), [row[1:] for row in FINE], ids=[row[0] for row in FINE])
def test_what_works_is_not_called_broken(machine: Machine, topic: str, word: str) -> None:
    check = of(machine, topic)
    assert check.verdict == "ok" and word in check.what, check


MAC = Machine(system="Darwin", processor="arm64", release="15.1", python="3.12.4", torch=Torch(imported=True, version="2.10.0", mps_built=True, mps_available=True))  # fmt: skip


def test_a_mac() -> None:
    assert of(MAC, "MPS").verdict == "ok"
    assert "needs 14.0" in of(replace(MAC, release="12.6", torch=replace(MAC.torch, mps_available=False)), "MPS").what
    assert "x86_64" in of(replace(MAC, processor="x86_64", torch=replace(MAC.torch, mps_available=False)), "MPS").what
    assert "without MPS" in of(replace(MAC, torch=replace(MAC.torch, mps_available=False, mps_built=False)), "MPS").what
    assert not [check for check in judge(MAC) if check.topic == "driver"]


def test_a_container_is_told_how_to_get_its_gpus() -> None:
    machine = next(machine for name, machine, *_ in BROKEN if name == "no driver in a container")
    assert "--gpus all" in of(machine, "driver").advice


def test_the_example_of_the_readme_is_real() -> None:
    machine = Machine(
        system="Linux",
        python="3.12.4",
        container=True,
        packages=(Package("torch", "2.10.0+cu130", SITE, cuda="13.0"),),
        driver=Driver("570.86.15", "570.86.15", (12, 8), (H100,), True),
        torch=Torch(imported=True, version="2.10.0+cu130", file=f"{SITE}/torch/__init__.py", cuda="13.0"),
        shm_bytes=64 * 2**20,
        shm_free=64 * 2**20,
    )
    shown = [check for check in judge(machine) if check.topic in ("python", "torch", "driver", "CUDA", "/dev/shm")]
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    for line in plain(check_lines(shown, 140)).splitlines()[:-2]:
        assert line in readme, line


def test_a_known_pair_is_told_of_nobody_else() -> None:
    for machine in (
        GOOD,
        replace(GOOD, torch=replace(GOOD.torch, version="2.12.0")),
        replace(GOOD, torch=replace(GOOD.torch, version="2.13.0+cpu", cuda=None)),
        replace(
            GOOD,
            torch=replace(GOOD.torch, version="2.9.1"),
            packages=packages(nvidia_cudnn_cu12=Package("nvidia-cudnn-cu12", "9.16.0.29", SITE)),
        ),
    ):
        assert not [check for check in judge(machine) if check.topic == "known"]


def test_known_facts_name_their_source() -> None:
    sourced = {name: of(machine, topic).source for name, machine, topic, *_ in BROKEN}
    for name in (
        "driver too old",
        "glibc too old",
        "nvjitlink",
        "mkl",
        "numpy 2 with an old torch",
        "cudnn in parts",
        "an old GPU",
        "rocm for the CPU",
    ):
        assert sourced[name].startswith("https://"), name


def test_nothing_known_is_judged_too() -> None:
    assert worst(judge(Machine())) == "ok"
    assert "unknown" in {check.verdict for check in judge(Machine())}
