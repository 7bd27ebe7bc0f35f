"""The NVIDIA driver, the GPU and the CUDA runtime of this PyTorch do not work together.

Typical text (TW0803):

{example}

Why: a CUDA build brings its own runtime, and that needs a driver at least as new. A container sees the host's driver only when it was started with it (`--gpus all`). A driver that was
updated without a restart no longer fits the module in the kernel. A GPU in exclusive mode, or one that another user holds, is busy.

Fix: look at `nvidia-smi` (the driver's CUDA version, top right) and `torch.version.cuda`; update the driver, or install the build for an older CUDA; restart after an update; give the container
the GPUs (`docker run --gpus all`, nvidia-container-toolkit); check `CUDA_VISIBLE_DEVICES`. `torchwhy env` compares all of these.

Messages: `The NVIDIA driver on your system is too old (found version 11040)`; `CUDA driver version is insufficient for CUDA runtime version`; `Found no NVIDIA driver on your system`;
`Unexpected error from cudaGetDeviceCount()`; `CUDA unknown error - this may be due to an incorrectly set up environment`; `forward compatibility was attempted on non supported HW`;
`all CUDA-capable devices are busy or unavailable`; `Driver/library version mismatch`.

Not to be confused with: `device.no-cuda` (a build for the CPU), `cuda.launch` (no kernels for this GPU).
"""

from __future__ import annotations

import re

from ...family import Family, LogExample, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix
from ...reason.printed import around, find, in_container
from ...reason.reading import reading
from ...reason.wording import code

_CONTAINER = "start the container with its GPUs: docker run --gpus all (needs the nvidia-container-toolkit on the host)"
_UPDATE = "update the NVIDIA driver, or install the PyTorch build for an older CUDA"


