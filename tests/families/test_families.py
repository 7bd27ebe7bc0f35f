"""Every family's examples and near misses, offered to all families."""

from __future__ import annotations

import os
import sys
from functools import cache

import pytest
from judging import GOLDEN, ExampleRun, headline_faults, near_miss_faults
from laboratory import Laboratory

from torchwhy.catalogue import faults, load
from torchwhy.families._template import TensorOfTensors
from torchwhy.family import Family

TEMPLATE = TensorOfTensors()
FAMILIES = load().families
EXAMPLES = [(family, number) for family in (*FAMILIES, TEMPLATE) for number in range(len(family.examples))]
MISSES = [(family, number) for family in (*FAMILIES, TEMPLATE) for number in range(len(family.near_misses))]


def _name(value: object) -> str:
    return value.slug if isinstance(value, Family) else str(value)


@cache
def _run(family: Family, number: int, laboratory: Laboratory) -> ExampleRun:
    return ExampleRun(family, number, laboratory)


@pytest.mark.parametrize(("family", "number"), EXAMPLES, ids=_name)
def test_an_example_is_diagnosed(family: Family, number: int, laboratory: Laboratory) -> None:
    assert list(_run(family, number, laboratory).faults()) == []


@pytest.mark.skipif(
    sys.version_info[:2] != (3, 11), reason="what Python underlines differs from version to version; these were written by 3.11"
)
@pytest.mark.parametrize(("family", "number"), EXAMPLES, ids=_name)
def test_an_example_looks_as_before(family: Family, number: int, laboratory: Laboratory) -> None:
    run = _run(family, number, laboratory)
    if os.environ.get("GOLDEN") == "write":
        GOLDEN.mkdir(exist_ok=True)
        run.golden.write_text(run.rendered, encoding="utf-8")
    assert run.golden.exists(), "make golden writes it"
    assert run.rendered == run.golden.read_text(encoding="utf-8")


@pytest.mark.parametrize(("family", "number"), MISSES, ids=_name)
def test_a_near_miss_is_left_alone(family: Family, number: int, laboratory: Laboratory) -> None:
    assert list(near_miss_faults(family, family.near_misses[number], laboratory)) == []


def test_the_catalogue_is_tidy() -> None:
    assert load().problems == ()
    assert faults(FAMILIES) == ()


def test_no_golden_is_left_over() -> None:
    expected = {f"{family.slug}-{number + 1}.txt" for family, number in EXAMPLES}
    assert {file.name for file in GOLDEN.glob("*.txt")} <= expected


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("*.txt")), ids=lambda file: file.stem)
def test_goldens_keep_the_message_law(file: object) -> None:
    text = file.read_text(encoding="utf-8")  # type: ignore[attr-defined]
    head = " ".join(line.strip() for line in text.split("\n\n")[0].splitlines())
    assert list(headline_faults(head.partition(": ")[2])) == []
    assert all(len(line) <= 100 for line in text.splitlines()), "wider than 100 columns"
