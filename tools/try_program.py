"""Prints what torchwhy says of programs: files, or folders with a `main.py` (run in a copy)."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from laboratory import Laboratory  # noqa: E402


def main(paths: list[str]) -> int:
    laboratory = Laboratory()
    for path in map(Path, paths):
        print(f"── {path} " + "─" * max(3, 96 - len(str(path))))
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "work"
            shutil.copytree(
                path if path.is_dir() else path.parent, folder, ignore=shutil.ignore_patterns("fixed", "case.json", "__pycache__")
            )
            trial = laboratory.run_in(folder, "main.py" if path.is_dir() else path.name)
        print(trial.stderr.rstrip())
        report = trial.report or {}
        print(f"[exit code {trial.exit_code}, outcome {report.get('outcome')}, {report.get('timing', {}).get('diagnosis_s', 0):.2f} s]")
        print("\n".join(f"PROBLEM: {problem}" for problem in report.get("problems", ["no report was written"])))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
