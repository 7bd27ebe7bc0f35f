from __future__ import annotations

import ast

import pytest
from texts import program, span

from torchwhy.model import Argument, Evidence, ModuleFacts, Plain
from torchwhy.reason.origins import argument, argument_origins, default, fold, origins, settable
from torchwhy.reason.source import Sources


def way(found) -> list[str]:
    return [f"{o.span.file}:{o.span.line} {o.text}" for o in found]


ARGPARSE = "import argparse\np = argparse.ArgumentParser()\n"
FIELDS = "from dataclasses import dataclass, field\n@dataclass\nclass C:\n"


@pytest.mark.parametrize(
    ("text", "value", "last"),
    [
        ("n = 3\nuse(n)", None, "main.py:1 3"),
        ("n = 3\nn = 4\nuse(n)", None, "main.py:2 4"),
        ("h, w = 50, 200\nuse(w)", None, "main.py:1 200"),
        ("size = (50, 200)\nh, w = size\nuse(h)", None, "main.py:1 50"),
        ("a, *b, c = 1, 2, 3\nuse(c)", None, "main.py:1 3"),
        ("if flag:\n    n = 3\nelse:\n    n = 4\nuse(n)", 4, "main.py:4 4"),
        ("if flag:\n    n = 3\nelse:\n    n = 4\nuse(n)", None, "main.py:5 n"),
        ("n = 1\nif flag:\n    n = 3\n    raise E\nuse(n)", None, "main.py:1 1"),
        ("base = 64\nuse(base * 2)", 128, "main.py:1 64"),
        ("a = 2\nb = 3\nuse(a * b)", 6, "main.py:3 a * b"),
        ("words = ['a', 'b']\nuse(len(words))", 2, "main.py:1 ['a', 'b']"),
        ("C = {'k': 7}\nuse(C['k'])", None, "main.py:1 7"),
        ("C = dict(k=7)\nuse(C.get('k', 1))", None, "main.py:1 7"),
        ("C = dict(k=7)\nuse(C.get('j', 1))", None, "main.py:2 1"),
        ("C = {'k': 7}\nC['k'] = 9\nuse(C['k'])", None, "main.py:2 9"),
        ("B = {'k': 7}\nC = {**B, 'j': 1}\nuse(C['k'])", None, "main.py:1 7"),
        ("W = {'s': 7, 'l': 9}\nname = 'l'\nuse(W[name])", None, "main.py:1 9"),
        ("L = [4, 5, 6]\nuse(L[-1])", None, "main.py:1 6"),
        ("class C:\n    n = 7\nuse(C.n)", None, "main.py:2 7"),
        ("n = 3 if True else 4\nuse(n)", None, "main.py:1 3"),
        ("n = m or 4\nm = None\nuse(n)", 4, "main.py:1 4"),
        ("for n in (3, 4):\n    use(n)", 4, "main.py:1 4"),
        ("for n in (3, 4):\n    use(n)", 5, "main.py:1 (3, 4)"),
        ("D = [3, 5, 9]\nfor a, b in zip(D[:-1], D[1:]):\n    use(b)", 9, "main.py:1 9"),
        ("for i, (a, b) in enumerate([(1, 2), (3, 4)]):\n    use(b)", 4, "main.py:1 4"),
        ("D = {'a': 3, 'b': 4}\nfor k, n in D.items():\n    use(n)", 4, "main.py:1 4"),
        ("v = [use(n) for n in [3, 4]]", 3, "main.py:1 3"),
        ("def width():\n    return 7\nuse(width())", None, "main.py:2 7"),
        ("def width(a, b=7):\n    return b\nn = width(3)\nuse(n)", None, "main.py:1 7"),
        ("use((n := 5))", None, "main.py:1 5"),
        ("n = int(3.0)\nuse(n)", None, "main.py:1 3.0"),
        ("x = data.shape[1]\nuse(x)", 3, "main.py:1 data.shape[1]"),
        ("n = n + 1\nuse(n)", None, "main.py:1 n"),
        ("use(undefined)", None, "main.py:1 undefined"),
        ("n = 2\nn += 3\nuse(n)", 5, "main.py:1 2"),
        ("from types import SimpleNamespace\nc = SimpleNamespace(n=3)\nuse(c.n)", None, "main.py:2 3"),
        (ARGPARSE + "p.add_argument('-b', '--batch-size', type=int, default=32)\na = p.parse_args()\nuse(a.batch_size)",
         32, "main.py:3 32"),
        (ARGPARSE + "p.add_argument('--n', type=int, default=32)\na, _ = p.parse_known_args()\nuse(a.n)", None, "main.py:3 32"),
        (ARGPARSE + "p.add_argument('--n', type=int, default=32)\na = p.parse_args()\nuse(a.n)",
         64, "main.py:3 p.add_argument('--n', type=int, default=32)"),
        ("from dataclasses import dataclass\n@dataclass\nclass C:\n    n: int = 7\nc = C()\nuse(c.n)", None, "main.py:4 7"),
        (FIELDS + "    a: int\n    n: int = field(default=7)\nc = C(1)\nuse(c.n)", None, "main.py:5 7"),
        ("from dataclasses import dataclass\n@dataclass\nclass C:\n    n: int = 7\nc = C(n=9)\nuse(c.n)", None, "main.py:5 9"),
        ("class C:\n    def __init__(self, k):\n        self.n = k\nc = C(3)\nuse(c.n)", None, "main.py:4 3"),
        ("def f(n):\n    use(n)\nf(8)", None, "main.py:3 8"),
        ("def f(n):\n    use(n)\nf(8)\nf(9)", None, "main.py:2 n"),
        ("def f(n):\n    def g():\n        use(n)\n    g()\nf(8)", None, "main.py:5 8"),
        ("n = 3\ndef f():\n    use(n)\n", None, "main.py:1 3"),
        ("n = 3\nn = 4\ndef f():\n    use(n)\n", None, "main.py:2 4"),
        ("if __name__ == '__main__':\n    n = 6\n    use(n)", None, "main.py:2 6"),
        ("try:\n    n = 6\nexcept E:\n    n = 7\nuse(n)", 6, "main.py:2 6"),
    ],
)  # fmt: skip
def test_the_last_origin_decides(text: str, value: object, last: str) -> None:
    sources = program(text)
    used = next(o for o in [*sources.file("main.py").nodes] if getattr(getattr(o, "func", None), "id", "") == "use")
    found = origins(sources, sources.span_of("main.py", used.args[0]), value=value)
    assert way(found)[-1] == last


