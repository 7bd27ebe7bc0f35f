"""Runs small programs under torchwhy, many of them fast: a process that has torch loaded forks one child a program.

This file is also that process (`python tests/laboratory.py`): it reads a request a line and answers a line. Who asks needs no torch.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIMIT_S = 60
MARK = "#~ cause"


@dataclass(frozen=True)
class Trial:
    """How a program ended, and the report on it (None where none was written)."""

    exit_code: int
    stdout: str
    stderr: str
    report: dict[str, Any] | None


def without_marks(files: Mapping[str, str]) -> dict[str, str]:
    """The files as they are run: the marks that tell the tests where the cause is are no part of the program."""
    return {name: "".join(_unmarked(line) for line in text.splitlines(keepends=True)) for name, text in files.items()}


def _unmarked(line: str) -> str:
    code, mark, _ = line.partition(MARK)
    return code.rstrip() + "\n" if mark else line


def marked_line(files: Mapping[str, str]) -> tuple[str, int] | None:
    """The file and line that bear the mark."""
    found = [(name, n) for name, text in files.items() for n, line in enumerate(text.splitlines(), start=1) if MARK in line]
    return found[0] if found else None


class Laboratory:
    """Asks the loaded process; where there is no fork, starts an interpreter for each program."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[str] | None = None
        self._turn = threading.Lock()
        atexit.register(self.close)

    def run(self, files: Mapping[str, str], script: str = "", mode: str = "adaptive", verify: bool = False) -> Trial:
        """Run the first of the files (or `script`) in a folder of its own."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name).resolve() / "work"
            folder.mkdir()
            for file, text in without_marks(files).items():
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (folder / file).write_text(text, encoding="utf-8")
            return self.run_in(folder, script or next(iter(files)), mode, verify)

    def run_in(self, folder: Path, script: str, mode: str = "adaptive", verify: bool = False) -> Trial:
        """Run a script in its folder; with the mode `plain` as python does, without torchwhy."""
        with tempfile.TemporaryDirectory() as name:
            out, err, report = (Path(name) / kind for kind in ("out", "err", "report"))
            request = {"folder": str(folder), "script": script, "out": str(out), "err": str(err), "report": str(report), "mode": mode}
            request["verify"] = "yes" if verify else ""
            code = self._ask(request) if hasattr(os, "fork") else _run_apart(request)
            said = json.loads(report.read_text(encoding="utf-8")) if report.exists() else None
            return Trial(code, out.read_text(errors="replace"), err.read_text(errors="replace"), said)

    def _ask(self, request: dict[str, str]) -> int:
        with self._turn:
            if self._server is None:
                command = [sys.executable, os.path.abspath(__file__)]
                self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_environment())
            assert self._server.stdin is not None and self._server.stdout is not None
            self._server.stdin.write(json.dumps(request) + "\n")
            self._server.stdin.flush()
            return int(self._server.stdout.readline())

    def close(self) -> None:
        if self._server is not None and self._server.stdin is not None:
            self._server.stdin.close()
            self._server.wait()
            self._server = None


def _environment() -> dict[str, str]:
    sources = str(Path(__file__).resolve().parent.parent / "src")
    path = os.pathsep.join(filter(None, [sources, os.environ.get("PYTHONPATH")]))
    return dict(
        os.environ, PYTHONPATH=path, OMP_NUM_THREADS="1", PYTHONHASHSEED="0", PYTHONDONTWRITEBYTECODE="1", NO_COLOR="1", COLUMNS="100"
    )


def _run_apart(request: dict[str, str]) -> int:
    options = ["--record", request["mode"], "--report", request["report"], "--incident", *([] if request["verify"] else ["--no-verify"])]
    torchwhy = [] if request["mode"] == "plain" else ["-m", "torchwhy", "run", *options]
    command = [sys.executable, *torchwhy, request["script"]]
    with open(request["out"], "wb") as out, open(request["err"], "wb") as err:
        done = subprocess.run(command, cwd=request["folder"], stdout=out, stderr=err, env=_environment(), timeout=LIMIT_S)
    return done.returncode


# ── the loaded process ────────────────────────────────────────────────────────────────────────────────────────────────
def _serve() -> None:
    import torch
    import torch._dynamo  # the first optimizer of a process would import it
    import torch.utils.data

    import torchwhy.diagnose
    import torchwhy.evidence.gather
    import torchwhy.record.recorder
    import torchwhy.render.json  # noqa: F401
    from torchwhy.catalogue import load

    load()
    torch.set_num_threads(1)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            become(json.loads(line))
        answers.write(f"{wait_for(child)}\n")
        answers.flush()


def wait_for(child: int) -> int:
    """The exit code of a child, which is ended when it takes too long."""
    timer = threading.Timer(LIMIT_S, os.kill, (child, 9))
    timer.start()
    _, status = os.waitpid(child, 0)
    timer.cancel()
    return os.waitstatus_to_exitcode(status)


def become(request: dict[str, str]) -> None:
    """Be that program: what the interpreter does at the end of one is done here, as this process has an end of its own."""
    from torchwhy.program import Program
    from torchwhy.session import Options, Session

    for descriptor, path in ((0, os.devnull), (1, request["out"]), (2, request["err"])):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), descriptor)
    # the program's streams live as long as the process
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1, errors="backslashreplace")  # noqa: SIM115
    os.chdir(request["folder"])
    sys.path.insert(0, "")
    atexit._clear()
    code = 0
    try:
        if request["mode"] == "plain":
            Program(request["script"]).load().execute()
        else:
            options = Options(report=request["report"], record=request["mode"], verify=bool(request["verify"]), incident=True)
            Session(Program(request["script"]), options).run()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:
        code = 1
        sys.excepthook(type(error), error, error.__traceback__)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve()
