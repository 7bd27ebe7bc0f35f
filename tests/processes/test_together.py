"""What the evidence of several ranks says together that the one of a single rank does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from test_watched import blamed, run

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="gloo's file store and fork")

HEAD = """\
import os
from datetime import timedelta

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn.parallel import DistributedDataParallel


def join(rank, world=2, seconds=4):
    torch.set_num_threads(1)
    where = f"file://{os.environ['TMPDIR']}/store"
    dist.init_process_group("gloo", init_method=where, rank=rank, world_size=world, timeout=timedelta(seconds=seconds))


"""
TAIL = """

if __name__ == "__main__":
    mp.start_processes(work, nprocs=2, start_method="fork")
"""


def both(folder: Path, body: str, *options: str) -> dict[str, object]:
    report, _ = run(folder, {"main.py": HEAD + body + TAIL}, *(options or ("--no-verify",)))
    return report


def line_of(body: str, text: str) -> int:
    return next(n for n, line in enumerate((HEAD + body + TAIL).splitlines(), 1) if text in line)


LEAVES = """\
class Descent:
    def __init__(self, rank):
        self.rank, self.value = rank, torch.tensor([8.0 / (rank + 1)])

    def share(self):
        dist.all_reduce(self.value)

    def sweep(self):
        for _ in range(6):
            self.value = self.value / 2
            if {test}:
                break
            dist.barrier()
            self.share() if self.value < 0 else None


def finish():
    dist.broadcast(torch.ones(1), src=0)


def work(rank):
    join(rank)
    Descent(rank).sweep()
    finish()
    dist.destroy_process_group()
"""


BY_HAND = """

if __name__ == "__main__":
    ranks = [mp.Process(target=work, args=(rank,)) for rank in range(2)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join()
    assert not any(rank.exitcode for rank in ranks)
"""


def test_one_rank_leaves_the_loop(tmp_path: Path) -> None:
    body = LEAVES.format(test="self.value.item() < 1.5")
    report, _ = run(tmp_path, {"main.py": HEAD + body + BY_HAND}, "--no-verify")
    assert blamed(report) == ("dist.collective", "main.py", line_of(body, "< 1.5"))
    said = report["diagnoses"][0]["rendered"]
    assert "dist.barrier()" in said and "dist.broadcast()" in said and "different calls" in said


def test_the_other_rank_was_ended(tmp_path: Path) -> None:
    """`start_processes` ends the others when one fails: what they waited for is not known."""
    body = LEAVES.format(test="self.value.item() < 1.5")
    report = both(tmp_path, body)
    assert blamed(report)[0] == "dist.collective"
    if blamed(report)[2] == line_of(body, "dist.barrier"):  # told by the rank that is in the loop, not by the one that left it
        said = " ".join(report["diagnoses"][0]["rendered"].split())
        assert f"left at main.py:{line_of(body, '< 1.5')} where" in said


def test_all_ranks_leave_it_together(tmp_path: Path) -> None:
    """The look-alike: the same loop, and one rank that ends afterwards."""
    body = LEAVES.format(test="self.value.item() < 0.001").replace("    finish()\n", "    if rank == 0:\n        finish()\n")
    report = both(tmp_path, body)
    assert blamed(report)[2] == line_of(body, "        finish()") and "leaves the loop" not in report["diagnoses"][0]["rendered"]


@pytest.mark.parametrize(
    ("made", "told"),
    [("torch.unique(torch.arange(6) % (3 + rank))", True), ("torch.ones(5)[: 4 + torch.initial_seed() % 1 + flag]", False)],
)
def test_what_the_collective_is_given(tmp_path: Path, made: str, told: bool) -> None:
    body = f"""\
def work(rank):
    join(rank)
    flag = int(os.getpid() != int(os.environ.setdefault("FIRST", str(os.getpid()))) or rank)
    kinds = {made}
    dist.all_reduce(kinds)
"""
    report = both(tmp_path, body)
    assert blamed(report) == ("dist.collective", "main.py", line_of(body, "kinds ="))
    assert ("size depends on the values" in report["diagnoses"][0]["rendered"]) == told or "rank" in made


HEADS = """\
class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Linear(4, 4)
        self.ends = nn.ModuleDict({"near": nn.Linear(4, 1), "far": nn.Linear(4, 2)})

    def forward(self, rows, end):
        return self.ends[end](self.trunk(rows))


def work(rank):
    join(rank)
    heads = DistributedDataParallel(Heads())
    for end in ("near", "far", "near"):
        heads(torch.ones(3, 4), end).sum().backward()
"""


def test_unused_parameters_have_names(tmp_path: Path) -> None:
    report = both(tmp_path, HEADS)
    assert blamed(report) == ("dist.ddp", "main.py", line_of(HEADS, "DistributedDataParallel(Heads"))
    assert "`ends.far.weight` and 1 more get no gradient" in report["diagnoses"][0]["headline"]


def test_a_group_that_is_set_up_for_some(tmp_path: Path) -> None:
    body = """\
def begin(rank, kind):
    if kind == "train":
        join(rank)


def work(rank):
    begin(rank, "test")
    dist.all_reduce(torch.ones(2))
"""
    inside = HEAD.replace("    where", '    if os.environ.get("KIND") == "train":\n        pass\n    where')
    report, _ = run(tmp_path, {"main.py": inside + body + TAIL}, "--no-verify")
    assert blamed(report)[0] == "dist.init"  # the condition is around a call of a function that sets it up: it is not blamed
    direct = body.replace("join(rank)", 'dist.init_process_group("gloo", rank=rank, world_size=2)')
    text = HEAD.partition("def join")[0] + direct + TAIL
    report, _ = run(tmp_path, {"main.py": text}, "--no-verify")
    assert blamed(report) == ("dist.init", "main.py", text.splitlines().index('    if kind == "train":') + 1)


def test_the_world_is_larger_than_those_that_came(tmp_path: Path) -> None:
    body = """\
def work(rank):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=os.environ["PORT"], RANK=str(rank), WORLD_SIZE="3")
    dist.init_process_group("gloo", timeout=timedelta(seconds=2))
