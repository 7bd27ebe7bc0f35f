"""Command lines that run a Python program of the user's, and the same line with the program watched."""

from __future__ import annotations

import importlib.machinery
import os
import shutil
import sys
from collections.abc import Mapping, Sequence

from ..program import count_flags
from ..record.spans import origin

_LAUNCHERS = ("torch.distributed.run", "torch.distributed.launch", "accelerate.commands.launch")
_WATCHED = """\
import sys
found = sys.path[:]
sys.path.append({root!r})
try:
    from torchwhy.child import run
except Exception:
    import os
    os.execv(sys.executable, {line!r})
sys.path[:] = found
run({given!r})
"""
"""Where we are not to be found, the program runs as it would."""


def root() -> str:
    """The folder that holds this package."""
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def watched(
    args: Sequence[str], folder: str | None, environment: Mapping[str, str] | None, given: Mapping[str, object]
) -> list[str] | None:
    """The command line under which the program tells what it raises; None where it is no Python program of the user's.

    `folder` and `environment` are the new process's own, None for those of this one.
    """
    if len(args) < 2 or not _is_this_python(args[0], environment):
        return None
    flags = count_flags(args)
    if flags is None or not _is_users(args[flags:], folder or os.getcwd()):
        return None
    code = _WATCHED.format(root=root(), line=list(args), given=dict(given, line=list(args), program=flags))
    return [*args[:flags], "-c", code]


def _is_this_python(name: str, environment: Mapping[str, str] | None) -> bool:
    found = name if os.path.dirname(name) else shutil.which(name, path=(os.environ if environment is None else environment).get("PATH"))
    if not found or not sys.executable:
        return False
    here, there = os.path.abspath(sys.executable), os.path.abspath(found)
    # two environments may share one interpreter by links, and differ in their packages: the folder says which
    return os.path.dirname(here) == os.path.dirname(there) and os.path.realpath(here) == os.path.realpath(there)


def _is_users(program: Sequence[str], folder: str) -> bool:
    if program[0] != "-m":
        file = os.path.join(folder, program[0])
        return file.endswith(".py") and os.path.isfile(file) and origin(os.path.abspath(file)) == "user"
    name = program[1]
    if name in _LAUNCHERS:
        return True
    try:
        spec = importlib.machinery.PathFinder.find_spec(name.partition(".")[0], [folder, *sys.path])
    except (ImportError, ValueError):
        return False
    places = [spec.origin, *(spec.submodule_search_locations or ())] if spec is not None else []
    return any(isinstance(p, str) and os.path.exists(p) and origin(os.path.join(os.path.abspath(p), "")) == "user" for p in places)