def test_through_the_recorded_calls_to_another_file() -> None:
    sources = program(
        """
        import config
        from net import Net
        settings = dict(depth=2, dim=config.HIDDEN * 2)
        net = Net(**settings)
        """,
        net="""
        import torch.nn as nn
        class Block(nn.Module):
            def __init__(self, dim, out=None):
                super().__init__()
                out = out or dim
                self.fc = nn.Linear(dim, out)
        class Net(nn.Module):
            def __init__(self, dim=64, depth=12, classes=10):
                super().__init__()
                self.blocks = nn.Sequential(*[Block(dim) for _ in range(depth)])
                self.head = nn.Linear(dim, classes)
        """,
        config="HIDDEN = 48\n",
    )
    net = lambda piece: span(sources, piece, file="net.py")  # noqa: E731
    around = (net("Block(dim)"), net("[Block(dim) for _ in range(depth)]"), net("nn.Sequential(*[Block(dim) for _ in range(depth)])"))
    calls = (net("nn.Linear(dim, out)"), *around, span(sources, "Net(**settings)"))
    signature = ("in_features", "out_features", "bias")
    found = argument_origins(sources, calls, "in_features", signature, 96)
    assert way(found) == ["net.py:6 dim", "net.py:10 dim", "main.py:3 config.HIDDEN * 2", "main.py:3 config.HIDDEN", "config.py:1 48"]
    assert [o.kind for o in found] == ["argument", "argument", "argument", "expression", "import"]
    assert way(argument_origins(sources, calls, "out_features", signature, 96))[-1] == "config.py:1 48"
    calls = (net("nn.Linear(dim, classes)"), span(sources, "Net(**settings)"))
    last = argument_origins(sources, calls, "out_features", signature, 10)[-1]
    assert (last.kind, last.form, last.value, last.span.file, last.span.line) == ("default", "literal", 10, "net.py", 8)
    assert argument(sources, calls[1], "classes") is None
    assert default(sources, calls[1], "classes").text == "10"
    assert argument(sources, calls[0], "bias", signature) is None


def test_an_attribute_in_forward_is_followed_through_the_recorded_construction() -> None:
    text = """
        import torch.nn as nn
        class Head(nn.Module):
            def __init__(self, dim):
                super().__init__()
                self.dim = dim
            def forward(self, x):
                return x.view(-1, self.dim)
        def build(width):
            return Head(width)
        a, b = build(16), build(32)
        """
    sources = program(text)
    settings = {n: (Argument("dim", Plain("int", str(n), n)),) for n in (16, 32)}
    built = {n: (span(sources, "Head(width)"), span(sources, f"build({n})")) for n in (16, 32)}
    first, second = (ModuleFacts(n, "", "Head", settings=settings[n], built=built[n]) for n in (16, 32))
    known = Sources(Evidence(modules=(first, second), sources=sources.evidence.sources))
    use = span(sources, "self.dim", 2)
    assert way(origins(known, use, value=32))[-1] == "main.py:10 32"
    assert way(origins(known, use))[-1] == "main.py:9 width"
    alone = Sources(Evidence(modules=(first,), sources=sources.evidence.sources))
    assert way(origins(alone, use))[-1] == "main.py:10 16"


