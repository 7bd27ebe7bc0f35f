"""The installation's checks, as lines and as JSON. All text of other programs is made visible here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TextIO

from ..environment.machine import VERDICTS, Check, Machine, Verdict
from .text import Line, cells, put, styled, visible, width_of, wrap

SCHEMA = "torchwhy.environment/1"
_STYLES = {"ok": "plus", "warning": "heading", "broken": "cause", "unknown": "dim"}


def show_checks(checks: Sequence[Check], stream: TextIO, color: str) -> None:
    put(check_lines(checks, width_of(stream)), stream, color)


def show_concise(checks: Sequence[Check], stream: TextIO, color: str) -> None:
    """A line for each check that is not ok."""
    put((styled(visible(f"{c.topic}: {c.verdict}: {c.what}")) for c in checks if c.verdict != "ok"), stream, color)


def check_lines(checks: Sequence[Check], width: int) -> Iterator[Line]:
    """Each check in its line, what to do and where that is written below it; the sum at the end."""
    wide = max((cells(visible(check.topic)) for check in checks), default=0)
    margin = " " * (wide + 11)
    for check in checks:
        head = visible(check.topic).ljust(wide)
        for number, (_, words) in enumerate(wrap(visible(check.what), width - len(margin))):
            lead: Line = ((f"{head}  ", "code"), (f"{check.verdict:<9}", _STYLES[check.verdict])) if number == 0 else ((margin, ""),)
            yield (*lead, *styled(words))
        for word, text in (("do: ", check.advice), ("see: ", check.source)):
            for indent, words in wrap(visible(text), width, margin + word, margin + " " * len(word)) if text else ():
                yield ((indent, "dim"), *styled(words))
    yield ()
    yield ((_sum(checks), "headline"),)


def as_json(checks: Sequence[Check], machine: Machine, verdict: str) -> str:
    """For scripts: `checks` in order, and under `machine` the facts that they were made from."""
    told = {"schema": SCHEMA, "verdict": verdict, "checks": [asdict(check) for check in checks], "machine": asdict(machine)}
    return json.dumps(told, indent=2, ensure_ascii=True) + "\n"


def _sum(checks: Sequence[Check]) -> str:
    counts = {verdict: sum(check.verdict == verdict for check in checks) for verdict in VERDICTS}
    words: dict[Verdict, str] = {"broken": "broken", "warning": "to look at", "unknown": "not known"}
    said = [f"{counts[verdict]} {word}" for verdict, word in words.items() if counts[verdict]]
    return ", ".join(said) if said else f"all {counts['ok']} checks are good"
