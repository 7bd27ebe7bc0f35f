"""Files that a trial writes land in its scratch folder, and are found there when they are read again; the program does not notice.

It is a convenience for programs that save a checkpoint or keep a log, not a fence: what goes around Python meets the fences.
"""

from __future__ import annotations

import builtins
import io
import os
import shutil
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import torch

from .sandbox import WRITES


def divert(scratch: str) -> None:
    """From here on, in this process and those forked from it."""
    _Diversion(os.path.join(scratch, "written"), scratch).install()


class _Diversion:
    """Each path that is written has a mirror below `root`."""

    def __init__(self, root: str, scratch: str) -> None:
        self.root = root
        self.own = (os.path.realpath(scratch) + os.sep, "/dev/", "/proc/")
        self.deleted: set[str] = set()
        self.stat, self.open = os.stat, io.open
        self.mkdir, self.listdir, self.scandir, self.remove = os.mkdir, os.listdir, os.scandir, os.remove

    def install(self) -> None:
        for name in ("stat", "lstat", "access", "listxattr", "readlink", "chdir"):
            setattr(os, name, self._reading(getattr(os, name)))
        for name in ("chmod", "utime", "truncate", "rmdir"):
            setattr(os, name, self._changing(getattr(os, name)))
        os.remove = os.unlink = self._remove
        os.rename, os.replace = self._moving(os.rename), self._moving(os.replace)
        os.mkdir, os.listdir, os.scandir = self._mkdir, self._listdir, self._scandir  # type: ignore[assignment]
        os.open = self._opening_low(os.open)  # type: ignore[assignment]
        builtins.open = io.open = self._opening(io.open)  # type: ignore[assignment]
        torch.save = self._saving(torch.save)
        torch.load = self._reading(torch.load)

    # ── where a path leads ────────────────────────────────────────────────────────────────────────────────────────────
    def _mirror(self, path: Any) -> str | None:
        """Where it would be written instead; None for what is no path, or the trial's own already."""
        if not isinstance(path, (str, bytes, os.PathLike)):
            return None
        whole = os.path.abspath(os.fsdecode(path))
        return None if whole.startswith(self.own) else self.root + whole

    def read(self, path: Any) -> Any:
        mirror = self._mirror(path)
        if mirror is None:
            return path
        if self.exists_at(mirror):
            return mirror
        if mirror in self.deleted:
            raise FileNotFoundError(2, "No such file or directory", os.fsdecode(path))
        return path

    def write(self, path: Any, keep: bool = True) -> Any:
        """The place to write to; with what the file held so far, unless all of it is written anew."""
        mirror = self._mirror(path)
        if mirror is None or self.exists_at(mirror):
            return path if mirror is None else mirror
        folder = os.path.dirname(os.path.abspath(os.fsdecode(path)))
        if not (self.exists_at(folder) or self.exists_at(self.root + folder)):
            raise FileNotFoundError(2, "No such file or directory", os.fsdecode(path))
        self._make(os.path.dirname(mirror))
        if keep and mirror not in self.deleted and os.path.isfile(path):
            with self.open(path, "rb") as old, self.open(mirror, "wb") as new:
                shutil.copyfileobj(old, new)
        self.deleted.discard(mirror)
        return mirror

    def exists_at(self, path: str) -> bool:
        try:
            self.stat(path)
        except OSError:
            return False
        return True

    def _make(self, folder: str) -> None:
        if not self.exists_at(folder):
            self._make(os.path.dirname(folder))
            self.mkdir(folder)

    # ── in the place of Python's own ──────────────────────────────────────────────────────────────────────────────────
    def _reading(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def diverted(path: Any, *args: Any, **kwargs: Any) -> Any:
            return function(path if kwargs.get("dir_fd") is not None else self.read(path), *args, **kwargs)

        return diverted

    def _changing(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def diverted(path: Any, *args: Any, **kwargs: Any) -> Any:
            return function(path if kwargs.get("dir_fd") is not None else self.write(path), *args, **kwargs)

        return diverted

    def _saving(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`torch.save` says in its own words that a folder is missing; nothing is written then."""

        def diverted(obj: Any, f: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                place = self.write(f, keep=False)
            except FileNotFoundError:
                place = f
            return function(obj, place, *args, **kwargs)

        return diverted

    def _moving(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def diverted(source: Any, target: Any, **kwargs: Any) -> None:
            here, there = self.write(self.read(source) if self._mirror(source) is None else source), self.write(target, keep=False)
            function(here, there, **kwargs)
            self.deleted.add(self._mirror(source) or "")

        return diverted

    def _opening(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def diverted(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            writes = any(letter in mode for letter in "wax+")
            if "x" in mode and self.exists_at(self.read(file)):
                raise FileExistsError(17, "File exists", file)
            return function(self.write(file, "w" not in mode) if writes else self.read(file), mode, *args, **kwargs)

        return diverted

    def _opening_low(self, function: Callable[..., int]) -> Callable[..., int]:
        def diverted(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
            if kwargs.get("dir_fd") is not None:
                return function(path, flags, *args, **kwargs)
            return function(self.write(path, not flags & os.O_TRUNC) if flags & WRITES else self.read(path), flags, *args, **kwargs)

        return diverted

    def _mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        mirror = self._mirror(path)
        if mirror is None or dir_fd is not None:
            return self.mkdir(path, mode, dir_fd=dir_fd)
        if self.exists_at(mirror) or (mirror not in self.deleted and self.exists_at(os.fsdecode(path))):
            raise FileExistsError(17, "File exists", os.fsdecode(path))
        self.mkdir(self.write(path, keep=False), mode)

    def _remove(self, path: Any, *, dir_fd: int | None = None) -> None:
        mirror = self._mirror(path)
        if mirror is None or dir_fd is not None:
            return self.remove(path, dir_fd=dir_fd)
        self.stat(self.read(path))
        if self.exists_at(mirror):
            self.remove(mirror)
        self.deleted.add(mirror)

    def _listdir(self, path: Any = ".") -> list[Any]:
        if isinstance(path, int):
            return self.listdir(path)
        return [entry.name for entry in self._entries(path or ".")]

    def _scandir(self, path: Any = ".") -> Any:
        return self.scandir(path) if isinstance(path, int) else _Entries(iter(list(self._entries(path or "."))))

    def _entries(self, path: Any) -> Iterator[os.DirEntry[str]]:
        mirror = self._mirror(path)
        aside = mirror is not None and self.exists_at(mirror)
        written = list(self.scandir(mirror)) if aside else []
        names = {entry.name for entry in written}
        if not aside or self.exists_at(os.fsdecode(path)):
            yield from (e for e in self.scandir(path) if e.name not in names and f"{mirror}{os.sep}{e.name}" not in self.deleted)
        yield from written


class _Entries:
    """What `os.scandir` gives: an iterator that can be closed."""

    def __init__(self, entries: Iterator[Any]) -> None:
        self.entries = entries

    def __iter__(self) -> Iterator[Any]:
        return self.entries

    def __next__(self) -> Any:
        return next(self.entries)

    def __enter__(self) -> _Entries:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is open."""
