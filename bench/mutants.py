"""What torchwhy says of programs with one fault each, made from the healthy ones in `bench/healthy`.

    python bench/mutants.py [--count 200] [--seed 0] [--only TEXT] [--json FILE] [--write docs/mutants.md]

A mutant counts where plain python fails. Its mutated line is the truth, also where another line would do as well. The first fix is
written into the program, which is run again: it is the same in effect where it prints what the healthy program prints, the loss to
six digits. Programs are children of one process that has torch loaded.
"""

from __future__ import annotations

import argparse
import collections
import datetime
import json
import platform
import re
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]

from laboratory import Laboratory, Trial  # noqa: E402
from mutators import MUTATORS, Mutant, mutants, programs  # noqa: E402

_MISUSED = re.compile(r"AttributeError: '(?!Tensor)[\w.]+' object has no attribute '(detach|data|item|double|\w+_)'")


@dataclass(frozen=True)
class Score:
    """What came of one mutant; `effect` is whether the first fix prints what the healthy program prints."""

    name: str
    program: str
    mutator: str
    error: str
    family: str
    headline: str
    cause: str
    found: bool
    line: bool
    gone: bool
    effect: bool
    any_effect: bool
    fixes: tuple[str, ...]
    plain_s: float
    torchwhy_s: float
    problems: tuple[str, ...] = ()


class Bench:
    def __init__(self) -> None:
        self.laboratory = Laboratory()
        self.healthy = programs(HERE / "healthy")
        self.expected = {name: self.run(files)[0].stdout for name, files in self.healthy.items()}
        self.tried: collections.Counter[str] = collections.Counter()

    def run(self, files: dict[str, str], mode: str = "plain", verify: bool = False) -> tuple[Trial, float]:
        began = time.perf_counter()
        trial = self.laboratory.run(files, mode=mode, verify=verify)
        return trial, time.perf_counter() - began

    def failing(self, count: int, seed: int) -> Iterator[tuple[Mutant, Trial, float]]:
        """So many mutants that fail, as many of each program, the mutators in turn."""
        for n, (program, files) in enumerate(self.healthy.items()):
            wanted = (count * (n + 1)) // len(self.healthy) - (count * n) // len(self.healthy)
            waiting = {mutator: collections.deque(found) for mutator, found in mutants(program, files, seed).items()}
            while wanted and any(waiting.values()):
                for queue in waiting.values():
                    while wanted and queue:
                        mutant = queue.popleft()
                        trial, seconds = self.run({**files, mutant.file: mutant.text})
                        last = trial.stderr.strip().rpartition("\n")[2]
                        self.tried["ran on" if not trial.exit_code else "misused" if _MISUSED.match(last) else "failed"] += 1
                        if trial.exit_code and not _MISUSED.match(last):
                            wanted -= 1
                            yield mutant, trial, seconds
                            break

    def score(self, mutant: Mutant, plain: Trial, plain_s: float) -> Score:
        files = {**self.healthy[mutant.program], mutant.file: mutant.text}
        trial, seconds = self.run(files, "adaptive", verify=True)
        report = trial.report or {}
        first: dict[str, Any] = next(iter(report.get("diagnoses") or ()), {})
        cause = first.get("cause") or {}
        fixes = [fix for fix in first.get("fixes") or () if fix["diff"]]
        same = [bool(fix["verified"] == "gone" and not fix["hides"] and self._mended(mutant.program, files, fix["diff"])) for fix in fixes]
        return Score(
            mutant.name,
            mutant.program,
            mutant.mutator,
            plain.stderr.strip().rpartition("\n")[2][:200],
            first.get("family", report.get("outcome", "")),
            first.get("headline", ""),
            f"{cause.get('file')}:{cause.get('line')}",
            bool(first),
            (cause.get("file"), cause.get("line")) == (mutant.file, mutant.line),
            bool(fixes) and fixes[0]["verified"] == "gone" and not fixes[0]["hides"],
            same[:1] == [True],
            any(same),
            tuple(f"{fix['verified']}{' (hides)' * bool(fix['hides'])} {fix['title']}" for fix in first.get("fixes") or ()),
            plain_s,
            seconds,
            tuple(report.get("problems") or ()),
        )

    def _mended(self, program: str, files: dict[str, str], diff: str) -> bool:
        fixed = {**files, **patched(files, diff)}
        return self.run(fixed)[0].stdout == self.expected[program]


