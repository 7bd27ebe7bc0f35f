"""Our own forks are met by nothing of the program's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from torchwhy.replay.fence import missing

pytestmark = pytest.mark.skipif(bool(missing()), reason="this platform has no fences")

_PROGRAM = """\
import atexit, os, signal
said = []
signal.signal(signal.SIGCHLD, lambda *_: said.append("child"))
os.register_at_fork(before=lambda: said.append("before"), after_in_parent=lambda: said.append("after"))
class Called:
    def __init__(self, name): self.name, self.really = name, getattr(os, name)
    def __call__(self, *given):
        os.write(1, b"called\\n")
        return self.really(*given)
os.fork, os._exit = Called("fork"), Called("_exit")
first = os.open("/dev/null", os.O_RDONLY)
import torch
second = os.open("/dev/null", os.O_RDONLY)
atexit.register(lambda: os.write(1, f"{said} {second - first}\\n".encode()))
for step in range(40):
    torch.nn.Linear(4 if step < 39 else 5, 2)(torch.ones(2, 4)).sum().backward()
"""


@pytest.mark.parametrize("options", [[], ["--no-verify"]])
def test_the_program_hears_of_no_fork_of_ours(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "prog.py").write_text(_PROGRAM)
    tool = str(Path(sys.executable).with_name("torchwhy"))

    def run(*command: str) -> str:
        return subprocess.run([*command, "prog.py"], cwd=tmp_path, capture_output=True, text=True, timeout=100).stdout

    assert run(tool, "run", *options) == run(sys.executable) == "[] 1\n"


def test_a_child_of_the_programs_that_ends_meanwhile_is_heard_of() -> None:
    code = """\
import os, signal, time
from torchwhy.replay.forking import fork, unnoticed
said = []
signal.signal(signal.SIGCHLD, lambda *_: said.append(1))
with unnoticed():
    ours = fork()
    if not ours: os._exit(0)
    os.waitpid(ours, 0)
assert said == []
with unnoticed():
    if not os.fork(): os._exit(0)
    time.sleep(0.3)
assert said == [1]
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == os.EX_OK
