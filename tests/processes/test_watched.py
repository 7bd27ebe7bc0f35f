"""Processes that a program starts by its own hand: the first failure is diagnosed, with its evidence; everything else is left alone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="gloo's file store and fork")

RANKS = """\
import os
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn

WIDTH = 24


class Scorer(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.encode = nn.Linear(6, 18)
        self.decide = nn.Linear(inner, 3)

    def forward(self, rows):
        return self.decide(self.encode(rows).tanh())


def work(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2, timeout=timedelta(seconds=30))
    scorer = Scorer(18 if rank == 0 else WIDTH)
    for _ in range(3):
        scorer(torch.ones(5, 6)).sum().backward()
        for parameter in scorer.parameters():
            dist.all_reduce(parameter.grad)
    dist.destroy_process_group()
"""
BY_HAND = """\
import sys
import tempfile

import torch.multiprocessing as mp
from ranks import work

if __name__ == "__main__":
    context = mp.get_context("{method}")
    folder = tempfile.mkdtemp()
    started = [context.Process(target=work, args=(rank, folder)) for rank in range(2)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    {then}
"""
PROGRAMS = """\
import os
import subprocess
import sys
import tempfile

folder = tempfile.mkdtemp()
ranks = [
    subprocess.Popen([sys.executable, "-u", "rank.py", folder], env={**os.environ, "RANK": str(rank)}, cwd="jobs") for rank in range(2)
]
sys.exit(max(rank.wait() for rank in ranks))
"""
RANK = """\
import os
import sys

sys.path.insert(0, "..")
from ranks import work

work(int(os.environ["RANK"]), sys.argv[1])
"""


def run(
    folder: Path, files: dict[str, str], *arguments: str, program: tuple[str, ...] = ("main.py",)
) -> tuple[dict[str, Any], subprocess.CompletedProcess[str]]:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    env = dict(os.environ, OMP_NUM_THREADS="1", TMPDIR=str(scratch), NO_COLOR="1")
    command = [sys.executable, "-m", "torchwhy", "run", "--report", "report.json", *arguments, *program]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120)
    assert not list(scratch.glob("torchwhy-*")), "what was told is still there"
    return json.loads((folder / "report.json").read_text()), done


def blamed(report: dict[str, Any]) -> tuple[str, str, int]:
    first = report["diagnoses"][0]
    return first["family"], first["cause"]["file"], first["cause"]["line"]


ENDS_ALIKE = "sys.exit(max(process.exitcode for process in started))"
ASSERTS = "assert not any(p.exitcode for p in started)"


@pytest.mark.parametrize(
    ("method", "then"), [("fork", ENDS_ALIKE), ("fork", "pass"), ("spawn", ASSERTS), ("spawn", "pass"), ("forkserver", ENDS_ALIKE)]
)
def test_ranks_started_by_hand(tmp_path: Path, method: str, then: str) -> None:
    report, done = run(tmp_path, {"ranks.py": RANKS, "main.py": BY_HAND.format(method=method, then=then)}, "--no-verify")
    assert blamed(report) == ("shape.linear", "ranks.py", 8)
    assert done.returncode == report["exit_code"] == (then != "pass")
    said = report["diagnoses"][0]["rendered"]
    assert "rank 1 failed first" in said and "`scorer.decide`" in said and "rank 0: RuntimeError" in said
    assert report["outcome"] == "failed" and report["problems"] == []
    assert done.stderr.count("Traceback (most recent call last)") == (3 if "assert" in then else 2)


def test_ranks_as_programs(tmp_path: Path) -> None:
    report, done = run(tmp_path, {"ranks.py": RANKS, "main.py": PROGRAMS, "jobs/rank.py": RANK})
    assert blamed(report) == ("shape.linear", "ranks.py", 8) and done.returncode == 1
    assert "rank 1 failed first" in report["diagnoses"][0]["rendered"]
    assert {fix["verified"] for fix in report["diagnoses"][0]["fixes"]} == {"not-run"}


def test_ranks_of_torchrun(tmp_path: Path) -> None:
    files = {"ranks.py": RANKS, "main.py": "import os\nfrom ranks import work\nwork(int(os.environ['RANK']), os.environ['TMPDIR'])\n"}
    program = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "main.py")
    report, done = run(tmp_path, files, "--no-verify", program=program)
    assert blamed(report) == ("shape.linear", "ranks.py", 8) and done.returncode == 1
    assert "ChildFailedError" in done.stderr and report["diagnoses"][0]["trail"][-1]["file"] == "ranks.py"


def test_ranks_of_spawn(tmp_path: Path) -> None:
    """The parent may hear of rank 0 first, which only waited."""
    main = "import os, torch.multiprocessing as mp\nfrom ranks import work\nif __name__ == '__main__':\n    mp.spawn(work, (os.environ['TMPDIR'],), 2)\n"
    for _ in range(2):
        report, _ = run(tmp_path, {"ranks.py": RANKS, "main.py": main}, "--no-verify")
        assert blamed(report) == ("shape.linear", "ranks.py", 8)
        (tmp_path / "scratch" / "store").unlink(missing_ok=True)


def test_a_fix_is_run_with_all_ranks(tmp_path: Path) -> None:
    report, _ = run(tmp_path, {"ranks.py": RANKS, "main.py": BY_HAND.format(method="spawn", then="pass")})
    fixes = {fix["title"]: fix["verified"] for fix in report["diagnoses"][0]["fixes"]}
    if "not-run" in fixes.values():
        pytest.skip("no process may have a network of its own here")
    assert fixes == {"build `scorer.decide` with in_features=18": "gone", "build `scorer.encode` with out_features=24": "same"}


def test_a_late_failure_of_a_process(tmp_path: Path) -> None:
    text = """\
import multiprocessing

import torch

LATE = 60


def train():
    net = torch.nn.Linear(4, 4)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for step in range(1000):
        rows = torch.ones(2, 4)
        if step == LATE:
            rows = rows.double()
        optimizer.zero_grad()
        net(rows).sum().backward()
        optimizer.step()


process = multiprocessing.get_context("fork").Process(target=train)
process.start()
process.join()
raise RuntimeError("training failed")
"""
    report, _ = run(tmp_path, {"main.py": text}, "--no-verify")
    assert blamed(report) == ("dtype.mismatch", "main.py", 14)


def test_what_the_parent_built_is_known(tmp_path: Path) -> None:
    text = """\
import multiprocessing

from torch import nn, ones

net = nn.Sequential(nn.Flatten(), nn.Linear(30, 2))
process = multiprocessing.get_context("fork").Process(target=lambda: net(ones(3, 4, 8)))
process.start()
process.join()
raise SystemExit(process.exitcode)
"""
    report, _ = run(tmp_path, {"main.py": text}, "--no-verify")
    assert blamed(report) == ("shape.linear", "main.py", 5)


@pytest.mark.parametrize("pool", ["context.Pool(2)", "futures.ProcessPoolExecutor(2, mp_context=context)"])
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_pools_worker(tmp_path: Path, method: str, pool: str) -> None:
    text = f"""\
import multiprocessing
from concurrent import futures

import torch


def overlap(size):
    return torch.ones(2, size) @ torch.ones(5, 2)


if __name__ == "__main__":
    context = multiprocessing.get_context({method!r})
    with {pool} as pool:
        list(pool.map(overlap, [5, 5, 6]))
"""
    report, _ = run(tmp_path, {"main.py": text}, "--no-verify")
    assert blamed(report) == ("shape.matmul", "main.py", 8)


ENDED = """\
import os, signal, sys
from datetime import timedelta
import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def share(rank, folder):
    dist.init_process_group("gloo", init_method=f"file://{{folder}}/store", rank=rank, world_size=2, timeout=timedelta(seconds=20))
    part = torch.ones(4 + {more})
    try:
        dist.all_reduce(part)
    except RuntimeError:
        sys.exit(0)
    if rank == 1:
        os.kill(os.getpid(), signal.{signal})


if __name__ == "__main__":
    context = mp.get_context({method!r})
    started = [context.Process(target=share, args=(rank, os.environ["TMPDIR"])) for rank in range(2)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    sys.exit(any(process.exitcode for process in started))
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_process_that_gloo_ended(tmp_path: Path, method: str) -> None:
    report, _ = run(tmp_path, {"main.py": ENDED.format(more="rank", signal="SIGKILL", method=method)}, "--no-verify")
    assert blamed(report) == ("dist.collective", "main.py", 10) and "SIGABRT" in report["diagnoses"][0]["rendered"]


def test_a_process_that_the_system_ended(tmp_path: Path) -> None:
    report, _ = run(tmp_path, {"main.py": ENDED.format(more="1", signal="SIGKILL", method="fork")}, "--no-verify")
    assert blamed(report)[0] == "memory.cpu" and report["diagnoses"][0]["confidence"] == "possible"


def test_a_process_that_was_asked_to_end(tmp_path: Path) -> None:
    report, _ = run(tmp_path, {"main.py": ENDED.format(more="1", signal="SIGTERM", method="fork")}, "--no-verify")
    assert report["diagnoses"] == []


# ── what is to be left alone ──────────────────────────────────────────────────────────────────────────────────────────
HANDLED = """\
import multiprocessing
import subprocess
import sys

import torch


def fail():
    torch.ones(2, 3) @ torch.ones(2, 3)


def try_it():
    try:
        fail()
    except RuntimeError:
        print("caught")


if len(sys.argv) > 1:
    fail()
{start}
{then}
"""
ONE = "process = multiprocessing.get_context('fork').Process(target={target})\nprocess.start()\nprocess.join()"
PROGRAM = "subprocess.run([sys.executable, 'main.py', 'again'])"


@pytest.mark.parametrize(
    ("start", "then", "outcome"),
    [
        (ONE.format(target="try_it"), "", "passed"),
        (PROGRAM, "print('it failed, as it should')", "passed"),
        (PROGRAM, "{}['missing']", "not-torch"),
        (ONE.format(target="fail"), "{}['missing']", "not-torch"),
        (ONE.format(target="lambda: {}['missing']"), "", "passed"),
        (ONE.format(target="lambda: {}['missing']"), "sys.exit(1)", "not-torch"),
        (ONE.format(target="sys.exit"), "sys.exit(3)", "passed"),
    ],
)
def test_nothing_is_said(tmp_path: Path, start: str, then: str, outcome: str) -> None:
    report, _ = run(tmp_path, {"main.py": HANDLED.format(start=start, then=then)})
    assert report["diagnoses"] == []
    assert report["outcome"] == ("failed" if outcome == "passed" and "exit(3)" in then else outcome)


def test_the_parents_own_failure_is_the_answer(tmp_path: Path) -> None:
    then = "torch.zeros(4).view(3)"
    report, _ = run(tmp_path, {"main.py": HANDLED.format(start=ONE.format(target="fail"), then=then)}, "--no-verify")
    assert report["failure"]["message"].startswith("shape '[3]' is invalid") or blamed(report)[0] == "shape.matmul"


SEEN = """\
import multiprocessing
import os
import subprocess
import sys
import traceback


def show():
    print(sys.argv, sys.path, sorted(sys.modules["__main__"].__dict__), __name__, flush=True)
    try:
        {{}}["missing"]
    except KeyError:
        print(traceback.format_exc(), flush=True)


if __name__ == "__main__":
    {lines}
"""


@pytest.mark.parametrize(
    "lines",
    [
        'p = multiprocessing.get_context("fork").Process(target=show); p.start(); p.join()',
        'p = multiprocessing.get_context("spawn").Process(target=show); p.start(); p.join()',
        'p = multiprocessing.get_context("forkserver").Process(target=show); p.start(); p.join()',
        'subprocess.run([sys.executable, "-W", "ignore", "-u", "seen.py", "a", "--report", "b"], check=True)',
        'subprocess.run([sys.executable, "-m", "seen", "-m", "x"], check=True)',
        'subprocess.run([sys.executable, "-c", "import seen; seen.show()"], check=True)',
        'subprocess.run([sys.executable, "missing.py"])',
        'p = subprocess.Popen([sys.executable, "seen.py"]); print(p.args, p.wait())',
        "subprocess.run(['/no/such/program'])",
        "try: subprocess.run(['/no/such/program'])\n    except OSError: print(traceback.format_exc())",
    ],
)
@pytest.mark.parametrize("first", ["", "import torch\n"], ids=["", "torch"])
def test_it_is_as_without_us(tmp_path: Path, lines: str, first: str) -> None:
    if first and "Process" not in lines and "except" not in lines:
        pytest.skip("the same without torch, and that is faster")
    (tmp_path / "main.py").write_text(first + SEEN.format(lines=lines))
    (tmp_path / "seen.py").write_text("import sys\n" + SEEN.format(lines="show(); sys.exit(3)").replace("show(); ", "show()\n    "))
    plain, ours = (
        subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1"), timeout=120
        )
        for command in ([sys.executable, "main.py"], [sys.executable, "-m", "torchwhy", "run", "main.py"])
    )
    assert (ours.returncode, ours.stdout) == (plain.returncode, plain.stdout)
    assert ours.stderr.startswith(plain.stderr)


def test_a_broken_word_is_told_as_a_problem(tmp_path: Path) -> None:
    text = """\
import multiprocessing, os, tempfile, time

def spoil():
    folder = [n for n in os.listdir(tempfile.gettempdir()) if n.startswith("torchwhy-")][0]
    open(os.path.join(tempfile.gettempdir(), folder, "1.json"), "w").write('{"at": "now"')
    raise ValueError

def fail():
    raise ValueError

context = multiprocessing.get_context("fork")
for target in (fail, spoil):
    process = context.Process(target=target)
    process.start()
    process.join()
raise RuntimeError("both failed")
"""
    report, done = run(tmp_path, {"main.py": text})
    assert report["outcome"] == "not-torch" and len(report["problems"]) == 1
    assert re.search("can't be read: JSONDecodeError", report["problems"][0])
    assert "RuntimeError: both failed" in done.stderr
