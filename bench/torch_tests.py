"""torch's own tests under python and under torchwhy: each is to come out the same.

    python bench/torch_tests.py FOLDER [FILE ...] [--select EXPRESSION] [--timeout SECONDS]

FOLDER holds test files of a PyTorch near the installed one (its `test/`); they are no part of this
repository. One pytest runs them all under python, and one under each way of recording. Where an
outcome differs, python runs them once more: what differs there too is flaky and counts for nothing.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

WHY = [sys.executable, "-m", "torchwhy", "run"]
WAYS: dict[str, list[str]] = {
    "python": [sys.executable, "-m"],
    "adaptive": [*WHY, "-m"],
    "full": [*WHY, "--record", "full", "-m"],
}
PLAIN = "python"
Outcomes = dict[str, str]


def run_tests(way: str, options: argparse.Namespace) -> tuple[Outcomes, str]:
    """What became of each test, and how pytest ended."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [*WAYS[way], "pytest", *options.files, f"--junitxml={report}", "--rootdir=."]
        command += ["-q", "--tb=short", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
        command += ["-k", options.select] if options.select else []
        environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
        with open(Path(options.keep or folder, f"{way}.txt"), "wb") as log:
            try:
                done = subprocess.run(
                    command,
                    cwd=options.folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    timeout=options.timeout,
                )
            except subprocess.TimeoutExpired:
                return {}, "timeout"
        return (read_outcomes(report) if report.exists() else {}), str(done.returncode)


def read_outcomes(report: Path) -> Outcomes:
    """Test and outcome, from a report in JUnit's format."""
    outcomes = {}
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        kinds = [kind.tag for kind in case if kind.tag in ("failure", "error", "skipped")]
        name = f"{case.get('classname')}.{case.get('name')}"
        outcomes[name] = kinds[0] if kinds else "passed"
    return outcomes


def compare(options: argparse.Namespace) -> bool:
    """Prints what ran and what came out differently; says whether all came out the same."""
    plain, ended = run_tests(PLAIN, options)
    found = {way: run_tests(way, options) for way in options.ways}
    differing = {
        (way, name)
        for way, (outcomes, _) in found.items()
        for name in plain.keys() | outcomes.keys()
        if plain.get(name) != outcomes.get(name)
    }
    again, _ = run_tests(PLAIN, options) if differing else (plain, ended)
    flaky = {n for n in plain.keys() | again.keys() if plain.get(n) != again.get(n)}
    for file in options.files:
        module = file.removesuffix(".py").replace("/", ".") + "."
        own = [o for n, o in plain.items() if n.startswith(module) and n not in flaky]
        ran, passed = sum(o != "skipped" for o in own), own.count("passed")
        print(f"{file:36} ran {ran:5}  passed {passed:5}", end="  differ:")
        counts = {way: 0 for way in options.ways}
        for way, name in differing:
            counts[way] += name.startswith(module) and name not in flaky
        print(*(f"{count} {way}" for way, count in counts.items()), sep=", ")
    real = sorted((way, name) for way, name in differing if name not in flaky)
    for way, name in real:
        print(f"    {way}: {name}: {plain.get(name)}, then {found[way][0].get(name)}")
    ends = {way: how for way, (_, how) in found.items() if how != ended}
    for way, how in ends.items():
        print(f"    {way}: pytest ended {how}, under python {ended}")
    ran = sum(outcome != "skipped" for outcome in plain.values())
    print(f"{len(options.files)} files, {ran} tests ran, {len(real)} differ, {len(flaky)} flaky")
    return bool(ran) and not real and (not ends or bool(flaky))


def main(arguments: Sequence[str] | None = None) -> int:
    """Compares the files, prints a table; 1 where an outcome differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("files", nargs="*", help="below the folder; without any, all test_*.py")
    parser.add_argument("--select", default="", help="pytest's -k")
    parser.add_argument("--timeout", type=float, default=7200)
    parser.add_argument("--ways", nargs="+", choices=["adaptive", "full"])
    parser.add_argument("--keep", help="a folder for what pytest writes")
    options = parser.parse_args(arguments)
    options.ways = options.ways or ["adaptive", "full"]
    found = sorted(options.folder.rglob("test_*.py"))
    options.files = options.files or [f.relative_to(options.folder).as_posix() for f in found]
    return 0 if compare(options) else 1


if __name__ == "__main__":
    sys.exit(main())
