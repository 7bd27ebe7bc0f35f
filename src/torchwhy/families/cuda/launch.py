"""A GPU kernel could not be started, or died: no code for this GPU, a wrong address, a wrong size.

Typical text (TW0802):

{example}

Why: a build of PyTorch holds compiled kernels for certain GPUs only (`torch.cuda.get_arch_list()`); an older or a newer GPU than those finds none: *no kernel image*. *Illegal memory access* and
*misaligned address* mean that a kernel, often of an extension, read where nothing is; it is reported late, at any later call. *Invalid configuration argument* means a grid of zero or too many
blocks: an empty tensor, or one with more than 2^31 elements.

Fix: for a missing kernel image install the build for the GPU (old cards: an older CUDA such as `cu118` or `cu126`; new ones: the newest), or build from source with `TORCH_CUDA_ARCH_LIST`; `torchwhy env` compares the two.
For a dead kernel find the true line with `CUDA_LAUNCH_BLOCKING=1` or `compute-sanitizer`, then look at sizes, indices and the versions of extensions.

Messages: `CUDA error: no kernel image is available for execution on the device`; `CUDA error: an illegal memory access was encountered`; `CUDA error: misaligned address`;
`CUDA error: invalid configuration argument`; `CUDA error: too many resources requested for launch`; `CUDA error: unspecified launch failure`; `HIP error: invalid device function`.

Not to be confused with: `cuda.assert` (a kernel's own check), `cuda.driver` (the driver is too old), `memory.cuda`.
"""

from __future__ import annotations

import re

from ...family import Family, LogExample, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix
from ...reason.printed import around, find
from ...reason.reading import reading
from ...reason.wording import code, first_fitting

_KINDS = {
    "no kernel image": ("this build of PyTorch has no kernels for the GPU", ""),
    "invalid device function": ("this build of PyTorch has no kernels for the GPU", ""),
    "illegal memory access": ("a kernel read or wrote where no memory is", "an index out of range in an extension, memory that was freed, a tensor with more than 2^31 elements, or a faulty card"),
    "misaligned address": ("a kernel read an address that is not aligned", "a kernel that loads several values at once met a view that starts in between: `.contiguous()` or another offset, or an extension's fault"),
    "invalid configuration argument": ("a kernel was started with a size of zero or too many blocks", "an empty batch or mask, or one dimension larger than the GPU's grid (65535 blocks) takes"),
    "too many resources": ("a kernel wants more registers or threads than the GPU has", "a custom kernel's block size is too large for this GPU"),
    "invalid argument": ("a CUDA call got an argument that it does not take", "mostly memory of another device or a wrong size given to an extension"),
    "unspecified launch failure": ("a kernel died", "an access out of range in a kernel, often of an extension, or a faulty card"),
    "launch timed out": ("the system ended a kernel that ran too long", "a GPU that also drives a display is limited to a few seconds a kernel"),
    "illegal instruction": ("a kernel met code that this GPU can't run", "a binary for another GPU, or a faulty card"),
    "ECC": ("the GPU's memory has an error that can't be corrected", "the card needs a reset, or is broken: `nvidia-smi -q -d ECC`"),
    "capture": ("an op that may not run inside a CUDA graph was captured", "it allocates, synchronizes or reads a value on the CPU"),
    "unknown error": ("the GPU stopped for a reason that CUDA does not name", "a sleep of the machine, a driver fault, or a card that fell off the bus: `dmesg`, `nvidia-smi`"),
    "unsupported toolchain": ("PTX code was made by a newer CUDA than the driver knows", "a newer driver, or an older CUDA build"),
    "peer": ("two GPUs can't reach each other's memory", "set NCCL_P2P_DISABLE=1, or leave out peer access"),
}  # fmt: skip
_OLD = {
    "3.0": "Kepler",
    "3.5": "Kepler",
    "3.7": "Kepler",
    "5.0": "Maxwell",
    "5.2": "Maxwell",
    "6.0": "Pascal",
    "6.1": "Pascal",
    "7.0": "Volta",
}
_CARDS = (
    ("3.7", r"\bK80\b"), ("5.2", r"\bM60\b|\bM40\b"), ("6.0", r"\bP100\b"), ("6.1", r"\bP40\b|\bP4\b|GTX 10[5-8]0|TITAN X[pP]?\b"),
    ("7.0", r"\bV100\b|TITAN V\b"), ("7.5", r"\bT4\b|RTX 20[678]0|GTX 16[56]0|Quadro RTX"), ("8.0", r"\bA100\b|\bA30\b"),
    ("8.6", r"RTX 30[5-9]0|\bA10\b|\bA40\b|RTX A[2456]000|\bA16\b"), ("8.9", r"RTX 40[6-9]0|\bL40S?\b|\bL4\b|RTX 6000 Ada"),
    ("9.0", r"\bH[12]00\b|\bGH200\b"), ("10.0", r"\bB[12]00\b|\bGB200\b"), ("12.0", r"RTX 50[6-9]0|RTX PRO [456]000"),
)  # fmt: skip
"""Compute capabilities by the cards' names (NVIDIA's list of CUDA GPUs)."""
_SINCE = (("12.8", ("10.0", "12.0")), ("12.9", ("10.3", "12.1")), ("13.0", ("11.0", "8.8")))
"""CUDA versions and the compute capabilities that came with them (CUDA's release notes)."""


