"""Logs of several ranks: who failed first and why; what only followed from it."""

from __future__ import annotations

import io

from torchwhy.explain import explain
from torchwhy.model import Report
from torchwhy.render.terminal import text_of

WATCHDOG = (
    "[rank{0}]:[E ProcessGroupNCCL.cpp:616] [Rank {0}] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=9, OpType=ALLREDUCE, "
    "NumelIn=1, NumelOut=1, Timeout(ms)=600000) ran for 600001 milliseconds before timing out.\n"
)
PEER = '[rank{0}]: Traceback (most recent call last):\n[rank{0}]:   File "/w/a.py", line 14, in f\n[rank{0}]:     dist.all_reduce(z)\n[rank{0}]: RuntimeError: [../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.1.1.3]:4004\n'
SHAPES = "RuntimeError: The size of tensor a (40) must match the size of tensor b (44) at non-singleton dimension 1"
TABLE = """\
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
train.py FAILED
------------------------------------------------------------
Failures:
[1]:
  time      : 2023-10-02_11:00:00
  host      : n1
  rank      : 0 (local_rank: 0)
  exitcode  : -15 (pid: 19)
  error_file: <N/A>
  traceback : Signal 15 (SIGTERM) received by PID 19
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2023-10-02_10:59:58
  host      : n1
  rank      : 1 (local_rank: 1)
  exitcode  : 1 (pid: 20)
  error_file: {file}
  traceback : {traceback}
============================================================
"""


def _read(text: str) -> Report:
    report = explain(io.BytesIO(text.encode()))
    assert report.problems == ()
    return report


def _own(rank: int, error: str = SHAPES) -> str:
    mark = f"[rank{rank}]: "
    return f'{mark}Traceback (most recent call last):\n{mark}  File "/w/a.py", line 12, in f\n{mark}    z = a + b\n{mark}{error}\n'


def test_the_ranks_that_waited_are_consequences_wherever_they_stand() -> None:
    waited = "".join(WATCHDOG.format(r) for r in (0, 1, 2))
    for text in (_own(3) + waited, waited + _own(3), PEER.format(0) + _own(3) + waited, WATCHDOG.format(0) + _own(3) + PEER.format(1)):
        report = _read(text)
        assert report.diagnoses[0].family == "shape.broadcast" and report.diagnoses[0].cause.span.line == 12
        assert report.evidence.failure is not None and report.evidence.failure.rank == 3
        assert report.evidence.consequences
        said = text_of(report.diagnoses[0], report.evidence)
        assert "rank 3 failed first" in said and "because of it" in said


def test_interleaved_ranks_come_apart() -> None:
    one, two = _own(1).splitlines(), _own(2, "RuntimeError: mat1 and mat2 shapes cannot be multiplied (4x7 and 8x2)").splitlines()
    report = _read("\n".join(line for pair in zip(one, two) for line in pair) + "\n")
    assert [d.family for d in report.diagnoses[:2]] == ["shape.broadcast", "shape.matmul"]


def test_ranks_that_fail_alike_are_told_once() -> None:
    report = _read("".join(_own(r) for r in range(4)))
    assert len(report.diagnoses) == 1
    assert "ranks 0, 1, 2, 3 failed in the same way" in text_of(report.diagnoses[0], report.evidence)


def test_a_rank_of_the_programs_own_error_is_named() -> None:
    report = _read(_own(2, "KeyError: 'mask'") + "".join(WATCHDOG.format(r) for r in (0, 1)))
    assert report.outcome == "not-torch" and report.diagnoses == ()
    assert "rank 2" in report.remarks[0] and "mask" in report.remarks[0]


def test_a_watchdog_that_died_of_its_own_gpu_is_no_consequence() -> None:
    own = "[rank6]:[E ProcessGroupNCCL.cpp:1515] [PG 0 (default_pg) Rank 6] Process group watchdog thread terminated with exception: CUDA error: an illegal memory access was encountered\n"
    report = _read(WATCHDOG.format(0) + own + WATCHDOG.format(1))
    assert report.diagnoses[0].family == "cuda.launch"
    assert report.evidence.failure is not None and report.evidence.failure.rank == 6


def test_the_launchers_table_names_the_rank_and_may_hold_its_traceback() -> None:
    inner = 'Traceback (most recent call last):\n    File "train.py", line 44, in main\n      loss = F.cross_entropy(out, y)\n  ValueError: Expected input batch_size (16) to match target batch_size (12).\n'
    report = _read(TABLE.format(file="/tmp/e.json", traceback=inner))
    assert report.diagnoses[0].family in ("shape.batch-mismatch", "shape.loss-target")
    assert report.diagnoses[0].cause.span.line == 44
    assert report.evidence.failure is not None and report.evidence.failure.rank == 1
    bare = _read(TABLE.format(file="<N/A>", traceback="To enable traceback see: https://pytorch.org/docs/stable/elastic/errors.html"))
    assert bare.diagnoses == () and "rank 1" in bare.remarks[0]


def test_a_launcher_that_only_reports_is_never_the_cause() -> None:
    after = (
        "Traceback (most recent call last):\n  File \"/v/bin/accelerate\", line 8, in <module>\n    sys.exit(main())\nsubprocess.CalledProcessError: Command 'x' returned non-zero exit status 1.\n",
        "srun: error: n002: task 3: Exited with exit code 1\nslurmstepd: error: *** STEP 77.0 ON n001 CANCELLED AT 2024-01-01T10:00:00 ***\n",
        "[2024-03-03 03:03:03,103] [INFO] [launch.py:319:sigkill_handler] Killing subprocess 1201\n",
    )
    for launcher in after:
        assert _read(_own(3) + launcher).diagnoses[0].family == "shape.broadcast"


def test_the_first_exception_of_a_chain_is_the_answer() -> None:
    links = (
        "The above exception was the direct cause of the following exception:",
        "During handling of the above exception, another exception occurred:",
    )
    for link in links:
        text = f'Traceback (most recent call last):\n  File "a.py", line 3, in f\n    z = x + y\n{SHAPES}\n\n{link}\n\nTraceback (most recent call last):\n  File "b.py", line 9, in <module>\n    raise RuntimeError("training failed")\nRuntimeError: training failed\n'
        first = _read(text).diagnoses[0]
        assert (first.family, first.cause.span.line) == ("shape.broadcast", 3)


def test_several_failures_of_one_file_are_all_told() -> None:
    text = f'Traceback (most recent call last):\n  File "a.py", line 3, in f\n    z = x + y\n{SHAPES}\n$ python b.py\nTraceback (most recent call last):\n  File "b.py", line 5, in <module>\n    loss.backward()\nRuntimeError: grad can be implicitly created only for scalar outputs\n'
    assert [d.family for d in _read(text).diagnoses] == ["shape.broadcast", "autograd.nonscalar"]


def test_a_tail_that_was_cut_keeps_what_is_there() -> None:
    text = _own(3)
    for end in range(len(text) - 40, len(text)):
        _read(text[:end])
    assert _read(text[text.index("File") - 2 :]).diagnoses[0].family == "shape.broadcast"
