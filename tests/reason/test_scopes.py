from __future__ import annotations

import pytest
from texts import program

from torchwhy.reason.scopes import assignments, definition, producer_of


@pytest.mark.parametrize(
    ("text", "line", "produced"),
    [
        ("x = f()\nx = g(x)\nuse(x)", 3, "x = g(x)"),
        ("x = f()\nx = g(x)\nuse(x)", 2, "x = f()"),
        ("a, (x, c) = f()\nuse(x)", 2, "a, (x, c) = f()"),
        ("x = 1\nx += y\nuse(x)", 3, "x += y"),
        ("x = 1\nx += y\nuse(x)", 2, "x = 1"),
        ("for x, y in loader:\n    use(x)", 2, "x, y in loader"),
        ("with open(p) as x:\n    use(x)", 2, "open(p) as x"),
        ("if (x := f()):\n    use(x)", 2, "x := f()"),
        ("v = [use(x) for x in xs]", 1, "x in xs"),
        ("x = 1\ndef f(x):\n    use(x)", 3, None),
        ("x = 1\ndef f():\n    use(x)", 3, None),
        ("def f(self):\n    self.h = g()\n    use(self.h)", 3, None),
        ("use(x)", 1, None),
    ],
)
def test_the_statement_that_produced_a_name(text: str, line: int, produced: str | None) -> None:
    sources = program(text)
    found = producer_of(sources, "x", "main.py", line)
    assert (sources.segment(found) if found else None) == produced


def test_the_producer_of_an_attribute() -> None:
    sources = program("def f(self):\n    self.h = g()\n    use(self.h)")
    assert producer_of(sources, "self.h", "main.py", 3).line == 2


def test_of_two_branches_the_one_around_the_use_counts() -> None:
    sources = program("if a:\n    x = 1\n    use(x)\nelse:\n    x = 2\n    use(x)\n")
    assert producer_of(sources, "x", "main.py", 3).line == 2
    assert producer_of(sources, "x", "main.py", 6).line == 5


def test_all_assignments_of_a_function_or_file() -> None:
    sources = program("x = 1\ndef f():\n    x = 2\n    for x in y: pass\n    g.x = 3\n")
    assert [s.line for s in assignments(sources, "x", "main.py")] == [1]
    assert [s.line for s in assignments(sources, "x", "main.py", 3)] == [3, 4]


def test_the_definition_in_another_file() -> None:
    sources = program(
        "from config import SIZE as N, Net\nimport config\nM = 3\ndef f():\n    k = 1\n    return N + M + k + Net\n",
        config="SIZE = 9\nclass Net: pass\n",
    )
    places = {name: definition(sources, name, "main.py", 6) for name in ("N", "M", "k", "Net", "unknown")}
    found = {name: at and (at.file, at.line) for name, at in places.items()}
    assert found == {"N": ("config.py", 1), "M": ("main.py", 3), "k": ("main.py", 5), "Net": ("config.py", 2), "unknown": None}
