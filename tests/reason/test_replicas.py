"""What is read of a program whose replicas part, and the look-alikes that are left alone."""

from __future__ import annotations

import pytest

from torchwhy.reason.replicas import frozen_under, left_out_under, reentrant_checkpoints
from torchwhy.reason.source import Sources


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("from torch.utils.checkpoint import checkpoint\ny = checkpoint(f, x, use_reentrant=True)\n", 1),
        ("from torch.utils.checkpoint import checkpoint as again\ny = again(f, x)\n", 1),
        ("import torch\ny = torch.utils.checkpoint.checkpoint(f, x)\n", 1),
        ("from torch.utils.checkpoint import checkpoint\ny = checkpoint(f, x, use_reentrant=False)\n", 0),
        ("def checkpoint(net, path):\n    pass\n\n\ncheckpoint(net, 'a.pt')\nself.checkpoint(net)\n", 0),
    ],
)
def test_checkpoints_that_run_a_backward(text: str, count: int) -> None:
    assert len(reentrant_checkpoints(Sources({"net.py": text}))) == count


LOOP = """\
class Stack:
    def forward(self, x):
        for cell in self.cells:
            {body}
        return x
"""


@pytest.mark.parametrize(
    ("body", "test"),
    [
        ("if self.drop():\n                continue\n            x = cell(x)", "self.drop()"),
        ("if keep(cell):\n                x = cell(x)", "keep(cell)"),
        ("x = cell(x)", None),
        ("if deep:\n                x = cell(x)\n            else:\n                x = cell(x) + x", None),
    ],
)
def test_layers_left_out(body: str, test: str | None) -> None:
    sources = Sources({"net.py": LOOP.format(body=body)})
    found = left_out_under(sources, ["cells.2.weight"])
    assert (found.test if found is not None else None) == test
    assert left_out_under(sources, ["head.weight"]) is None


def test_freezing_under_a_condition() -> None:
    text = "net.requires_grad_(False)\nif known(path):\n    net.body.requires_grad_(False)\n"
    assert [c.test for c in frozen_under(Sources({"net.py": text}))] == ["known(path)"]
    assert frozen_under(Sources({"net.py": text.splitlines()[0]})) == ()
