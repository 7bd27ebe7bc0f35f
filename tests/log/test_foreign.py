"""Failures that PyTorch did not cause: recognised as such, and said in one line."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from torchwhy.explain import explain

PARTS = re.split(r"^#### ", (Path(__file__).parent / "foreign" / "texts.txt").read_text(), flags=re.MULTILINE)[1:]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.splitlines()[0][:40])
def test_an_error_of_somebody_elses_is_named_and_left_alone(part: str) -> None:
    head, _, text = part.partition("\n")
    report = explain(io.BytesIO(text.encode()))
    assert report.problems == ()
    assert [d.family for d in report.diagnoses] == []
    assert report.outcome == "not-torch"
    said = report.remarks[0].lower()
    assert [fact for fact in head.split(";") if not any(choice.strip().lower() in said for choice in fact.split("|"))] == []
