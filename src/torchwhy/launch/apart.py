"""Our own work in a process whose program has replaced, cleared or shadowed what that work needs."""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


class Apart:
    """The builtins, the ways to import, and the standard library's own modules, as they were before the program.

    Used as a context: inside of it they are there, and no tracer or profiler of the program's runs; after it,
    all is as the program had it. It may be entered again inside of itself.
    """

    def __init__(self) -> None:
        self._builtins = dict(vars(builtins))
        self._lists: list[tuple[list[Any], list[Any]]] = [(each, list(each)) for each in _ways()]
        self._shadowed: frozenset[str] = frozenset()
        self._modules: dict[str, ModuleType] = {}
        self._kept: list[Any] = []
        self._depth = 0

    def shadow(self, folder: str, before: frozenset[str]) -> None:
        """The program's folder may hold files named like modules of the standard library. The program is to get its
        own, and we those of the library: what we have loaded of them (not what was there `before`) is kept by us."""
        try:
            names = {os.path.splitext(name)[0].partition(".")[0] for name in os.listdir(folder or os.curdir)}
        except OSError:
            return
        self._shadowed = frozenset(names & set(sys.stdlib_module_names)) - before
        self._modules = self._take()

    def __enter__(self) -> None:
        self._depth += 1
        if self._depth > 1:
            return
        tracers = sys.gettrace(), sys.getprofile()
        _trace_by(tracers, None, None)
        kept = vars(builtins).copy()
        vars(builtins).update(self._builtins)
        lists: list[tuple[list[Any], list[Any]]] = []
        for each, known in self._lists:
            was = list(each)
            each[:] = known + _without(each, known)
            lists.append((was, list(each)))
        self._kept.append((tracers, kept, lists, self._take()))
        sys.modules.update(self._modules)

    def __exit__(self, *_how: object) -> None:
        self._depth -= 1
        if self._depth:
            return
        tracers, kept, lists, modules = self._kept.pop()
        self._modules = self._take()
        sys.modules.update(modules)
        for (each, _), (had, began) in zip(self._lists, lists):
            each[:] = _without(each, began) + _without(had, _without(began, each))
        now = vars(builtins)
        for name in [name for name in now if name not in kept]:
            del now[name]
        now.update(kept)
        _trace_by(tracers, *tracers)

    @contextmanager
    def left(self) -> Iterator[None]:
        """For a while, all is as the program had it: its code is to run again."""
        depth, self._depth = self._depth, min(self._depth, 1)
        if depth:
            self.__exit__()
        try:
            yield
        finally:
            if depth:
                self.__enter__()
                self._depth = depth

    def _take(self) -> dict[str, ModuleType]:
        """The shadowed modules that are loaded now, taken out."""
        if not self._shadowed:
            return {}
        names = [name for name in list(sys.modules) if name.partition(".")[0] in self._shadowed]
        return {name: sys.modules.pop(name) for name in names}


def _trace_by(had: tuple[Any, Any], tracer: Any, profiler: Any) -> None:
    """Nothing is set where the program has set none: what watches these functions would take it for the program's."""
    if had[1] is not None:
        sys.setprofile(profiler)
    if had[0] is not None:
        sys.settrace(tracer)


def _without(some: list[Any], others: list[Any]) -> list[Any]:
    return [one for one in some if not any(one is other for other in others)]


def _ways() -> tuple[list[Any], ...]:
    return sys.meta_path, sys.path_hooks, sys.path
