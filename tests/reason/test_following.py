from __future__ import annotations

import pytest
from runs import failed, op, tensor
from texts import program, span

from torchwhy.model import Argument, Evidence, Failure, Frame, Span
from torchwhy.reason.following import added_axis, follow_data
from torchwhy.reason.places import Place
from torchwhy.reason.reading import reading
from torchwhy.reason.shrinking import shrinking
from torchwhy.reason.texts import built_in_text, called_in_line
from torchwhy.reason.unpacking import unpacking
from torchwhy.reason.walk import Walk


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("a = np.random.rand(4, 5)\nuse(a)", "np.random.rand(4, 5)"),
        ("a = np.random.rand(4, 5)\nb = a.astype('float32')\nuse(np.ascontiguousarray(b))", "np.random.rand(4, 5)"),
        ("def f(a):\n    use(a.transpose(2, 0, 1))\nf(picture)", "picture"),
        ("def windows(s):\n    return np.stack([s[i] for i in r]), s[0]\nx, y = windows(series)\nuse(x)", "np.stack([s[i] for i in r])"),
        ("a = left + right\nuse(a)", "left + right"),
        ("rows = [len(t) for t in texts]\nuse(rows)", "texts"),
        ("a = np.load('data.npy')\nuse(a)", "np.load('data.npy')"),
    ],
)
def test_data_outside_of_torch_is_followed_to_where_it_was_made(text: str, last: str) -> None:
    assert follow_data(*_used(text))[-1].text == last


@pytest.mark.parametrize(
    ("text", "axis"),
    [
        ("s = s[:, None, :]\nx = np.stack([s])\nuse(x)", "s[:, None, :]"),
        ("x = np.expand_dims(a, 1)\nuse(x)", "np.expand_dims(a, 1)"),
        ("x = a[..., np.newaxis]\nuse(x)", "a[..., np.newaxis]"),
        ("x = a[0]\nuse(x)", None),
    ],
)
def test_the_axis_that_data_was_given(text: str, axis: str | None) -> None:
    walk, place = _used(text)
    found = added_axis(walk, follow_data(walk, place))
    assert (walk.sources.segment(found) if found else None) == axis


def _used(text: str) -> tuple[Walk, Place]:
    sources = program("import numpy as np\n" + text)
    source = sources.file("main.py")
    assert source is not None
    used = next(n for n in source.nodes if getattr(getattr(n, "func", None), "id", "") == "use")
    return Walk(sources), Place(source, used.args[0])  # type: ignore[attr-defined]


def printed(line: str, text: str = "") -> Evidence:
    """A failure of which only the line is known, and maybe the program."""
    sources = (("main.py", text),) if text else ()
    return Evidence(failure=Failure("RuntimeError", "", frames=(Frame(Span("main.py", 9), code=line),)), sources=sources)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("x = self.fc1(x)", "`self.fc1`"),
        ("return F.relu(self.conv(x))", "`self.conv`"),
        ("for x in net(batch):", "`net`"),
        ("return self.a(self.b(x))", ""),
        ("x = x @ w", ""),
        ("not python (", ""),
    ],
)
def test_the_layer_in_a_printed_line(line: str, name: str) -> None:
    assert called_in_line(reading(printed(line))) == name


def test_the_call_that_built_it_is_found_where_there_is_one() -> None:
    text = "N = 24\nself.a = nn.Linear(6, 20)\nself.b = nn.Linear(N, 3)\nself.c = nn.Linear(20, 24)\n"
    found = built_in_text(reading(printed("return self.b(h)", text)), ("Linear",), "in_features", 0, 24)
    assert found is not None and found.span.line in (1, 3)
    assert built_in_text(reading(printed("return self.b(h)", text)), ("Linear",), "in_features", 0, 99) is None
    assert built_in_text(reading(printed("return self.d(h)", text + text)), ("Linear",), "in_features", 0, 6) is None


def test_maps_are_followed_through_what_made_them_smaller() -> None:
    x, a, b, c = tensor(1, 3, 12, 12), tensor(1, 8, 12, 12), tensor(1, 8, 6, 6), tensor(1, 8, 2, 2)
    weight = tensor(8, 3, 3, 3)
    ops = [
        op(0, "rand", x, size=(1, 3, 12, 12)),
        op(1, "conv2d", a, input=x, weight=weight, stride=(1, 1), padding=(1, 1), dilation=(1, 1)),
        op(2, "max_pool2d", b, input=a, kernel_size=2, stride=None, padding=0, dilation=1),
        op(3, "conv2d", c, input=b, weight=tensor(8, 8, 5, 5), stride=(1, 1), padding=(0, 0), dilation=(1, 1)),
    ]
    run = failed(op(4, "max_pool2d", (), [Span("main.py", 1)], input=c, kernel_size=3), {}, ops)
    way = shrinking(reading(run), c, 3)
    assert way.text == "12 → 6 → 2" and way.root.op == ops[0]
    assert way.least(3, 1, 2) == 14


@pytest.mark.parametrize(
    ("text", "targets", "kind", "names"),
    [
        ("b, c, h, w = x.shape\n", "b, c, h, w", "shape", 4),
        ("b, n = x.size()\n", "b, n", "shape", 2),
        ("mu, var = x\n", "mu, var", "tensor", 2),
    ],
)
def test_what_was_unpacked(text: str, targets: str, kind: str, names: int) -> None:
    sources = program(text)
    x = tensor(4, 5, 6)
    frame = Frame(span(sources, targets), locals=(Argument("x", x),))
    found = unpacking(reading(Evidence(failure=Failure("ValueError", "", frames=(frame,)), sources=sources.evidence.sources)))
    assert found is not None and (found.kind, found.names, found.tensor) == (kind, names, x)


def test_a_list_of_the_programs_own_is_no_business_of_torch() -> None:
    sources = program("a, b = values\n")
    frame = Frame(span(sources, "a, b"))
    assert unpacking(reading(Evidence(failure=Failure("ValueError", "", frames=(frame,)), sources=sources.evidence.sources))) is None
