"""What a person sees, on hand-made reports: alignment, widths, untrusted text, colour."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest

from torchwhy.model import (
    Confidence,
    Diagnosis,
    Evidence,
    Failure,
    Fix,
    Items,
    Label,
    ModuleFacts,
    Operand,
    Plain,
    Report,
    Span,
    TensorFacts,
    Verification,
)
from torchwhy.render import show
from torchwhy.render.terminal import diagnosis_lines, report_lines, text_of
from torchwhy.render.text import cells, coloured, cut, plain, put, visible, wrap

SOURCE = """\
class Net:
\tdef f(self):
\t\tself.fc1 = Linear(1024, 10)
        y = self.fc1(x, wörter='漢字', more=compute_something_long(1, 2, 3), and_more=another(4, 5, 6), last=ZZZ)
"""
DIFF = """\
--- a/train.py
+++ b/train.py
@@ -1,3 +1,3 @@
 class Net:
 \tdef f(self):
-\t\tself.fc1 = Linear(1024, 10)
+\t\tself.fc1 = Linear(64, 10)
"""
CAUSE = Label(Span("train.py", 3, 20, 3, 24), "in_features is 1024")
TRAIL = (Label(Span("train.py", 1), "float32 [2, 64]"), Label(Span("train.py", 4, 12, 4, 23)))
SAID = Diagnosis(
    "TW0102",
    "shape.linear",
    "t",
    "`net.fc1` is built for 1024 features but gets 64",
    CAUSE,
    TRAIL,
    ("a note",),
    (Fix("build it", diff=DIFF),),
    Confidence.CERTAIN,
)
EVIDENCE = Evidence(sources=(("train.py", SOURCE),))


def test_the_whole_picture() -> None:
    assert (
        text_of(SAID, EVIDENCE, 80)
        == """\
TW0102 shape.linear: `net.fc1` is built for 1024 features but gets 64

  train.py:3  self.fc1 = Linear(1024, 10)           ◀ cause: in_features is 1024
                                ^^^^
  on the way to the error
  train.py:1  class Net:                            float32 [2, 64]
  train.py:4  y = self.fc1(x, wörter='漢字', more=compute_something_long(1, 2,…
                  ^^^^^^^^^^^
                raised here
  note: a note
  proposed fix (not run yet): build it
    - self.fc1 = Linear(1024, 10)
    + self.fc1 = Linear(64, 10)
  why: torchwhy explain TW0102
"""
    )


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_no_line_is_wider_than_the_screen(width: int) -> None:
    long = replace(
        SAID,
        headline="word " * 30,
        notes=("`" + "x" * 30 + "` " * 9,),
        cause=Label(Span("a/very/long/folder/of/somebody/with/many/parts/" * 2 + "train.py", 3), "facts " * 40),
    )
    lines = text_of(long, EVIDENCE, width).splitlines()
    assert all(cells(line) <= width for line in lines if "train.py" not in line)


def test_a_span_at_the_end_of_a_long_line_stays_in_sight() -> None:
    raw = SOURCE.splitlines()[3]
    at = raw.index("ZZZ")
    said = replace(SAID, cause=Label(Span("train.py", 4, at, 4, at + 3)), trail=())
    _, _, source, carets, *_ = text_of(said, EVIDENCE, 80).splitlines()
    start = carets.index("^")
    wide = sum(cells(c) - 1 for c in source)
    assert "…" in source and source[start - wide : start - wide + 3] == "ZZZ"


def test_one_line_for_cause_and_symptom() -> None:
    text = text_of(replace(SAID, trail=(Label(CAUSE.span, "raised here"),)), EVIDENCE)
    assert "◀ cause, raised here: in_features is 1024" in text and "on the way" not in text


def test_how_sure_and_how_proven() -> None:
    assert ": `net" in text_of(SAID, EVIDENCE).splitlines()[0]
    assert "(likely): `net" in text_of(replace(SAID, confidence=Confidence.LIKELY), EVIDENCE).splitlines()[0]
    gone = replace(SAID, fixes=(Fix("x", verification=Verification("gone", "run", "loss as before")),))
    assert "fix, verified: x" in text_of(gone, EVIDENCE) and "not run yet" not in text_of(gone, EVIDENCE)


def test_a_file_that_is_not_at_hand() -> None:
    assert "in f" in text_of(replace(SAID, cause=Label(Span("gone.py", 9, function="f"))), EVIDENCE)


def test_untrusted_text_is_shown_and_not_obeyed() -> None:
    evil = replace(
        SAID,
        headline="\x1b[2J[red]hi[/red]\r`x`\u202e",
        notes=("\x07 a\nb",),
        fixes=(Fix("\x1b]0;t\x07", diff=DIFF.replace("64", "\x1b[31m")),),
    )
    source = Evidence(sources=(("train.py", SOURCE.replace("Linear", "L\x1b[31m\u200b")),))
    text = text_of(evil, source)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e\u200b]", text)
    assert "\\x1b[2J[red]hi[/red]\\r" in text and "\\u202e" in text
    bare = re.sub(r"\x1b\[[0-9;]*m", "", coloured(diagnosis_lines(evil, source)))
    assert "[red]hi[/red]" in bare and "\x1b" not in bare


def test_colour_changes_no_text() -> None:
    lines = list(diagnosis_lines(SAID, EVIDENCE))
    stripped = re.sub(r"\x1b\[[0-9;]*m", "", coloured(lines))
    assert [row.rstrip() for row in stripped.splitlines()] == plain(lines).splitlines()


def test_a_stream_that_knows_only_ascii() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, "ascii", write_through=True)
    put(diagnosis_lines(SAID, EVIDENCE), stream)
    assert b"< cause" in raw.getvalue()


def test_concise_and_others() -> None:
    report = Report("run", "failed", 1, EVIDENCE, (SAID, replace(SAID, code="TW0101", family="shape.matmul")))
    stream = io.StringIO()
    show(report, "concise", stream)
    assert stream.getvalue().splitlines()[0] == "train.py:3: TW0102 shape.linear: `net.fc1` is built for 1024 features but gets 64"
    assert "or TW0101 shape.matmul: `net.fc1`" in plain(report_lines(report))


def test_an_unknown_says_what_the_call_was_given() -> None:
    operand = Operand("input", "x", TensorFacts(1, (2, 64), "float32", "cpu"))
    rest = (Operand("weights", "w", Items("list", 1, (Plain("int", "3", 3),))), Operand("bias", "", Plain("NoneType", "None")))
    failure = Failure("RuntimeError", "odd", operands=(operand, *rest), module=7)
    evidence = replace(EVIDENCE, failure=failure, modules=(ModuleFacts(7, "net.fc1", "Linear"),))
    text = plain(report_lines(Report("run", "failed", 1, evidence)))
    assert "no cause is known" in text and "input = `x`: float32 [2, 64]" in text and "`net.fc1` (Linear)" in text and "bias" not in text


def test_small_parts() -> None:
    assert (cut("abcdef", 4), cut("漢字", 3), cells("é漢")) == ("abc…", "漢…", 3)
    assert visible("a\tb\n") == "a   b\\n"
    assert list(wrap("a `b c` d", 6, "", "  ")) == [("", "a"), ("  ", "`b c`"), ("  ", "d")]
