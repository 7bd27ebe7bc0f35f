"""What a replayed piece of the program may not do: write files, open connections, start programs.

An audit hook (PEP 578) sees what goes through Python. torch's own file writers are C++ and raise no audit event, so `torch.save` and its
kin are replaced by functions that do nothing. The hook can't be removed: only ever call this in a child.
"""

from __future__ import annotations

import os
import sys
from typing import Any

_FORBIDDEN = frozenset(
    [
        "os.remove",
        "os.rename",
        "os.rmdir",
        "os.mkdir",
        "os.link",
        "os.symlink",
        "os.truncate",
        "os.chmod",
        "os.chown",
        "os.utime",
        "os.fork",
        "os.forkpty",
        "os.exec",
        "os.posix_spawn",
        "os.system",
        "os.kill",
        "os.killpg",
        "os.putenv",
        "shutil.rmtree",
        "shutil.move",
        "shutil.copyfile",
        "subprocess.Popen",
        "socket.connect",
        "socket.bind",
        "socket.sendto",
        "urllib.Request",
        "ftplib.connect",
        "smtplib.connect",
        "webbrowser.open",
        "pty.spawn",
        "sqlite3.connect",
    ]
)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if event in _FORBIDDEN:
        raise PermissionError(f"{event} is not allowed in a replay")
    if event == "open" and isinstance(args[0], (str, bytes)) and os.fsdecode(args[0]) != os.devnull:
        mode, flags = args[1], args[2]
        if (isinstance(mode, str) and any(c in mode for c in "wax+")) or (isinstance(flags, int) and flags & _WRITES):
            raise PermissionError("files are not written in a replay")


def close_off() -> None:
    """From here on this process writes no file, opens no connection and starts no program. Irrevocable."""
    import torch

    def nothing(*args: Any, **kwargs: Any) -> None:
        """A writer that does not write."""

    torch.save = nothing
    torch.jit.save = nothing
    sys.addaudithook(_hook)
