"""Errors that PyTorch did not raise: told apart from its own by their text, and said in one line."""

from __future__ import annotations

import re

from ..model import Evidence, Failure
from .wording import code

_PYTHONS = {
    "KeyError": "a key that the mapping does not have",
    "FileNotFoundError": "a file that is not there",
    "ModuleNotFoundError": "a package that is not installed in this environment",
    "ImportError": "a name that the imported package does not have, or a library that can't be loaded",
    "NameError": "a name that was never given a value",
    "UnboundLocalError": "a variable that is read before it is set",
    "AttributeError": "an attribute that the object does not have",
    "ZeroDivisionError": "a division by zero in Python",
    "IndexError": "an index beyond the end of a sequence",
    "PermissionError": "a file that may not be read or written",
    "IsADirectoryError": "a folder where a file was expected",
    "OSError": "something that the operating system refused",
    "SyntaxError": "a text that is no Python",
    "IndentationError": "a text that is no Python",
    "JSONDecodeError": "a text that is no JSON",
    "UnicodeDecodeError": "bytes in another encoding",
    "AssertionError": "a check of the program's or a package's own",
    "RecursionError": "a function that calls itself without end",
    "KeyboardInterrupt": "an interrupt from the keyboard",
    "MemoryError": "no memory left for Python's own objects",
    "TimeoutError": "something that did not answer in time",
    "ConnectionError": "a connection that failed",
    "NotImplementedError": "something that is not implemented",
    "StopIteration": "an iterator without another item",
    "error": "an error of a library's own",
    "npm error": "a message of npm's",
    "compiler error": "a message of a compiler's or of make's",
    "shell error": "something that the shell could not start",
    "pip error": "a message of pip's",
    "cuda error": "a failure in a CUDA program that is not PyTorch",
    "SIGTERM": "the process was told to end from outside",
    "SIGKILL": "the process was killed from outside",
    "SIGSEGV": "native code crashed",
    "SIGABRT": "native code gave up",
    "SIGBUS": "memory that was promised could not be had",
}
_NEVER_TORCH = frozenset(_PYTHONS) - {
    "AssertionError",
    "IndexError",
    "NotImplementedError",
    "TimeoutError",
    "SIGSEGV",
    "SIGBUS",
    "SIGKILL",
    "SIGABRT",
}
_FRAMEWORKS = re.compile(
    r"tensorflow|\bkeras\b|\bjax(?:lib)?\b|\bxla\b|cupy|numba|ggml|llama\.cpp|ollama|onnxruntime|paddle|mxnet|mindspore|oneflow|GPUassert|\brapids|cudf",
    re.IGNORECASE,
)
_SCHEDULER = re.compile(
    r"DUE TO (?:TIME ?LIMIT|PREEMPTION|NODE FAIL)|CANCELLED AT|wall-?time (?:limit )?exceeded|=>> PBS: job killed|TERM_RUNLIMIT|job preempted",
    re.I,
)
_TORCH_WORDS = re.compile(
    r"\btorch\b|\btensors?\b|\bCUDA|cuDNN|CUBLAS|NCCL|\bdtype\b|scalar type|mat1|state_dict|autograd|\bgrad\b|backward|DataLoader|dynamo|c10::|\bATen\b|aten::"
    r"|out of range in self|[Dd]imension out of range|non-singleton dimension|is invalid for input of size|shapes cannot be multiplied|size mismatch|einsum\\(\\)|input of size"
    r"|Input type|weight of size|\\bmulti-target|must match the size|Expected (?:input|target|object|more than)|is not the same device|kernel size",
    re.I,
)


def is_torchs_text(failure: Failure) -> bool:
    """Whether a printed failure is torch's: a type of its own, its own code at the end of the traceback, or its words with a type that it raises."""
    inner = failure
    while inner.caused_by is not None and inner.caused_by.error_type not in ("KeyError", "AttributeError", "StopIteration", "IndexError"):
        inner = inner.caused_by
    module = inner.error_module.partition(".")[0]
    if module in ("torch", "c10"):
        return True
    if inner.error_type in _NEVER_TORCH or module not in ("builtins", "std"):
        return False
    last = inner.frames[-1] if inner.frames else None
    if last is not None and last.origin == "torch":
        return True
    raises_itself = last is not None and bool(re.match(r"raise\b|assert\b", last.code))
    return not raises_itself and bool(_TORCH_WORDS.search(inner.message))


