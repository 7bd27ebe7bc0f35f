"""The report file, `torchwhy.report/1`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..incident import SCHEMA as INCIDENT
from ..incident import Unreadable, from_plain, read_incident, to_plain
from ..model import (
    Confidence,
    Diagnosis,
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
    Timing,
    Value,
)
from .terminal import text_of

SCHEMA = "torchwhy.report/1"


def report_to_plain(report: Report) -> dict[str, Any]:
    """The report as the contract has it, and the whole evidence under `incident`."""
    environment = report.evidence.environment
    return {
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
        "incident": {"schema": INCIDENT, "evidence": to_plain(report.evidence)},
    }


def write_report(report: Report, path: str) -> None:
    Path(path).write_text(as_text(report), encoding="utf-8")


def as_text(report: Report) -> str:
    """One line a key; the diagnoses, which people read too, are indented."""
    plain = report_to_plain(report)
    lines = (f"{json.dumps(key)}: {json.dumps(value, indent=1 if key == 'diagnoses' else None)}" for key, value in plain.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def read_report(text: str) -> Report:
    """A saved report as it was said; an incident becomes a report without diagnoses. Raises `Unreadable`."""
    try:
        data = json.loads(text)
        if not isinstance(data, dict) or data.get("schema") not in (SCHEMA, INCIDENT):
            raise Unreadable("it is neither a report nor an incident that this version knows")
        return _report(data) if data["schema"] == SCHEMA else Report("run", "failed", None, read_incident(data))
    except json.JSONDecodeError:
        raise Unreadable("it is not JSON") from None
    except RecursionError:
        raise Unreadable("it is nested too deep") from None


def _report(data: dict[str, Any]) -> Report:
    known = {
        "command": data.get("command"),
        "outcome": data.get("outcome"),
        "exit_code": data.get("exit_code"),
        "timing": data.get("timing", {}),
    }
    report = from_plain({**known, "problems": data.get("problems", []), "remarks": data.get("remarks", [])}, Report, "report")
    said = data.get("diagnoses")
    if not isinstance(said, list) or not isinstance(data.get("incident"), dict):
        raise Unreadable("its diagnoses or its incident are missing")
    diagnoses = tuple(_diagnosis_from(d, f"diagnoses[{n}]") for n, d in enumerate(said))
    return Report(
        report.command,
        report.outcome,
        report.exit_code,
        read_incident(data["incident"]),
        diagnoses,
        report.timing or Timing(),
        report.problems,
        remarks=report.remarks,
    )


def _failure(evidence: Evidence) -> dict[str, Any]:
    failure = evidence.failure
    assert failure is not None
    module = next((m.fqn for m in evidence.modules if m.id == failure.module), None)
    return {
        "error_type": failure.error_type,
        "message": failure.message,
        "raised_at": _span(failure.raised_at) if failure.raised_at else None,
        "module": module,
        "op": _op(failure),
        "operands": [_operand(o) for o in failure.operands],
    }


def _op(failure: Failure) -> str | None:
    return failure.op.name if failure.op else None


def _operand(operand: Operand) -> dict[str, Any]:
    return {"name": operand.expression or operand.parameter, "parameter": operand.parameter, **_value(operand.value)}


def _value(value: Value) -> dict[str, Any]:
    if isinstance(value, TensorFacts):
        shape = list(value.shape) if value.shape is not None else None
        return {"shape": shape, "dtype": value.dtype, "device": value.device, "requires_grad": value.requires_grad}
    if isinstance(value, Items):
        return {"kind": value.kind, "length": value.length}
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


def _label(label: Label) -> dict[str, Any]:
    return {**_span(label.span), "text": label.text}


def _diagnosis(diagnosis: Diagnosis, report: Report) -> dict[str, Any]:
    return {
        "code": diagnosis.code,
        "family": diagnosis.family,
        "title": diagnosis.title,
        "headline": diagnosis.headline,
        "confidence": diagnosis.confidence.value,
        "cause": _label(diagnosis.cause),
        "trail": [_label(label) for label in diagnosis.trail],
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
    return {"span": {k: v for k, v in data.items() if k != "text"}, "text": data.get("text", "")}


def _fix_from(data: Any) -> Any:
    if not isinstance(data, dict):
        return data
    kept = {k: v for k, v in data.items() if k in ("title", "diff", "applicability", "hides", "changes")}
    return {**kept, "verification": {"outcome": data.get("verified"), "by": data.get("by"), "detail": data.get("detail", "")}}
