"""The GPU's memory is full.

Erroneous code (TW0502):

```python
{example}
```

Why: the numbers in the message tell which of four things it is: one request that is larger than the GPU; many that add up (weights, gradients, optimizer state, and
the activations that backward needs); memory held by another process; or free memory cut into pieces too small for the request (reserved but unallocated).
Growing from step to step means that something keeps the graphs of earlier steps alive.

Fix: what the numbers say: a smaller batch or activation checkpointing when allocations fill the card, `.item()` or `.detach()` on what is kept across steps,
`with torch.no_grad()` in evaluation, ending the other process, or `PYTORCH_ALLOC_CONF=expandable_segments:True` for fragmentation.

Messages: `CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.65 GiB of which 1.2 GiB is free.`; older: `CUDA out of memory. Tried to allocate
20.00 MiB (GPU 0; 7.79 GiB total capacity; 6.51 GiB already allocated; 17.44 MiB free; 6.61 GiB reserved in total by PyTorch)`; `HIP out of memory`.

Not to be confused with: `memory.cpu`.
"""

from __future__ import annotations

import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix
from ...reason.memory import MemoryNumbers, growth, memory_numbers
from ...reason.reading import Reading, reading
from ...reason.wording import bytes_text, code, tensor_text


class Cuda(Family):
    code = "TW0502"
    title = "the GPU's memory is full"
    triggers = (Trigger(r"(?P<kind>CUDA|HIP|XPU|MPS)(?: backend)? out of memory"),)

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        memory = memory_numbers(run.failure.message) or MemoryNumbers()
        tried, total, free = memory.tried, memory.total, memory.free
        kind, why = _judge(memory)
        grown = growth(evidence.context)
        notes = [why, *(f"{code(n or 'an operand')} is {tensor_text(t)}" for n, t in run.tensors[:2])]
        notes.append(
            ", ".join(
                f"{name.removesuffix('_bytes').replace('idle', 'reserved but unallocated').replace('foreign', 'held by other processes')} {bytes_text(value)}"
                for name, value in memory.known().items()
                if name != "foreign_bytes" or value > 0.02 * (total or 0)
            )
        )
        notes += _in_the_text(run, kind, grown)
        if grown and kind == "full":
            kind = "grows"
        op = f"{code(run.op.name)} asks for" if run.op is not None else "the program asks for"
        headline = (
            f"{op} {bytes_text(tried)} and {bytes_text(free)} of {bytes_text(total)} is free"
            if tried is not None and free is not None and total is not None
            else f"{match['kind']} memory is full"
        )
        return run.diagnosis(
            self,
            headline,
            run.raised,
            "the request that did not fit",
            notes=notes,
            fixes=[Fix(_REMEDY[kind], (), "display-only")],
            confidence=Confidence.LIKELY if kind != "unknown" else Confidence.POSSIBLE,
        )

    examples = (
        Example(
            {
                "train.py": """\
import torch


def attend(scores):
    # what a GPU of 24 GiB says to a request that does not fit
    raise torch.cuda.OutOfMemoryError(  #~ cause
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.65 GiB of which 1.20 GiB is free. Including non-PyTorch memory, this process "
        "has 22.44 GiB memory in use. Of the allocated memory 21.50 GiB is allocated by PyTorch, and 500.00 MiB is reserved by PyTorch but unallocated."
    )


attend(torch.zeros(2))
"""
            },
            says=("2.0 GiB", "23.6 GiB", "21.5 GiB", "500 MiB"),
        ),
    )
    near_misses = (NearMiss({"ok.py": "import torch\nprint(torch.zeros(3).sum().item())\n"}),)


_REMEDY = {
    "grows": "keep numbers, not graphs, across steps: `.item()` or `.detach()` on what is added up, no `retain_graph=True`",
    "too-large": "make this one tensor smaller: it does not fit in the whole GPU",
    "others": "end the other process that holds the memory (nvidia-smi names it), or choose another GPU (CUDA_VISIBLE_DEVICES)",
    "fragmented": "set PYTORCH_ALLOC_CONF=expandable_segments:True, or keep the sizes of batches alike",
    "full": "use a smaller batch, or activation checkpointing for the largest block",
    "unknown": "look at the allocations by `torch.cuda.memory_summary()` before this line",
}


