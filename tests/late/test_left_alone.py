"""A piece that is run again changes no file, however it writes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """\
import time
import torch
from torch import nn, save

net = nn.Linear(4, 2)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for step in range(700):
    x = torch.rand(3, 4 if step < 690 else 5)
    now = time.time()
    print(now)
    save(now, "last.pt")
    loss = net(x).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only a module's call is run again without fork")
def test_a_checkpoint_written_by_name_is_kept(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "torchwhy", "run", "--no-verify", "train.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "TW0102" in done.stderr and "replayed" in done.stderr
    last = done.stdout.split()[-1]
    seen = subprocess.run(
        [sys.executable, "-c", "import torch; print(torch.load('last.pt'))"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert seen.stdout.strip() == last
