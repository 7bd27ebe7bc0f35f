from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from texts import program, span

from torchwhy.model import Edit, Span
from torchwhy.reason import edits
from torchwhy.reason.diffs import apply, check, diff, patched
from torchwhy.reason.imports import with_imports
from torchwhy.reason.source import Sources


def after(sources: Sources, made: tuple[Edit, ...]) -> str:
    assert made
    text = patched(made, sources)["main.py"]
    assert check(text)
    return text


SIGNATURE = ("a", "b", "c")


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("f(1, 2)", "f(1, 9)"),
        ("f(1, b=2)  # two", "f(1, b=9)  # two"),
        ("f(1)", "f(1, b=9)"),
        ("f()", "f(b=9)"),
        ("f(c=(1))", "f(c=(1), b=9)"),
        ("f(1,)", "f(1, b=9,)"),
        ("f(*x)", None),
        ("f(**x)", None),
        ("f(v for v in w)", "f((v for v in w), b=9)"),
        ("f(\n    1,  # one, two\n    c=3,  # three\n)", "f(\n    1,  # one, two\n    c=3,  # three\n    b=9,\n)"),
        ("f(\n    1,\n    c=3\n)", "f(\n    1,\n    c=3, b=9\n)"),
        ("f(\n    1, c=g(\n        2\n    ),\n)", "f(\n    1, c=g(\n        2\n    ),\n    b=9,\n)"),
        ("größe = f(länge, c='ü')", "größe = f(länge, c='ü', b=9)"),
    ],
)
def test_a_keyword_is_set_where_it_belongs(text: str, becomes: str | None) -> None:
    sources = program(text)
    call = next(n for n in sources.file("main.py").nodes if getattr(getattr(n, "func", None), "id", "") == "f")
    made = edits.set_keyword(sources, sources.span_of("main.py", call), "b", "9", SIGNATURE)
    assert (after(sources, made) if made else None) == becomes


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("f(1, b=2, c=3)", "f(1, c=3)"),
        ("f(b=2, c=3)", "f(c=3)"),
        ("f(b=2)", "f()"),
        ("f(b=2,)", "f()"),
        ("f(1, b=(2))", "f(1)"),
        ("f((1), b=2)", "f((1))"),
        ("f(\n    1,  # one\n    b=2,  # two\n    c=3,\n)", "f(\n    1,  # one\n    c=3,\n)"),
        ("f(1)", None),
    ],
)
def test_a_keyword_goes_with_its_comma(text: str, becomes: str | None) -> None:
    sources = program(text)
    made = edits.remove_keyword(sources, span(sources, text), "b")
    assert (after(sources, made) if made else None) == becomes


def test_an_argument_is_replaced_where_it_is_written() -> None:
    sources = program("settings = dict(a=1, b=2)\nf(**settings)\nf(3, 4)\n")
    made = edits.replace_argument(sources, span(sources, "f(**settings)"), "b", "7")
    assert after(sources, made).startswith("settings = dict(a=1, b=7)\n")
    made = edits.replace_argument(sources, span(sources, "f(3, 4)"), "b", "7", SIGNATURE)
    assert after(sources, made).endswith("f(3, 7)\n")
    assert edits.replace_argument(sources, span(sources, "f(3, 4)"), "c", "7", SIGNATURE) == ()


@pytest.mark.parametrize(
    ("text", "piece", "becomes"),
    [
        ("y = a + b", "a + b", "y = (a + b).float()"),
        ("y = (a + b)", "a + b", "y = (a + b).float()"),
        ("f(a + b)", "a + b", "f((a + b).float())"),
        ("f((a + b))", "a + b", "f((a + b).float())"),
        ("y = (a + b) * (c + d)", "(a + b) * (c + d)", "y = ((a + b) * (c + d)).float()"),
        ("y = x[0]", "x[0]", "y = x[0].float()"),
        ("y = f(x)", "f(x)", "y = f(x).float()"),
        ("y = -x", "-x", "y = (-x).float()"),
        ("y = 3", "3", "y = (3).float()"),
        ("y = not x", "x", "y = not x.float()"),
        ("y = [1, 2]", "[1, 2]", "y = [1, 2].float()"),
        ("y = a if b else c", "a if b else c", "y = (a if b else c).float()"),
        ("y = lambda: x", "lambda: x", "y = (lambda: x).float()"),
        ("y = a, b", "a, b", "y = (a, b).float()"),
        ("y = (a, b)", "(a, b)", "y = (a, b).float()"),
        ("y = (\n    a\n    + b\n)", "a\n    + b", "y = (\n    (a\n    + b).float()\n)"),
        ("x = 'é' + a @ b", "a @ b", "x = 'é' + (a @ b).float()"),
    ],
)
def test_a_method_is_appended_with_the_parentheses_it_needs(text: str, piece: str, becomes: str) -> None:
    sources = program(text)
    assert after(sources, edits.append_method(sources, span(sources, piece), ".float()")) == becomes


