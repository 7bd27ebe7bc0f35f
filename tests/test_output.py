"""Output that can't be written is told in one line or not at all; what can't be seen is shown as an escape."""

from __future__ import annotations

import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from torchwhy.render.text import visible

pytestmark = pytest.mark.skipif(os.name == "nt", reason="shell redirections")
FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
LOG = 'Traceback (most recent call last):\n  File "a.py", line 3, in <module>\n    y = a @ b\n{error}\n'
ERROR = "RuntimeError: mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"
COMMANDS = ("codes", "explain TW0102", "explain log.txt", "env", "show report.json", "--help", "--version", "explain --help")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("output")
    (made / "log.txt").write_text(LOG.format(error=ERROR))
    (made / "fails.py").write_text("import torch\ntorch.ones(2, 3) @ torch.ones(4, 5)\n")
    assert _shell("explain --quiet --report report.json log.txt", made).returncode == 0
    return made


def _shell(line: str, folder: Path, before: str = "") -> subprocess.CompletedProcess[str]:
    env = dict(os.environ, WHY=f"{sys.executable} -m torchwhy")
    return subprocess.run(["bash", "-c", f"{before}$WHY {line}"], cwd=folder, env=env, capture_output=True, text=True, timeout=120)


@FULL
@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_is_told_in_one_line(command: str, folder: Path) -> None:
    done = _shell(f"{command} > /dev/full", folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "torchwhy: can't write the output: No space left on device\n"


@pytest.mark.parametrize("command", ["codes", "explain log.txt", "--help"])
def test_closed_output_is_told_in_one_line(command: str, folder: Path) -> None:
    done = _shell(f"{command} >&-", folder)
    assert (done.returncode, done.stderr) == (2, "torchwhy: can't write the output: standard output is closed\n")


@pytest.mark.parametrize("command", ["codes", "explain log.txt"])
def test_a_reader_that_went_away_is_no_error(command: str, folder: Path) -> None:
    done = _shell(f"{command} | head -0; exit ${{PIPESTATUS[0]}}", folder)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("where", ["2>&-", pytest.param("2>/dev/full", marks=FULL)])
def test_where_no_error_can_be_told_the_code_tells_it(where: str, folder: Path) -> None:
    for command in ("explain missing.txt", "mend", "run missing.py"):
        done = _shell(f"{command} {where}", folder)
        assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


def test_a_failure_whose_stderr_is_closed_leaves_its_report(folder: Path) -> None:
    done = _shell("run --no-verify --report closed.json fails.py 2>&-", folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert '"problems": []' in (folder / "closed.json").read_text()


def test_a_report_that_cannot_be_written_is_told_in_one_line(folder: Path) -> None:
    for command, code in (("explain --report no/such/r.json log.txt", 2), ("run --quiet --no-verify --report no/such/r.json fails.py", 1)):
        done = _shell(command, folder)
        assert (done.returncode, done.stdout) == (code, "")
        assert done.stderr.splitlines()[-1].startswith("torchwhy: can't write ") and "No such file" in done.stderr


def test_all_that_cannot_be_seen_is_escaped() -> None:
    seen = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD, *range(0x13430, 0x13460)}
    for code in {*range(0x110000)} - seen:  # of the formats, those have ink
        if unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs", "Zl", "Zp") and chr(code) != "\t":
            assert visible(chr(code)).isascii(), hex(code)
    assert visible("a\U000e0041\u202eb\u200d\x1b[31m\x9b1m") == "a\\U000e0041\\u202eb\\u200d\\x1b[31m\\x9b1m"
    assert visible("naïve 训练 ⚠ é") == "naïve 训练 ⚠ é"


def test_a_log_cannot_command_the_terminal(folder: Path) -> None:
    evil = ERROR + " \U000e0049\U000e0067\u202e\u2066\x9b31m\x1b]0;title\x07"
    (folder / "evil.txt").write_text(LOG.format(error=evil).replace("y = a", "\u2066y\u202e\U000e0041 = a"), encoding="utf-8")
    for form in ("terminal", "concise", "json"):
        done = _shell(f"explain --format {form} evil.txt", folder)
        shown = done.stdout + done.stderr
        assert "TW" in shown and all(unicodedata.category(c) not in ("Cf", "Cc") or c == "\n" for c in shown)
