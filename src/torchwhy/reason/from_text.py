"""What a printed failure adds to a diagnosis: the calls of the traceback, what the lines around it say, and what a text can't tell."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from ..model import Confidence, Diagnosis, Evidence, Failure, Frame, Label
from .wording import place

_ABOUT = {
    "shape": r"shape|size|crop|resize|channel|flatten|resolution|feature|dim\b|batch|length|hidden|class|vocab|embed|token|Linear|Conv",
    "dtype": r"float16|bfloat16|bf16|fp16|float32|fp32|half|mixed|precision|dtype|amp|autocast|8bit|4bit|int64|long",
    "device": r"cuda:\d|device|\bcpu\b|\bgpu\b|device_map|mps",
    "memory": r"[GM]i?B\b|allocated|memory|batch|Killed|oom|shm|resident|rss|checkpoint shards|num_workers|free|Mem:",
    "cuda": r"label|class|vocab|ignore|unique|index|embed|capabilit|sm_\d|driver|version|cu\d{2,3}\b|nvidia|docker|GPU|\.so\b|LD_LIBRARY|toolkit|compat",
    "dist": r"rank|world|resize|vocab|token|port|nccl|gloo|timeout|torchrun|nnodes|nproc|master|rdzv|LISTEN|barrier|socket|find_unused",
    "compile": r"recompil|reason|graph break|dynamo|inductor|triton|guard|dynamic|backend|compile",
    "autograd": r"grad|detach|loss|backward|no_grad|inplace|in-place|graph|retain",
    "data": r"worker|shm|pickle|lambda|collate|sample|dataset|spawn|fork|num_workers|ulimit",
    "module": r"load|checkpoint|state_dict|key|weights|strict|model|class|version",
    "numeric": r"nan|inf|loss|overflow|underflow|scale|lr",
    "argument": r"argument|version|expected|got",
}
_MISSING = {
    "shape": "where each size was decided, and what the tensors were on the way",
    "dtype": "where each dtype was decided, and the tensors that met",
    "device": "which tensor lies on which device, and where it was put there",
    "memory": "which lines and modules hold the memory",
    "cuda": "the values that the kernel saw, and the call that started it",
    "autograd": "the graph, and who cut it or wrote to its tensors",
    "data": "the sample that was asked for",
    "module": "the modules and where they were built",
    "dist": "what the other processes did at the same time, unless they printed it",
    "compile": "what the compiler saw of the values",
}
_TRAIL, _QUOTES, _LINES = 5, 5, 8
_ADVICE = re.compile(
    r"If reserved (?:memory|but unallocated).*|See documentation for Memory.*|CUDA kernel errors might.*|For debugging consider.*|Compile with `TORCH_USE.*"
    r"|Search for `cuda.*|Hint: .*|Exception raised from .*|frame #.*|Check the documentation.*|You can (?:enable|suppress).*|Set TORCH.*|In addition, you can set.*|For more information.*"
)
_STOP = frozenset(
    [
        "self",
        "torch",
        "file",
        "line",
        "traceback",
        "most",
        "recent",
        "call",
        "last",
        "error",
        "with",
        "from",
        "import",
        "return",
        "forward",
        "module",
        "python",
        "packages",
        "site",
        "the",
        "and",
        "for",
        "runtimeerror",
    ]
)


def told(diagnosis: Diagnosis, evidence: Evidence) -> Diagnosis:
    """The diagnosis with what only a text can add. Says nothing that the text does not hold."""
    failure = failure_of(diagnosis, evidence.failure)
    if failure is None:
        return diagnosis
    group = diagnosis.family.partition(".")[0]
    notes = [*diagnosis.notes, *_words(diagnosis, failure), *_inner_call(failure)]
    notes += _forward_call(evidence)
    notes += _inner_words(failure)
    if failure.rank is not None and f"rank {failure.rank}" not in " ".join((diagnosis.headline, *notes)):
        notes.append(f"it was raised in rank {failure.rank}")
    if failure.worker is not None:
        notes.append(f"it was raised in DataLoader worker process {failure.worker}; num_workers=0 shows it in the main process")
    notes += [f"the text also says: {code_long(line)}" for line in quotes(evidence, failure, diagnosis)]
    if not evidence.sources and group in _MISSING:
        notes.append(f"read from the text alone, which does not tell {_MISSING[group]}; `torchwhy run` records it")
    trail = diagnosis.trail if len(diagnosis.trail) > 1 else _trail(failure) or diagnosis.trail
    return replace(diagnosis, notes=tuple(dict.fromkeys(notes)), trail=trail, confidence=_sure(diagnosis, failure))


def code_long(text: str, limit: int = 200) -> str:
    """A line of the log as inline code, cut in the middle."""
    flat = " ".join(text.replace("`", "'").split())
    return f"`{flat if len(flat) <= limit else flat[: limit - 50] + ' … ' + flat[-40:]}`"


def quotes(evidence: Evidence, failure: Failure, diagnosis: Diagnosis) -> list[str]:
    """The lines around the failure that speak of the same numbers, names and things."""
    about = re.compile(_ABOUT.get(diagnosis.family.partition(".")[0], r"$^"), re.IGNORECASE)
    said = "\n".join([failure.message[:3000], diagnosis.headline, *(f.code for f in failure.user_frames[-2:])])
    numbers = set(re.findall(r"(?<![\w.])\d{2,}(?:\.\d+)?", said))
    names = {n.lower() for n in re.findall(r"[A-Za-z_]\w{3,}", said)} - _STOP
    common = Counter(name for line in evidence.context for name in set(re.findall(r"[a-z_]\w{3,}", line.lower())))
    scored: list[tuple[float, int, str]] = []
    for number, line in enumerate(evidence.context):
        if (
            line[:200] in failure.message
            or len(line) < 4
            or re.match(
                r'^[\W_]+$|File "|Traceback \(|return |raise |self = |frame #\d|what\(\): |\S+\.cuh?:\d+: |.*Assertion .{1,200}failed|warnings\.warn\(',
                line,
            )
        ):
            continue
        words = set(re.findall(r"[a-z_]\w{3,}", line.lower()))
        score = 1.5 * len(numbers & set(re.findall(r"(?<![\w.])\d{2,}(?:\.\d+)?", line)))
        score += sum(1.0 / common[w] ** 0.5 for w in words & names)
        score += min(3.0, 1.2 * len({m.lower() for m in about.findall(line)}))
        if score >= 1.2:
            scored.append((score, number, line))
    best = sorted(scored, reverse=True)[:_QUOTES]
    return [line for _, _, line in sorted(best, key=lambda item: item[1])]


def failure_of(diagnosis: Diagnosis, failure: Failure | None) -> Failure | None:
    """The exception of the chain that the diagnosis is of."""
    last = diagnosis.trail[-1].span if diagnosis.trail else diagnosis.cause.span
    first = failure
    while failure is not None:
        if failure.raised_at == last:
            return failure
        failure = failure.caused_by
    return first


def _words(diagnosis: Diagnosis, failure: Failure) -> list[str]:
    """The error's own words without its general advice, where the diagnosis does not hold them already."""
    lines = [line.strip() for line in _ADVICE.sub(" ", failure.message).splitlines() if line.strip()][:_LINES]
    said = " ".join((diagnosis.headline, *diagnosis.notes))
    new = [line for line in lines if line not in said and (line is lines[0] or re.search(r"\d|['\"`]\w|error", line))]
    return [f"the error says: {code_long(' '.join(new), 480)}"] if new else []


