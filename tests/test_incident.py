"""Plain data survives the way through JSON, and odd data is refused with a word."""

from __future__ import annotations

import json
from typing import Any

import pytest

from torchwhy.incident import SCHEMA, Unreadable, from_plain, read_incident, to_plain
from torchwhy.model import (
    Argument,
    Confidence,
    Diagnosis,
    Evidence,
    Failure,
    Fix,
    Frame,
    GraphNode,
    Items,
    Label,
    ModuleFacts,
    Operand,
    OpRecord,
    Plain,
    SavedTensor,
    Span,
    TensorFacts,
    ValueFacts,
    Write,
)

X = TensorFacts(1, (2, 0), "float32", "cpu", stride=(0, 1), values=ValueFacts(low=-1.5, high=float("inf"), low_at=(0, 1), nans=2))
LIST = Items("dict", 3, (X, Plain("int", "3", 3), Items("list", 0)), keys=("a", "b", "\ud800"))
OP = OpRecord(
    7,
    "add_",
    where=(Span("a.py", 3, 4, 3, 9, "f"),),
    arguments=(Argument("self", X), Argument("other", LIST), Argument("alpha", Plain("float", "-inf", float("-inf")))),
    outputs=(X,),
    writes=(Write(1, None, 4),),
    sequence=(3, 4),
)
EVIDENCE = Evidence(
    failure=Failure(
        "RuntimeError",
        "no\x00 good",
        frames=(Frame(Span("a.py", 3), locals=(Argument("flag", Plain("bool", "True", True)),)),),
        op=OP,
        operands=(Operand("self", "x", X, Span("a.py", 3)),),
        caused_by=Failure("KeyError", "'k'"),
    ),
    ops=(OP,),
    modules=(ModuleFacts(5, "net.fc", "Linear", settings=(Argument("bias", Plain("NoneType", "None")),), children=(("a", 6),)),),
    graph=(GraphNode(1, "AddBackward0", next=(2,), saved=(SavedTensor("self", shape=None),), shapes=((2, 3), None)),),
    names=((1, "x"),),
    sources=(("a.py", "x\n"),),
)


def through_json(value: Any, kind: type) -> Any:
    return from_plain(json.loads(json.dumps(to_plain(value))), kind)


def test_evidence_comes_back_equal() -> None:
    assert through_json(EVIDENCE, Evidence) == EVIDENCE
    assert through_json(Evidence(), Evidence) == Evidence() and to_plain(Evidence()) == {}


def test_a_diagnosis_comes_back_equal() -> None:
    fix = Fix("mend it", diff="--- a\n")
    said = Diagnosis("TW0101", "shape.x", "t", "h", Label(Span("a.py", 1)), fixes=(fix,), confidence=Confidence.POSSIBLE)
    assert through_json(said, Diagnosis) == said


def test_a_truth_value_is_no_number() -> None:
    back = through_json(Argument("x", Plain("bool", "True", True)), Argument)
    assert back.value.value is True


@pytest.mark.parametrize(
    ("data", "word"),
    [
        ([], "not an object"),
        ({"ops": 3}, "ops is not a list"),
        ({"ops": [{"index": 1}]}, "lacks name"),
        ({"ops": [{"index": "1", "name": "add"}]}, "index is a str"),
        ({"ops": [{"index": 1, "name": "add", "phase": "noon"}]}, "not one of"),
        ({"ops": [{"index": 1, "name": "add", "arguments": [{"name": "x", "value": {"is": "Path"}}]}]}, "unknown here"),
        ({"names": [[1]]}, "length"),
        ({"failure": 3}, "can't be"),
    ],
)
def test_odd_data_is_refused(data: object, word: str) -> None:
    with pytest.raises(Unreadable, match=word):
        read_incident({"schema": SCHEMA, "evidence": data})


def test_another_schema_is_refused() -> None:
    with pytest.raises(Unreadable, match="torchwhy.incident/9"):
        read_incident({"schema": "torchwhy.incident/9"})
