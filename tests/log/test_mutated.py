"""Texts that nobody meant to be read: no fault, no hang, and nothing certain where no error stands."""

from __future__ import annotations

import io
import random
import time
from collections.abc import Callable

import pytest

from torchwhy.catalogue import load
from torchwhy.evidence.log import BinaryText
from torchwhy.explain import explain
from torchwhy.model import Confidence
from torchwhy.render.json import as_text
from torchwhy.render.terminal import report_lines

TEXTS = [example.text for family in load().families for example in family.log_examples]
SEEDS = range(150)


def _cut(chance: random.Random, text: bytes) -> bytes:
    first = chance.randrange(len(text))
    return text[first : chance.randrange(first, len(text) + 1)]


def _shuffled(chance: random.Random, text: bytes) -> bytes:
    lines = text.split(b"\n")
    chance.shuffle(lines)
    return b"\n".join(lines)


def _spliced(chance: random.Random, text: bytes) -> bytes:
    other = chance.choice(TEXTS).encode()
    return _cut(chance, text) + _cut(chance, other) + _cut(chance, text)


def _noisy(chance: random.Random, text: bytes) -> bytes:
    made = bytearray(text)
    for _ in range(chance.randrange(1, 60)):
        made[chance.randrange(len(made))] = chance.randrange(256)
    return bytes(made)


def _controlled(chance: random.Random, text: bytes) -> bytes:
    marks = [b"\x1b[31m", b"\r", b"\r\n", b"\x00", b"\x08", b"\x1b]0;x\x07", "\u202e".encode(), b"\xff\xfe"]
    return b"".join(bytes([c]) + (chance.choice(marks) if chance.random() < 0.05 else b"") for c in text)


def _html(chance: random.Random, text: bytes) -> bytes:
    return b"<html><body><pre>" + text.replace(b"&", b"&amp;").replace(b"<", b"&lt;").replace(b'"', b"&quot;") + b"</pre></body></html>"


def _repeated(chance: random.Random, text: bytes) -> bytes:
    return chance.choice(text.split(b"\n")) * chance.randrange(2, 400) + text * chance.randrange(1, 20)


MUTATIONS: tuple[Callable[[random.Random, bytes], bytes], ...] = (_cut, _shuffled, _spliced, _noisy, _controlled, _html, _repeated)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_mutated_log_is_survived(seed: int) -> None:
    chance = random.Random(seed)
    text = chance.choice(TEXTS).encode()
    for _ in range(chance.randrange(1, 3)):
        text = chance.choice(MUTATIONS)(chance, text) or b"\n"
    began = time.process_time()
    try:
        report = explain(io.BytesIO(text))
    except BinaryText:
        return
    assert report.problems == ()
    as_text(report)
    list(report_lines(report))
    assert time.process_time() - began < 2 + len(text) / 1e6


@pytest.mark.parametrize(
    "text",
    ("", "\n", "epoch 1 loss 0.3\nepoch 2 loss 0.2\n", "all done, no error\n", "Error rate: 0.31\n", "we caught an Exception earlier, went on\n", "a KeyError is raised when the key is missing.\n"),
)  # fmt: skip
def test_a_text_without_an_error_is_not_diagnosed(text: str) -> None:
    report = explain(io.BytesIO(text.encode()))
    assert not any(d.confidence is Confidence.CERTAIN for d in report.diagnoses)
    assert report.diagnoses == () and report.outcome == "passed"
