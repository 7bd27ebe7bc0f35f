"""Calls something as soon as the program has imported torch, and costs nothing where it never does."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType


class Arrival:
    """A finder that waits for one module. It is gone from `sys.meta_path`, and the loader as it was, once that module is there."""

    def __init__(self, name: str, then: Callable[[], None]) -> None:
        self.name = name
        self.then = then

    def await_it(self) -> None:
        if self.name in sys.modules:
            self.then()
        else:
            sys.meta_path.insert(0, self)

    def give_up(self) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != self.name:
            return None
        self.give_up()
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        loader, original = spec.loader, spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            del loader.exec_module
            original(module)
            self.then()

        loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