class Launch(Family):
    code = "TW0802"
    title = "a GPU kernel could not be started, or died"
    triggers = (
        Trigger(
            r"(?:CUDA|HIP|cuda) (?:runtime |driver )?error\b[^\n]{0,120}?(?P<kind>no kernel image|invalid device function|illegal memory access|misaligned address|invalid configuration argument|too many resources|"
            r"invalid argument|unspecified launch failure|launch timed out|illegal instruction|ECC|(?:stream is |during )captur|unknown error|unsupported toolchain|peer)"
        ),
        Trigger(
            r"(?P<kind>no kernel image) is available|an (?P<kind2>illegal memory access) was encountered|(?P<kind3>misaligned address)"
        ),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        groups = match.groupdict()
        word = next(g for g in (groups.get("kind"), groups.get("kind2"), groups.get("kind3")) if g)
        word = "capture" if "captur" in word else word
        headline, why = _KINDS[word]
        notes, fixes = [why] if why else [], []
        if word in ("no kernel image", "invalid device function"):
            headline, notes, remedy = self._architecture(around(evidence), evidence.environment.torch or "")
            fixes = [Fix(f"{remedy}, or build from source", (), "display-only")]
        else:
            notes.append(
                "kernels run asynchronously: the traceback's line is where the error was noticed, the call that did it came before"
            )
            fixes = [Fix("find the true line with CUDA_LAUNCH_BLOCKING=1, or compute-sanitizer", (), "display-only")]
        return run.diagnosis(self, headline, run.raised, "where it was noticed", notes=notes, fixes=fixes, confidence=Confidence.LIKELY)

    def _architecture(self, text: str, build: str) -> tuple[str, list[str], str]:
        gpu = find(
            r"(?:NVIDIA )?((?:GeForce|Tesla|Quadro|RTX|GTX|TITAN|A\d{2,3}|H\d{3}|B\d{3}|V100|P100|K80|L4)\b[\w -]{0,24}?)(?= (?:which|with|GPU|\(|:)|[,\n\"']|$)",
            text,
            1,
        ).strip()
        level = (
            find(r"\bsm_(\d{2,3}) is not compatible", text, 1)
            or find(r"capability sm_(\d{2,3})", text, 1)
            or find(r"(?:cuda )?capability,? \(?(\d+[., ]+\d)", text, 1)
        )
        level = level or next((capability for capability, names in _CARDS if re.search(names, gpu or text)), "")
        level = f"{level[:-1]}.{level[-1]}" if level.isdigit() else re.sub(r"[, ]+", ".", level)
        known = re.findall(r"\b(?:sm|gfx|compute)_?\d+\w*", find(r"supports CUDA capabilities ([^\n]+)", text, 1))
        lowest = find(r"\((\d+\.\d)\) ?- ?\(\d+\.\d\)", text, 1)
        notes = []
        if level:
            name = f"sm_{level.replace('.', '')}"
            generation = _OLD.get(level, "")
            notes.append(
                f"the GPU{' ' + code(gpu) if gpu else ''} is {name}, compute capability {level}{' (' + generation + ')' if generation else ''}"
            )
        if known:
            notes.append(f"the build{' ' + code(build) if build else ''} does not include it: it has {', '.join(known)}")
        elif lowest:
            notes.append(f"the build{' ' + code(build) if build else ''} needs at least compute capability {lowest}")
        else:
            notes.append(
                "the text does not name the GPU's compute capability; `torch.cuda.get_device_capability()` and `torch.cuda.get_arch_list()` do"
            )
        has = [int(digits) for digits in re.findall(r"sm_(\d{2,3})", " ".join(known))]
        is_new = bool(level and has and int(level.replace(".", "")) > max(has))
        remedy = "install the build of PyTorch for this GPU (an older CUDA such as cu126 or cu118 for old cards, the newest for new ones)"
        if is_new:
            cuda = next((made for made, levels in _SINCE if level in levels), "")
            notes.append("the GPU is newer than this build: its kernels and its CUDA were made before it")
            remedy = (
                f"install a newer build of PyTorch, for CUDA {cuda} or later (cu{cuda.replace('.', '')})"
                if cuda
                else "install a newer build of PyTorch"
            )
        elif level in _OLD and (lowest or known):
            notes.append("builds for newer CUDA versions no longer include old GPUs: they were dropped")
            remedy = "install a build of PyTorch for an older CUDA (cu126, or cu118), which still has kernels for this GPU"
        flags = find(r"(?:arch flags|TORCH_CUDA_ARCH_LIST)\W+([\w., ;+]*\d)", text, 1)
        extension = find(r"(\w+)[/\\](?:layers[/\\])?csrc[/\\]", text, 1) or find(r"(\w+)[/\\]_C\.", text, 1)
        if flags or extension:
            notes.append(
                f"the kernel belongs to an extension{' (' + code(extension) + ')' if extension else ''}{', built for ' + code(flags.strip()) if flags else ''}: "
                "PyTorch itself may well have kernels for this GPU"
            )
            remedy = f"rebuild the extension for this GPU: `TORCH_CUDA_ARCH_LIST={level or '(its level)'}`, on a machine that sees it"
        subject = code(gpu) if gpu else "the GPU"
        built = f"kernels from {known[0]} up" if known else f"kernels for {lowest} and newer" if lowest else "no kernels for it"
        texts = (
            (
                f"{subject} is sm_{level.replace('.', '')}, this PyTorch has {built}",
                f"this PyTorch has no kernels for sm_{level.replace('.', '')}",
            )
            if level
            else ()
        )
        return first_fitting(*texts, "this build of PyTorch has no kernels for the GPU"), notes, remedy

    log_examples = (
        LogExample(
            """\
/home/a/env/lib/python3.10/site-packages/torch/cuda/__init__.py:215: UserWarning:
NVIDIA GeForce RTX 5090 with CUDA capability sm_120 is not compatible with the current PyTorch installation.
The current PyTorch install supports CUDA capabilities sm_50 sm_60 sm_70 sm_80 sm_90.
Traceback (most recent call last):
  File "gen.py", line 12, in <module>
    x = torch.randn(4, 4, device="cuda") * 2
RuntimeError: CUDA error: no kernel image is available for execution on the device
""",
            says=("is sm_120, this PyTorch has kernels from sm_50", "sm_90", "cu128"),
            cause="gen.py:12",
        ),
        LogExample(
            """\
Traceback (most recent call last):
  File "detect.py", line 77, in step
    keep = nms_rotated(boxes, scores, 0.5)
RuntimeError: CUDA error: an illegal memory access was encountered
For debugging consider passing CUDA_LAUNCH_BLOCKING=1.
""",
            says=("no memory is", "CUDA_LAUNCH_BLOCKING", "nms_rotated"),
            cause="detect.py:77",
        ),
    )
    log_near_misses = (LogExample("RuntimeError: CUDA error: device-side assert triggered\n", belongs_to="cuda.assert"),)
