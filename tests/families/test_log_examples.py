"""Every family's printed examples and near misses, offered to all families, without torch."""

from __future__ import annotations

import io
import re

import pytest
from judging import headline_faults

from torchwhy.catalogue import load
from torchwhy.explain import explain
from torchwhy.family import Family, LogExample
from torchwhy.incident import from_plain, to_plain
from torchwhy.model import Evidence, Report
from torchwhy.render.terminal import text_of

FAMILIES = load().families
EXAMPLES = [(family, example) for family in FAMILIES for example in family.log_examples]
MISSES = [(family, example) for family in FAMILIES for example in family.log_near_misses]


def _name(value: object) -> str:
    return (
        value.slug
        if isinstance(value, Family)
        else value.text.strip().splitlines()[-1][:40]
        if isinstance(value, LogExample)
        else str(value)
    )


def _read(text: str) -> Report:
    return explain(io.BytesIO(text.encode()))


@pytest.mark.parametrize(("family", "example"), EXAMPLES, ids=_name)
def test_a_printed_example_is_diagnosed(family: Family, example: LogExample) -> None:
    report = _read(example.text)
    assert report.problems == ()
    assert report.outcome == "failed" and report.diagnoses, report.outcome
    first = report.diagnoses[0]
    assert first.family == family.slug, first.headline
    text = "\n".join((first.title, first.headline, *first.notes, text_of(first, report.evidence))).lower()
    assert [fact for fact in example.says if fact.lower() not in text] == []
    assert list(headline_faults(first.headline)) == []
    if example.cause:
        assert f"{first.cause.span.file}:{first.cause.span.line}".endswith(example.cause)


@pytest.mark.parametrize(("family", "example"), EXAMPLES, ids=_name)
def test_evidence_of_a_text_goes_to_json_and_back(family: Family, example: LogExample) -> None:
    evidence = _read(example.text).evidence
    assert from_plain(to_plain(evidence), Evidence) == evidence


ADVICE = """\
CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be incorrect.
For debugging consider passing CUDA_LAUNCH_BLOCKING=1
Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.
"""


@pytest.mark.parametrize(
    ("family", "example"), [(f, e) for f, e in EXAMPLES if re.search(r"(?m)^RuntimeError: CUDA error: ", e.text)], ids=_name
)
def test_the_advice_below_a_cuda_error_is_no_part_of_it(family: Family, example: LogExample) -> None:
    plain = "".join(line for line in example.text.splitlines(keepends=True) if line not in ADVICE and "CUDA_LAUNCH" not in line)
    text = re.sub(r"(?m)^RuntimeError: CUDA error: .*\n", lambda m: m[0] + ADVICE, plain)
    assert [d.family for d in _read(text).diagnoses] == [d.family for d in _read(plain).diagnoses]


@pytest.mark.parametrize(("family", "example"), MISSES, ids=_name)
def test_a_printed_near_miss_is_left_alone(family: Family, example: LogExample) -> None:
    said = [diagnosis.family for diagnosis in _read(example.text).diagnoses]
    assert family.slug not in said
    if example.belongs_to and any(f.slug == example.belongs_to for f in FAMILIES):
        assert said[:1] == [example.belongs_to]
