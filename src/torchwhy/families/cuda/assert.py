"""A check inside a GPU kernel failed: a label, an index or a probability has a value that the op can't take.

Typical text (TW0801):

{example}

Why: a kernel can't raise. It stops the GPU, and the error comes up at some later call, so the traceback's line is mostly innocent. The assert's own line, printed
once for every thread, names the kernel's file: `Loss.cu` is a loss with a class label, `Indexing.cu` and `IndexKernel.cu` are an embedding or an index, `ScatterGatherKernel.cu`
is `scatter` or `gather`. After it every CUDA call of the process fails.

Fix: run the same step on the CPU, which names the line and the value, or with `CUDA_LAUNCH_BLOCKING=1`, which makes the traceback true. Then compare `labels.min()` and `labels.max()`
with the number of classes, `ids.max()` with `num_embeddings`; map an ignore label such as 255 or -1 away, or give the loss `ignore_index`.

Messages: `CUDA error: device-side assert triggered`; ``Assertion `t >= 0 && t < n_classes` failed``; ``Assertion `srcIndex < srcSelectDimSize` failed``;
``Assertion `-sizes[i] <= index && index < sizes[i] && "index out of bounds"` failed``; older: `cuda runtime error (59)`, `cuda runtime error (710)`.

Not to be confused with: `cuda.launch` (an illegal access is a kernel's own fault or memory that is gone), `shape.embedding-range` and `shape.index-range` (the same on the CPU).
"""

from __future__ import annotations

import re

from ...family import Family, LogExample, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix
from ...reason.printed import around
from ...reason.reading import reading
from ...reason.wording import code, first_fitting

_KERNELS = (
    (r"ScatterGather", "`scatter` or `gather`", "index", "an index lies beyond the size of the dimension that it is scattered or gathered along"),
    (r"NLLLoss|ClassNLL|nll_loss|Loss\.cu.{0,400}(?:n_classes|cur_target|t >= 0)|n_classes", "a loss with class labels (`cross_entropy`, `nll_loss`)", "label",
     "a target lies outside of 0 … classes - 1, and is not `ignore_index`"),
    (r"Loss\.cu.{0,400}(?:input_val|zero|one)|>= zero && \S{1,80} <= one", "`binary_cross_entropy`", "probability", "an input or target lies outside of 0 … 1 (or is nan)"),
    (r"multi_?margin|MultiMargin|MultiLabel", "a margin loss", "label", "a target lies outside of 0 … classes - 1"),
    (r"EmbeddingBag|Embedding\.cu", "an embedding", "index", "an index is not below `num_embeddings`, or negative"),
    (r"srcIndex|indexSelect|index_select|Indexing\.cu", "an embedding or `index_select`", "index", "an index is not below the table's number of rows (`num_embeddings`), or negative"),
    (r"IndexKernel|vectorized_gather|index_put|index out of bounds|tmp\d+ <", "indexing with a tensor, or an embedding", "index", "an index is out of bounds, or negative"),
    (r"Multinomial|probability tensor|cumdist|TensorCompare", "`torch.multinomial`", "probability", "the probabilities hold inf, nan or values below 0: the logits overflowed before"),
    (r"grid_sampler|Pool|unpool|MaxUnpool", "a pooling or sampling op", "index", "an index points outside of the output"),
)  # fmt: skip
_ASSERT = re.compile(
    r"(?<![\w./\\-])(?P<file>[\w./\\-]{1,300}\.cuh?):(?P<line>\d{1,9}):? .{0,200}?Assertion `(?P<expression>[^\n]{1,200}?)['`] ?failed|Assertion `(?P<alone>.{1,400}?)['`] ?failed|device_assert\S{0,40} (?P<other>.+)"
)
_LOSS = re.compile(r"cross_entropy|nll_loss|CrossEntropy|NLLLoss|criterion\(|loss_fn\(", re.IGNORECASE)


