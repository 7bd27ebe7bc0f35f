"""Run as a program: imports torch and asks it about itself, a line of JSON for each stage. What came before a crash is then known.

The lines `{"stage": …}` say what begins. Nothing here is imported by torchwhy.
"""

from __future__ import annotations

import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator

if __name__ == "__main__" and sys.path and os.path.abspath(sys.path[0]) == os.path.dirname(os.path.abspath(__file__)):
    del sys.path[0]  # this folder, whose files are no modules of the program

_LIBRARIES = re.compile(r"/lib(?:cudart|cudnn|nccl|cublas|cublasLt|nvJitLink|cusparse|cusolver|cufft|nvrtc|cupti)[\w-]*\.so[.\d]*$")


def _tell(**facts: object) -> None:
    print(json.dumps(facts), flush=True)


def main() -> int:
    _tell(stage="importing torch")
    try:
        import torch
    except BaseException as error:
        _tell(error=f"{type(error).__name__}: {error}")
        return 0
    version = getattr(torch, "version", None)
    _tell(
        imported=True,
        version=str(getattr(torch, "__version__", "")),
        file=str(getattr(torch, "__file__", "") or ""),
        cuda=getattr(version, "cuda", None),
        hip=getattr(version, "hip", None),
        xpu=getattr(version, "xpu", None),
    )
    for stage, question in _QUESTIONS.items():
        _tell(stage=stage)
        try:
            for facts in question():
                _tell(**facts)
        except Exception as error:
            _tell(trouble=f"{stage}: {type(error).__name__}: {error}")
    return 0


def _cpu() -> Iterator[dict[str, object]]:
    import torch

    yield {"cpu_capability": torch.backends.cpu.get_cpu_capability()}
    yield {"trials": [_trial("cpu", "matmul")]}


def _numpy() -> Iterator[dict[str, object]]:
    import torch

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            import numpy

            right = torch.from_numpy(numpy.arange(3.0)).numpy().sum() == 3
            yield {"numpy_error": "" if right else "an array came back with other values"}
        except ModuleNotFoundError as error:
            if error.name != "numpy":
                raise
        except Exception as error:
            yield {"numpy_error": f"{type(error).__name__}: {error}"}
    yield {"warnings": [str(warning.message) for warning in caught]}


def _cuda() -> Iterator[dict[str, object]]:
    import torch

    flags = getattr(torch._C, "_cuda_getArchFlags", None)
    yield {"architectures": (flags() or "").split() if flags is not None else []}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield {"cuda_available": torch.cuda.is_available()}
        if torch.cuda.is_available():
            found = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
            yield {"gpus": [{"name": gpu.name, "capability": [gpu.major, gpu.minor], "total_bytes": gpu.total_memory} for gpu in found]}
    yield {"warnings": [str(warning.message) for warning in caught]}


def _libraries() -> Iterator[dict[str, object]]:
    import torch

    try:
        yield {"cudnn": torch.backends.cudnn.version()}
    except Exception as error:
        yield {"cudnn_error": f"{type(error).__name__}: {error}"}
    if torch.version.cuda and torch.distributed.is_available() and torch.distributed.is_nccl_available():
        yield {"nccl": list(torch.cuda.nccl.version())}


def _triton() -> Iterator[dict[str, object]]:
    try:
        import triton

        yield {"triton": str(triton.__version__)}
    except ModuleNotFoundError as error:
        if error.name != "triton":
            yield {"triton_error": str(error)}
    except Exception as error:
        yield {"triton_error": f"{type(error).__name__}: {error}"}


def _mps() -> Iterator[dict[str, object]]:
    import torch

    yield {"mps_built": torch.backends.mps.is_built(), "mps_available": torch.backends.mps.is_available()}
    if torch.backends.mps.is_available():
        yield {"trials": [_trial("mps", "matmul")]}


def _gpu_work() -> Iterator[dict[str, object]]:
    import torch

    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        for what in ("add", "matmul", "convolution"):
            trial = _trial(f"cuda:{index}", what)
            yield {"trials": [trial]}
            if trial["error"]:
                break


def _trial(device: str, what: str) -> dict[str, str]:
    import torch

    try:
        x = torch.ones(4, 4, device=device)
        if what == "convolution":
            got, wanted = torch.nn.functional.conv2d(x[None, None], x[None, None, :2, :2]).sum(), 36.0
        else:
            got, wanted = (x @ x).sum() if what == "matmul" else (x + x).sum(), 64.0 if what == "matmul" else 32.0
        value = got.item()
        return {"device": device, "what": what, "error": "" if value == wanted else f"gave {value} in place of {wanted}"}
    except Exception as error:
        return {"device": device, "what": what, "error": f"{type(error).__name__}: {error}"}


def _loaded() -> Iterator[dict[str, object]]:
    if not os.path.exists("/proc/self/maps"):
        return
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as stream:
        paths = {line.split(maxsplit=5)[-1].strip() for line in stream}
    yield {"loaded": sorted(path for path in paths if _LIBRARIES.search(path))}


_QUESTIONS: dict[str, Callable[[], Iterator[dict[str, object]]]] = {
    "multiplying on the CPU": _cpu,
    "exchanging an array with numpy": _numpy,
    "looking for CUDA": _cuda,
    "asking for cuDNN and NCCL": _libraries,
    "importing triton": _triton,
    "looking for MPS": _mps,
    "computing on the GPU": _gpu_work,
    "listing the loaded libraries": _loaded,
}


if __name__ == "__main__":
    sys.exit(main())
