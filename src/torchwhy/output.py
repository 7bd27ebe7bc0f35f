"""What reaches stdout and stderr of our own commands: one line where it can't be written, never a traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO


def say(text: str) -> None:
    """A line of ours on stderr; silence where there is none."""
    from .render.text import visible

    if sys.stderr is None:
        return
    with suppress(OSError, ValueError):
        sys.stderr.write(f"torchwhy: {visible(text)}\n")
        sys.stderr.flush()


def write_out(write: Callable[[TextIO], object]) -> int:
    """Let `write` have stdout; gives the exit code. A reader that went away (`| head -1`) has what it wanted."""
    if sys.stdout is None or sys.stdout.closed:
        say("can't write the output: standard output is closed")
        return 2
    try:
        write(sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:
        _silence(sys.stdout)
    except OSError as error:
        _silence(sys.stdout)
        say(f"can't write the output: {error.strerror or error}")
        return 2
    return 0


def _silence(stream: TextIO) -> None:
    """What the stream still holds goes nowhere: the interpreter would try to write it once more when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
