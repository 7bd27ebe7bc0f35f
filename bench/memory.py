"""Peak memory under torchwhy against plain python, and what a 1,000-step loop leaves alive.

python bench/memory.py [--rounds 3] [--write docs/memory.md]
"""

from __future__ import annotations

import argparse
import datetime
import gc
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

LOOPS = {"mlp": 1000, "resnet": 60, "transformer": 30}


def program(model: str, steps: int) -> None:
    """The timed program itself: prints its peak memory (KiB; bytes on macOS) and the number of live tensors at the end."""
    import resource

    import torch
    from programs import step_of

    step = step_of(model)
    for _ in range(steps):
        step()
    gc.collect()
    live = sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, live)


def peak(command: list[str], model: str, steps: int) -> tuple[int, int]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, __file__, "--program", model, str(steps)], capture_output=True, text=True, env=environment, check=True)
    memory, live = done.stdout.split()[-2:]
    return int(memory), int(live)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--program", nargs=2, metavar=("MODEL", "STEPS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.program:
        program(options.program[0], int(options.program[1]))
        return
    lines = [
        "| program | steps | peak memory, torchwhy to plain | live tensors plain | live tensors torchwhy |",
        "| --- | --- | --- | --- | --- |",
    ]
    for model, steps in LOOPS.items():
        pairs = [
            (peak([sys.executable, "-m", "torchwhy", "run"], model, steps), peak([sys.executable], model, steps))
            for _ in range(options.rounds)
        ]
        ratio = statistics.median(ours[0] / plain[0] for ours, plain in pairs)
        lines.append(f"| {model} | {steps} | {ratio:.4f} | {pairs[0][1][1]} | {pairs[0][0][1]} |")
    lines.append(
        f"\nMedian of {options.rounds} rounds, {platform.system()} {platform.machine()}, Python {platform.python_version()}; {datetime.date.today()}."
    )
    print("\n".join(lines))
    if options.write:
        options.write.write_text("# Memory\n\nMade by `python bench/memory.py`.\n\n" + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
