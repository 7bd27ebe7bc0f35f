"""Thousands of texts that nobody meant to be read: no fault, no hang, and nothing certain where no error stands.

    python bench/mutated_logs.py [--count 10000] [--start 0]

Takes the printed failures of the tests and of the families, and damages each by one to three mutations under a seed: cut, shuffled, spliced, with
random bytes, control characters, HTML, repeated, without its error lines. Prints the faults found and exits with 1 where there is one; `--start` goes
on from there, so that it can be run in parts.
"""

from __future__ import annotations

import argparse
import io
import random
import re
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from torchwhy.catalogue import load
from torchwhy.evidence.log import BinaryText
from torchwhy.explain import explain
from torchwhy.model import Confidence, Report
from torchwhy.render.json import as_text
from torchwhy.render.terminal import report_lines

TEXTS = Path(__file__).parent.parent / "tests" / "log"
SECONDS_PER_MB = 1.0
_FAILS = re.compile(
    rb"error|exception|traceback|killed|signal|assert|fail|watchdog|timeout|terminate|fault|unsupported|interrupt|exit|warn|invalid|illegal|\.exc\.|E  ",
    re.IGNORECASE,
)


def originals() -> list[bytes]:
    """The texts of the tests, without their heads, and the families' own."""
    parts = [p for f in sorted(TEXTS.glob("*/*.txt")) for p in re.split(r"^#### .*\n", f.read_text(), flags=re.MULTILINE) if p]
    return [t.encode() for t in (*parts, *(e.text for family in load().families for e in family.log_examples))]


# ── damage ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def cut(chance: random.Random, text: bytes, other: bytes) -> bytes:
    first = chance.randrange(len(text))
    return text[first : chance.randrange(first, len(text) + 1)]


def shuffled(chance: random.Random, text: bytes, other: bytes) -> bytes:
    lines = text.split(b"\n")
    chance.shuffle(lines)
    return b"\n".join(lines)


def spliced(chance: random.Random, text: bytes, other: bytes) -> bytes:
    return cut(chance, text, other) + cut(chance, other, text) + cut(chance, text, other)


def interleaved(chance: random.Random, text: bytes, other: bytes) -> bytes:
    here, there, out = text.split(b"\n"), other.split(b"\n"), []
    while here or there:
        out.append((here if here and (not there or chance.random() < 0.5) else there).pop(0))
    return b"\n".join(out)


def noisy(chance: random.Random, text: bytes, other: bytes) -> bytes:
    made = bytearray(text)
    for _ in range(chance.randrange(1, 80)):
        made[chance.randrange(len(made))] = chance.randrange(256)
    return bytes(made)


def controlled(chance: random.Random, text: bytes, other: bytes) -> bytes:
    marks = [b"\x1b[31m", b"\r", b"\r\n", b"\x00", b"\x08", b"\x1b]0;x\x07", "\u202e".encode(), b"\xff\xfe", b"\t", b"\x1b[2K"]
    return b"".join(bytes([c]) + (chance.choice(marks) if chance.random() < 0.05 else b"") for c in text)


def as_html(chance: random.Random, text: bytes, other: bytes) -> bytes:
    inner = text.replace(b"&", b"&amp;").replace(b"<", b"&lt;").replace(b'"', b"&quot;")
    return (
        b"<html><body><pre>"
        + (inner.replace(b"\n", b"<br>\n") if chance.random() < 0.5 else inner)
        + b"</pre><script>alert(1)</script></body></html>"
    )


def recoded(chance: random.Random, text: bytes, other: bytes) -> bytes:
    return text.decode("utf-8", "replace").encode(chance.choice(["utf-16", "utf-16-le", "latin-1", "utf-8-sig", "utf-32"]), "replace")


def repeated(chance: random.Random, text: bytes, other: bytes) -> bytes:
    return chance.choice(text.split(b"\n")) * chance.randrange(2, 400) + text * chance.randrange(1, 30)


def prefixed(chance: random.Random, text: bytes, other: bytes) -> bytes:
    marks = [b"[rank%d]: ", b"2025-01-0%d 10:00:00,123 ", b"node-%d: ", b"(worker pid=%d) ", b"%d: ", b"> > %d ", b"[default%d]:"]
    mark = chance.choice(marks) % chance.randrange(9)
    return b"\n".join(mark + line for line in text.split(b"\n"))


def stretched(chance: random.Random, text: bytes, other: bytes) -> bytes:
    """One very long line, as progress bars and dumped JSON are."""
    piece = chance.choice(text.split(b"\n")) or b"x"
    return text + (piece * (200_000 // len(piece))) + b"\n" + other


def harmless(chance: random.Random, text: bytes, other: bytes) -> bytes:
    """Only the lines that speak of no failure."""
    return b"\n".join(line for line in text.split(b"\n") if not _FAILS.search(line) and b'File "' not in line)


MUTATIONS: tuple[Callable[[random.Random, bytes, bytes], bytes], ...] = (
    cut, shuffled, spliced, interleaved, noisy, controlled, as_html, recoded, repeated, prefixed, stretched, harmless,
)  # fmt: skip


def mutated(seed: int, texts: list[bytes]) -> tuple[bytes, list[str]]:
    chance = random.Random(seed)
    text, done = chance.choice(texts), []
    for _ in range(chance.randrange(1, 4)):
        change = chance.choice(MUTATIONS)
        text = change(chance, text, chance.choice(texts)) or b"\n"
        done.append(change.__name__)
    return text[: 4 << 20], done


# ── judgement ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def faults(text: bytes) -> Iterator[str]:
    began = time.process_time()
    try:
        report = explain(io.BytesIO(text))
        as_text(report)
        list(report_lines(report))
    except BinaryText:
        return
    except Exception:
        yield f"crash: {traceback.format_exc(limit=-3)}"
        return
    seconds = time.process_time() - began
    if seconds > SECONDS_PER_MB * max(1.0, len(text) / 1e6):
        yield f"slow: {seconds:.2f} s for {len(text) / 1e6:.2f} MB"
    yield from (f"fault: {problem}" for problem in report.problems)
    yield from _too_sure(text, report)


def _too_sure(text: bytes, report: Report) -> Iterator[str]:
    certain = [d.family for d in report.diagnoses if d.confidence is Confidence.CERTAIN]
    if certain and not _FAILS.search(text.replace(b"\x00", b"")):
        yield f"certain without an error: {certain}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--start", type=int, default=0)
    options = parser.parse_args()
    texts, found, slowest = originals(), Counter[str](), 0.0
    for seed in range(options.start, options.start + options.count):
        text, done = mutated(seed, texts)
        began = time.process_time()
        for fault in faults(text):
            found[fault.partition(":")[0]] += 1
            print(f"seed {seed} ({', '.join(done)}, {len(text)} bytes): {fault}", flush=True)
        slowest = max(slowest, (time.process_time() - began) / max(1.0, len(text) / 1e6))
    print(
        f"{options.count} texts from seed {options.start}, {len(texts)} originals: {dict(found) or 'no fault'}; slowest {slowest:.2f} s per MB (or per smaller text)"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
