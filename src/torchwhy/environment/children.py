"""Other programs, asked with patience that ends: `nvidia-smi` hangs on a sick GPU, and importing torch can kill the interpreter."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Said:
    """What a program printed, and how it ended: empty for exit code 0, else `SIGSEGV`, `timeout`, `exit code 3`, `missing`."""

    output: str = ""
    errors: str = ""
    ended: str = ""


def ask(command: Sequence[str], seconds: float) -> Said:
    """Run the command for at most so long. A process that even a kill does not end is left behind."""
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=os.name == "posix"
        )
    except OSError as error:
        return Said(ended="missing" if isinstance(error, FileNotFoundError) else f"{type(error).__name__}: {error.strerror}")
    try:
        output, errors = process.communicate(timeout=seconds)
        ended = how_it_ended(process.returncode)
    except subprocess.TimeoutExpired:
        _end(process)
        try:
            output, errors = process.communicate(timeout=2)
        except subprocess.TimeoutExpired:
            output, errors = b"", b""
        ended = "timeout"
    return Said(_text(output), _text(errors), ended)


def how_it_ended(code: int) -> str:
    """The name of the signal, or the exit code; on Windows the codes of its exceptions."""
    if code == 0:
        return ""
    if code < 0:
        try:
            return signal.Signals(-code).name
        except ValueError:
            return f"signal {-code}"
    return {0xC0000005: "SIGSEGV", 0xC000001D: "SIGILL", 0xC0000409: "SIGABRT"}.get(code, f"exit code {code}")


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except OSError:  # it ended in the meantime
        return


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
