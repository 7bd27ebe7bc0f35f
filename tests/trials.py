"""What several tests ask of a program that was run in the laboratory."""

from __future__ import annotations

from collections.abc import Mapping

from laboratory import Laboratory, marked_line


def assert_blamed(laboratory: Laboratory, family: str, files: Mapping[str, str], fact: str) -> None:
    """The first diagnosis is of that family, blames the marked line and states the fact."""
    trial = laboratory.run(files)
    assert trial.report is not None and trial.report["problems"] == []
    assert trial.report["diagnoses"], trial.stderr
    best = trial.report["diagnoses"][0]
    assert best["family"] == family, best["rendered"]
    assert (best["cause"]["file"], best["cause"]["line"]) == marked_line(files), best["rendered"]
    assert fact in " ".join(best["rendered"].split()), best["rendered"]


def assert_not_said(laboratory: Laboratory, files: Mapping[str, str], claim: str) -> None:
    """There is a diagnosis, and it does not claim that."""
    trial = laboratory.run(files)
    assert trial.report is not None and trial.report["diagnoses"] and trial.report["problems"] == []
    assert claim not in " ".join(trial.report["diagnoses"][0]["rendered"].split())


def assert_held(laboratory: Laboratory, text: str, said: str) -> None:
    """The first fix of a program was run and hides nothing; one that was run has these words."""
    trial = laboratory.run({"train.py": text}, verify=True)
    assert trial.report is not None and trial.report["problems"] == [], trial.stderr
    fixes = trial.report["diagnoses"][0]["fixes"]
    assert fixes and (fixes[0]["verified"], fixes[0]["hides"]) == ("gone", ""), fixes
    assert any(said in fix["diff"] for fix in fixes if fix["verified"] == "gone"), [fix["diff"] for fix in fixes]
