"""What the status words of CUDA's libraries mean, and what a library that can't be loaded lacks."""

from __future__ import annotations

import re

from ..model import Failure
from .printed import find
from .wording import code

STATUSES = {
    "NOT_INITIALIZED": "the library could not start: mostly GPU memory is full, or an earlier kernel died (an embedding index or a label out of range)",
    "ALLOC_FAILED": "the library could not get GPU memory for itself: memory is full, or an earlier kernel died (an index out of range)",
    "INTERNAL_ERROR": "the library failed inside: mostly out of memory, a driver or library of another version, or an earlier kernel that died",
    "EXECUTION_FAILED": "a kernel of the library died: out of memory, sizes it can't take, a library of another version, or an earlier error",
    "INVALID_VALUE": "the library was given sizes or strides that it does not take: often another version of the library, found first by `LD_LIBRARY_PATH`",
    "NOT_SUPPORTED": "the library does not know this combination of dtype, layout and GPU: a tensor that is not contiguous, bfloat16 on an old GPU, or an empty batch",
    "MAPPING_ERROR": "the library could not reach its memory: an earlier kernel died",
    "ARCH_MISMATCH": "the GPU is too old for what was asked, mostly for this dtype",
    "BAD_PARAM": "cuDNN was given something that it does not take: sizes, strides or dtypes of the call, such as a hidden state of another shape",
    "VERSION_MISMATCH": "two versions of the library are mixed",
    "LICENSE_ERROR": "the library's licence check failed",
    "EXEC_FAILED": "the transform could not be run: memory, or sizes that half precision does not know (powers of two)",
    "INVALID_SIZE": "the library does not take these sizes: in half precision a Fourier transform wants powers of two",
}
_NCCL = {
    "ystem error": ("a call of the operating system failed in NCCL", "mostly the network or shared memory: the wrong interface, a firewall, a full /dev/shm", "set NCCL_DEBUG=INFO, name the interface (NCCL_SOCKET_IFNAME), and give a container a larger --shm-size"),
    "nhandled cuda error": ("a CUDA call failed inside NCCL", "two ranks on the same GPU, full memory, a driver that does not fit, or peer access that does not work", "give each rank a GPU of its own (torch.cuda.set_device(local_rank)); see NCCL_DEBUG=INFO"),
    "UnhandledCudaError": ("a CUDA call failed inside NCCL", "two ranks on the same GPU, full memory, a driver that does not fit, or peer access that does not work", "give each rank a GPU of its own (torch.cuda.set_device(local_rank)); see NCCL_DEBUG=INFO"),
    "nvalid usage": ("NCCL was used in a way that it does not take", "two ranks on one GPU (duplicate GPU), tensors on several devices, or more ranks than GPUs", "give each rank a GPU of its own: torch.cuda.set_device(local_rank)"),
    "nvalid argument": ("NCCL was given an argument that it does not take", "a wrong root, count or dtype, or two NCCL versions in one process", "compare the calls of all ranks; NCCL_DEBUG=WARN names the argument"),
    "emote": ("another rank went away, or the network between them failed", "the reason stands in the other rank's log", "read the log of the rank that ended first"),
    "nternal error": ("NCCL failed inside", "ranks with different NCCL versions or topologies, or a broken link", "use the same image on all nodes; see NCCL_DEBUG=INFO"),
    "nProgress": ("a NCCL call was not finished when the next came", "a communicator that is still starting", "wait for it, or raise the time-out"),
}  # fmt: skip


def nccl(message: str) -> tuple[str, list[str], str]:
    """Headline, notes and remedy for NCCL's result codes."""
    headline, why, fix = next(
        (known for word, known in _NCCL.items() if word in message),
        ("NCCL failed", "the text does not name its result code", "run again with NCCL_DEBUG=INFO"),
    )
    detail = find(r"Last error:\s*\n?\s*([^\n]+)", message, 1)
    version = find(r"NCCL version ([\d.]+)", message, 1)
    if "uplicate GPU" in message or "uplicate GPU" in detail:
        headline, why = (
            "two ranks use the same GPU",
            "NCCL wants one GPU a rank: `torch.cuda.set_device(local_rank)` was not called, or more ranks were started than there are GPUs",
        )
    notes = [why, f"NCCL's own words: {code(detail)}" if detail else "", f"NCCL {version}" if version else ""]
    return headline, [n for n in notes if n], fix


def loading(failure: Failure, text: str) -> tuple[str, list[str], str]:
    """Headline, notes and remedy for a library or an extension that can't be loaded."""
    message = failure.message
    package = _package(failure, text)
    missing = find(r"(lib[\w.+-]+\.so[\w.]*): cannot open shared object", text, 1) or find(r"[Ll]ibrary (\S*lib\S+\.so\S*)", text, 1)
    symbol = find(r"undefined symbol: (\w+)", message, 1)
    dll = find(r"([\w.-]+\.dll)", message, 1)
    who = code(package) if package else "the program"
    wanted = find(r"(cuda\d{2,3}|CUDA (?:version )?\d{1,2}\.?\d)", text, 1)
    notes, path = [], find(r"LD_LIBRARY_PATH=(\S+)", text, 1)
    if "torchvision::" in message:
        return (
            "torchvision was built for another version of torch",
            ["its compiled part could not be loaded, so its operators are missing; the versions of torch and torchvision go in pairs"],
            "install torch and torchvision together, from the same index, so that their versions and builds (CPU or CUDA) match",
        )
    if symbol:
        notes.append(
            f"{code(symbol)} is a function of {'PyTorch' if re.search('c10|torch|at', symbol) else 'a CUDA library'} that the loaded one does not have: the package was built for another version"
        )
        headline = f"{who} was built for another version of {'PyTorch' if re.search('c10|torch|at[0-9A-Z]', symbol) else 'a CUDA library'}"
        return (
            headline,
            notes,
            f"install builds that match: {package or 'the package'} for this version of torch and CUDA, or build it again",
        )
    if missing:
        notes.append(
            f"{code(missing)} is not on the library path, so {who} can't be loaded; the CUDA library with exactly this version must be installed"
        )
        headline = f"{who} can't load `{missing}`"
    elif dll:
        notes.append(
            f"{code(dll)} or a library that it needs is missing: the Visual C++ runtime, a broken or mixed install, or another CUDA"
        )
        headline = f"`{dll}` can't be loaded by Windows"
    else:
        notes.append(f"{who} did not find the CUDA libraries that it was built for")
        headline = f"{who} can't load its CUDA library"
    if wanted:
        notes.append(f"it looks for {code(wanted)}")
    notes.append(
        f"`LD_LIBRARY_PATH` is {code(path)}"
        if path
        else "a library is looked for in the wheel's own `nvidia/*/lib`, then on `LD_LIBRARY_PATH`"
    )
    return (
        headline,
        notes,
        f"install a version of {package or 'the package'} that matches torch's CUDA, or put that CUDA's libraries on LD_LIBRARY_PATH",
    )


def _package(failure: Failure, text: str) -> str:
    for frame in reversed(failure.frames):
        found = re.search(r"-packages[/\\](\w+)", frame.span.file)
        if found is not None and found[1] not in ("torch", "importlib"):
            return found[1]
    found = re.search(r"-packages[/\\](\w{1,80})[/\\][^\s:]{0,300}\.(?:so|pyd|dll)", text)
    return found[1] if found else ""
