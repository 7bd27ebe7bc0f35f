"""Under torchwhy a program does what it does under plain python: same output, same errors (the diagnosis comes after), same exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs"
COMMAND = "import sys\nfrom torchwhy.cli import main\nif __name__ == '__main__':\n    sys.exit(main())\n"
"""The script that pip makes of the entry point."""
POSIX_ONLY = ("signal", "forked", "workers", "torch_worker", "torch_loaders")


def _run(command: list[str], folder: Path) -> tuple[int, str, str]:
    env = dict(os.environ, OMP_NUM_THREADS="1", PYTHONHASHSEED="0", PYTHONDONTWRITEBYTECODE="1", NO_COLOR="1")
    done = subprocess.run(command, cwd=folder, env=env, input="typed", capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def _compare(arguments: list[str], folder: Path, tmp_path: Path, racing: bool = False) -> tuple[dict[str, object], str]:
    """The report and what was added to stderr."""
    report = tmp_path / "report.json"
    command = tmp_path / "torchwhy"
    command.write_text(COMMAND)
    plain = _run([sys.executable, *arguments], folder)
    ours = _run([sys.executable, str(command), "run", "--report", str(report), *arguments], folder)
    assert ours[0] == plain[0]
    assert (sorted(ours[1].splitlines()) if racing else ours[1]) == (sorted(plain[1].splitlines()) if racing else plain[1])
    assert ours[2].startswith(plain[2]), f"plain:\n{plain[2]}\nours:\n{ours[2]}"
    return json.loads(report.read_text()) if report.exists() else {}, ours[2][len(plain[2]) :]


@pytest.mark.parametrize("program", sorted(PROGRAMS.glob("*.py")), ids=lambda path: path.stem)
def test_a_script(program: Path, tmp_path: Path) -> None:
    if os.name == "nt" and program.stem.startswith(POSIX_ONLY):
        pytest.skip("POSIX only")
    text = program.read_text(encoding="utf-8")
    first = text.partition("\n")[0]
    arguments = first.removeprefix("# arguments:").split() if first.startswith("# arguments:") else []
    report, added = _compare([program.name, *arguments], PROGRAMS, tmp_path, racing="# stdout: sorted" in text)
    failed = program.stem == "torch_fails" or program.stem.startswith("torch_worker")
    if not failed:
        assert added == ""
    if report:
        assert report["problems"] == []
        assert (report["outcome"] == "failed") >= failed
    else:
        assert program.stem == "signal_term", "no report"


def test_a_module_and_packages(tmp_path: Path) -> None:
    package = tmp_path / "work" / "pack"
    package.mkdir(parents=True)
    show = "import sys\nprint(__name__, __spec__.name, __package__, sys.argv, sys.path[0], sorted(globals()))\n"
    (package / "__init__.py").write_text("print('package', __name__)\n")
    (package / "__main__.py").write_text(show)
    (package / "part.py").write_text(show + "from . import other\n")
    (package / "other.py").write_text("def f():\n    raise ValueError('x')\nf()\n")
    (package / "wrong.py").write_text("x = = 1\n")
    for arguments in (
        ["-m", "pack", "-m", "--x"],
        ["-m", "pack.part", "--report", "y"],
        ["-m", "pack.wrong"],
        ["-m", "pack.missing"],
        ["pack"],
    ):
        _compare(arguments, package.parent, tmp_path)


def test_a_script_elsewhere_and_behind_a_link(tmp_path: Path) -> None:
    folder = tmp_path / "work" / "deep"
    folder.mkdir(parents=True)
    (folder / "near.py").write_text("print('near', __file__)\n")
    (folder / "prog.py").write_text("import sys, near\nprint(__file__, sys.path[0], sys.argv)\nraise ValueError(near)\n")
    _compare(["deep/prog.py"], folder.parent, tmp_path)
    _compare(["./deep/../deep/prog.py", "x"], folder.parent, tmp_path)
    if os.name != "nt":
        (tmp_path / "work" / "link.py").symlink_to(folder / "prog.py")
        _compare(["link.py"], folder.parent, tmp_path)
