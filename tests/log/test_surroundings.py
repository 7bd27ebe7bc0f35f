"""The lines around a printed error say which of its usual reasons it was; without them the diagnosis does not claim that reason."""

from __future__ import annotations

import io
from dataclasses import dataclass

import pytest

from torchwhy.explain import explain
from torchwhy.model import Report

CUDA = """\
CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be incorrect.
For debugging consider passing CUDA_LAUNCH_BLOCKING=1
Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.
"""


def trace(line: str, error: str) -> str:
    return f'Traceback (most recent call last):\n  File "/data/job/fit.py", line 31, in <module>\n    {line}\n{error}\n'


@dataclass(frozen=True)
class Told:
    """A text, the line that tells, and what is said because of it."""

    sign: str
    rest: str
    family: str
    says: tuple[str, ...]


CASES = {
    "frozen inputs of a checkpoint": Told(
        "/env/lib/python3.11/site-packages/torch/utils/checkpoint.py:92: UserWarning: None of the inputs have requires_grad=True. Gradients will be None",
        trace("loss.backward()", "RuntimeError: element 0 of tensors does not require grad and does not have a grad_fn"),
        "autograd.no-grad-fn",
        ("enable_input_require_grads", "use_reentrant=False"),
    ),
    "a kernel of the wrong device": Told(
        "running on cuda:3",
        trace("y = scan_kernel[grid](x, out)", f"RuntimeError: CUDA error: an illegal memory access was encountered\n{CUDA}"),
        "cuda.launch",
        ("current device", "torch.cuda.device(x.device)"),
    ),
    "a grid that is too large": Told(
        "attention over (131072, 4, 64)",
        trace("y = attend(q, k, v)", f"RuntimeError: CUDA error: invalid configuration argument\n{CUDA}"),
        "cuda.launch",
        ("131072", "more than 65535", "chunks"),
    ),
    "a process on another's device": Told(
        "Rank 2 starts, LOCAL_RANK=2",
        trace("y = x @ w", "RuntimeError: CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
        "cuda.library",
        ("set_device", "current device"),
    ),
    "ignored labels in a gather": Told(
        "targets from -100 to 8",
        "/pytorch/aten/src/ATen/native/cuda/ScatterGatherKernel.cu:144: operator(): block: [0,0,0], thread: [4,0,0] Assertion `idx_dim >= 0 && "
        'idx_dim < index_size && "index out of bounds"` failed.\n'
        + trace("p = logits.gather(1, y)", f"RuntimeError: CUDA error: device-side assert triggered\n{CUDA}"),
        "cuda.assert",
        ("masked_fill", "no ignored value"),
    ),
    "a tokenizer with new tokens": Told(
        "tokenizer: 2 tokens added; table Embedding(9000, 64)",
        "../aten/src/ATen/native/cuda/Indexing.cu:1308: indexSelectSmallIndex: block: [1,0,0], thread: [3,0,0] Assertion `srcIndex < srcSelectDimSize` failed.\n"
        + trace("h = lm(ids)", f"RuntimeError: CUDA error: device-side assert triggered\n{CUDA}"),
        "cuda.assert",
        ("resize_token_embeddings", "9000 rows"),
    ),
    "workers and the system's memory": Told(
        "num_workers=12 mem=48G",
        trace("loss.backward()", "RuntimeError: DataLoader worker (pid 77) is killed by signal: Killed. ")
        + "slurmstepd: error: Detected 2 oom_kill events in StepId=1.batch.\n",
        "data.worker",
        ("host memory (RAM)", "`num_workers` is 12", "48G"),
    ),
    "a picture that halves unevenly": Told(
        "generate(prompt, height=472)",
        trace(
            "x = torch.cat([x, skip], dim=1)",
            "RuntimeError: Sizes of tensors must match except in dimension 1. Expected size 16 but got size 15 for tensor number 1 in the list.",
        ),
        "shape.cat-stack",
        ("height is 472, no multiple of 64", "448 or 512"),
    ),
}


def judged(text: str) -> Report:
    return explain(io.BytesIO(text.encode()))


def said(report: Report) -> str:
    first = report.diagnoses[0]
    return " ".join((first.headline, *first.notes, *(f.title for f in first.fixes)))


@pytest.mark.parametrize("name", CASES)
def test_the_line_tells_the_reason(name: str) -> None:
    case = CASES[name]
    report = judged(case.sign + "\n" + case.rest)
    assert report.diagnoses[0].family == case.family
    assert [fact for fact in case.says if fact not in said(report)] == []
    without = said(judged("starting\n" + case.rest))
    assert all(fact not in without for fact in case.says[1:])


def test_two_grids_of_patches() -> None:
    error = "RuntimeError: The size of tensor a ({}) must match the size of tensor b ({}) at non-singleton dimension 1"
    both = said(judged(trace("x = x + self.places", error.format(577, 197))))
    assert "577 is 24·24 + 1 and 197 is 14·14 + 1" in both and "interpolate" in both
    assert "patches" not in said(judged(trace("x = x + self.places", error.format(578, 197))))


def test_the_rank_that_did_not_come() -> None:
    wait = "[rank{r}]:[E0101 10:00:00.0 ProcessGroupNCCL.cpp:616] [Rank {r}] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=9, OpType=ALLGATHER, NumelIn=4, NumelOut=8, Timeout(ms)=1800000) ran for 1800063 milliseconds before timing out.\n"
    text = "[rank1]: exporting samples to /scratch\n" + "".join(wait.format(r=r) for r in (0, 2, 3))
    report = judged(text)
    assert report.diagnoses[0].family == "dist.collective"
    assert "rank 1 did not time out" in said(report) and "exporting samples" in said(report)
    everyone = judged("".join(wait.format(r=r) for r in range(4)))
    assert "did not time out" not in said(everyone)


def test_another_program_that_was_killed() -> None:
    text = trace(
        "requests.post(url, json=rows)",
        "requests.exceptions.ConnectionError: HTTPConnectionPool(host='tracker', port=80): Max retries exceeded",
    )
    killed = "[Mon Jan  6 10:00:00 2025] Memory cgroup out of memory: Killed process 41 ({}) total-vm:331220kB, anon-rss:208184kB\n"
    assert judged(text + killed.format("postgres")).outcome == "not-torch"
    assert [d.family for d in judged(killed.format("python3")).diagnoses] == ["memory.cpu"]


def test_a_warning_of_torchs_is_no_part_of_the_message() -> None:
    text = trace("loss.backward()", "torch.AcceleratorError: CUDA error: device-side assert triggered")
    report = judged(
        text
        + "[W1002 09:12:09.118827381 CUDAGuardImpl.h:119] Warning: CUDA warning: device-side assert triggered (function destroyEvent)\n"
    )
    assert report.evidence.failure is not None and report.evidence.failure.message == "CUDA error: device-side assert triggered"
