"""How much a training step costs under torchwhy and under other tools, as ratios of CPU time to plain python.

    python bench/overhead.py [--rounds 15] [--models mlp,resnet,transformer] [--write docs/overhead.md]

Every variant is a process of its own, started as a user starts it, that stays alive. In each round every one does the same number of
steps in turn, and its CPU time is divided by plain python's of that round. The table shows the median of these ratios. `plain again` is a
second plain process: how far it is from 1 is the noise.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
STEPS = {"mlp": 150, "resnet": 6, "transformer": 2}
WARM_UP = {"mlp": 300, "resnet": 40, "transformer": 25}
"""Enough that torchwhy has seen its first steps and stepped aside; `fully recorded` never does."""
TORCHWHY = [sys.executable, "-m", "torchwhy", "run"]
VARIANTS: dict[str, tuple[list[str], str]] = {
    "plain": ([sys.executable], "plain"),
    "plain again": ([sys.executable], "plain"),
    "torchwhy, steady": (TORCHWHY, "plain"),
    "torchwhy, fully recorded": ([*TORCHWHY, "--record", "full"], "plain"),
    "anomaly mode": ([sys.executable], "anomaly"),
    "anomaly mode, no NaN check": ([sys.executable], "anomaly-no-nan"),
    "profiler with stacks": ([sys.executable], "profiler"),
    "DebugMode": ([sys.executable], "debugmode"),
    "torchlens, a logged forward beside the step": ([sys.executable], "torchlens"),
}


class Worker:
    def __init__(self, command: list[str], model: str, tool: str) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [*command, str(HERE / "worker.py"), model, tool],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        self.alive = self._answer() == "ready"

    def _answer(self) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:  # a tool may print of its own
            if line.strip() == "ready" or line.strip().replace(".", "").replace("e-", "").isdigit():
                return line.strip()
        return ""

    def seconds(self, steps: int) -> float | None:
        if not self.alive or self.process.stdin is None:
            return None
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        answer = self._answer()
        self.alive = bool(answer)
        return float(answer) if answer else None

    def end(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait(timeout=120)


def measure(model: str, rounds: int) -> dict[str, tuple[float, float, float] | None]:
    """Per variant the median, lowest and highest ratio; None where the tool is missing or fails."""
    usable = {n: v for n, v in VARIANTS.items() if v[1] != "torchlens" or importlib.util.find_spec("torchlens")}
    workers = {name: Worker(command, model, tool) for name, (command, tool) in usable.items()}
    ratios: dict[str, list[float]] = {name: [] for name in VARIANTS}
    slow = {"DebugMode", "torchlens, a logged forward beside the step"}
    for name, worker in workers.items():
        worker.seconds(3 if name in slow else WARM_UP[model])
    for number in range(rounds):
        plain = workers["plain"].seconds(STEPS[model])
        assert plain is not None
        names = [n for n in workers if n != "plain"]
        for name in names[number % len(names) :] + names[: number % len(names)]:
            steps = max(1, STEPS[model] // 15) if name in slow else STEPS[model]
            taken = workers[name].seconds(steps)
            if taken is not None:
                ratios[name].append(taken / steps * STEPS[model] / plain)
    for worker in workers.values():
        worker.end()
    return {name: (statistics.median(r), min(r), max(r)) if r else None for name, r in ratios.items() if name != "plain"}


def table(results: dict[str, dict[str, tuple[float, float, float] | None]], rounds: int) -> str:
    import torch

    lines = ["| variant | " + " | ".join(results) + " |", "| --- |" + " --- |" * len(results)]
    for name in list(VARIANTS)[1:]:
        cells = [f"{r[name][0]:.3f} ({r[name][1]:.2f}–{r[name][2]:.2f})" if r.get(name) else "–" for r in results.values()]  # type: ignore[index]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    machine = (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__}"
    )
    lines.append(f"\nMedian (lowest–highest) of {rounds} rounds; {machine}; {datetime.date.today()}.")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--models", default="mlp,resnet,transformer")
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    text = table({model: measure(model, options.rounds) for model in options.models.split(",")}, options.rounds)
    print(text)
    if options.write:
        head = "# What a training step costs\n\nRatio of CPU time to plain python, of a full train step (zero_grad, forward, loss, backward, Adam), one thread.\n"
        options.write.write_text(
            f"{head}Made by `python bench/overhead.py --rounds {options.rounds} --write {options.write}`.\n\n{text}\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
