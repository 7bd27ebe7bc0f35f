"""Where the traceback's files are here: they are read, never run, and the cause is looked for in them."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from torchwhy.explain import explain
from torchwhy.model import Diagnosis

MODEL = """\
import torch
from torch import nn

raise SystemExit("this file is only read")

WIDTH = 2048


class Net(nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3)
        self.norm = nn.BatchNorm2d(64)
        self.table = nn.Embedding(5000, 16)
        self.rnn = nn.LSTM(300, 64)
        self.fc = nn.Linear(WIDTH, classes)

    def forward(self, x):
        x = self.norm(self.stem(x))
        return self.fc(x.flatten(1))

    def words(self, ids):
        return self.rnn(self.table(ids))
"""
TORCH = "/opt/env/lib/python3.11/site-packages/torch/nn"


def _explained(folder: Path, line: int, inner: str, error: str, text: str = MODEL) -> Diagnosis:
    file = folder / "model.py"
    file.write_text(text)
    code = text.splitlines()[line - 1].strip()
    said = f'Traceback (most recent call last):\n  File "{file}", line {line}, in forward\n    {code}\n{inner}{error}\n'
    report = explain(io.BytesIO(said.encode()))
    assert report.problems == ()
    assert report.diagnoses, report.remarks
    return report.diagnoses[0]


def _torch(file: str, code: str) -> str:
    return f'  File "{TORCH}/{file}", line 125, in forward\n    {code}\n'


@pytest.mark.parametrize(
    ("line", "inner", "error", "family", "blamed"),
    (
        (20, _torch("modules/linear.py", "return F.linear(input, self.weight, self.bias)"),
         "RuntimeError: mat1 and mat2 shapes cannot be multiplied (8x6272 and 2048x10)", "shape.linear", (6, 16)),
        (19, _torch("modules/conv.py", "return F.conv2d(input, weight)"),
         "RuntimeError: Given groups=1, weight of size [32, 3, 3, 3], expected input[8, 1, 28, 28] to have 3 channels, but got 1 channels instead", "shape.conv-channels", (12,)),
        (19, _torch("functional.py", "return torch.batch_norm("),
         "RuntimeError: running_mean should contain 32 elements not 64", "shape.norm", (13,)),
        (23, _torch("functional.py", "return torch.embedding(weight, input, padding_idx, scale_grad_by_freq, sparse)"),
         "IndexError: index out of range in self", "shape.embedding-range", (14, 23)),
        (23, _torch("modules/rnn.py", "self.check_forward_args(input, hx, batch_sizes)"),
         "RuntimeError: input.size(-1) must be equal to input_size. Expected 300, got 16", "shape.rnn", (15,)),
    ),
)  # fmt: skip
def test_the_layers_own_line_is_blamed(tmp_path: Path, line: int, inner: str, error: str, family: str, blamed: tuple[int, ...]) -> None:
    found = _explained(tmp_path, line, inner, error)
    assert found.family == family
    assert found.cause.span.line in blamed, found.headline


def test_a_file_that_changed_since_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("# another program\n" * 40)
    said = f'Traceback (most recent call last):\n  File "{tmp_path}/model.py", line 20, in forward\n    return self.fc(x)\n{_torch("modules/linear.py", "return F.linear(input)")}RuntimeError: mat1 and mat2 shapes cannot be multiplied (8x6272 and 2048x10)\n'
    report = explain(io.BytesIO(said.encode()))
    assert report.evidence.sources == ()
    assert report.diagnoses[0].cause.span.line == 20


def test_a_file_that_is_no_python_or_is_missing_is_survived(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_bytes(b"\xff\xfe\x00return self.fc(x)\n")
    said = f'Traceback (most recent call last):\n  File "{tmp_path}/model.py", line 1, in forward\n    return self.fc(x)\n  File "{tmp_path}/gone.py", line 7, in f\n    y = a @ b\nRuntimeError: mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)\n'
    report = explain(io.BytesIO(said.encode()))
    assert report.problems == () and report.diagnoses[0].family == "shape.matmul"


def test_the_trail_goes_from_the_cause_to_the_failing_line(tmp_path: Path) -> None:
    found = _explained(
        tmp_path, 20, _torch("modules/linear.py", "return F.linear(input, self.weight, self.bias)"),
        "RuntimeError: mat1 and mat2 shapes cannot be multiplied (8x6272 and 2048x10)",
    )  # fmt: skip
    assert found.trail[-1].span.line == 20
    assert found.fixes and "6272" in found.fixes[0].diff
