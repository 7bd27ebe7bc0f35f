"""Runs examples/train.py and puts what torchwhy says into the README and, as a picture, into docs/picture.svg."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
WIDTH = 100
START, END = "<!-- example -->\n```\n", "```\n<!-- end of example -->"


def run(color: str) -> tuple[str, str]:
    """The traceback, and the diagnosis below it."""
    env = dict(os.environ, COLUMNS=str(WIDTH), PYTHONPATH=str(ROOT / "src"), OMP_NUM_THREADS="1")
    command = [sys.executable, "-m", "torchwhy", "run", "--color", color, "train.py"]
    done = subprocess.run(command, cwd=ROOT / "examples", env=env, capture_output=True, text=True, encoding="utf-8")
    traceback, _, diagnosis = done.stderr.partition("\n\n")
    return traceback, diagnosis


def example() -> str:
    """The text of the README's example: the last line of the traceback stands for it."""
    traceback, diagnosis = run("never")
    return f"$ torchwhy run train.py\nTraceback (most recent call last): …\n{traceback.splitlines()[-1]}\n\n{diagnosis}"


def picture() -> None:
    traceback, diagnosis = run("always")
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print("$ torchwhy run train.py", style="bold", highlight=False)
    console.print(f"Traceback (most recent call last): …\n{traceback.splitlines()[-1]}\n", style="dim", highlight=False, markup=False)
    console.print(Text.from_ansi(diagnosis), highlight=False)
    svg = console.export_svg(title="torchwhy", unique_id="torchwhy")
    local = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)  # the picture asks no other machine for a font
    (ROOT / "docs" / "picture.svg").write_text(local, encoding="utf-8")


def main() -> None:
    before, _, rest = README.read_text(encoding="utf-8").partition(START)
    README.write_text(f"{before}{START}{example()}{END}{rest.partition(END)[2]}", encoding="utf-8")
    picture()


if __name__ == "__main__":
    main()
