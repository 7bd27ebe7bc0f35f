"""Nothing of the program's runs when we look at its values: what they do then is done as often as under python, and costs no diagnosis."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from laboratory import Laboratory, Trial

HEAD = """\
import atexit
import torch
from torch import nn
import hostile_values as hostile

given = {values}
atexit.register(lambda: print(hostile.seen))
net = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(30, 5))
"""
FAIL = """\
hostile.watching[0] = True
run()
"""
PLACES = {
    "locals": "def run(default=given):\n    {unpacked} = given\n    local = [*given]\n    return net(torch.ones(4, 10) + 1)\n",
    "globals": "{unpacked} = given\ndef run():\n    return net(torch.ones(4, 10) + 1)\n",
    "attributes": """\
class Holder:
    pass
holder = Holder()
vars(holder).update((f"v{{n}}", value) for n, value in enumerate(given))
vars(net).update((f"v{{n}}", value) for n, value in enumerate(given))
def run():
    return net(torch.ones(4, 10) + holder.v0.missing if False else torch.ones(4, 10))
""",
    "a layer's call": """\
class Net(nn.Module):
    def __init__(self, *settings):
        super().__init__()
        self.settings, self.net = settings, net
    def forward(self, x, *rest, **named):
        return self.net(x)
whole = Net(*given)
def run():
    return whole(torch.ones(4, 10), *given, named=given)
""",
    "loops": """\
def run():
    for number, value in enumerate(given):
        held = {{"value": value}}
    for _ in range(3):
        net[0](torch.ones(4, 10)).sum().backward()
    return net(torch.ones(4, 10))
""",
    "an optimizer": """\
optimizer = torch.optim.SGD([dict(params=[p], extra=value) for p, value in zip(list(net.parameters()) * 9, given)][:4], lr=0.1)
def run():
    optimizer.step()
    return net(torch.ones(4, 10))
""",
    "a dataset": """\
class Rows(torch.utils.data.Dataset):
    def __len__(self):
        return 4
    def __getitem__(self, index):
        return torch.ones(10), given
def run():
    for rows, values in torch.utils.data.DataLoader(Rows(), 2, collate_fn=lambda rows: (torch.stack([r for r, _ in rows]), given)):
        net(rows)
""",
    "a dataset that fails": """\
class Rows(torch.utils.data.Dataset):
    def __len__(self):
        return 4
    def __getitem__(self, index):
        values = given
        return torch.ones(3 + index), 1
def run():
    for rows, values in torch.utils.data.DataLoader(Rows(), 2):
        net(rows)
""",
    "an exception": """\
def run():
    try:
        net(torch.ones(4, 10))
    except RuntimeError as error:
        raise RuntimeError("a step failed", given) from error
""",
}
ARGUMENTS = [
    "torch.cat([torch.ones(1), value])",
    "torch.ones(2).view(value)",
    "torch.add(torch.ones(2), value)",
    "torch.ones(2).sum(dim=value)",
    "nn.functional.dropout(torch.ones(2), p=2.0, training=value is not None)",
    "nn.Linear(value, 3)",
]


def _trial(laboratory: Laboratory, text: str, values: str, mode: str) -> Trial:
    own = (Path(__file__).parent / "hostile_values.py").read_text()
    unpacked = ", ".join(f"v{number}" for number in range(8)) + ", *v_rest"
    files = {"main.py": (HEAD + text + FAIL).format(values=values, unpacked=unpacked), "hostile_values.py": own}
    if mode != "plain":
        return laboratory.run(files, mode=mode)
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        for file, content in files.items():
            (Path(name) / file).write_text(content)
        return laboratory.run_in(Path(name), "main.py", mode)


def _said(trial: Trial) -> tuple[Any, ...]:
    assert trial.report is not None, trial.stderr
    assert trial.report["problems"] == [], trial.report["problems"]
    first = (trial.report["diagnoses"] or [None])[0]
    return trial.report["outcome"], first and (first["family"], first["cause"]["file"], first["cause"]["line"])


@pytest.mark.parametrize("place", PLACES)
def test_it_is_as_if_they_were_numbers(laboratory: Laboratory, place: str) -> None:
    plain = _trial(laboratory, PLACES[place], "hostile.values()", "plain")
    ours = _trial(laboratory, PLACES[place], "hostile.values()", "full")
    tame = _trial(laboratory, PLACES[place], "[*range(30)]", "full")
    looks = 2 if place == "an exception" else 1  # Python asks for its text, and we do once
    assert ours.exit_code == plain.exit_code
    assert ast.literal_eval(ours.stdout) == ast.literal_eval(plain.stdout) * looks
    assert _said(ours) == _said(tame)
    assert _said(ours)[1] is not None


@pytest.mark.parametrize("call", ARGUMENTS)
def test_as_arguments_of_torch(laboratory: Laboratory, call: str) -> None:
    text = f"def run():\n    for value in given:\n        try:\n            {call}\n        except Exception:\n            pass\n    net(torch.ones(4, 10))\n"
    text = text.replace("{", "{{").replace("}", "}}")
    plain = _trial(laboratory, text, "hostile.values()", "plain")
    ours = _trial(laboratory, text, "hostile.values()", "full")
    assert set(ast.literal_eval(ours.stdout)) <= set(ast.literal_eval(plain.stdout))  # torch asks again under a mode
    assert _said(ours)[1] == ("shape.linear", "main.py", 8)


def test_a_text_that_can_not_be_had(laboratory: Laboratory) -> None:
    text = "def run():\n    try:\n        net(torch.ones(4, 10))\n    except RuntimeError as error:\n        raise hostile.Message() from error\n"
    plain = _trial(laboratory, text, "[]", "plain")
    ours = _trial(laboratory, text, "[]", "full")
    assert (ours.exit_code, ours.stdout) == (plain.exit_code, plain.stdout)
    assert _said(ours) == ("failed", ("shape.linear", "main.py", 8))
