"""Attributes that are replaced for a while, and put back exactly."""

from __future__ import annotations

from types import CodeType, FunctionType
from typing import Any

_MISSING = object()


class Patches:
    """A set of replaced attributes. `undo` and `apply` may alternate; an attribute that someone else replaced meanwhile is left alone."""

    def __init__(self) -> None:
        self._replaced: list[tuple[Any, str, Any, Any]] = []
        self.applied = True

    def rewrite(self, function: FunctionType, code: CodeType) -> None:
        """Replaces a function's code now, or at the next `apply`."""
        self.set(function, "__code__", code)

    def set(self, owner: Any, name: str, value: Any) -> None:
        """Replaces `owner.name` now, or at the next `apply`."""
        before = _current(owner, name)
        self._replaced.append((owner, name, before, value))
        if self.applied:
            setattr(owner, name, value)

    def apply(self) -> None:
        """Puts the replacements in."""
        if not self.applied:
            self.applied = True
            for owner, name, before, value in self._replaced:
                if _current(owner, name) is before:
                    setattr(owner, name, value)

    def undo(self) -> None:
        """Puts back what was there."""
        if self.applied:
            self.applied = False
            for owner, name, before, value in reversed(self._replaced):
                if _current(owner, name) is not value:
                    continue
                if before is _MISSING:
                    delattr(owner, name)
                else:
                    setattr(owner, name, before)

    def clear(self) -> None:
        """Undoes and forgets them all."""
        self.undo()
        self._replaced.clear()
        self.applied = True


def _current(owner: Any, name: str) -> Any:
    return owner.__code__ if name == "__code__" else vars(owner).get(name, _MISSING)
