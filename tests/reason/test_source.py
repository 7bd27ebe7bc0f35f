from __future__ import annotations

import ast

import pytest
from texts import program, span

from torchwhy.model import Span
from torchwhy.reason.source import Sources, split_lines


def texts(expressions) -> list[str]:
    return [e.text for e in expressions]


@pytest.mark.parametrize(
    ("line", "piece", "kind"),
    [
        ("y = a @ b", "a @ b", ast.BinOp),
        ("x += y", "x += y", ast.AugAssign),
        ("f(x)", "f(x)", ast.Call),
        ("größe = 'ä' + länge[0]", "länge[0]", ast.Subscript),
        ("z = [g(v) for v in w]", "g(v)", ast.Call),
        ("z = (n := 3) + 1", "n := 3", ast.NamedExpr),
        ("z = lambda q: q.t()", "q.t()", ast.Call),
    ],
)
def test_the_node_at_a_span_is_the_expression(line: str, piece: str, kind: type) -> None:
    sources = program(line)
    at = span(sources, piece)
    assert isinstance(sources.node_at(at), kind)
    assert sources.segment(at) == piece
    assert sources.span_of("main.py", sources.node_at(at)) == Span(**{**{f: getattr(at, f) for f in at.__slots__}, "function": "<module>"})


def test_a_method_call_over_lines_is_found_at_the_name_where_cpython_places_it() -> None:
    sources = program(
        """
        y = (
            x.view(2, 3)
            .t(1)
            .sum(0)
        )
        """
    )
    call = sources.call_at(Span("main.py", 4, 5, 4, 11))
    assert call is not None and call.func.attr == "sum"
    assert texts(sources.operands(Span("main.py", 3, 5, 3, 9))) == ["x.view(2, 3)", "1"]


def test_a_line_without_columns_has_a_call_only_where_there_is_one() -> None:
    sources = program("y = f(x)\nz = g(f(x))\n")
    assert sources.call_at(Span("main.py", 1)) is not None
    assert sources.call_at(Span("main.py", 2)) is None


@pytest.mark.parametrize(
    ("line", "piece", "op", "operands"),
    [
        ("y = a @ b", "a @ b", "", ["a", "b"]),
        ("x += y * 2", "x += y * 2", "", ["x", "y * 2"]),
        ("v = x[i, 0]", "x[i, 0]", "", ["x", "i", "0"]),
        ("x[mask] = 0", "x[mask]", "", ["x", "mask", "0"]),
        ("v = self.fc1(x.flatten(1))", "self.fc1(x.flatten(1))", "linear", ["x.flatten(1)"]),
        ("v = net.body.fc1(x)", "net.body.fc1(x)", "linear", ["x"]),
        ("v = self.w.view(2, -1)", "self.w.view(2, -1)", "view", ["self.w", "2", "-1"]),
        ("import torch\nv = torch.cat([a, b], dim=1)", "torch.cat([a, b], dim=1)", "cat", ["a", "b", "1"]),
        ("import torch.nn.functional as F\nv = F.relu(x)", "F.relu(x)", "relu", ["x"]),
        ("v = q.view(3).t()", "q.view(3).t()", "t", ["q.view(3)"]),
        ("b, n = x.shape", "b, n", "", ["x.shape"]),
        ("v = f(*parts, k=z)", "f(*parts, k=z)", "", ["parts", "z"]),
        ("v = a < b", "a < b", "", ["a", "b"]),
        ("v = -a", "-a", "", ["a"]),
    ],
)
def test_operands_are_the_users_own_expressions(line: str, piece: str, op: str, operands: list[str]) -> None:
    sources = program(line)
    assert texts(sources.operands(span(sources, piece), op)) == operands


def test_arguments_have_their_keywords_in_the_order_of_the_text() -> None:
    sources = program("f(a, *b, c=1, **d)")
    assert [(e.keyword, e.text) for e in sources.arguments(span(sources, "f(a, *b, c=1, **d)"))] == [
        (None, "a"),
        ("*", "b"),
        ("c", "1"),
        ("**", "d"),
    ]


def test_functions_classes_and_statements_by_line() -> None:
    sources = program(
        """
        import torch
        class Net:
            @torch.no_grad()
            def forward(self, x):
                def inner(y):
                    return y
                return inner(
                    x
                )
        """
    )
    assert sources.function_at("main.py", 6).name == "inner"
    assert sources.function_at("main.py", 8).name == "forward"
    assert sources.function_at("main.py", 1) is None
    assert sources.class_at("main.py", 6).name == "Net"
    assert isinstance(sources.statement_at("main.py", 8), ast.Return)
    assert sources.statement_at("main.py", 3).name == "forward"
    assert sources.span_of("main.py", sources.statement_at("main.py", 8)).function == "forward"


@pytest.mark.parametrize("text", ["def f(:\n", "x = '\x00'", "\ud800 = 1", "(" * 5000, ""])
def test_what_does_not_parse_answers_none(text: str) -> None:
    sources = Sources({"main.py": text})
    at = Span("main.py", 1, 0, 1, 3)
    assert sources.node_at(at) is None and sources.call_at(at) is None and sources.statement_at("main.py", 1) is None
    assert sources.operands(at) == () and sources.arguments(at) == ()
    assert sources.node_at(Span("other.py", 1)) is None


def test_lines_end_where_python_ends_them() -> None:
    assert split_lines("a\r\nb\rc\x0cd\u2028e\n") == ["a\r\n", "b\r", "c\x0cd\u2028e\n"]
    sources = Sources({"main.py": "\ufeffx = 1\r\ny = f(x)\r\n"})
    assert sources.segment(Span("main.py", 2, 4, 2, 8)) == "f(x)"
    assert isinstance(sources.node_at(Span("main.py", 1, 4, 1, 5)), ast.Constant)
