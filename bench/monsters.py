"""How long a diagnosis takes on programs made to be hard to think about.

Each monster fails in torch; counted is the CPU time from just before the failure to the end of the process,
with all children that thought about it, and with the interpreter's own end. Exit code 1 when one takes more
than the limit, or ends otherwise than under python.

    python bench/monsters.py [--sample N] [--only KIND] [--limit SECONDS]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

Files = dict[str, str]
HEAD = """import time, torch
from torch import nn
def failing(): open("failing", "w").write(str(time.process_time()))
"""
FAIL = "failing()\nnn.Linear(WIDTH, 8)(torch.zeros(4, 20))\n"


def functions(size: int) -> Files:
    """Many functions, each of which hands on what it was handed."""
    body = [f"def f{n}(width, **kwargs): return f{n - 1}(width, **kwargs)" for n in range(1, size)]
    made = "def f0(width, **kwargs): return nn.Linear(width, 8)\n" + "\n".join(body)
    return {"main.py": f"{HEAD}{made}\nlayer = f{min(size - 1, 400)}(width=30)\nfailing()\nlayer(torch.zeros(4, 20))\n"}


def factories(size: int) -> Files:
    """Factories that call each other in circles, with everything in `**kwargs`, and a table of them."""
    lines = []
    for n in range(size):
        others = [(n * 7 + 1) % size, (n * 3 + 2) % size, (n + 1) % size]
        calls = " or ".join(f"make{o}(depth - 1, **dict(kwargs, a{n}=width))" for o in others)
        lines.append(
            f"def make{n}(depth=3, width=WIDTH, **kwargs):\n    return {calls} if depth else nn.Linear(kwargs.get('width', width), 8)"
        )
    table = "MAKERS = {" + ", ".join(f"'m{n}': make{n}" for n in range(size)) + "}"
    text = f"{HEAD}WIDTH = 30\n" + "\n".join(lines) + f"\n{table}\nlayer = MAKERS['m{size // 2}']()\nfailing()\nlayer(torch.zeros(4, 20))\n"
    return {"main.py": text}


def message(size: int) -> Files:
    """A long message that begins as one of torch's."""
    pieces = [
        "shape",
        "(",
        "[1, ",
        "1, ",
        " ",
        "\\n",
        "a.b ",
        "size mismatch for a.weight: ",
        "Expected ",
        "_",
        "rank 1 ",
        'File \\"x\\", line 1\\n',
    ]
    piece = pieces[size % len(pieces)]
    said = f'"mat1 and mat2 shapes cannot be multiplied (4x20 and 30x5) shape " + "{piece}" * {size // max(1, len(piece))} + "!"'
    return {"main.py": f"{HEAD}said = {said}\nfailing()\nraise RuntimeError(said)\n"}


def script(size: int) -> Files:
    """A script of many lines that all bind the same few names."""
    lines = [f"w{n % 50} = w{(n + 1) % 50} if {n} % 2 else {n % 97 + 1}" if n >= 50 else f"w{n} = {n + 1}" for n in range(size)]
    return {"main.py": HEAD + "\n".join(lines) + "\nWIDTH = w7 + 1\n" + FAIL}


def statements(size: int) -> Files:
    """A script of many lines that all differ: layers, calls and settings."""
    lines = [
        f"x{n} = torch.zeros({n % 7 + 1}, {n % 5 + 1})  # {n}" if n % 3 else f"cfg{n} = dict(a={n}, b=[{n}, {n + 1}])" for n in range(size)
    ]
    return {"main.py": HEAD + "\n".join(lines) + f"\nWIDTH = cfg{(size - 1) // 3 * 3}['a'] + 21\n" + FAIL}


def dictionary(size: int) -> Files:
    """A literal with so many entries, on one line, with letters of several bytes."""
    entries = ", ".join(f"'ключ{n}': [{n}, {n + 1}]" for n in range(size))
    return {"main.py": f"{HEAD}TABLE = {{{entries}}}\nWIDTH = TABLE['ключ{size // 2}'][0] + 21\n{FAIL}"}


