"""Statements moved, blocks opened, and what is put into a list."""

from __future__ import annotations

from texts import program, span

from torchwhy.model import Failure
from torchwhy.reason.collected import collected
from torchwhy.reason.cut_edits import opened
from torchwhy.reason.diffs import patched
from torchwhy.reason.order import following, in_one_block, moved_after
from torchwhy.reason.reading import Reading
from torchwhy.reason.writes import statement_base, writes_in_place

LOOP = program("""\
    for x in data:
        loss = net(x)
        if fine:
            step(
                loss,
            )
        loss.backward()  # here
    done()
""")


def test_two_places_meet_in_their_innermost_block() -> None:
    pair = in_one_block(LOOP, span(LOOP, "step("), span(LOOP, "loss.backward()"))
    assert pair is not None and [s.lineno for s in pair] == [3, 7]
    assert in_one_block(LOOP, span(LOOP, "done()"), span(LOOP, "done()")) is None


def test_a_statement_of_several_lines_is_moved_whole() -> None:
    pair = in_one_block(LOOP, span(LOOP, "step("), span(LOOP, "loss.backward()"))
    assert pair is not None
    made = patched(moved_after(LOOP, "main.py", [pair[0]], pair[1]), LOOP)
    assert made is not None
    assert made["main.py"].splitlines()[1:4] == ["    loss = net(x)", "    loss.backward()  # here", "    if fine:"]


def test_a_statement_that_shares_its_line_stays() -> None:
    sources = program("a(); b()\nc()\n")
    pair = in_one_block(sources, span(sources, "a()"), span(sources, "c()"))
    assert pair is not None and moved_after(sources, "main.py", [pair[0]], pair[1]) == ()


def test_what_follows() -> None:
    assert [s.lineno for s in following(LOOP, span(LOOP, "loss = net(x)"))] == [3, 7]


def test_a_with_block_is_opened() -> None:
    sources = program("""\
        def encode(x):
            with torch.no_grad():
                y = body(x)

                return head(y)
    """)
    run = Reading(sources.evidence, Failure("", ""))
    made = patched(opened(run, span(sources, "torch.no_grad()")), sources)
    assert made is not None and made["main.py"] == "def encode(x):\n    y = body(x)\n\n    return head(y)\n"


def test_a_decorator_goes() -> None:
    sources = program("@torch.no_grad()\ndef encode(x):\n    return body(x)\n")
    run = Reading(sources.evidence, Failure("", ""))
    made = patched(opened(run, span(sources, "torch.no_grad()")), sources)
    assert made is not None and made["main.py"].startswith("\ndef encode") or made["main.py"].startswith("def encode")


def test_what_is_put_into_a_list() -> None:
    sources = program("""\
        class Meter:
            def update(self, value):
                self.values.append(value * 2)

        losses = [step(b) for b in data]
        show(meter.values, losses)
    """)
    near = span(sources, "show(")
    assert collected(sources, "meter.values", near).text == "value * 2"  # type: ignore[union-attr]
    assert collected(sources, "losses", near).text == "step(b)"  # type: ignore[union-attr]
    assert collected(sources, "data", near) is None


def test_what_a_statement_writes_to() -> None:
    bases = {
        "x[:, 0] = 1": "x",
        "self.table[0].fill_(1)": "self.table",
        "w -= 0.1 * w.grad": "w",
        "p.data.clamp_(0, 1)": "p.data",
        "nn.init.normal_(layer.weight)": "layer.weight",
        "torch.add(a, b, out=c)": "c",
    }
    for text, base in bases.items():
        sources = program(text)
        statement = sources.statement_at("main.py", 1)
        assert statement_base(statement) == base
        assert writes_in_place(statement) == ("out=" not in text)  # type: ignore[arg-type]