def test_inherited_constructors_and_super_calls() -> None:
    sources = program(
        """
        class Base:
            def __init__(self, n, m=1):
                use(n)
                self.n = n
        class Child(Base):
            def __init__(self, k):
                super().__init__(k * 2)
        class Other(Base):
            pass
        Child(4)
        Other(5)
        """
    )
    assert (
        way(origins(sources, sources.arguments(span(sources, "use(n)"))[0].span, (span(sources, "use(n)"), span(sources, "Child(4)"))))[-1]
        == "main.py:10 4"
    )
    assert (
        way(origins(sources, sources.arguments(span(sources, "use(n)"))[0].span, (span(sources, "use(n)"), span(sources, "Other(5)"))))[-1]
        == "main.py:11 5"
    )


def test_packages_stars_and_relative_imports() -> None:
    sources = program(
        "from pkg import SIZE\nfrom pkg.sizes import *\nimport pkg.sizes\nimport pkg.sizes as s\nfrom pkg import sizes\n"
        "use(SIZE, WIDE, pkg.sizes.WIDE, s.WIDE, sizes.WIDE)\n",
        __init___in_pkg="from .sizes import LARGE as SIZE\n",
        sizes_in_pkg="LARGE = 512\nWIDE = LARGE * 2\n",
    )
    call = span(sources, "use(SIZE, WIDE, pkg.sizes.WIDE, s.WIDE, sizes.WIDE)")
    ends = [way(origins(sources, e.span))[-1] for e in sources.arguments(call)]
    assert ends == ["pkg/sizes.py:1 512"] * 5


def test_unpacked_arguments_are_resolved_only_when_literal() -> None:
    sources = program(
        """
        pair = (3, 4)
        f(*pair)
        f(*unknown, b=1)
        f(**unknown)
        f(*[1, 2], c=5)
        """
    )
    signature = ("a", "b", "c")
    got = lambda piece, name: (found := argument(sources, span(sources, piece), name, signature)) and found.text  # noqa: E731
    assert [got("f(*pair)", n) for n in signature] == ["3", "4", None]
    assert [got("f(*unknown, b=1)", n) for n in signature] == [None, "1", None]
    assert [got("f(**unknown)", n) for n in signature] == [None, None, None]
    assert [got("f(*[1, 2], c=5)", n) for n in signature] == ["1", "2", "5"]


@pytest.mark.parametrize(
    ("more", "last"),
    [("", "main.py:5 8"), ("class D(C): pass\n", "main.py:3 n"), ("make = C\n", "main.py:3 n"), ("C(9)\n", "main.py:3 n")],
)
def test_without_a_recorded_call_only_the_one_mention_in_the_text_counts(more: str, last: str) -> None:
    sources = program(f"class C:\n    def __init__(self, n):\n        use(n)\n\nc = C(8)\n{more}")
    call = span(sources, "use(n)")
    assert way(origins(sources, sources.arguments(call)[0].span, (call,)))[-1] == last


@pytest.mark.parametrize(
    ("text", "form"),
    [("n", "name"), ("3 * 2", "literal"), ("f(3)", "call"), ("a * b", "expression"), ("x.shape", "expression"), ("c.n", "name")],
)
def test_the_form_tells_whether_the_last_origin_decides(text: str, form: str) -> None:
    sources = program(f"y = {text}")
    assert origins(sources, span(sources, text))[-1].form == form


def test_where_a_number_may_be_written() -> None:
    sources = program("WIDTH = 64\nN = WIDTH\nuse(N * 2)\nuse(N)\n")
    assert settable(origins(sources, span(sources, "N * 2")), 128).text == "N * 2"
    assert settable(origins(sources, sources.arguments(span(sources, "use(N)"))[0].span), 64).span.line == 1
    assert settable((), 3) is None


@pytest.mark.parametrize(
    ("expression", "value"),
    [("48 * 6 * 27", 7776), ("-N // 2", -32), ("2 ** 3 + N", 72), ("(N, 'a')", (64, "a")), ("N if N else 0", 64), ("max(N, 100)", 100),
     ("9 ** 9 ** 9", None), ("f(N)", None), ("1 / 0", None), ("len('abc')", 3), ("x[0]", None)],
)  # fmt: skip
def test_fold_computes_constants_and_nothing_else(expression: str, value: object) -> None:
    sources = program(f"N = 64\ny = {expression}\n")
    assert fold(sources, span(sources, expression)) == value


def test_cycles_and_long_chains_end() -> None:
    doubling = "\n".join(f"a{i} = a{i + 1} + a{i + 1}" for i in range(200)) + "\na200 = 1\n"
    for text in (
        "a = b\nb = a\n",
        "def f(n):\n    return f(n)\nx = f(1)\n",
        "class A(A):\n    pass\ny = A.z\n",
        doubling,
        "x = " + "+".join("1" * 900),
    ):
        sources = program(text)
        for node in [n for n in sources.file("main.py").nodes if isinstance(n, (ast.expr, ast.stmt))][::60]:
            assert len(origins(sources, sources.span_of("main.py", node))) < 42
