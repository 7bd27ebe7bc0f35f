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
    "batch normalisation under DDP": Told(
        "model = DistributedDataParallel(net)  # UserWarning: Error detected in NativeBatchNormBackward0",
        trace(
            "(a + b).backward()",
            "RuntimeError: one of the variables needed for gradient computation has been modified by an inplace operation: [torch.FloatTensor [9]] is at version 3; expected version 2 instead.",
        ),
        "autograd.inplace-saved",
        ("broadcast_buffers=False", "running_mean"),
    ),
    "a GPU that a server fills": Told(
        "|    0   N/A  N/A     7121      C   python serve.py                            22980MiB |",
        trace("y = net(x)", "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        "cuda.library",
        ("7121", "22980MiB", "gpu_memory_utilization"),
    ),
    "a cache of keys and values": Told(
        "generating, max_new_tokens=9000, past_key_values on the GPU",
        trace(
            "out = lm.generate(**prompt)",
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 200.00 MiB. GPU 0 has a total capacity of 15.00 GiB of which 100.00 MiB is free. "
            "Of the allocated memory 14.00 GiB is allocated by PyTorch, and 100.00 MiB is reserved by PyTorch but unallocated.",
        ),
        "memory.cuda",
        ("`max_new_tokens` 9000", "KV cache", "offloaded or quantized"),
    ),
    "two shapes that broadcast": Told(
        "scores torch.Size([30000, 1]) truth torch.Size([30000])",
        trace(
            "error = (scores - truth).abs()",
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 3.35 GiB. GPU 0 has a total capacity of 2.00 GiB of which 1.90 GiB is free.",
        ),
        "memory.cuda",
        ("[30000]", "broadcasts to [30000, 30000]", "squeeze"),
    ),
    "headers that are missing": Told(
        "/tmp/tmpx1/main.c:5:10: fatal error: Python.h: No such file or directory, -I/usr/include/python3.12",
        trace(
            "y = net(x)",
            "torch._dynamo.exc.BackendCompilerFailed: backend='inductor' raised:\nCalledProcessError: Command '['/usr/bin/gcc']' returned non-zero exit status 1.",
        ),
        "compile.backend",
        ("development headers", "python3.12-dev"),
    ),
    "logits where probabilities are taken": Told(
        "../aten/src/ATen/native/cuda/Loss.cu:94: operator(): block: [0,0,0], thread: [9,0,0] Assertion `input_val >= zero && input_val <= one` failed.",
        trace("loss.backward()", f"RuntimeError: CUDA error: device-side assert triggered\n{CUDA}"),
        "cuda.assert",
        ("sigmoid", "BCEWithLogitsLoss"),
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
    assert "rank 1 is not among those that timed out" in said(report) and "exporting samples" in said(report)
    everyone = judged("".join(wait.format(r=r) for r in range(4)))
    assert "not among those" not in said(everyone)


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


FINGER = "CollectiveFingerPrint(SequenceNumber=7, OpType={}, TensorShape=[{}], TensorDtypes=Float, TensorDeviceTypes=TensorOptions(dtype=float (default), device=cuda))"


def test_two_ranks_in_different_calls() -> None:
    error = f"RuntimeError: Detected mismatch between collectives on ranks. Rank 0 is running collective: {FINGER.format('ALLGATHER', 4)}, but Rank 3 is running collective: {FINGER.format('BARRIER', '')}."
    report = judged(trace("dist.all_gather(parts, x)", error))
    assert report.diagnoses[0].headline == "rank 0 is in ALLGATHER of [4] while rank 3 is in BARRIER of []"


def test_the_rank_with_a_traceback_goes_before_the_launchers_table() -> None:
    text = "".join(
        f"[default1]:{line}\n"
        for line in trace(
            "net = DDP(net)",
            "RuntimeError: [1]: params[0] in this process with shape [12, 4] appears not to match sizes of the same param in process 0.",
        ).splitlines()
    )
    text += "[default0]:terminate called after throwing an instance of 'std::runtime_error'\n"
    text += "Root Cause (first observed failure):\n[0]:\n  rank      : 0 (local_rank: 0)\n  exitcode  : -6 (pid: 20)\n  traceback : Signal 6 (SIGABRT) received by PID 20\n"
    report = judged(text)
    assert report.diagnoses[0].family == "dist.ddp" and "rank 1" in said(report) and "[12, 4]" in said(report)


def test_a_job_that_its_scheduler_ended() -> None:
    text = "step 40 loss 1.9\nslurmstepd: error: *** JOB 88 ON n4 CANCELLED AT 2025-01-01T10:00:00 DUE TO TIME LIMIT ***\n"
    text += trace("sys.exit(main())", "torch.distributed.elastic.multiprocessing.api.SignalException: Process 11 got signal: 15")
    report = judged(text)
    assert report.outcome == "not-torch" and report.diagnoses == () and "time limit" in report.remarks[0]
    failed = judged(trace("y = a @ b", "RuntimeError: mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)") + text)
    assert failed.diagnoses[0].family.startswith("shape.")


def test_an_override_that_a_newer_framework_calls() -> None:
    text = """\
Traceback (most recent call last):
  File "/data/job/fit.py", line 31, in <module>
    trainer.train()
  File "/env/lib/python3.11/site-packages/transformers/trainer.py", line 3698, in training_step
    loss = self.compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)
TypeError: Weighted.compute_loss() got an unexpected keyword argument 'num_items_in_batch'
"""
    report = judged(text)
    assert report.diagnoses[0].family == "module.forward-args" and "num_items_in_batch=None" in said(report)
    own = judged(text.replace("/env/lib/python3.11/site-packages/transformers/trainer.py", "/data/job/loop.py"))
    assert own.outcome == "not-torch"


@pytest.mark.parametrize(
    ("words", "family"),
    [
        ("mat1 and mat2 shapes cannot be multiplied (6x5 and 4x3)", "shape.matmul"),
        (
            "Given groups=1, weight of size [8, 3, 3, 3], expected input[1, 4, 9, 9] to have 3 channels, but got 4 channels instead",
            "shape.conv-channels",
        ),
        ("my run says: element 0 of tensors does not require grad and does not have a grad_fn. help?", "autograd.no-grad-fn"),
        ("Unable to load any of {libcudnn_ops.so.9.1.0, libcudnn_ops.so.9}", "cuda.library"),
    ],
)
def test_the_words_alone(words: str, family: str) -> None:
    report = judged(f"hello,\n\n{words}\n")
    assert report.diagnoses[0].family == family and report.diagnoses[0].confidence.value != "certain"


def test_words_of_no_error() -> None:
    assert judged("epoch 3, loss 0.2, all tensors on cuda:0\ndone\n").outcome == "passed"
