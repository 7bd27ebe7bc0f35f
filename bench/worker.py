"""A training program under one tool, which does as many steps as it is told on standard input and answers with the CPU seconds they took.

python bench/worker.py MODEL TOOL      and, for torchwhy itself:      torchwhy run [--record full] bench/worker.py MODEL plain
"""

from __future__ import annotations

import contextlib
import sys
import time

import torch
from programs import step_of

TOOLS = ("plain", "anomaly", "anomaly-no-nan", "profiler", "debugmode", "torchlens")


def tool(name: str) -> contextlib.AbstractContextManager[object]:
    """The tool's context around a block of steps."""
    if name == "anomaly":
        return torch.autograd.set_detect_anomaly(True)
    if name == "anomaly-no-nan":
        return torch.autograd.set_detect_anomaly(True, check_nan=False)
    if name == "profiler":
        return torch.profiler.profile(with_stack=True, record_shapes=True)
    if name == "debugmode":
        from torch.utils._debug_mode import DebugMode

        return DebugMode()
    return contextlib.nullcontext()


def main() -> None:
    model, name = sys.argv[1:3]
    step = step_of(model)
    if name == "torchlens":
        import torchlens

        plain, trace = step, getattr(torchlens, "trace", None) or torchlens.log_forward_pass

        def step() -> float:  # its forward is logged; the rest of the step is the program's
            trace(plain.model, plain.data)
            return plain()

    print("ready", flush=True)
    for line in sys.stdin:
        count = int(line)
        began = time.process_time()
        with tool(name):
            for _ in range(count):
                step()
        print(time.process_time() - began, flush=True)


main()