_OWN = ("full", "unknown")
_WHERE = (
    (_OWN, r"/optim/|optimizer\.step\(|\bopt\w*\.step\(", "it was raised in the optimizer's step: Adam makes its state at the first step, two more tensors of each parameter's size"),
    ((*_OWN, "others"), r"torch\.load\(|/serialization\.py", 'it was raised while a checkpoint is read: `torch.load` puts tensors back on the GPU they were saved from, in each rank, unless map_location="cpu" is given'),
    (_OWN, r"(?i)(?:\bval|eval|\btest|predict|infer|sampl)\w*(?:\(|:)", "it was raised in evaluation: without `torch.no_grad()` (or inference_mode) the activations are kept for a backward that never comes; outputs that are collected stay on the GPU"),
    (_OWN, r"(?i)attn|attention|q ?@ ?k|softmax\(|baddbmm", "attention scores grow with the square of the sequence length: `scaled_dot_product_attention` does not keep them"),
    (_OWN, r"_apply|\.cuda\(\)|\.to\((?:device|.cuda)|from_pretrained", "it was raised while weights are moved to the GPU: a smaller dtype (bfloat16, 8 or 4 bits), or layers on several devices, need less"),
    (_OWN, r"backward", "it was raised in the backward, where gradients come on top of the activations"),
)  # fmt: skip


def _in_the_text(run: Reading, kind: str, grown: tuple[str, ...]) -> list[str]:
    """What the message and the lines around it tell beyond the numbers: who else holds memory, whether it grows, what keeps graphs."""
    notes = []
    others = re.findall(r"Process (\d+) has ([\d.]+ [KMGT]?i?B)", run.failure.message)
    if kind == "others" and others:
        notes.append("; ".join(f"process {pid} holds {amount}" for pid, amount in others[:4]))
    if grown:
        notes.append(f"the memory grows from step to step ({grown[0]} … {grown[-1]}): something keeps each step's graph")
    codes = "\n".join(f.code for f in run.failure.user_frames) + "\n" + "\n".join(run.evidence.context)
    kept = re.search(
        r"^\W{0,80}(?:\d{1,9} {1,80})?((?:self\.)?\w{0,60}(?:total|running|sum|loss|acc|history)\w{0,60}) {0,9}(?:\+=|\.append\()[^\n]*",
        codes,
        re.MULTILINE | re.IGNORECASE,
    )
    if kept is not None and not re.search(r"\.item\(\)|\.detach\(\)|float\(", kept[0]):
        notes.append(
            f"{code(kept[0].strip())} accumulates a tensor together with its graph: {code(kept[1])} keeps the history of every step"
        )
    if run.evidence.from_text:
        lines = "\n".join(f"{f.span.file} {f.span.function}: {f.code}" for f in run.failure.frames)
        notes += [note for kinds, pattern, note in _WHERE if kind in kinds and re.search(pattern, lines)][:2]
    if "retain_graph=True" in codes:
        notes.append("`retain_graph=True` keeps the graph of a step alive after its backward")
    return notes


def _judge(memory: MemoryNumbers) -> tuple[str, str]:
    """Which of the four it is, and the sentence that says why."""
    tried, total, allocated, idle, foreign = memory.tried, memory.total, memory.allocated, memory.idle, memory.foreign or 0
    if tried is not None and total is not None and tried > total:
        return "too-large", f"the request alone, {bytes_text(tried)}, is larger than the GPU's {bytes_text(total)}"
    if total is not None and foreign > 0.3 * total and foreign > (allocated or 0):
        return "others", f"other processes hold {bytes_text(foreign)} of the GPU, this one {bytes_text(allocated or 0)}"
    if tried is not None and idle is not None and idle > tried and idle > 0.1 * (total or idle):
        return "fragmented", f"{bytes_text(idle)} is reserved and unused, but in pieces smaller than {bytes_text(tried)}: fragmentation"
    if allocated is not None and total is not None:
        return (
            "full",
            f"this program's own tensors fill {bytes_text(allocated)} of {bytes_text(total)}: there are too many of them, or they are too large",
        )
    return "unknown", "the message has no numbers to tell size, fragmentation and other processes apart"