def _inner_words(failure: Failure) -> list[str]:
    """What a worker's or another process's own exception says, in full."""
    inner = failure.caused_by
    if failure.worker is None or inner is None:
        return []
    return [f"the worker's error says: {code_long(inner.message.splitlines()[0] if inner.message else '', 300)}"]


def _inner_call(failure: Failure) -> list[str]:
    """The package between the program and torch that made the failing call."""
    inner: Frame | None = None
    for frame in failure.frames:
        inner = None if frame.origin == "user" else frame if frame.origin == "library" and frame.code else inner
    return [f"the call was made in a package, at {place(inner.span)}: {code_long(inner.code)}"] if inner is not None else []


def _forward_call(evidence: Evidence) -> list[str]:
    """The program's line that anomaly detection printed: the forward call whose backward failed."""
    _, found, after = "\n".join(evidence.context).partition("Traceback of forward call that caused the error:")
    told = after.partition("Triggered internally")[0] if found else ""
    frames = re.findall(r'File "([^"\n]+)", line (\d{1,9})[^\n]*\n([^\n]*)', told)
    own = [(file, line, text) for file, line, text in frames if "-packages" not in file]
    return [f"the forward call was at {os.path.basename(own[-1][0])}:{own[-1][1]}: {code_long(own[-1][2].strip())}"] if own else []


def _trail(failure: Failure) -> tuple[Label, ...]:
    frames: Sequence[Frame] = [f for f in failure.user_frames][-_TRAIL:]
    return tuple(Label(f.span, "raised here" if f is frames[-1] else "") for f in frames)


def _sure(diagnosis: Diagnosis, failure: Failure) -> Confidence:
    """An error without any traceback, or without its place, is never certain."""
    return Confidence.LIKELY if diagnosis.confidence is Confidence.CERTAIN and not failure.frames else diagnosis.confidence
