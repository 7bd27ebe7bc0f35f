"""Which command lines are programs of the user's, and where in them the program stands."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from torchwhy.processes.commands import watched


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "job.py").write_text("")
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "__init__.py").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "flags"),
    [
        (["job.py"], []),
        (["-u", "job.py", "--x", "-m"], ["-u"]),
        (["-uB", "-W", "ignore", "-Xdev", "job.py"], ["-uB", "-W", "ignore", "-Xdev"]),
        (["-m", "jobs.train", "-u"], []),
        (["-u", "-m", "torch.distributed.run", "job.py"], ["-u"]),
    ],
)
def test_a_program_of_the_users(folder: Path, words: list[str], flags: list[str]) -> None:
    line = watched([sys.executable, *words], str(folder), None, {"path": "p", "record": "adaptive"})
    assert line is not None and line[:-2] == [sys.executable, *flags] and line[-2] == "-c"
    assert repr(words[len(flags) :])[1:-1] in line[-1]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["-c", "print()"],
        ["-i", "job.py"],
        ["-"],
        ["-V"],
        ["missing.py"],
        ["-m", "pip", "list"],
        ["-m", "json.tool"],
        ["-m", "torch.utils.collect_env"],
        ["-m", "missing.module"],
        ["-m"],
        ["-W"],
        [os.__file__],
    ],
)
def test_what_is_none(folder: Path, words: list[str]) -> None:
    assert watched([sys.executable, *words], str(folder), None, {}) is None


def test_another_python_is_none(folder: Path) -> None:
    other = folder / "python"
    other.symlink_to(sys.executable)
    assert watched([str(other), "job.py"], str(folder), None, {}) is None
    assert watched(["python-that-is-nowhere", "job.py"], str(folder), None, {}) is None
    assert watched(["ls", "job.py"], str(folder), None, {}) is None


def test_a_python_found_by_its_name(folder: Path) -> None:
    name = os.path.basename(sys.executable)
    path = {"PATH": os.path.dirname(sys.executable)}
    assert watched([name, "job.py"], str(folder), path, {}) is not None
    assert watched([name, "job.py"], str(folder), {"PATH": str(folder)}, {}) is None
