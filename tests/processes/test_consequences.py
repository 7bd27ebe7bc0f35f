"""An exception that only tells of another process's failure is told apart from one of the program's own, however it is written."""

from __future__ import annotations

import runpy
import time
from pathlib import Path

import pytest
from test_watched import blamed, run

from torchwhy.model import Evidence, Failure
from torchwhy.processes.folder import Told
from torchwhy.processes.order import Order, order
from torchwhy.trace import describe

START = "import subprocess, sys\nended = subprocess.Popen([sys.executable, '-c', 'raise SystemExit(3)'])\ncode = ended.wait()\n"
LAUNCHER = "import subprocess, sys\n\n\ndef launch(*words):\n    ended = subprocess.Popen([sys.executable, *words])\n    if ended.wait():\n        "
TELL = {
    "on its own line": "if code:\n    raise subprocess.CalledProcessError(code, ended.args)\n",
    "behind its condition": "if code: raise RuntimeError('training')\n",
    "over several lines": "if code:\n    raise RuntimeError(\n        'training %s %d' % (\n            ended.args, code / 1\n        )\n    )\n",
    "as a check": "assert not code\n",
    "by the caller of a check": "subprocess.run(ended.args, check=True)\n",
}
OWN = {
    "a missing key": "{}['missing']\n",
    "a call that went wrong": "if code: int('three')\n",
}


def _ordered(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Order | None:
    (folder / "main.py").write_text(text)
    monkeypatch.chdir(folder)
    with pytest.raises(Exception) as raised:
        runpy.run_path(str(folder / "main.py"), run_name="__main__")
    inner = Evidence(Failure("RuntimeError", "mat1 and mat2 shapes cannot be multiplied (8x32 and 64x4)"))
    told = [Told(time.time(), "process 7", "program", inner)]
    return order(describe(raised.value), time.time(), told, False)


@pytest.mark.parametrize("text", TELL.values(), ids=TELL)
def test_it_tells_of_the_process(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = _ordered(START + text, tmp_path, monkeypatch)
    assert found is not None and found.evidence.failure is not None
    assert found.evidence.failure.began.process == "process 7"


@pytest.mark.parametrize("text", OWN.values(), ids=OWN)
def test_it_is_the_programs_own(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _ordered(START + text, tmp_path, monkeypatch) is None


@pytest.mark.parametrize(
    "raised",
    [
        "raise subprocess.CalledProcessError(ended.returncode, words)",
        "raise RuntimeError(f'a process ended with exit code {ended.returncode}')",
    ],
)
def test_a_launcher_that_is_installed(raised: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "site-packages"
    installed.mkdir()
    (installed / "starter.py").write_text(LAUNCHER + raised + "\n")
    monkeypatch.setenv("PYTHONPATH", str(installed))
    child = "import torch\n\nnarrow = torch.ones(2, 3)\nnarrow @ torch.ones(4, 5)\n"
    main = "import starter\n\nstarter.launch('child.py')\n"
    report, done = run(tmp_path, {"child.py": child, "main.py": main}, "--no-verify")
    assert blamed(report)[:2] == ("shape.matmul", "child.py")
    assert report["outcome"] == "failed" and report["problems"] == []
    assert done.returncode == 1 and "a process that the program started" in done.stderr