def speaks_of_torch(evidence: Evidence, more: str = "torch") -> bool:
    """Whether the failure's frames, their lines or the lines around it name PyTorch (or `more`); always for a bare line, which has none."""
    failure, said = evidence.failure, [*evidence.context]
    while failure is not None:
        said += [failure.error_module, failure.message, *(f.span.file + " " + f.code for f in failure.frames)]
        failure = failure.caused_by
    bare = evidence.failure is None or not evidence.failure.frames
    return bare or bool(re.search(more, "\n".join(said)))


def is_another_frameworks(evidence: Evidence) -> bool:
    """Whether a text speaks of another framework on the GPU and nowhere of PyTorch: the same driver and libraries then fail in the same words."""
    failure, said = evidence.failure, [*evidence.context]
    while failure is not None:
        said += [failure.error_module, failure.message, *(f.span.file + " " + f.code for f in failure.frames)]
        failure = failure.caused_by
    text = "\n".join(said)
    return bool(_FRAMEWORKS.search(text)) and not re.search(r"torch|\bc10\b|ATen|aten/", text)


def what_it_is(evidence: Evidence) -> str:
    """One line on an error that is not PyTorch's: what kind it is, its words, and where it was raised."""
    failure = evidence.failure
    while failure is not None and failure.caused_by is not None and _is_wrapper(failure):
        failure = failure.caused_by
    if failure is None:
        return "the text holds no failure"
    kind = _PYTHONS.get(failure.error_type, "")
    said = " ".join(failure.message.split())[:160]
    who = f"rank {failure.rank}: " if failure.rank is not None else ""
    where = failure.raised_at
    last = failure.frames[-1] if failure.frames else None
    package = re.search(r"-packages[/\\](\w+)", last.span.file) if last is not None and last.origin == "library" else None
    text = f"{who}{failure.error_type}{': ' + said if said else ''}"
    text += f": {kind}" if kind else ""
    text += f", raised in the package {package[1]}" if package else ""
    if where is not None:
        line = next((f.code for f in reversed(failure.frames) if f.span == where and f.code), "")
        text += f", at {where.file}:{where.line}" + (f": {code(line.splitlines()[-1].strip())}" if line else "")
    return text


def ended_by_scheduler(evidence: Evidence) -> str:
    """One line on a job that its scheduler ended, where the text says so and nothing else failed; empty otherwise."""
    failure = evidence.failure
    if failure is not None and failure.error_type not in ("SIGTERM", "SignalException", "SIGKILL", "ChildFailedError", "KeyboardInterrupt"):
        return ""
    said = next((line for line in evidence.context if _SCHEDULER.search(line)), "") or (
        failure.message if failure is not None and _SCHEDULER.search(failure.message) else ""
    )
    if not said:
        return ""
    why = "its time limit" if re.search(r"TIME ?LIMIT|wall-?time", said, re.I) else "another job or a user"
    return (
        f"the scheduler (such as Slurm) ended the job for {why}: {code(said.strip()[:160])}; the SIGTERM (signal 15) is how it does. Nothing failed in the "
        "program: ask for more time, save checkpoints and resume from the last one"
    )


def untold(evidence: Evidence) -> str:
    """One line on a failure of which no cause is known: what the text would need to hold."""
    failure = evidence.failure
    if failure is not None and failure.error_type == "ChildFailedError":
        who = f"rank {failure.rank}" if failure.rank is not None else "a rank"
        return f"the launcher says that {who} failed first, not why: the text does not hold that rank's own traceback; `@record` over its main function prints it in the launcher's table"
    return "the text names an error and no cause of it is known; the lines before it, from where the traceback begins, may tell more"


def _is_wrapper(failure: Failure) -> bool:
    return failure.error_type in ("ProcessRaisedException", "ChildFailedError", "ExceptionGroup") or failure.message.startswith("Caught ")
