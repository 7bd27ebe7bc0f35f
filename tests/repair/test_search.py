"""Which numbers take part, and what they would have to be."""

from __future__ import annotations

from torchwhy.model import Diagnosis, Evidence, Failure, Frame, Label, Span
from torchwhy.reason.source import Sources
from torchwhy.repair.numbers import numbers
from torchwhy.repair.search import guesses, probes, solutions

FILES = {
    "main.py": "from conf import Config\nconfig = Config()\nnet = build(config.size, 3)\nnet(x)\nother = 99\n",
    "conf.py": "class Config:\n    size: int = 128\n    lr = 7\n",
}
FAILURE = Failure("RuntimeError", "sizes 200 and 8 differ", frames=(Frame(Span("main.py", 4)),))
EVIDENCE = Evidence(failure=FAILURE, sources=tuple(FILES.items()))
DIAGNOSIS = Diagnosis("TW0000", "shape.any", "t", "h", Label(Span("main.py", 3)), (Label(Span("main.py", 4)),))


def test_numbers_on_the_lines_and_behind_their_names() -> None:
    found = [(n.value, n.name, n.place) for n in numbers(DIAGNOSIS, FAILURE, Sources(EVIDENCE))]
    assert found == [(3, "", "main.py:3"), (128, "size", "conf.py:2")]


def test_named_numbers_are_moved_first() -> None:
    moves = probes(list(numbers(DIAGNOSIS, FAILURE, Sources(EVIDENCE))))
    assert [(number.name, value) for number, value in moves] == [("size", 256), ("", 4)]


def test_what_moved_leads_to_what_fits() -> None:
    size = next(n for n in numbers(DIAGNOSIS, FAILURE, Sources(EVIDENCE)) if n.name == "size")
    titles = [fix.title for fix in solutions(size, 256, "sizes 16 and 8 differ", "sizes 32 and 8 differ")]
    assert titles == ["set `size` to 64 at conf.py:2"]
    assert list(solutions(size, 256, "sizes 16 and 8", "sizes 16 and 8")) == []


def test_a_size_in_conflict_is_moved_by_one_and_set_to_the_other() -> None:
    failure = Failure("RuntimeError", "sizes 128 and 8 differ", frames=FAILURE.frames)
    evidence = Evidence(failure=failure, sources=EVIDENCE.sources)
    found = list(numbers(DIAGNOSIS, failure, Sources(evidence)))
    titles = [fix.title for fix in guesses(DIAGNOSIS, evidence, found, 5)]
    assert titles == [f"set `size` to {size} at conf.py:2" for size in (127, 129, 8)]
