"""The commands, and what they say to bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from laboratory import Laboratory

from torchwhy.families._template import TensorOfTensors

SCHEMA = json.loads((Path(__file__).parent.parent / "src/torchwhy/schema/report-1.json").read_text(encoding="utf-8"))


def torchwhy(*arguments: object, cwd: Path | None = None, encoding: str = "utf-8") -> subprocess.CompletedProcess[str]:
    env = dict(os.environ, PYTHONIOENCODING=encoding, COLUMNS="100", NO_COLOR="1")
    command = [sys.executable, "-m", "torchwhy", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, encoding=encoding, cwd=cwd, env=env, timeout=60)


@pytest.fixture(scope="module")
def saved(laboratory: Laboratory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a program that PyTorch stopped."""
    trial = laboratory.run({"main.py": "import torch\n\nx = torch.ones(2, 3)\ny = torch.ones(4, 5)\nprint(x @ y)\n"})
    path = tmp_path_factory.mktemp("saved") / "report.json"
    path.write_text(json.dumps(trial.report), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((), "COMMAND"),
        (("run",), "which program"),
        (("run", "missing.py"), "can't open 'missing.py'"),
        (("run", "binary.py"), "not a Python program"),
        (("run", "latin.py"), "not a Python program"),
        (("run", "empty_folder"), "can't find '__main__'"),
        (("run", "--bogus", "x.py"), "--bogus"),
        (("run", "--format", "odd", "x.py"), "odd"),
        (("run", "-m", "no_such_module_at_all"), "no module named"),
        (("show", "missing.json"), "can't open"),
        (("show", "x.py"), "not JSON"),
        (("show", "binary.py"), "can't read"),
        (("show", "list.json"), "neither a report nor an incident"),
        (("show", "old.json"), "neither a report nor an incident"),
        (("show", "broken.json"), "missing"),
        (("show", "deep.json"), "can't read"),
        (("explain", "TW9999"), "TW9999"),
        (("explain", "\x1b[31m"), "\\x1b"),
        (("fix",), "which program"),
        (("fix", "missing.py"), "can't open 'missing.py'"),
        (("mend", "x.py"), "mend"),
    ],
)
def test_bad_input_is_told_in_one_line(arguments: tuple[str, ...], word: str, tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("print('ran')\n")
    (tmp_path / "binary.py").write_bytes(b"\x7fELF\0\xff\xfe")
    (tmp_path / "latin.py").write_bytes("x = 'é'\n".encode("latin-1"))
    (tmp_path / "empty_folder").mkdir()
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "old.json").write_text('{"schema": "torchwhy.report/0"}')
    (tmp_path / "broken.json").write_text('{"schema": "torchwhy.report/1", "command": "run", "outcome": "failed"}')
    (tmp_path / "deep.json").write_text("[" * 100_000)
    before = sorted(tmp_path.iterdir())
    done = torchwhy(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert word in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_the_report_keeps_the_contract(saved: Path, laboratory: Laboratory) -> None:
    jsonschema.validate(json.loads(saved.read_text()), SCHEMA)
    passed = laboratory.run({"main.py": "import torch\nprint(torch.ones(2).sum())\n"}).report
    jsonschema.validate(passed, SCHEMA)
    assert passed is not None and (passed["outcome"], passed["failure"], passed["exit_code"]) == ("passed", None, 0)
    other = laboratory.run({"main.py": "import torch\nint('x')\n"})
    jsonschema.validate(other.report, SCHEMA)
    assert other.report is not None and other.report["outcome"] == "not-torch"
    assert other.stderr.rstrip().endswith("ValueError: invalid literal for int() with base 10: 'x'")


def test_a_caught_error_that_ends_the_program_is_described(laboratory: Laboratory) -> None:
    text = "import sys\nimport torch\n\ntry:\n    torch.ones(2) @ torch.ones(3)\nexcept RuntimeError:\n    sys.exit('failed')\n"
    trial = laboratory.run({"main.py": text})
    assert trial.exit_code == 1 and trial.report is not None
    assert trial.report["outcome"] == "failed" and trial.report["failure"]["raised_at"]["line"] == 5


SAID = """import torch

SECRET = "not to be passed on"
ONE, TWO, THREE = 1, 2, 3
FOUR = 4


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(3, 4)

    def forward(self, x):
        return self.first(x)


SALT = SECRET + "salt"


def secret():
    return SALT


x = torch.ones(2, 5)
net = Net()
print(net(x))
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with reports as users write them: `said.json` and, with its incident, `full.json`; `odd.json` has no diagnosis."""
    folder = tmp_path_factory.mktemp("written")
    (folder / "main.py").write_text(SAID)
    (folder / "odd.py").write_text("import torch\n\nsizes = [torch.ones(2), 'a', None]\ntorch.ones(2).index_put_(sizes, 1)\n")
    torchwhy("run", "--report", "said.json", "main.py", cwd=folder)
    torchwhy("run", "--report", "full.json", "--incident", "main.py", cwd=folder)
    torchwhy("run", "--no-verify", "--report", "odd.json", "odd.py", cwd=folder)
    torchwhy("run", "--no-verify", "--report", "odd_full.json", "--incident", "odd.py", cwd=folder)
    return folder


def test_a_report_holds_what_is_said_and_the_lines_named(written: Path) -> None:
    text = (written / "said.json").read_text()
    said = json.loads(text)
    jsonschema.validate(said, SCHEMA)
    assert "incident" not in said and "SECRET" not in text and "passed on" not in text
    assert said["diagnoses"][0]["cause"]["source"].strip() == "self.first = torch.nn.Linear(3, 4)"
    assert said["failure"]["raised_at"]["source"] == "        return self.first(x)"
    assert (said["failure"]["script"], said["failure"]["module_kind"]) == ("main.py", "Linear")
    assert len(text) < 20_000


def test_an_incident_holds_the_rest(written: Path) -> None:
    text = (written / "full.json").read_text()
    jsonschema.validate(json.loads(text), SCHEMA)
    assert "passed on" in text and json.loads(text)["incident"]["evidence"]["sources"]


@pytest.mark.parametrize(("said", "full"), [("said.json", "full.json"), ("odd.json", "odd_full.json")])
@pytest.mark.parametrize("form", ["terminal", "concise"])
def test_show_needs_no_incident(said: str, full: str, form: str, written: Path) -> None:
    shown = torchwhy("show", "--format", form, said, cwd=written).stdout
    assert shown == torchwhy("show", "--format", form, full, cwd=written).stdout
    assert form == "concise" or ".py:" in shown


def test_show_diagnoses_again_where_there_is_an_incident(written: Path) -> None:
    again = torchwhy("show", "--incident", "full.json", cwd=written)
    first = torchwhy("show", "full.json", cwd=written)
    assert again.stdout.splitlines()[1] == first.stdout.splitlines()[1] and "proposed fix" in again.stdout
    refused = torchwhy("show", "--incident", "said.json", cwd=written)
    assert (refused.returncode, refused.stdout) == (2, "") and "holds no incident" in refused.stderr


@pytest.mark.parametrize("name", ["said.json", "full.json", "odd.json"])
def test_show_writes_a_report_as_it_was(name: str, written: Path, tmp_path: Path) -> None:
    assert torchwhy("show", "--quiet", "--report", tmp_path / "again.json", name, cwd=written).stdout == ""
    assert json.loads((tmp_path / "again.json").read_text()) == json.loads((written / name).read_text())
    assert json.loads(torchwhy("show", "--format", "json", name, cwd=written).stdout) == json.loads((written / name).read_text())


def test_a_text_is_diagnosed_again_from_its_incident(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("RuntimeError: mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)\n")
    first = torchwhy("explain", "--report", "r.json", "--incident", "log.txt", cwd=tmp_path)
    assert torchwhy("show", "--incident", "r.json", cwd=tmp_path).stdout == first.stdout == torchwhy("show", "r.json", cwd=tmp_path).stdout


def test_show_in_colour_and_without_unicode(saved: Path) -> None:
    assert "main.py:5" in torchwhy("show", saved).stdout
    assert "main.py:5" in torchwhy("show", saved, encoding="ascii").stdout
    assert "\x1b[" in torchwhy("show", "--color", "always", saved).stdout


def test_show_diagnoses_an_incident(saved: Path, tmp_path: Path) -> None:
    incident = tmp_path / "incident.json"
    incident.write_text(json.dumps(json.loads(saved.read_text())["incident"]))
    assert torchwhy("show", incident).stdout == torchwhy("show", saved).stdout


def test_options_stand_before_the_program_and_arguments_after(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("import sys\nprint(sys.argv)\n")
    done = torchwhy("run", "--quiet", "--report", "r.json", "x.py", "--quiet", "--", "-m", "--report", "s.json", cwd=tmp_path)
    assert done.stdout == "['x.py', '--quiet', '--', '-m', '--report', 's.json']\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.json", "x.py"]


def test_a_report_that_cannot_be_written_disturbs_nothing(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("print('ran')\n")
    done = torchwhy("run", "--report", "no/such/folder/r.json", "x.py", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "ran\n")


def test_codes_and_explain() -> None:
    listed = torchwhy("codes")
    assert listed.returncode == 0
    for line in listed.stdout.splitlines()[:1]:
        code, slug = line.split()[:2]
        page = torchwhy("explain", code.lower())
        assert page.returncode == 0 and page.stdout.startswith(f"{code} {slug}")
        assert "{example}" not in page.stdout


def test_the_template_is_not_collected() -> None:
    assert TensorOfTensors.code not in torchwhy("codes").stdout
