"""Calls something as soon as the program has imported torch, however it does that; costs nothing where it never does.

A finder at the front of `sys.meta_path` sees the imports. Asked by an import, it has the loader that the other finders give tell when it is
done. Asked by `importlib.util.find_spec`, it knows nothing, so that a spec or a loader that the program holds is never touched. A package
that is loaded past it (a lazy loader, a loader run by hand, another tool's finder) betrays itself by the first of its submodules: then the
end of its `__init__` is the end of that code object's life.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import CodeType, FrameType, ModuleType
from typing import Any


class Arrival:
    """A finder that waits for one module. It is gone from `sys.meta_path`, and the loader as it was, once that module is there."""

    def __init__(self, name: str, then: Callable[[], None]) -> None:
        self.name = name
        self.then = then
        self._loading = 0
        self._running: weakref.ref[CodeType] | None = None
        self._is_over = False

    def await_it(self) -> None:
        """Call back now, where the module is there, or once it is."""
        module = sys.modules.get(self.name)
        if module is not None and type(module).__name__ != "_LazyModule":
            self._arrive()
        else:
            sys.meta_path.insert(0, self)

    def give_up(self) -> None:
        """Wait no longer."""
        self._is_over, self._running = True, None
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def _arrive(self) -> None:
        if not self._is_over:
            self.give_up()
            self.then()

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name == self.name:
            return self._watched(name, path, target) if _is_asked_by_import() else None
        if name.startswith(f"{self.name}.") and not self._loading and self.name in sys.modules:
            self._meet_running()
        return None

    # ── an import that asks us ────────────────────────────────────────────────────────────────
    def _watched(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        spec = self._found_by_others(name, path, target)
        loader: Any = spec.loader if spec is not None else None
        original = getattr(loader, "exec_module", None)
        if original is None:
            return spec
        held = vars(loader).get("exec_module", self) if hasattr(loader, "__dict__") else self

        def exec_module(module: ModuleType) -> None:
            if held is self:
                del loader.exec_module
            else:
                loader.exec_module = held
            self._loading += 1
            try:
                original(module)
            finally:
                self._loading -= 1
            self._arrive()

        try:
            loader.exec_module = exec_module
        except AttributeError:  # a loader with __slots__: its submodules will tell
            return spec
        return spec

    def _found_by_others(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        """What the finders behind this one say: each is asked once, as without us."""
        behind = sys.meta_path[sys.meta_path.index(self) + 1 :] if self in sys.meta_path else []
        for finder in behind:
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(name, path, target) if find is not None else None
            if spec is not None:
                return spec
        return None

    # ── a package that is loaded past us ──────────────────────────────────────────────────────
    def _meet_running(self) -> None:
        code = self._code_that_runs()
        if code is None:
            self._arrive()
        elif self._running is None or self._running() is not code:
            self._running = weakref.ref(code, self._ran)

    def _ran(self, _: weakref.ref[CodeType]) -> None:
        if self.name in sys.modules and self._code_that_runs() is None:
            self._arrive()

    def _code_that_runs(self) -> CodeType | None:
        """The code of the package's `__init__`, while this thread is in it."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if frame.f_code.co_name == "<module>" and frame.f_globals.get("__name__") == self.name:
                return frame.f_code
            frame = frame.f_back
        return None


def _is_asked_by_import() -> bool:
    """Whether an import goes on, and not only a question such as `importlib.util.find_spec`."""
    asker = sys._getframe(2).f_back  # importlib's own loop over the finders lies between
    return asker is not None and asker.f_code.co_name == "_find_and_load_unlocked"
