"""Many runs at once: each must end with python's exit code, and leave no process and no file behind.

    python bench/together.py [--count 20]

Linux only.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from odd import FAIL, WELL
from odd_programs import _processes

SPAWN = (
    "import torch\nimport torch.multiprocessing as mp\ndef work(n):\n    assert n.sum() == 3\nif __name__ == '__main__':\n"
    "    p = mp.get_context('spawn').Process(target=work, args=(torch.ones(3),))\n    p.start()\n    p.join()\n    raise SystemExit(p.exitcode)\n"
)
LOADER = (
    "import torch\nfrom torch.utils.data import DataLoader, TensorDataset\nif __name__ == '__main__':\n"
    "    for x, in DataLoader(TensorDataset(torch.ones(8, 3)), batch_size=2, num_workers=2):\n        print(x.shape)\n    x @ torch.ones(4, 5)\n"
)
KINDS = [(WELL, "", 0), (FAIL, "", 1), (FAIL, "--no-verify", 1), (SPAWN, "", 0), (LOADER, "--no-verify", 1)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20)
    count = parser.parse_args().count
    tag = f"{os.getpid()}-{time.monotonic_ns()}"
    shared = set(os.listdir("/dev/shm"))
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name) / "tmp"
        scratch.mkdir()
        env = dict(os.environ, ODD_TAG=tag, TMPDIR=str(scratch), OMP_NUM_THREADS="1")
        started = []
        for number in range(count):
            text, given, code = KINDS[number % len(KINDS)]
            file = Path(name) / f"prog{number}.py"
            file.write_text(text)
            command = [str(Path(sys.executable).parent / "torchwhy"), "run", *given.split(), str(file)]
            started.append((code, subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)))
        wrong = sum(one.wait() != code for code, one in started)
        left = [*_processes(tag), *os.listdir(scratch), *(set(os.listdir("/dev/shm")) - shared)]
    print(f"{count} runs at once: {count - wrong} end with python's exit code; left behind: {left or 'nothing'}")
    return int(wrong > 0 or bool(left))


if __name__ == "__main__":
    sys.exit(main())
