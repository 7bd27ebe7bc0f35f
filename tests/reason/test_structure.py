from __future__ import annotations

from texts import program, span

from torchwhy.reason.structure import decorator_of, enclosing, loop_around, misspelled, returns, super_init, with_around

TEXT = """
import torch
from torch import nn

class Net(nn.Module):
    def _init_(self):
        super().__init__()

    def foward(self, x):
        def inner():
            return 0
        return x

    @torch.inference_mode()
    def predict(self, x):
        for i, part in enumerate(x):
            while part:
                part = step(part)
        with torch.no_grad(), torch.autocast("cpu"):
            y = self(x)
            z = [
                self(v) for v in x
            ]
            def later():
                return late(x)
        return y
"""


def test_what_stands_around_a_place() -> None:
    sources = program(TEXT)
    inside = span(sources, "self(v)")
    assert with_around(sources, inside).text == "torch.no_grad()"
    assert with_around(sources, inside, ("autocast",)).text == 'torch.autocast("cpu")'
    assert with_around(sources, inside, ("enable_grad",)) is None
    assert with_around(sources, span(sources, "late(x)")) is None
    assert with_around(sources, span(sources, "torch.no_grad()")) is None
    assert decorator_of(sources, inside).text == "torch.inference_mode()"
    assert decorator_of(sources, span(sources, "return x")) is None
    loop = loop_around(sources, span(sources, "step(part)"))
    assert (loop.text, loop.names) == ("while part", ())
    outer = loop_around(sources, loop.statement)
    assert (outer.text, outer.names) == ("for i, part in enumerate(x)", ("i", "part"))
    assert loop_around(sources, inside) is None
    assert [sources.segment(s).split()[0] for s in enclosing(sources, inside)] == ["z", "with", "def", "class"]


def test_returns_are_those_of_the_function_itself() -> None:
    sources = program(TEXT)
    at = span(sources, "return x")
    assert [sources.segment(s) for s in returns(sources, "main.py", at.line)] == ["return x"]
    assert [sources.segment(s) for s in returns(sources, "main.py", span(sources, "def foward").line)] == ["return x"]


def test_misspelled_methods_and_the_parents_constructor() -> None:
    sources = program(TEXT)
    cls = sources.class_at("main.py", 5)
    found = misspelled(sources, "main.py", cls)
    assert [(sources.segment(at), name, meant) for at, name, meant in found] == [
        ("_init_", "_init_", "__init__"),
        ("foward", "foward", "forward"),
    ]
    assert super_init(sources, "main.py", cls) is None
    right = program("class A(B):\n    def __init__(self):\n        B.__init__(self)\n")
    assert super_init(right, "main.py", right.class_at("main.py", 1)).line == 3