def patched(files: dict[str, str], diff: str) -> dict[str, str]:
    """The files that a unified diff changes, changed."""
    made: dict[str, str] = {}
    for part in re.split(r"(?m)^--- ", diff)[1:]:
        name = re.search(r"(?m)^\+\+\+ (?:b/)?(\S+)", part)
        assert name is not None, diff
        old, new, at = files[name[1]].splitlines(keepends=True), [], 0
        for start, length, body in re.findall(r"(?ms)^@@ -(\d+)(,0)?[^\n]*\n(.*?)(?=^@@ |\Z)", part):
            first = int(start) if length else int(start) - 1  # an empty range names the line before it
            new += old[at:first]
            at = first
            for line in body.splitlines(keepends=True):
                at += line[0] in " -"
                new += [line[1:]] if line[0] in " +" else []
        made[name[1]] = "".join([*new, *old[at:]])
    return made


def table(scores: list[Score]) -> Iterator[str]:
    yield "| mutator | mutants | found | cause is the mutated line | first fix verified | same in effect | one of the fixes is |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for name in [*MUTATORS, "all"]:
        own = [s for s in scores if name in (s.mutator, "all")]
        if own:
            figures = [sum(getattr(s, key) for s in own) for key in ("found", "line", "gone", "effect", "any_effect")]
            yield f"| {name} | {len(own)} | " + " | ".join(f"{n} ({n / len(own):.0%})" for n in figures) + " |"


def page(bench: Bench, scores: list[Score], seed: int) -> str:
    over = sorted(s.torchwhy_s - s.plain_s for s in scores if s.gone)
    place = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    tried = ", ".join(f"{n} {what}" for what, n in sorted(bench.tried.items()))
    return "\n".join(
        [
            "# Programs with one fault",
            "",
            f"Made by `python bench/mutants.py --seed {seed}`: {len(scores)} failing mutants of {len(bench.healthy)} healthy programs in",
            "`bench/healthy`. *Cause* counts only the mutated line, though two lines that disagree can be equally right. *Same in effect*: the",
            "program with the first fix prints the healthy program's loss, digit for digit. A fix that only hides the error counts as none.",
            "",
            *table(scores),
            "",
            f"Time to a verified fix over plain python's failing run: median {statistics.median(over):.1f} s, worst {over[-1]:.1f} s.",
            f"Mutants tried: {tried} (misused: the change calls a tensor's method on what is none).",
            "",
            f"{place}; {datetime.date.today()}.",
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="score only mutants whose name matches this pattern")
    parser.add_argument("--json", type=Path, help="write each mutant's score")
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    bench, scores = Bench(), []
    for mutant, plain, seconds in bench.failing(options.count, options.seed):
        if re.search(options.only, mutant.name):
            scores.append(bench.score(mutant, plain, seconds))
            s = scores[-1]
            told = "".join(letter if good else "-" for letter, good in zip("FLGE", (s.found, s.line, s.gone, s.effect)))
            print(told, s.name, "|", s.error[:90], "|", s.family, s.cause, f"{s.torchwhy_s - s.plain_s:.1f}s", flush=True)
    if options.json:
        options.json.write_text(json.dumps([asdict(score) for score in scores], indent=1))
    text = page(bench, scores, options.seed)
    print(text)
    if options.write:
        options.write.write_text(text)


if __name__ == "__main__":
    main()
