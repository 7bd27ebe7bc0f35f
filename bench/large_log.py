"""How long `torchwhy explain` takes for a very large job log, and how much memory: one failure in the middle of a gigabyte of ordinary lines.

    python bench/large_log.py [--megabytes 1024]

The log is made in a temporary file: eight ranks, times, progress bars, words such as "error" in ordinary lines. Prints seconds, peak memory and the first
diagnosis; exits with 1 above 20 s or 200 MB a gigabyte, or where the failure is not found.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FAILURE = b"""\
[rank5]: Traceback (most recent call last):
[rank5]:   File "/job/train.py", line 207, in <module>
[rank5]:     loss = criterion(model(batch), target)
[rank5]:   File "/opt/env/lib/python3.11/site-packages/torch/nn/modules/linear.py", line 125, in forward
[rank5]:     return F.linear(input, self.weight, self.bias)
[rank5]: RuntimeError: mat1 and mat2 shapes cannot be multiplied (48x2304 and 2048x10)
"""
AFTER = b"[rank%d]:[E ProcessGroupNCCL.cpp:616] [Rank %d] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=9, OpType=ALLREDUCE, NumelIn=1, NumelOut=1, Timeout(ms)=600000) ran for 600001 milliseconds before timing out.\n"


def ordinary(chance: random.Random) -> bytes:
    """About a megabyte of lines."""
    lines = []
    for _ in range(9_000):
        rank, step = chance.randrange(8), chance.randrange(100_000)
        lines.append(
            chance.choice(
                (
                    f"[rank{rank}]: 2025-11-02 10:{step % 60:02d}:{rank:02d},118 INFO step {step} loss {chance.random():.4f} error rate {chance.random():.3f}\n",
                    f"[rank{rank}]: Epoch {step % 90}:  {step % 100}%|####      | {step}/100000 [00:12<00:09, 41.2it/s, val_error=0.2]\r",
                    f"[rank{rank}]: grad norm {chance.random() * 9:.3f} lr 3.0e-4 skipped 0 retries after timeout 0, exception count 0\n",
                    f'[rank{rank}]: {{"step": {step}, "errors": 0, "tokens": {step * 4096}, "note": "no failure"}}\n',
                )
            )
        )
    return "".join(lines).encode()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1024)
    options = parser.parse_args()
    chance = random.Random(7)
    blocks = [ordinary(chance) for _ in range(8)]
    with tempfile.TemporaryDirectory() as folder:
        log, report = Path(folder) / "job.log", Path(folder) / "report.json"
        size = 0
        with log.open("wb") as stream:
            told = False
            while size < options.megabytes << 20:
                if not told and size > options.megabytes << 19:
                    stream.write(FAILURE + b"".join(AFTER % (r, r) for r in range(8) if r != 5))
                    told = True
                size += stream.write(chance.choice(blocks))
        began = time.perf_counter()
        command = [sys.executable, "-m", "torchwhy", "explain", "--quiet", "--report", str(report), str(log)]
        subprocess.run(command, check=False, env=dict(os.environ, OMP_NUM_THREADS="1"))
        seconds = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (1024 if sys.platform != "darwin" else 1 << 20)
        found = json.loads(report.read_text())["diagnoses"]
    first = f"{found[0]['family']}: {found[0]['headline']}" if found else "nothing found"
    print(f"{size / 1e6:.0f} MB: {seconds:.1f} s, peak {peak:.0f} MB; {first}")
    share = max(1.0, size / (1 << 30))
    return 0 if found and found[0]["cause"]["line"] == 207 and seconds <= 20 * share and peak <= 200 else 1


if __name__ == "__main__":
    sys.exit(main())
