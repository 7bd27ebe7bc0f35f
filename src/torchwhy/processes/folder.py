"""What processes tell each other of their failures: files in a folder that is there only once one has failed."""

from __future__ import annotations

import json
import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from ..incident import Unreadable, from_plain, to_plain
from ..model import Evidence

Kind = Literal["process", "program", "caught"]
"""process: started by `multiprocessing`, which prints what it raises; program: started by `subprocess`; caught: it was sent on as a text."""
_PATIENCE_S = 5.0
_MOST = 64


@dataclass(frozen=True, slots=True)
class Told:
    """A failure of another process. `at`: in seconds since the epoch."""

    at: float
    name: str
    kind: Kind
    evidence: Evidence


def announce(path: str, at: float) -> None:
    """Say that a failure will be told: whoever reads meanwhile waits."""
    if _make(path):
        with open(_file(path, "telling"), "w", encoding="utf-8") as file:
            file.write(repr(at))


def write(path: str, told: Told) -> None:
    """Tell it, whole or not at all."""
    if not _make(path):
        return
    plain = {"at": told.at, "name": told.name, "kind": told.kind, "folder": os.getcwd(), "evidence": to_plain(told.evidence)}
    with open(_file(path, "part"), "w", encoding="utf-8") as file:
        json.dump(plain, file)
    os.replace(_file(path, "part"), _file(path, f"{told.kind}.json"))
    _forget(_file(path, "telling"))


def write_fault(path: str, fault: str) -> None:
    """A fault of ours in that process."""
    if _make(path):
        with open(_file(path, "fault"), "w", encoding="utf-8") as file:
            file.write(fault)
        _forget(_file(path, "telling"))


def read(path: str) -> tuple[list[Told], list[str]]:
    """All that was told, the first first, and the faults; waits for those that are still at it."""
    until = time.monotonic() + _PATIENCE_S
    while any(name.endswith(".telling") and _lives(name) for name in _names(path)) and time.monotonic() < until:
        time.sleep(0.02)
    found: list[Told] = []
    faults: list[str] = []
    for name in _names(path)[:_MOST]:
        file = os.path.join(path, name)
        try:
            with open(file, encoding="utf-8") as stream:
                if name.endswith(".fault"):
                    faults.append(f"a process of the program's could not be watched: {stream.read(400)}")
                elif name.endswith(".json"):
                    found.append(_told(json.load(stream)))
        except (OSError, ValueError, KeyError, TypeError, Unreadable) as error:
            faults.append(f"what a process of the program's told can't be read: {type(error).__name__}: {error}")
    return sorted(found, key=lambda told: told.at), faults


def remove(path: str) -> None:
    shutil.rmtree(path, ignore_errors=True)


def _told(data: dict[str, Any]) -> Told:
    kinds: dict[str, Kind] = {"process": "process", "program": "program", "caught": "caught"}
    if data["folder"] != os.getcwd():
        _rebase(data["evidence"], data["folder"])
    return Told(float(data["at"]), str(data["name"]), kinds[data["kind"]], from_plain(data["evidence"], Evidence, "evidence"))


def _rebase(plain: Any, folder: str) -> None:
    """Files named as from this process's folder."""
    if isinstance(plain, list):
        for item in plain:
            _rebase(item, folder)
    elif isinstance(plain, dict):
        if isinstance(plain.get("file"), str):
            plain["file"] = _from_here(plain["file"], folder)
        for key, item in plain.items():
            if key == "sources":
                plain[key] = [[_from_here(file, folder), text] for file, text in item]
            else:
                _rebase(item, folder)


def _from_here(file: str, folder: str) -> str:
    if file.startswith("<"):
        return file
    whole, here = os.path.normpath(os.path.join(folder, file)), os.getcwd()
    return os.path.relpath(whole, here) if whole.startswith(here.rstrip(os.sep) + os.sep) else whole


def _make(path: str) -> bool:
    """Whether the folder is there, and ours alone."""
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)
    return not hasattr(os, "getuid") or os.stat(path).st_uid == os.getuid()


def _names(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))
    except OSError:  # nobody failed
        return []


def _file(path: str, kind: str) -> str:
    return os.path.join(path, f"{os.getpid()}.{kind}")


def _forget(file: str) -> None:
    with suppress(OSError):
        os.unlink(file)


def _lives(name: str) -> bool:
    if not hasattr(os, "fork"):
        return True  # Windows: a signal 0 would be sent
    try:
        os.kill(int(name.partition(".")[0]), 0)
    except (OSError, ValueError):
        return False
    return True
