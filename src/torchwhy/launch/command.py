"""The program as the interpreter's own `__main__`: no frame of ours lies below it.

The command replaces itself by `python [FLAGS] SCRIPT ARGS…` or `python [FLAGS] -m MODULE ARGS…` (as `opentelemetry-instrument`
and `ddtrace-run` do), with a `sitecustomize` of ours first on the path. That prepares the run and is gone. The interpreter then
calls the program from C, so that `inspect.stack()`, `warnings`, `pdb`, the recursion limit and `sys.argv` are what they are
without us. How the program ended is learnt by a handler compiled around its text.

Not on Windows, whose `exec` gives the terminal back at once, nor where the interpreter ignores its environment (`-I`, `-E`,
`-S`): there the program runs below our frames (`torchwhy.program`).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ..program import Program, count_flags

_GIVEN = "TORCHWHY_START"
_PATH = "TORCHWHY_PATH"
"""The environment's own PYTHONPATH, where it has one."""


def become_program(program: Program, options: Mapping[str, Any]) -> None:
    """Replace this process's program by the user's, watched. Returns where that can't be done."""
    flags = sys.flags
    original = getattr(sys, "orig_argv", ())
    if os.name != "posix" or not sys.executable or flags.ignore_environment or flags.no_site or not original:
        return
    words = count_flags(original)
    if words is None or not program.can_be_read_again:
        return
    environment = dict(os.environ)
    own = os.path.join(os.path.dirname(os.path.abspath(__file__)), "site")
    if "PYTHONPATH" in environment:
        environment[_PATH] = environment["PYTHONPATH"]
    environment["PYTHONPATH"] = os.pathsep.join([own, *filter(None, [environment.get(_PATH)])])
    environment[_GIVEN] = json.dumps({"program": asdict(program), "options": dict(options)})
    what = ["-m", program.target] if program.is_module else [program.target]
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os.execve(sys.executable, [*original[:words], *what, *program.arguments], environment)
