"""What a replayed piece of the program may not do: write files, open connections, start programs.

An audit hook (PEP 578) sees what goes through Python. torch's own file writers are C++ and raise no audit event: Linux's fences hold for
them, and everywhere else `torch.save` fills a buffer instead of a file. Nothing of it can be taken back: only ever call this in a child.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Collection
from typing import Any

from .fence import fence_off

CHANGES = frozenset(
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
        "os.setxattr",
        "os.removexattr",
        "shutil.rmtree",
        "shutil.move",
        "shutil.copyfile",
        "shutil.chown",
        "sqlite3.connect",
    ]
)
STARTS = frozenset(
    ["os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.startfile", "subprocess.Popen", "pty.spawn", "os.forkpty", "webbrowser.open"]
)
CONNECTS = frozenset(["socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"])
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_OTHERS = frozenset(["os.fork", "os.kill", "os.killpg", "os.putenv", "urllib.Request", "ftplib.connect", "smtplib.connect"])
_FORBIDDEN = CHANGES | STARTS | CONNECTS | _OTHERS


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if event in _FORBIDDEN:
        raise PermissionError(f"{event} is not allowed in a replay")
    if event == "open" and isinstance(args[0], (str, bytes)) and os.fsdecode(args[0]) != os.devnull:
        mode, flags = args[1], args[2]
        if (isinstance(mode, str) and any(c in mode for c in "wax+")) or (isinstance(flags, int) and flags & WRITES):
            raise PermissionError("files are not written in a replay")


def close_off(keep: Collection[int]) -> None:
    """From here on this process writes no file, has none of the open ones but `keep`, opens no connection and starts no program."""
    import torch

    def nothing(*args: Any, **kwargs: Any) -> None:
        """A writer that does not write."""

    torch.jit.save = nothing
    serialization: Any = torch.serialization
    opened = getattr(serialization, "_open_zipfile_writer", None)
    if opened is not None:
        serialization._open_zipfile_writer = lambda to: opened(io.BytesIO() if isinstance(to, (str, os.PathLike)) else to)
    else:
        torch.save = nothing
    fence_off(keep)
    sys.addaudithook(_hook)
