"""What the documents say is what the program does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from laboratory import Laboratory

from torchwhy.catalogue import load
from torchwhy.replay.fence import missing

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def test_the_example_of_the_readme_is_real(laboratory: Laboratory) -> None:
    if missing():
        pytest.skip("the example shows a verified fix, and this platform has no fences for trial runs")
    trial = laboratory.run_in(ROOT / "examples", "train.py", verify=True)
    _, _, diagnosis = trial.stderr.partition("\n\n")
    assert diagnosis and diagnosis in (ROOT / "README.md").read_text(encoding="utf-8"), "make docs"


def test_the_list_of_families_is_current() -> None:
    assert subprocess.run([sys.executable, ROOT / "tools" / "families.py", "--check"]).returncode == 0, "make docs"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
        assert target.startswith("http") or (document.parent / target).exists(), target


def test_a_page_has_its_parts() -> None:
    for family in load().families:
        for part in ("{example}", "Why:", "Fix:"):
            assert part in family.page, f"{family.slug}: its page has no {part}"


def test_make_family_copies_the_template(tmp_path: Path) -> None:
    for part in ("src", "tools"):
        subprocess.run(
            [sys.executable, "-c", "import shutil, sys; shutil.copytree(*sys.argv[1:])", ROOT / part, tmp_path / part], check=True
        )
    tool = [sys.executable, str(tmp_path / "tools" / "new_family.py")]
    assert subprocess.run([*tool, "shape.brand-new"]).returncode == 0
    assert subprocess.run([*tool, "shape.brand-new"], capture_output=True).returncode == 2
    assert subprocess.run([*tool, "nonsense"], capture_output=True).returncode == 2
    check = "from torchwhy.catalogue import load, faults; print([faults([f]) for f in load().families if f.slug == 'shape.brand-new'])"
    env = {"PYTHONPATH": str(tmp_path / "src")}
    said = subprocess.run([sys.executable, "-c", check], env=env, capture_output=True, text=True, check=True).stdout
    assert said == "[()]\n"
