"""No text makes a question raise: every function is asked about every node of programs that are whole, cut short or shuffled."""

from __future__ import annotations

import random

import pytest

from torchwhy.model import Span
from torchwhy.reason import diffs, edits, origins, scopes, structure
from torchwhy.reason.source import Sources

PROGRAM = """
import argparse, config
from torch import nn
from config import *
WIDTHS = {"é": 3, **config.MORE, (1, []): 2}
class Net(nn.Module, metaclass=M):
    size: int = 3
    def __init__(self, a, /, b=2, *rest, c: int = 4, **more):
        super().__init__(**more)
        self.a, (self.b, *self.c) = a, b
        self.a += b if a else (c or rest[0])
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in zip(WIDTHS["é"][:-1], [1, 2, *rest]))
    @nn.no_grad()
    async def forward(self, x, /):
        with nn.autocast() as (q, w), open(x): x.relu_(); x += 1
        async for y in x: yield await y
        return f"{x!r:>{self.a}}" f"ü {(lambda z=self.b: z + x)(3)}"
def build(cfg=WIDTHS, *args, **kwargs):
    global WIDTHS
    for i, (k, v) in enumerate(sorted(cfg.items())): WIDTHS = v
    while (n := next(cfg)) and n < 3: del cfg[n]
    try: return Net(*args, c=[*range(n)], **kwargs, **{"b": n})
    except (KeyError, ValueError) as error: raise error from None
    else: print(n)
    finally: args[0].x[1:2, ...] = kwargs.pop("k")
match build(1, k=2):
    case Net(a=1) | {"k": [x, *y], **z} if x: print(x, y, z)
    case _: print(build(3).layers[-1].out_features, WIDTHS.get("é", 9))
"""
OTHER = "MORE = dict(k=WIDTHS)\nfrom main import WIDTHS\n"


def ask_everything(sources: Sources) -> None:
    file = sources.file("main.py")
    assert file is not None
    spans = [sources.span_of("main.py", node) for node in file.nodes if hasattr(node, "lineno")]
    spans += [
        Span("main.py", 3),
        Span("main.py", 0),
        Span("main.py", 10_000, 3, 10_001, 0),
        Span("main.py", 5, 90, 5, 2),
        Span("none.py", 1, 0, 1, 1),
    ]
    for at in spans:
        calls = tuple(random.choices(spans, k=3))
        sources.node_at(at), sources.call_at(at), sources.segment(at), sources.arguments(at), sources.operands(at, "add")
        origins.origins(sources, at, calls, 3)
        origins.argument_origins(sources, (at, *calls), "b")
        origins.argument(sources, at, "c", ("a", "c")), origins.default(sources, at, "b"), origins.fold(sources, at)
        for question in (structure.with_around, structure.decorator_of, structure.loop_around, structure.enclosing):
            question(sources, at)
        made = [
            edits.set_value(sources, at, "1"), edits.replace_argument(sources, at, "b", "1"), edits.set_keyword(sources, at, "b", "1"),
            edits.remove_keyword(sources, at, "c"), edits.append_method(sources, at, ".t()"), edits.out_of_place(sources, at),
            edits.delete_statement(sources, at), edits.wrap_with(sources, at, "if 1:"), edits.replace_text(at, "1"),
        ]  # fmt: skip
        for edit in made:
            diffs.diff(edit, sources)
    for line in range(-1, len(file.lines) + 3):
        sources.line_text("main.py", line), sources.function_at("main.py", line), structure.returns(sources, "main.py", line)
        edits.insert_before(sources, "main.py", line, "a"), edits.insert_after(sources, "main.py", line, "a\nb")
        edits.add_decorator(sources, "main.py", line, "@a")
        for name in ("x", "n", "self.a", "WIDTHS", "MORE"):
            scopes.producer_of(sources, name, "main.py", line), scopes.definition(sources, name, "main.py", line)
            scopes.assignments(sources, name, "main.py", line)
        cls = sources.class_at("main.py", line)
        if cls is not None:
            structure.misspelled(sources, "main.py", cls), structure.super_init(sources, "main.py", cls)
    edits.add_import(sources, "main.py", "import a")


def test_a_whole_program() -> None:
    random.seed(0)
    ask_everything(Sources({"main.py": PROGRAM, "config.py": OTHER}))


@pytest.mark.parametrize("seed", range(12))
def test_a_program_with_lines_missing_or_moved(seed: int) -> None:
    random.seed(seed)
    lines = PROGRAM.split("\n")
    if seed % 3 == 0:
        lines = lines[: random.randrange(len(lines))]
    elif seed % 3 == 1:
        lines = [line.strip() for line in random.sample(lines, 8) if not line.rstrip().endswith(":")]
    else:
        del lines[random.randrange(len(lines))]
    ask_everything(Sources({"main.py": random.choice(["\n", "\r\n"]).join(lines), "config.py": OTHER}))


@pytest.mark.parametrize(
    "piece", ["x = -" + "-" * 3000 + "1", "x" + ".a" * 3000, "x" + "[0]" * 300 + " = 1", "f" + "()" * 300, "x = " + "[" * 90 + "]" * 90]
)
def test_deep_nesting(piece: str) -> None:
    sources = Sources({"main.py": piece})
    file = sources.file("main.py")
    assert file is not None
    for node in file.nodes[:: max(1, len(file.nodes) // 20)]:
        at = sources.span_of("main.py", node)
        origins.origins(sources, at), origins.fold(sources, at), sources.operands(at), edits.out_of_place(sources, at)
