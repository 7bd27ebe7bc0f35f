"""The GPU: driver against CUDA runtime, compute capability against the build's architectures, and small computations that were tried."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .known import BUILDS, DRIVERS, LEAST_DRIVER, MPS, ONLY_THEMSELVES, RELEASES
from .machine import Check, Gpu, Machine
from .versions import minor, release

_GIB = 2**30


def judge_gpu(machine: Machine) -> Iterator[Check]:
    if machine.system == "Darwin":
        yield from _mps(machine)
        return
    yield _driver(machine)
    if machine.cuda_build and machine.driver.gpus:
        yield from _runtime(machine)
    for number, gpu in enumerate(machine.gpus):
        yield _gpu(machine, number, gpu)
        yield from _in_use(number, gpu)
    yield from _asked(machine)
    yield from _trials(machine)
    yield from _libraries(machine)


def _driver(machine: Machine) -> Check:
    driver, build = machine.driver, machine.cuda_build
    name = f"NVIDIA driver {driver.version or driver.kernel}".strip()
    knows = f", knows CUDA {_dotted(driver.cuda)}" if driver.cuda else ""
    if driver.version and driver.kernel and driver.version != driver.kernel or "version mismatch" in driver.smi_error:
        loaded = f"the kernel runs {driver.kernel}" if driver.kernel else "the kernel runs another version"
        return Check("driver", f"the driver was updated and {loaded}: {driver.smi_error or driver.version}", "broken", "restart the machine, or reload the nvidia modules")  # fmt: skip
    if driver.gpus and machine.hides_gpus:
        return Check("driver", f"{name}{knows}; its GPUs are hidden from programs by a setting")
    if driver.gpus and not driver.library_error:
        return Check("driver", f"{name}{knows}")
    if "no answer" in driver.smi_error or driver.library_error == "timeout":
        return Check("driver", "the driver does not answer: nvidia-smi hangs", "broken", "look at `dmesg` for Xid lines; reset the GPU or restart the machine")  # fmt: skip
    if driver.gpus:
        return Check(
            "driver", f"{name} shows the GPU, but CUDA can't be started: {driver.library_error}", "broken", _advice(driver.library_error)
        )
    if driver.devices or driver.kernel or (driver.smi_error and driver.smi_error != "missing"):
        why = driver.smi_error if driver.smi_error not in ("", "missing") else driver.library_error
        return Check(
            "driver",
            f"the NVIDIA driver is there, and shows no GPU: {why}",
            "broken" if build else "warning",
            _advice(why + driver.library_error),
        )
    if build:
        advice = "start the container with --gpus all (nvidia-container-toolkit on the host)" if machine.container else "install the NVIDIA driver if there is such a GPU"  # fmt: skip
        return Check("driver", "no NVIDIA driver is visible: this CUDA build of torch computes on the CPU", "warning", advice)
    return Check("driver", "no NVIDIA driver, and this torch needs none")


def _advice(error: str) -> str:
    if "803" in error or "804" in error or "SYSTEM_DRIVER_MISMATCH" in error or "COMPAT_NOT_SUPPORTED" in error:
        return "remove the image's own libcuda (cuda-compat) from the loader's path, or restart after the driver's update"
    if "NO_DEVICE" in error:
        return "look at CUDA_VISIBLE_DEVICES, and at the container's --gpus"
    if "802" in error or "NOT_READY" in error:
        return "start nvidia-fabricmanager in the driver's version"
    if "cannot open shared object" in error:
        return "give the container the driver's libraries: --gpus all, NVIDIA_DRIVER_CAPABILITIES=compute,utility"
    return "reload nvidia_uvm (modprobe nvidia_uvm), or restart the machine"


def _runtime(machine: Machine) -> Iterator[Check]:
    """The CUDA that torch brings, against the one that the driver knows."""
    driver, build = machine.driver, minor(machine.cuda_build)
    if build is None:
        return
    least, branch = LEAST_DRIVER.get(build[0]), release(driver.version or driver.kernel)
    what = f"torch is built for CUDA {_dotted(build)}"
    if driver.cuda is not None and driver.cuda >= build:
        yield Check("CUDA", f"{what}, the driver knows {_dotted(driver.cuda)}")
    elif least is not None and branch and branch[0] < least or driver.cuda is not None and driver.cuda[0] < build[0]:
        have = f"driver {driver.version or driver.kernel}" if branch else "the driver"
        knows = f" knows CUDA {_dotted(driver.cuda)}" if driver.cuda else f" is older than {least}"
        older = f", or install a build for CUDA {driver.cuda[0]}.x" if driver.cuda and driver.cuda[0] >= 11 else ""
        yield Check("CUDA", f"{what}, {have}{knows}", "broken", f"update the driver to {least or 'a newer one'} or newer{older}", DRIVERS)
    elif driver.cuda is not None:
        text = f"{what}, the driver knows {_dotted(driver.cuda)}: it works by minor version compatibility, without compiling PTX"
        yield Check("CUDA", text, "ok", "", DRIVERS)
    else:
        yield Check("CUDA", f"{what}; which CUDA the driver knows could not be found out", "unknown")


def _gpu(machine: Machine, number: int, gpu: Gpu) -> Check:
    topic = f"GPU {number}"
    what = gpu.name + (f", {gpu.total_bytes / _GIB:.0f} GiB" if gpu.total_bytes else "")
    if gpu.capability is None:
        return Check(topic, f"{what}; its compute capability is not known", "unknown")
    what += f", compute capability {_dotted(gpu.capability)}"
    if not machine.cuda_build:
        if not machine.torch_version or machine.torch.hip or machine.torch.xpu:
            return Check(topic, what)
        return Check(topic, f"{what}; this torch is built without CUDA and can't use it", "warning", "install a CUDA build: https://pytorch.org/get-started/locally")  # fmt: skip
    if machine.torch.architectures:
        return _supported(machine, topic, what, gpu.capability)
    known = _official(machine)
    if known is None or machine.processor.lower() not in ("x86_64", "amd64", ""):
        return Check(topic, f"{what}; the architectures of this build are not known", "unknown")
    capabilities, source = known
    if any(_runs(code, gpu.capability) for code in capabilities):
        return Check(topic, f"{what}; official builds of this torch have code for it", "ok", "", source)
    return Check(
        topic, f"{what}; official builds of this torch have no code for it", "broken", _other(gpu.capability, capabilities), source
    )


def _in_use(number: int, gpu: Gpu) -> Iterator[Check]:
    if gpu.total_bytes and gpu.used_bytes is not None and gpu.used_bytes > gpu.total_bytes / 2:
        what = f"{gpu.used_bytes / _GIB:.1f} of {gpu.total_bytes / _GIB:.1f} GiB are in use by running processes"
        yield Check(f"GPU {number} memory", what, "warning", "see which with nvidia-smi; end those that are no longer wanted")


def _supported(machine: Machine, topic: str, what: str, have: tuple[int, int]) -> Check:
    codes = machine.torch.architectures
    name = "".join(map(str, have))
    if machine.torch.hip or f"sm_{name}" in codes:
        return Check(topic, f"{what}; torch has code for it" + (f" (sm_{name})" if not machine.torch.hip else ""))
    binary = [c for c in map(_code, codes) if c is not None and c[0] == "sm"]
    if any(_runs(number, have) for _, number, exact in binary if not exact):
        return Check(topic, f"{what}; torch has code that runs on it ({', '.join(codes)})")
    if any(kind == "compute" and number <= have and not exact for kind, number, exact in filter(None, map(_code, codes))):
        return Check(topic, f"{what}; torch has PTX for it, which the driver compiles at the first use", "warning", "expect the first call of each kernel to take long; a newer torch has code for it")  # fmt: skip
    numbers = tuple(number for _, number, _ in binary)
    return Check(topic, f"{what}; this torch has no code for it ({', '.join(codes)})", "broken", _other(have, numbers), RELEASES)


def _code(text: str) -> tuple[str, tuple[int, int], bool] | None:
    """`sm_90a`: the kind, the capability, and whether it runs on exactly that."""
    match = re.fullmatch(r"(sm|compute)_(\d+)(\d)([af]?)", text)
    return (match[1], (int(match[2]), int(match[3])), match[4] == "a") if match else None


def _runs(code: tuple[int, int], have: tuple[int, int]) -> bool:
    """Code for a capability runs on the later ones of the same generation; integrated GPUs stand apart."""
    if {code, have} & ONLY_THEMSELVES:
        return code == have
    return code[0] == have[0] and code[1] <= have[1]


def _official(machine: Machine) -> tuple[tuple[tuple[int, int], ...], str] | None:
    torch, cuda = minor(machine.torch_version), ".".join(machine.cuda_build.split(".")[:2])
    found = next((b for b in BUILDS if torch is not None and b.since <= torch <= b.until and b.cuda == cuda), None)
    return (found.capabilities, found.source) if found is not None else None


def _other(have: tuple[int, int], codes: tuple[tuple[int, int], ...]) -> str:
    if codes and have < min(codes):
        return "install the build for CUDA 12.6 (cu126), which keeps old GPUs from 5.0 up"
    return "install a newer torch, built for a newer CUDA"


def _asked(machine: Machine) -> Iterator[Check]:
    """What torch itself says of CUDA."""
    torch = machine.torch
    if torch.hip and torch.cuda_available is False and not machine.hides_gpus:
        advice = "look at rocminfo, and whether this user may open /dev/kfd (groups render and video)"
        yield Check("torch.cuda", f"this build for ROCm {torch.hip} sees no GPU", "warning", advice)
    elif torch.imported and torch.cuda and torch.cuda_available is False and machine.driver.gpus and not machine.hides_gpus:
        why = next((w for w in torch.warnings if "CUDA" in w or "driver" in w), "")
        yield Check("torch.cuda", f"torch sees no GPU though the driver does{': ' + why if why else ''}", "broken", "look at the lines above, and at CUDA_VISIBLE_DEVICES")  # fmt: skip
    elif torch.cuda_available:
        yield Check(
            "torch.cuda", f"available, {len(torch.gpus)} GPU{'s' if len(torch.gpus) != 1 else ''}{' through ROCm' if torch.hip else ''}"
        )


def _trials(machine: Machine) -> Iterator[Check]:
    devices = dict.fromkeys(trial.device for trial in machine.torch.trials)
    for device in devices:
        trials = [trial for trial in machine.torch.trials if trial.device == device]
        failed = next((trial for trial in trials if trial.error), None)
        if failed is None:
            yield Check(device, f"computes: {', '.join(trial.what for trial in trials)}")
        else:
            yield Check(
                device, f"a small {failed.what} fails: {' '.join(failed.error.split())[:300]}", "broken", _after(failed.error, machine)
            )


def _after(error: str, machine: Machine) -> str:
    if "no kernel image" in error:
        return "install a build with code for this GPU"
    if "out of memory" in error:
        return "end what fills the GPU: nvidia-smi lists the processes"
    if "busy" in error or any(gpu.exclusive for gpu in machine.gpus):
        return "end the process that holds the GPU, or set the compute mode to default: nvidia-smi -c 0"
    return "save the error and run `torchwhy explain -` on it"


def _libraries(machine: Machine) -> Iterator[Check]:
    torch = machine.torch
    if torch.cudnn_error:
        yield Check("cuDNN", " ".join(torch.cudnn_error.split())[:300], "broken", "take other folders with libcudnn out of LD_LIBRARY_PATH")
    elif torch.cudnn:
        yield Check("cuDNN", f"cuDNN {_cudnn(torch.cudnn)}")
    elif torch.imported and torch.cuda:
        yield Check(
            "cuDNN", "torch finds no cuDNN: convolutions on the GPU fail or are slow", "broken", "install torch again with its dependencies"
        )
    if torch.nccl:
        yield Check("NCCL", f"NCCL {_dotted(torch.nccl)}")


def _cudnn(number: int) -> str:
    """91002 is 9.10.2, 8907 was 8.9.7."""
    size = 10_000 if number >= 90_000 else 1000
    return f"{number // size}.{number % size // 100}.{number % 100}"


def _mps(machine: Machine) -> Iterator[Check]:
    torch, have = machine.torch, release(machine.release)
    if not torch.imported:
        return
    if torch.mps_available:
        yield Check("MPS", f"available on macOS {machine.release}")
        yield from _trials(machine)
    elif machine.processor != "arm64":
        yield Check(
            "MPS", f"not available: this Python runs as {machine.processor}", "warning", "use a Python for arm64 (Apple silicon)", MPS
        )
    elif torch.mps_built is False:
        yield Check("MPS", "this torch is built without MPS", "warning", "install the official build for arm64")
    elif have and have < (14,):
        yield Check("MPS", f"not available on macOS {machine.release}: it needs 14.0", "warning", "update macOS", MPS)
    else:
        yield Check(
            "MPS", "not available", "warning", "look whether the process may use the GPU: virtual machines and remote logins may not", MPS
        )


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))