def chain(size: int) -> Files:
    """One expression with so many operators."""
    names = "\n".join(f"n{i} = {i}" for i in range(20))
    terms = " + ".join(f"n{i % 20} * {i % 3}" for i in range(size))
    return {"main.py": f"{HEAD}{names}\nWIDTH = {terms} + 1\n{FAIL}"}


def nesting(size: int) -> Files:
    """Blocks within blocks, and brackets within brackets."""
    depth = min(size, 90)
    blocks = "".join(" " * n + f"if WIDTH > -{n + 1}:\n" for n in range(depth)) + " " * depth + "failing()\n"
    blocks += " " * depth + "nn.Linear(WIDTH, 8)(torch.zeros(4, 20))\n"
    brackets = "[" * depth + "30" + "]" * depth + "[0]" * depth
    calls = "int(" * depth + brackets + ")" * depth
    return {"main.py": f"{HEAD}WIDTH = {calls}\n{blocks}"}


def layers(size: int) -> Files:
    """A model of so many layers, built in a loop."""
    built = f"net = nn.Sequential(*[nn.Linear(20, 20) for _ in range({size})], nn.Linear(30, 8))"
    return {"main.py": f"{HEAD}{built}\nfailing()\nnet(torch.zeros(4, 20))\n"}


def files(size: int) -> Files:
    """So many modules that import each other's names."""
    made = {f"part{n}.py": f"from part{n - 1} import *\nfrom part{n - 1} import WIDTH\nHERE{n} = WIDTH\n" for n in range(1, size)}
    return {"main.py": f"{HEAD}from part{size - 1} import WIDTH\n{FAIL}", "part0.py": "WIDTH = 30\n", **made}


def classes(size: int) -> Files:
    """Classes that inherit from each other, each with a constructor that hands on."""
    lines = [
        "class C0(nn.Module):\n    def __init__(self, width=30, **kwargs):\n        super().__init__()\n        self.fc = nn.Linear(width, 8)"
    ]
    lines += [
        f"class C{n}(C{n - 1}):\n    def __init__(self, *args, **kwargs):\n        self_{n} = {n}\n        super().__init__(*args, **kwargs)"
        for n in range(1, size)
    ]
    return {"main.py": HEAD + "\n".join(lines) + f"\nnet = C{size - 1}()\nfailing()\nnet.fc(torch.zeros(4, 20))\n"}


def branches(size: int) -> Files:
    """A name with a value in each of many branches."""
    lines = [f"{'el' if n else ''}if kind == {n}:\n    width = {n + 21}\n    other = width" for n in range(size)]
    text = "def choose(kind):\n" + "\n".join("    " + row for line in lines for row in line.split("\n")) + "\n    return other\n"
    return {"main.py": f"{HEAD}{text}WIDTH = choose(9)\n{FAIL}"}


def configs(size: int) -> Files:
    """Settings merged from settings merged from settings."""
    lines = ["C0 = dict(width=30)"]
    lines += [f"C{n} = {{**C{n - 1}, **C{max(0, n - 2)}, **C{max(0, n - 3)}, 'k{n}': C{n - 1}.get('width', {n})}}" for n in range(1, size)]
    return {"main.py": HEAD + "\n".join(lines) + f"\nWIDTH = C{size - 1}['width']\n{FAIL}"}


def raised(size: int) -> Files:
    """Exceptions raised from exceptions."""
    text = """
def again(n, error):
    try:
        raise error
    except Exception as inner:
        if n:
            try:
                raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({n}x20 and 30x5)") from inner
            except Exception as outer:
                again(n - 1, outer)
        failing()
        raise
"""
    return {"main.py": f"{HEAD}{text}again({min(size, 150)}, ValueError('x'))\n"}


def calls(size: int) -> Files:
    """A failure below so many frames."""
    text = "def down(n, width):\n    if n:\n        return down(n - 1, width=width)\n    failing()\n    return nn.Linear(width, 8)(torch.zeros(4, 20))\n"
    return {"main.py": f"{HEAD}import sys\nsys.setrecursionlimit({size + 500})\n{text}down({size}, width=30)\n"}