class Driver(Family):
    code = "TW0803"
    title = "driver, GPU and CUDA runtime do not work together"
    rank = 1
    triggers = (
        Trigger(r"driver on your system is too old|driver version is insufficient|(?P<old>found version \d+)|unsupported toolchain"),
        Trigger(r"Found no NVIDIA driver|No CUDA GPUs are available|no CUDA-capable device|(?P<none>cudaErrorNoDevice)"),
        Trigger(
            r"forward compatibility was attempted|(?P<mismatch>Driver/library version mismatch)|unsupported display driver / cuda driver combination|Error 80[34]"
        ),
        Trigger(r"(?P<busy>(?:all )?CUDA-capable device\(?s?\)? (?:are|is/are) busy|exclusive.process|device is busy)"),
        Trigger(
            r"cudaGetDeviceCount|CUDA unknown error|system not yet initialized|CUDA driver initialization failed|initialization error|Can't initialize NVML|Failed to initialize NVML"
        ),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        if not evidence.from_text and re.search(r"Found no NVIDIA driver|No CUDA GPUs", match[0]):
            return None  # on this very machine the device that was asked for is the matter
        run = reading(evidence)
        text = around(evidence)
        headline, notes, fix = self._judge(run.failure.message, text, evidence)
        return run.diagnosis(
            self,
            headline,
            run.raised,
            "the first call that needs the GPU",
            notes=notes,
            fixes=[Fix(fix, (), "display-only")],
            confidence=Confidence.LIKELY,
        )

    def _judge(self, message: str, text: str, evidence: Evidence) -> tuple[str, list[str], str]:
        build = evidence.environment.torch or ""
        container = in_container(evidence)
        number = find(r"found version (\d{4,5})", message, 1)
        if number:
            known = f"{int(number) // 1000}.{int(number) % 1000 // 10}"
            notes = [
                f"the driver knows CUDA {known} (version {number}); the build{' ' + code(build) if build else ''} of PyTorch needs a newer one"
            ]
            return f"the NVIDIA driver is too old: it knows CUDA {known} only", notes, _UPDATE
        if re.search(r"too old|insufficient|unsupported toolchain", message):
            return "the NVIDIA driver is older than this PyTorch's CUDA", [f"the build is {code(build)}"] if build else [], _UPDATE
        if re.search(r"forward compatibility|Error 804", message):
            return (
                "the container's CUDA compatibility library does not fit this GPU",
                [
                    "forward compatibility packages (`cuda-compat`) work on data-centre GPUs only; the library comes from the image and hides the driver's own `libcuda.so`"
                ],
                "use an image for the driver's CUDA version, or update the host's driver",
            )
        if re.search(r"mismatch|Error 803|combination", message):
            return (
                "the driver was updated and the kernel's module is still the old one",
                ["user-space library and kernel module have different versions; in a container, another `libcuda.so` than the host's"],
                "restart the machine (or reload the nvidia modules); in a container, remove the image's own driver libraries",
            )
        if re.search(r"busy|exclusive", message):
            return (
                "another process holds the GPU",
                ["the GPU is in exclusive-process mode, or its holder died and left it"],
                "end the other process (nvidia-smi), choose another GPU, or set the compute mode to default",
            )
        if re.search(r"fork|forked subprocess", message):
            return "CUDA can't be used in a forked process", [], 'start processes with the method "spawn"'
        if re.search(r"Error 802|not yet initialized", message):
            return (
                "the GPUs' fabric is not ready",
                ["on machines with NVSwitch the fabric manager must run: `systemctl status nvidia-fabricmanager`, in the driver's version"],
                "start nvidia-fabricmanager in the driver's version",
            )
        if re.search(r"no NVIDIA driver|No CUDA GPUs|no CUDA-capable|NoDevice", message):
            notes = ["PyTorch was built with CUDA, but no driver or GPU is visible to this process"]
            if container:
                notes.append(
                    "the program runs in a container: the host's driver and GPUs are visible in it only when it was started with them"
                )
            visible = find(r"CUDA_VISIBLE_DEVICES=(\S*)", text, 1)
            if visible:
                notes.append(f"`CUDA_VISIBLE_DEVICES` is {code(visible)}")
            if "Driver/library" in text:
                notes.append("the text also names a driver and library mismatch: restart after the driver's update")
            fix = (
                _CONTAINER
                if container
                else "install the driver, or check CUDA_VISIBLE_DEVICES and, in a container, docker run --gpus all (nvidia-container-toolkit)"
            )
            return f"no NVIDIA driver or GPU is visible{' in the container' if container else ''}", notes, fix
        notes = [
            "a driver that was updated without a restart, a container without the GPUs (`--gpus all`), a missing `nvidia-uvm` module after sleep, or an invalid `CUDA_VISIBLE_DEVICES` do this"
        ]
        return (
            "CUDA could not be initialised on this machine",
            notes,
            "see whether nvidia-smi works; restart, or reload nvidia_uvm; check CUDA_VISIBLE_DEVICES",
        )

    log_examples = (
        LogExample(
            """\
>>> torch.__version__
'2.5.1+cu124'
Traceback (most recent call last):
  File "run.py", line 8, in <module>
    model.cuda()
  File "/usr/lib/python3/dist-packages/torch/cuda/__init__.py", line 319, in _lazy_init
    torch._C._cuda_init()
RuntimeError: The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver by downloading and installing a new version.
""",
            says=("11.4", "11040", "2.5.1+cu124", "update"),
            cause="run.py:8",
        ),
        LogExample(
            """\
$ docker run --rm trainer:latest python serve.py
Traceback (most recent call last):
  File "serve.py", line 5, in <module>
    net = net.to("cuda")
RuntimeError: No CUDA GPUs are available
""",
            says=("container", "--gpus"),
            cause="serve.py:5",
        ),
    )
    log_near_misses = (
        LogExample(
            'Traceback (most recent call last):\n  File "a.py", line 2, in <module>\n    x.cuda()\nAssertionError: Torch not compiled with CUDA enabled\n',
            belongs_to="device.no-cuda",
        ),
    )
