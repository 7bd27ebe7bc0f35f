"""Whole programs: what is said of their fixes."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from laboratory import Laboratory

from torchwhy.replay.fence import missing

pytestmark = pytest.mark.skipif(bool(missing()), reason="this platform has no fences")

TWO_FAULTS = """\
import torch
from torch import nn

torch.manual_seed(0)
first, second = nn.Linear(10, 30), nn.Linear(31, 4)
optimizer = torch.optim.SGD([*first.parameters(), *second.parameters()], lr=0.1)
for step in range(3):
    hidden = first(torch.rand(8, 12))
    loss = nn.functional.cross_entropy(second(hidden), torch.randint(4, (8,)))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
TRAIN = """\
import sys
sys.path.insert(0, "lib")
from parts.net import Net
import torch
assert sys.argv == ["train.py"]
print(Net()(torch.rand(2, 6)).shape)
"""
NET = """\
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 3)

    def forward(self, x):
        return self.fc(x)
"""
IN_A_PACKAGE = {"train.py": TRAIN, "lib/parts/__init__.py": "", "lib/parts/net.py": NET}
NEVER_AGAIN = """\
import os, torch
if not os.path.exists("mark.txt"):
    open("mark.txt", "w").close()
    torch.nn.Linear(3, 4)(torch.rand(2, 5))
"""


def _fixes(laboratory: Laboratory, files: dict[str, str]) -> list[dict[str, str]]:
    trial = laboratory.run(files, verify=True)
    assert trial.report is not None and trial.report["problems"] == [], trial.stderr
    return trial.report["diagnoses"][0]["fixes"]  # type: ignore[no-any-return]


def test_two_faults_are_mended_in_sequence(laboratory: Laboratory) -> None:
    best = _fixes(laboratory, {"main.py": TWO_FAULTS})[0]
    assert best["verified"] == "gone" and "; then " in best["title"]
    assert "+first, second = nn.Linear(12, 30), nn.Linear(30, 4)" in best["diff"]


def test_a_module_of_the_program_is_patched(laboratory: Laboratory) -> None:
    best = _fixes(laboratory, IN_A_PACKAGE)[0]
    assert (best["verified"], best["by"]) == ("gone", "run") and "nn.Linear(6, 3)" in best["diff"]


def test_what_does_not_come_again_is_not_verified(laboratory: Laboratory) -> None:
    best = _fixes(laboratory, {"main.py": NEVER_AGAIN})[0]
    assert (best["verified"], best["detail"]) == ("not-run", "run again, the program does not fail")


def test_the_files_of_the_user_stay(laboratory: Laboratory, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(TWO_FAULTS)
    laboratory.run_in(tmp_path, "main.py", verify=True)
    assert [file.name for file in tmp_path.iterdir()] == ["main.py"] and (tmp_path / "main.py").read_text() == TWO_FAULTS


def _command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "torchwhy", *words], cwd=folder, capture_output=True, text=True, timeout=120)


def test_fix_shows_and_writes(tmp_path: Path) -> None:
    script = tmp_path / "main.py"
    script.write_text("import torch\nprint(torch.nn.Linear(3, 4)(torch.rand(2, 5)).shape)\n")
    shown = _command(tmp_path, "fix", "main.py")
    assert shown.returncode == 0 and "+print(torch.nn.Linear(5, 4)" in shown.stdout and "Linear(3, 4)" in script.read_text()
    written = _command(tmp_path, "fix", "--quiet", "main.py", "--apply")
    assert written.returncode == 0 and "written: main.py" in written.stderr and "Linear(5, 4)" in script.read_text()
    again = _command(tmp_path, "fix", "main.py", "--apply")
    assert again.returncode == 0 and "nothing to fix" in again.stderr


def test_fix_without_an_answer(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("raise KeyError('x')\n")
    said = _command(tmp_path, "fix", "main.py", "--apply")
    assert said.returncode == 1 and "no fix is verified" in said.stderr and "KeyError: 'x'" in said.stderr


def test_all_ends_with_the_program(tmp_path: Path) -> None:
    """The program is killed while its early self waits: that one ends too."""
    (tmp_path / "main.py").write_text("import os, torch\nprint('here', flush=True)\nos.kill(os.getpid(), 9)\n")
    command = [sys.executable, "-m", "torchwhy", "run", str(tmp_path / "main.py")]
    assert subprocess.run(command, capture_output=True, text=True, timeout=60).stdout == "here\n"
    end = time.monotonic() + 5
    while _runs(str(tmp_path / "main.py")) and time.monotonic() < end:
        time.sleep(0.05)
    assert not _runs(str(tmp_path / "main.py"))


def _runs(word: str) -> bool:
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and word in (process / "cmdline").read_text():
                return True
        except OSError:
            continue
    return False
