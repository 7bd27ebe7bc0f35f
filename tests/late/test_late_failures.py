"""A failure deep into a run gets the diagnosis that it would get in the first step: history that was not recorded is replayed."""

from __future__ import annotations

from pathlib import Path

import pytest
from laboratory import Laboratory

PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.py"))
LATE = 250
LABORATORY = Laboratory()


def diagnosis_of(name: str, text: str) -> tuple[str, int, str]:
    trial = LABORATORY.run({name: text})
    assert trial.report is not None and trial.exit_code == 1
    assert trial.report["problems"] == []
    best = trial.report["diagnoses"][0]
    return best["family"], best["cause"]["line"], best["rendered"]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.stem)
def test_late_as_early(program: Path) -> None:
    text = program.read_text(encoding="utf-8")
    marked = [number for number, line in enumerate(text.splitlines(), 1) if "#~ cause" in line]
    early = diagnosis_of(program.name, text)
    late = diagnosis_of(program.name, text.replace("AT = 1", f"AT = {LATE}"))
    assert late[:2] == early[:2], late[2]
    assert late[1] in marked, late[2]