def test_wrapped_in_a_call_or_in_an_operator() -> None:
    sources = program("y = a + b")
    assert after(sources, edits.wrap(sources, span(sources, "a + b"), "int(", ")")) == "y = int(a + b)"
    assert after(sources, edits.wrap(sources, span(sources, "a + b"), "", " // 2")) == "y = (a + b) // 2"


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("x += y", "x = x + y"),
        ("x *= a + b  # why", "x = x * (a + b)  # why"),
        ("x -= (a + b)", "x = x - (a + b)"),
        ("h[0] /= f(y)", "h[0] = h[0] / f(y)"),
        ("self.h @= y", "self.h = self.h @ y"),
        ("x.relu_()", "x = x.relu()"),
        ("x[mask].clamp_(0, 1)", "x[mask] = x[mask].clamp(0, 1)"),
        ("y = x.add_(1)", "y = x.add(1)"),
        ("f(x).add_(1)", None),
        ("y = relu(x, inplace=True)", "y = relu(x)"),
        ("relu(x, inplace=True)", "x = relu(x)"),
        ("m = nn.ReLU(inplace=True)", "m = nn.ReLU()"),
        ("y = x.add(1)", None),
        ("x.__init__()", None),
    ],
)
def test_written_out_of_place(text: str, becomes: str | None) -> None:
    sources = program(text)
    code = text.split("  #")[0]
    made = edits.out_of_place(sources, span(sources, code))
    assert (after(sources, made) if made else None) == becomes
    call = next((n for n in sources.file("main.py").nodes if "_(" in text and getattr(n, "func", None)), None)
    if call is not None and becomes:
        assert after(sources, edits.out_of_place(sources, sources.span_of("main.py", call))) == becomes


BODY = "@deco\ndef f(x):\n\tif x:\n\t\ty = '''\nkeep\n'''\n\t\tz = g(\n\t\t\tx\n\t\t)  # end\n\treturn x\n"


def test_whole_lines() -> None:
    sources = program(BODY)
    statement = span(sources, "z = g(\n\t\t\tx\n\t\t)")
    assert "\n'''\n\treturn x\n" in after(sources, edits.delete_statement(sources, statement))
    assert "\t\tnew()\n\t\tz = g(\n" in after(sources, edits.insert_before(sources, "main.py", statement.line + 1, "new()"))
    assert "\t\t)  # end\n\t\tnew()\n\t\tmore()\n" in after(
        sources, edits.insert_after(sources, "main.py", statement.line, "new()\nmore()")
    )
    wrapped = after(sources, edits.wrap_with(sources, span(sources, "if x:"), "with torch.no_grad():"))
    assert "\twith torch.no_grad():\n\t\tif x:\n\t\t\ty = '''\nkeep\n'''\n\t\t\tz = g(\n\t\t\t\tx\n\t\t\t)  # end\n\treturn x\n" in wrapped
    assert "@deco\n@torch.no_grad()\ndef f(x):\n" in after(sources, edits.add_decorator(sources, "main.py", 10, "@torch.no_grad()"))


def test_the_only_statement_of_a_block_becomes_pass() -> None:
    sources = program("if a:\n    b()  # gone\n")
    assert after(sources, edits.delete_statement(sources, span(sources, "b()"))) == "if a:\n    pass  # gone\n"
    sources = program("a(); b()\n")
    assert after(sources, edits.delete_statement(sources, span(sources, "a()"))) == "pass; b()\n"


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("x = 1\n", "import torch\nx = 1\n"),
        ('"""Doc."""\nfrom __future__ import annotations\n\nimport os\n',
         '"""Doc."""\nfrom __future__ import annotations\n\nimport torch\nimport os\n'),
        ("#!/usr/bin/env python\nx = 1\n", "#!/usr/bin/env python\nimport torch\nx = 1\n"),
        ('"""Doc."""', '"""Doc."""\nimport torch\n'),
        ("import torch\n", None),
    ],
)  # fmt: skip
def test_an_import_is_added_once(text: str, becomes: str | None) -> None:
    sources = program(text)
    made = edits.add_import(sources, "main.py", "import torch")
    assert (after(sources, made) if made else None) == becomes


def test_edits_that_overlap_or_lie_outside_are_refused() -> None:
    one, two = Edit(Span("m", 1, 0, 1, 3), "a"), Edit(Span("m", 1, 2, 1, 4), "b")
    assert apply([one, two], "abcdef") is None
    assert apply([Edit(Span("m", 9, 0, 9, 1), "a")], "abc") is None
    assert apply([Edit(Span("m", 1, 1, 1, 1), "1"), Edit(Span("m", 1, 1, 1, 1), "2")], "\ufeffab") == "\ufeffa12b"


@pytest.mark.skipif(not shutil.which("patch"), reason="needs the patch program")
@pytest.mark.parametrize(
    "text", ["a = 1\nb = 2\n", "a = 1\r\nb = 2\r\n", "a = 1\nb = 2", "b = 2", "s = 'x\x0cy'\nb = 2\n\n\n", "b = 2\r\nc = 1"]
)
def test_the_diff_is_what_patch_takes(tmp_path: Path, text: str) -> None:
    (tmp_path / "pkg").mkdir()
    file = tmp_path / "pkg" / "a.py"
    file.write_bytes(text.encode())
    sources = Sources({"pkg/a.py": text})
    made = edits.set_value(sources, span(sources, "2", file="pkg/a.py"), "3")
    subprocess.run(["patch", "-p1", "--binary"], input=diff(made, sources).encode(), cwd=tmp_path, check=True, capture_output=True)
    assert file.read_bytes() == text.replace("2", "3").encode()


def test_a_diff_without_edits_is_empty() -> None:
    sources = program("x = 1\n")
    assert diff((), sources) == "" and diff((Edit(Span("other.py", 1, 0, 1, 1), "y"),), sources) == ""


def test_an_import_that_an_edit_needs_is_added() -> None:
    sources = program('"""A."""\nfrom torch import nn\n\nx = f(y)\n')
    made = with_imports(edits.replace_text(span(sources, "f(y)"), "torch.relu(y)"), sources)
    assert after(sources, made) == '"""A."""\nimport torch\nfrom torch import nn\n\nx = torch.relu(y)\n'
    assert len(with_imports(edits.replace_text(span(sources, "f(y)"), "nn.ReLU()(y)"), sources)) == 1