class Assert(Family):
    code = "TW0801"
    title = "a check inside a GPU kernel failed"
    rank = 1
    triggers = (
        Trigger(r"device-side assert\b|cuda runtime error \((?:59|710)\)|cudaErrorAssert"),
        Trigger(r"\.cuh?:\d{1,9}:.{0,600}Assertion `.{1,400}?['`] ?failed"),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        text = around(evidence)
        found = _ASSERT.search(text)
        said = next((g for g in (found["expression"], found["alone"], found["other"]) if g), "") if found else ""
        where = f"{found['file'] or ''}:{found['line'] or ''} {said}" if found else ""
        kernel = next(((op, what, why) for pattern, op, what, why in _KERNELS if where and re.search(pattern, where)), None)
        lines = [f.code for f in run.failure.user_frames if f.code]
        if kernel is None:
            op, what, why = ("a loss with class labels", "label", "a target outside of 0 … classes - 1 is the common reason") if _LOSS.search("\n".join(lines)) else (
                "a kernel", "index or label", "the assert's own line is not in the text: an index of an embedding, or a label of a loss, out of range is the common reason")  # fmt: skip
        else:
            op, what, why = kernel
        notes = [why]
        if said:
            notes.append(
                f"the kernel's check is {code(said)}" + (f" in {code(found['file'].rpartition('/')[2])}" if found and found["file"] else "")
            )
        beyond = re.findall(r"(?<![\w.])(?:255|-1|-100)(?![\w.])", "\n".join(evidence.context))
        if beyond and what in ("label", "index"):
            notes.append(
                f"the text around it holds {code(beyond[0])}, a usual mark for void or ignored labels: not a class, it must be mapped or ignored"
            )
        notes.append(
            "kernels run asynchronously: the traceback's line is where the GPU was found dead, the call that did it came before; `CUDA_LAUNCH_BLOCKING=1` or a run on the CPU shows it"
        )
        fixes = [
            Fix(
                "run the step on the CPU, or with CUDA_LAUNCH_BLOCKING=1: the traceback then names the line, and on the CPU the value",
                (),
                "display-only",
            ),
            Fix("compare the smallest and largest label or index with the number of classes or rows, before the step", (), "display-only"),
        ]
        if lines:
            notes.append(f"the line that noticed it: {code(lines[-1])}")
        article = f"{'an' if what[0] in 'aeiou' else 'a'} {what}"
        return run.diagnosis(
            self,
            first_fitting(
                f"{op} met {article} out of range on the GPU",
                f"{op} met {article} out of range",
                f"{op.partition(' (')[0]} met {article} out of range on the GPU",
            ),
            run.raised,
            "where the GPU was found stopped",
            notes=notes,
            fixes=fixes,
            confidence=Confidence.LIKELY if said else Confidence.POSSIBLE,
        )

    log_examples = (
        LogExample(
            """\
training on 12 classes
/pytorch/aten/src/ATen/native/cuda/Loss.cu:242: nll_loss_forward_reduce_cuda_kernel_2d: block: [0,0,0], thread: [5,0,0] Assertion `t >= 0 && t < n_classes` failed.
Traceback (most recent call last):
  File "fit.py", line 41, in <module>
    loss.backward()
RuntimeError: CUDA error: device-side assert triggered
CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be incorrect.
""",
            says=("label", "t < n_classes", "CUDA_LAUNCH_BLOCKING", "12 classes"),
            cause="fit.py:41",
        ),
        LogExample(
            """\
../aten/src/ATen/native/cuda/Indexing.cu:1292: indexSelectLargeIndex: block: [31,0,0], thread: [64,0,0] Assertion `srcIndex < srcSelectDimSize` failed.
[rank2]: Traceback (most recent call last):
[rank2]:   File "lm.py", line 9, in forward
[rank2]:     h = self.places(positions)
[rank2]: RuntimeError: CUDA error: device-side assert triggered
""",
            says=("embedding", "index", "num_embeddings", "self.places"),
            cause="lm.py:9",
        ),
    )
    log_near_misses = (
        LogExample(
            'Traceback (most recent call last):\n  File "a.py", line 3, in <module>\n    assert x.is_cuda\nAssertionError: CUDA expected\n',
        ),
    )