KINDS: tuple[tuple[Callable[[int], Files], tuple[int, ...]], ...] = (
    (functions, (10, 30, 100, 200, 300, 500, 1000, 1500, 2000, 3000, 4000, 5000)),
    (factories, (2, 3, 4, 5, 6, 8, 10, 14, 20, 30, 50, 80, 120, 200)),
    (message, tuple(10**e * k + i for e in (3, 4, 5, 6) for k in (1, 5) for i in range(3)) + tuple(50_000_000 + i for i in range(12))),
    (script, (100, 300, 1000, 2000, 3000, 5000, 7000, 10_000, 14_000, 20_000)),
    (statements, (100, 300, 1000, 2000, 3000, 5000, 7000, 10_000, 14_000, 20_000)),
    (dictionary, (10, 100, 300, 1000, 3000, 5000, 10_000, 20_000, 30_000)),
    (chain, (10, 30, 60, 100, 200, 300, 400, 500, 600, 800)),
    (nesting, (5, 10, 15, 20, 30, 40, 50, 60, 70, 80, 90)),
    (layers, (10, 30, 100, 200, 300, 500, 700, 1000, 1500, 2000, 3000, 5000)),
    (files, (5, 10, 20, 40, 60, 80, 100, 150, 200, 300, 400)),
    (classes, (3, 5, 10, 15, 20, 30, 40, 60, 80, 100, 150, 200)),
    (branches, (10, 20, 30, 50, 80, 120, 200, 300, 500, 700, 900)),
    (configs, (3, 5, 8, 10, 15, 20, 30, 50, 80, 120, 200, 300, 500)),
    (raised, (2, 5, 10, 20, 30, 40, 50, 60, 80, 100, 120, 150)),
    (calls, (10, 30, 60, 100, 200, 300, 400, 600, 800, 1000, 2000, 5000)),
)


def monsters(only: str, sample: int) -> Iterator[tuple[str, Files]]:
    every = [(make, size) for make, sizes in KINDS for size in sizes if only in make.__name__]
    if sample:
        every = sorted(random.Random(0).sample(every, min(sample, len(every))), key=lambda pair: (pair[0].__name__, pair[1]))
    for make, size in every:
        yield f"{make.__name__} {size}", make(size)


def measure(files: Files, folder: str) -> tuple[float, str]:
    """CPU seconds after the failure, and what came of it."""
    for name, text in files.items():
        Path(folder, name).write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "torchwhy", "run", "--no-verify", "--report", "report.json", "main.py"]
    child = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    before = Path(folder, "failing")
    report = Path(folder, "report.json")
    if child.returncode != 1 or not before.exists() or not report.exists():
        return 0.0, f"ended with {child.returncode}"
    told = json.loads(report.read_text(encoding="utf-8"))
    codes = ", ".join(d["code"] for d in told["diagnoses"]) or "no diagnosis"
    return used.ru_utime + used.ru_stime - float(before.read_text()), "; ".join([codes, *told["problems"]])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sample", type=int, default=0, help="only so many, chosen by chance (always the same)")
    parser.add_argument("--only", default="", help="one kind")
    parser.add_argument("--limit", type=float, default=6.0, help="CPU seconds after the failure (default: %(default)s)")
    options = parser.parse_args()
    found: list[tuple[float, str]] = []
    wrong = 0
    for name, files_ in monsters(options.only, options.sample):
        with tempfile.TemporaryDirectory() as folder:
            seconds, told = measure(files_, folder)
        wrong += told.startswith("ended with")
        found.append((seconds, name))
        print(f"{seconds:7.2f} s  {name}: {told}", flush=True)
    found.sort()
    times = [seconds for seconds, _ in found]
    shares = ", ".join(f"{share} %: {times[min(len(times) - 1, len(times) * share // 100)]:.2f} s" for share in (50, 90, 99))
    print(f"{len(found)} monsters: {shares}, worst {found[-1][0]:.2f} s ({found[-1][1]}); {wrong} ended otherwise")
    return 1 if wrong or found[-1][0] > options.limit else 0


if __name__ == "__main__":
    sys.exit(main())
