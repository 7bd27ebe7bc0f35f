"""A stand-in for `torch._dynamo` in a trial: the first optimizer of a process imports the real one, in a second or more, to switch it off.

Whatever else is asked of it brings the real module.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

import torch

_NAME = "torch._dynamo"


class _Standin(ModuleType):
    def graph_break(self, msg: str = "") -> None:
        """Nothing is compiled, so nothing breaks."""

    def disable(self, fn: Callable[..., Any], recursive: bool = True, **options: Any) -> Callable[..., Any]:
        return fn

    def __getattr__(self, name: str) -> Any:
        if name in ("__file__", "__loader__"):
            raise AttributeError(name)
        if sys.modules.get(_NAME) is self:
            del sys.modules[_NAME]
            vars(torch).pop("_dynamo", None)
        return getattr(import_module(_NAME), name)


def stand_in() -> None:
    """Take its place, unless it is loaded."""
    if _NAME not in sys.modules:
        standin = _Standin(_NAME)
        standin.__spec__ = None
        sys.modules[_NAME] = standin
        vars(torch)["_dynamo"] = standin
