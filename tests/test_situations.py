"""The programs of `examples/situations`: what people say of PyTorch's errors, and what happens. torchwhy must tell what happens."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from laboratory import Laboratory, without_marks

PROGRAMS = sorted((Path(__file__).parent.parent / "examples" / "situations").glob("*.py"))
LABORATORY = Laboratory()


def lines_with(text: str, mark: str) -> list[int]:
    return [number for number, line in enumerate(text.splitlines(), 1) if mark in line.partition("#~")[2]]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.stem)
def test_situation(program: Path, tmp_path: Path) -> None:
    text = program.read_text(encoding="utf-8")
    found = re.search(r"^family: (.+)$", text, re.MULTILINE)
    assert found is not None, "the program names its family"
    families = found[1].split()
    trial = LABORATORY.run({program.name: text})
    assert trial.report is not None
    assert trial.report["problems"] == []
    if families == ["none"]:
        assert (trial.exit_code, trial.report["outcome"], trial.report["diagnoses"]) == (0, "passed", [])
        return
    assert trial.exit_code == 1
    best = trial.report["diagnoses"][0]
    assert best["family"] in families
    assert best["cause"]["line"] in lines_with(text, "cause"), best["rendered"]
    if raising := lines_with(text, "raises"):
        assert trial.report["failure"]["raised_at"]["line"] in raising
    patches = [fix["diff"] for fix in best["fixes"] if fix["diff"]]
    for patch in patches[:1]:  # the first fix that is a patch makes the program run
        (tmp_path / program.name).write_text(without_marks({program.name: text})[program.name], encoding="utf-8")
        subprocess.run(["patch", "-p1", "-s"], input=patch, text=True, cwd=tmp_path, check=True)
        done = subprocess.run([sys.executable, program.name], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