"""
    start = 'import socket\nwith socket.socket() as s:\n    s.bind(("127.0.0.1", 0))\n    os.environ["PORT"] = str(s.getsockname()[1])\n'
    text = HEAD + body + TAIL.replace("    mp.start", "".join(f"    {line}\n" for line in start.splitlines()) + "    mp.start")
    text = text.replace("mp.start_processes(work, nprocs=2", "mp.start_processes(work, nprocs=2, join=True")
    report, _ = run(tmp_path, {"main.py": text}, "--no-verify")
    assert report["diagnoses"][0]["family"] == "dist.init"
    if "2 of 3 processes" in report["diagnoses"][0]["headline"]:  # rank 0, which counts, may be ended before it could say so
        assert "within 2 s" in report["diagnoses"][0]["rendered"] or "within" not in report["diagnoses"][0]["rendered"]
    assert "within 2000 s" not in report["diagnoses"][0]["rendered"]


SKIPS = """\
import random


class Stack(nn.Module):
    def __init__(self):
        super().__init__()
        self.cells = nn.ModuleList(nn.Linear(3, 3) for _ in range(6))

    def forward(self, x):
        for cell in self.cells:
            if random.random() < 0.5:
                continue
            x = cell(x)
        return x


def work(rank):
    join(rank)
    random.seed(3)
    net = DistributedDataParallel(Stack())
    for _ in range(6):
        (net(torch.ones(2, 3)) + 0 * sum(p.sum() for p in net.module.cells[0].parameters())).sum().backward()
"""


def test_layers_that_a_loop_leaves_out(tmp_path: Path) -> None:
    report = both(tmp_path, SKIPS)
    best = report["diagnoses"][0]  # type: ignore[index]
    assert blamed(report) == ("dist.ddp", "main.py", line_of(SKIPS, "random.random() < 0.5")), best["rendered"]


FREEZES = """\
def work(rank):
    join(rank)
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
    if os.path.exists(f"{os.environ['TMPDIR']}/weights-{rank}"):
        net[0].requires_grad_(False)
    if rank == 0:
        print(len(list(net.parameters())))
    net = DistributedDataParallel(net)
"""


def test_parameters_frozen_on_one_rank(tmp_path: Path) -> None:
    body = FREEZES.replace(
        "    net = nn.Seq", "    if rank:\n        open(f\"{os.environ['TMPDIR']}/weights-{rank}\", 'w').close()\n    net = nn.Seq"
    )
    report = both(tmp_path, body)
    best = report["diagnoses"][0]  # type: ignore[index]
    assert blamed(report) == ("dist.ddp", "main.py", line_of(body, "if os.path.exists")), best["rendered"]
    assert "trains 2" in best["headline"] and "trains 4" in best["headline"]


TWICE = """\
from torch.utils.checkpoint import checkpoint


class Repeated(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.cell = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x):
        x = self.first(x)
        for _ in range(2):
            x = checkpoint(self.cell, x, use_reentrant=True)
        return x


def work(rank):
    join(rank)
    net = DistributedDataParallel(Repeated())
    net(torch.ones(2, 3)).sum().backward()
"""


def test_a_reentrant_checkpoint(tmp_path: Path) -> None:
    report = both(tmp_path, TWICE)
    best = report["diagnoses"][0]  # type: ignore[index]
    assert blamed(report) == ("dist.ddp", "main.py", line_of(TWICE, "use_reentrant=True")), best["rendered"]


OUTSIDE = """\
def work(rank):
    join(rank)
    workers = dist.new_group([1])
    if rank == 1:
        dist.broadcast(torch.ones(2), src=0, group=workers)
"""


def test_a_rank_outside_of_its_group(tmp_path: Path) -> None:
    report = both(tmp_path, OUTSIDE)
    best = report["diagnoses"][0]  # type: ignore[index]
    assert blamed(report) == ("dist.collective", "main.py", line_of(OUTSIDE, "src=0")), best["rendered"]
    assert "dist.new_group([1])" in best["rendered"]
