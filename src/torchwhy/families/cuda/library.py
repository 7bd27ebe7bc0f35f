"""A CUDA library (cuBLAS, cuDNN, cuSPARSE, NCCL, an extension) failed, or could not be loaded.

Typical text (TW0804):

{example}

Why: the library's status names its own step, seldom the reason. `CUBLAS_STATUS_NOT_INITIALIZED` and `ALLOC_FAILED` mostly mean that GPU memory is full, or that an earlier kernel died of an index out of
range. A library that can't be opened, or an undefined symbol, means that two packages were built for different versions: another CUDA, another torch, or a second copy of the
library found first by `LD_LIBRARY_PATH`.

Fix: for a status, look at free memory first, then run on the CPU or with `CUDA_LAUNCH_BLOCKING=1` to see an earlier error. For loading, install builds that match (`pip list | grep -i -E "nvidia|torch"`),
and leave `LD_LIBRARY_PATH` empty, or let it name the one CUDA that the package was built for. `torchwhy env` lists what does not go together.

Messages: `CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling cublasCreate(handle)`; `cuDNN error: CUDNN_STATUS_EXECUTION_FAILED`; `Unable to find an engine to execute this computation`;
`libcudnn.so.9: cannot open shared object file`; `undefined symbol: _ZN3c10…`; `NCCL error … unhandled system error`; `CUDA Setup failed despite GPU being available` (bitsandbytes);
`operator torchvision::nms does not exist`.

Not to be confused with: `memory.cuda`, `cuda.assert`, `dist.collective` (a NCCL time-out).
"""

from __future__ import annotations

import re

from ...family import Family, LogExample, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix
from ...reason.libraries import STATUSES, loading, nccl
from ...reason.printed import around, find
from ...reason.reading import reading
from ...reason.wording import code, first_fitting


class Library(Family):
    code = "TW0804"
    title = "a CUDA library failed or could not be loaded"
    triggers = (
        Trigger(
            r"(?P<status>(?:CUBLAS|CUDNN|CUSPARSE|CUSOLVER|CUFFT|CURAND)_(?:STATUS_)?[A-Z_]+)(?:.*?when calling [`\"']?(?P<call>\w+))?"
        ),
        Trigger(
            r"[Uu]nable to find (?:a valid cuDNN|an) (?:algorithm|engine)|no engine|cuDNN version incompatib|(?P<mismatch>compiled\s{1,20}against.{0,400}?but found runtime version)"
        ),
        Trigger(
            r"(?P<file>lib(?:cu|nv|nccl|torch|c10|caffe2)[\w.+-]{0,80}\.so[\w.]{0,40}|[\w.-]{0,80}(?:torch|c10|cudnn|cublas|nvrtc|fbgemm|shm|caffe2)[\w.-]{0,80}\.dll)"
        ),
        Trigger(r"undefined symbol: (?P<symbol>\w*(?:c10|at|torch|cuda|cublas|nccl|cudnn|nvJitLink|iJIT)\w*)"),
        Trigger(
            r"CUDA Setup failed|(?P<extension>operator torchvision::\w+ does not exist)|compiled with different CUDA|detected CUDA version .* mismatches"
        ),
        Trigger(r"(?P<nccl>nccl\w{1,40}Error|NCCL (?:error|Error|failure)\b.*)"),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        text = around(evidence)
        groups = match.groupdict()
        if groups.get("status"):
            headline, notes, fix = self._status(groups["status"], groups.get("call") or "")
        elif groups.get("nccl"):
            headline, notes, fix = nccl(run.failure.message)
        elif re.search(r"engine|incompatib|compiled\s+against", match[0]):
            versions = find(r"compiled\s+against\s+\(?([\d., ]+)\)?\s+but found runtime version\s+\(?([\d., ]+)", run.failure.message)
            headline = "the cuDNN that is loaded is not the one PyTorch was built with" if versions else "cuDNN has no way to run this call"
            notes = [
                versions
                or "no engine for these sizes, this dtype and the free memory: another cuDNN on `LD_LIBRARY_PATH`, full memory, or a dtype that the GPU does not know"
            ]
            fix = "remove other copies of cuDNN from LD_LIBRARY_PATH; leave memory for its workspace"
        else:
            headline, notes, fix = loading(run.failure, text)
        return run.diagnosis(
            self,
            first_fitting(headline),
            run.raised,
            "",
            notes=notes,
            fixes=[Fix(fix, (), "display-only")],
            confidence=Confidence.LIKELY,
        )

    def _status(self, status: str, call: str) -> tuple[str, list[str], str]:
        library = {
            "CUBLAS": "cuBLAS",
            "CUDNN": "cuDNN",
            "CUSPARSE": "cuSPARSE",
            "CUSOLVER": "cuSOLVER",
            "CUFFT": "cuFFT",
            "CURAND": "cuRAND",
        }[status.partition("_")[0]]
        word = re.sub(r"^[A-Z]+_(?:STATUS_)?", "", status)
        why = next(
            (reason for name, reason in STATUSES.items() if name in word), "the library's own step failed; the reason lies before it"
        )
        notes = [why, f"the status is {code(status)}" + (f" from {code(call)}" if call else "")]
        notes.append(
            "errors on the GPU come up late: an earlier kernel's failure (an index or label out of range) shows here too; `CUDA_LAUNCH_BLOCKING=1` or a run on the CPU shows it"
        )
        return (
            f"{library} answers {word.lower().replace('_', ' ')}" + (f" in {code(call)}" if call else ""),
            notes,
            "look at the free GPU memory (nvidia-smi), then run the step on the CPU or with CUDA_LAUNCH_BLOCKING=1",
        )

    log_examples = (
        LogExample(
            """\
Traceback (most recent call last):
  File "lm.py", line 30, in forward
    q = self.query(h)
  File "/opt/env/lib/python3.10/site-packages/torch/nn/modules/linear.py", line 117, in forward
    return F.linear(input, self.weight, self.bias)
RuntimeError: CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`
""",
            says=("cuBLAS", "memory", "index", "self.query"),
            cause="lm.py:30",
        ),
        LogExample(
            """\
Traceback (most recent call last):
  File "train.py", line 3, in <module>
    import torchaudio
  File "/opt/env/lib/python3.10/site-packages/torchaudio/_extension/__init__.py", line 38, in <module>
    _load_lib("libtorchaudio")
OSError: /opt/env/lib/python3.10/site-packages/torchaudio/lib/libtorchaudio.so: undefined symbol: _ZN3c1017RegisterOperatorsD1Ev
""",
            says=("torchaudio", "another version", "install"),
            cause="train.py:3",
        ),
    )
    log_near_misses = (
        LogExample(
            'Traceback (most recent call last):\n  File "a.py", line 1, in <module>\n    import PIL\nImportError: libtiff.so.5: cannot open shared object file\n'
        ),
    )
