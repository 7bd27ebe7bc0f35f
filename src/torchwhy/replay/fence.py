"""The one fence for children that run the program's code again: whatever they do, the world stays as if they had not run.

For children only, with one thread: nothing of it can be taken back.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Collection

from .apart import part_from_files, part_from_memory
from .landlock import fence_in
from .spaces import private_spaces

_SHARED = "/dev/shm"


def fence_off(keep: Collection[int], scratch: str | None = None) -> bool:
    """Keep this process from changing anything outside of `scratch`; whether it has namespaces of its own. Raises OSError."""
    part_from_memory()
    apart = private_spaces(scratch)  # before any thread starts, and while /proc may be written to
    part_from_files(keep)  # what is opened anew is opened in the view of the files that is its own
    writable = [*([scratch] if scratch else []), *([_SHARED] if apart and os.path.isdir(_SHARED) else [])]
    fence_in(writable, [d for d in (os.devnull, *glob.glob("/dev/nvidia*")) if not os.path.isdir(d)], apart)
    return apart
