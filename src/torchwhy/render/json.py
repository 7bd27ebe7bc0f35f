"""The report file, `torchwhy.report/1`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..incident import SCHEMA as INCIDENT
from ..incident import Unreadable, from_plain, read_incident, to_plain
from ..model import (
    Confidence,
    Diagnosis,
    Environment,
    Evidence,
    Failure,
    Fix,
    Items,
    Label,
    Operand,
    Plain,
    Report,
    Span,
    TensorFacts,
    Value,
)
from .terminal import script, source_line, text_of

SCHEMA = "torchwhy.report/1"
_NOWHERE = "<nowhere>"
_SHOWN_ITEMS = 4
"""As many as the words for a list show."""
_MOST_LINES = 1_000_000


def report_to_plain(report: Report) -> dict[str, Any]:
    """The report as the contract has it: what is said, with the lines named; the whole evidence only where that was asked for."""
    environment = report.evidence.environment
    plain = {
        "schema": SCHEMA,
        "command": report.command,
        "outcome": report.outcome,
        "exit_code": report.exit_code,
        "failure": _failure(report.evidence) if report.evidence.failure else None,
        "diagnoses": [_diagnosis(d, report) for d in report.diagnoses],
        "environment": {
            "torchwhy": environment.torchwhy,
            "torch": environment.torch,
            "python": environment.python,
            "platform": environment.platform,
            "devices": list(environment.devices),
        },
        "memory": dict(report.memory) or None,
        "timing": {
            "program_s": report.timing.program_s,
            "diagnosis_s": report.timing.diagnosis_s,
            "verification_s": report.timing.verification_s,
        },
        "problems": list(report.problems),
        "remarks": list(report.remarks),
    }
    return {**plain, "incident": {"schema": INCIDENT, "evidence": to_plain(report.evidence)}} if report.incident else plain


def write_report(report: Report, path: str) -> None:
    Path(path).write_text(as_text(report), encoding="utf-8")


def as_text(report: Report) -> str:
    """Indented, since people read it too; the incident in one line."""
    plain = report_to_plain(report)
    lines = (f"{json.dumps(key)}: {json.dumps(value, indent=None if key == 'incident' else 1)}" for key, value in plain.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def read_report(text: str) -> Report:
    """A saved report as it was said; an incident becomes a report without diagnoses. Raises `Unreadable`."""
    try:
        data = json.loads(text)
        if not isinstance(data, dict) or data.get("schema") not in (SCHEMA, INCIDENT):
            raise Unreadable("it is neither a report nor an incident that this version knows")
        return _report(data) if data["schema"] == SCHEMA else Report("run", "failed", None, read_incident(data), incident=True)
    except json.JSONDecodeError:
        raise Unreadable("it is not JSON") from None
    except RecursionError:
        raise Unreadable("it is nested too deep") from None


def _report(data: dict[str, Any]) -> Report:
    known = {name: data.get(name) for name in ("command", "outcome", "exit_code")}
    lists = {name: data.get(name, []) for name in ("problems", "remarks")}
    memory = data.get("memory")
    pairs = [list(pair) for pair in memory.items()] if isinstance(memory, dict) else []
    report = from_plain({**known, **lists, "timing": data.get("timing", {}), "memory": pairs}, Report, "report")
    said, incident = data.get("diagnoses"), data.get("incident")
    if not isinstance(said, list):
        raise Unreadable("its diagnoses are missing")
    diagnoses = tuple(_diagnosis_from(d, f"diagnoses[{n}]") for n, d in enumerate(said))
    if isinstance(incident, dict):
        return replace(report, evidence=read_incident(incident), diagnoses=diagnoses, incident=True)
    return replace(report, evidence=_said_evidence(data), diagnoses=diagnoses)


def _said_evidence(data: dict[str, Any]) -> Evidence:
    """What a report without its incident holds of the evidence: the failure in a few words, and the lines that are named."""
    said = data.get("failure")
    environment = from_plain(data.get("environment", {}), Environment, "environment")
    if not isinstance(said, dict):
        return Evidence(environment=environment)
    spans = [said.get("raised_at"), *(place for d in data["diagnoses"] for place in (d["cause"], *(d.get("trail") or ())))]
    module = said.get("module")
    modules = ({"id": 0, "fqn": module, "kind": said.get("module_kind") or ""},) if module is not None else ()
    failure = {
        "error_type": said.get("error_type"),
        "message": said.get("message"),
        "frames": [_frame_from(place) for place in ({"file": said.get("script") or _NOWHERE, "line": 0}, said.get("raised_at")) if place],
        "op": {"index": 0, "name": said["op"]} if said.get("op") else None,
        "operands": [_operand_from(operand) for operand in said.get("operands") or ()],
        "module": 0 if modules else None,
        "rank": said.get("rank"),
    }
    if not said.get("raised_at"):
        failure["frames"] = []
    plain = {"failure": failure, "modules": list(modules), "sources": [list(pair) for pair in _sources_from(spans)]}
    return replace(from_plain(plain, Evidence, "failure"), environment=environment)


def _frame_from(place: dict[str, Any]) -> dict[str, Any]:
    return {"span": {name: value for name, value in place.items() if name not in ("text", "source")}}


def _sources_from(spans: Sequence[Any]) -> Iterator[tuple[str, str]]:
    """Each file with the lines of it that are known, each at its number, and empty ones between them."""
    files: dict[str, dict[int, str]] = {}
    for span in spans:
        if isinstance(span, dict) and isinstance(span.get("source"), str) and isinstance(span.get("line"), int):
            files.setdefault(str(span.get("file")), {})[span["line"]] = span["source"]
    for file, lines in files.items():
        last = max(lines)
        if last <= _MOST_LINES:
            yield file, "\n".join(lines.get(number, "") for number in range(1, last + 1))


def _operand_from(said: Any) -> dict[str, Any]:
    if not isinstance(said, dict):
        raise Unreadable("an operand is not an object")
    return {"parameter": said.get("parameter"), "expression": said.get("expression", ""), "value": _value_from(said)}


def _value_from(said: dict[str, Any]) -> dict[str, Any]:
    if "dtype" in said:
        facts = {name: said.get(name) for name in ("shape", "dtype", "device", "requires_grad")}
        return {"is": "TensorFacts", "id": 0, **facts}
    if "length" in said:
        items = [_value_from(item) for item in said.get("items") or () if isinstance(item, dict)]
        return {"is": "Items", "kind": said.get("kind"), "length": said.get("length"), "items": items}
    return {"is": "Plain", "kind": said.get("kind"), "text": said.get("text")}


def _failure(evidence: Evidence) -> dict[str, Any]:
    failure = evidence.failure
    assert failure is not None
    module = next((m for m in evidence.modules if m.id == failure.module), None)
    return {
        "error_type": failure.error_type,
        "message": failure.message,
        "rank": failure.rank,
        "raised_at": _place(failure.raised_at, evidence) if failure.raised_at else None,
        "script": script(evidence) or None,
        "module": module.fqn if module else None,
        "module_kind": module.kind if module else None,
        "op": _op(failure),
        "operands": [_operand(o) for o in failure.operands],
    }


def _place(span: Span, evidence: Evidence) -> dict[str, Any]:
    """A place, with the line of the source that it names."""
    return {**_span(span), "source": source_line(evidence, span)}


def _op(failure: Failure) -> str | None:
    return failure.op.name if failure.op else None


def _operand(operand: Operand) -> dict[str, Any]:
    names = {"parameter": operand.parameter, "expression": operand.expression}
    return {"name": operand.expression or operand.parameter, **names, **_value(operand.value)}


def _value(value: Value) -> dict[str, Any]:
    if isinstance(value, TensorFacts):
        shape = list(value.shape) if value.shape is not None else None
        return {"shape": shape, "dtype": value.dtype, "device": value.device, "requires_grad": value.requires_grad}
    if isinstance(value, Items):
        return {"kind": value.kind, "length": value.length, "items": [_value(item) for item in value.items[:_SHOWN_ITEMS]]}
    assert isinstance(value, Plain)
    return {"kind": value.kind, "text": value.text}


def _span(span: Span) -> dict[str, Any]:
    end = max(span.line, span.end_line)
    return {
        "file": span.file,
        "line": span.line,
        "column": span.column,
        "end_line": end,
        "end_column": span.end_column,
        "function": span.function,
    }


def _label(label: Label, evidence: Evidence) -> dict[str, Any]:
    return {**_place(label.span, evidence), "text": label.text}


def _diagnosis(diagnosis: Diagnosis, report: Report) -> dict[str, Any]:
    return {
        "code": diagnosis.code,
        "family": diagnosis.family,
        "title": diagnosis.title,
        "headline": diagnosis.headline,
        "confidence": diagnosis.confidence.value,
        "cause": _label(diagnosis.cause, report.evidence),
        "trail": [_label(label, report.evidence) for label in diagnosis.trail],
        "notes": list(diagnosis.notes),
        "fixes": [_fix(fix) for fix in diagnosis.fixes],
        "rendered": text_of(diagnosis, report.evidence),
    }


def _fix(fix: Fix) -> dict[str, Any]:
    proof = fix.verification
    return {
        "title": fix.title,
        "diff": fix.diff,
        "applicability": fix.applicability,
        "verified": proof.outcome,
        "by": proof.by,
        "detail": proof.detail,
        "hides": fix.hides,
        "changes": fix.changes,
    }


def _diagnosis_from(data: Any, where: str) -> Diagnosis:
    if not isinstance(data, dict):
        raise Unreadable(f"{where} is not an object")
    plain = {k: data.get(k) for k in ("code", "family", "title", "headline", "confidence", "notes")}
    plain |= {"cause": _label_from(data.get("cause")), "trail": [_label_from(item) for item in data.get("trail") or ()]}
    plain["fixes"] = [_fix_from(item) for item in data.get("fixes") or ()]
    diagnosis = from_plain(plain, Diagnosis, where)
    assert isinstance(diagnosis.confidence, Confidence)
    return diagnosis


def _label_from(data: Any) -> Any:
    if not isinstance(data, dict):
        return data
    return {"span": {k: v for k, v in data.items() if k not in ("text", "source")}, "text": data.get("text", "")}


def _fix_from(data: Any) -> Any:
    if not isinstance(data, dict):
        return data
    kept = {k: v for k, v in data.items() if k in ("title", "diff", "applicability", "hides", "changes")}
    return {**kept, "verification": {"outcome": data.get("verified"), "by": data.get("by"), "detail": data.get("detail", "")}}
