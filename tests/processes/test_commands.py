"""Which command lines are programs of the user's, and where in them the program stands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from torchwhy.processes import commands
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


def test_where_we_are_not_to_be_found_the_program_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "job.py").write_text("import sys\nprint(sys.argv, __name__)\nsys.exit(3)\n")
    monkeypatch.setattr(commands, "root", lambda: str(folder / "nowhere"))
    line = watched([sys.executable, "job.py", "x"], str(folder), None, {"path": "p", "record": "adaptive"})
    assert line is not None
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([*line[:1], "-I", *line[1:]], cwd=folder, env=env, capture_output=True, text=True, timeout=60)
    if b"torchwhy" in subprocess.run([sys.executable, "-I", "-c", "import torchwhy; print('torchwhy')"], capture_output=True).stdout:
        pytest.skip("it is installed: it is found")
    assert (done.returncode, done.stdout) == (3, "['job.py', 'x'] __main__\n")


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
