"""New code paths: a function of the program that runs for the first time brings the recorder back (Python 3.12 or later).

`sys.monitoring` (PEP 669) calls back at the start of each function once: the answer DISABLE takes the call away again, so what has run before
costs nothing. On older Pythons nothing is as cheap; a failure in new code is then replayed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import CodeType
from typing import Any

from .spans import is_counted, origin

_IDS = (4, 3)
"""Numbers that no debugger, coverage tool or profiler has by convention."""


class Paths:
    """Watches for functions of the program that run for the first time while the recorder stands aside."""

    def __init__(self, enter: Callable[[str], None]) -> None:
        self._enter = enter
        self._id: int | None = None

    def watch(self) -> None:
        """Begins; does nothing where Python has no monitoring, or another tool has taken the numbers."""
        monitoring: Any = getattr(sys, "monitoring", None)
        free = [number for number in _IDS if monitoring is not None and monitoring.get_tool(number) is None]
        if not free:
            return
        self._id = free[0]
        monitoring.use_tool_id(self._id, "torchwhy")
        monitoring.register_callback(self._id, monitoring.events.PY_START, self._started)
        monitoring.set_events(self._id, monitoring.events.PY_START)

    def leave(self) -> None:
        """Ends, and gives the number back."""
        monitoring: Any = getattr(sys, "monitoring", None)
        if self._id is not None and monitoring is not None:
            monitoring.set_events(self._id, 0)
            monitoring.register_callback(self._id, monitoring.events.PY_START, None)
            monitoring.free_tool_id(self._id)
            self._id = None

    def _started(self, code: CodeType, offset: int) -> Any:
        file = code.co_filename
        if file != "<string>" and is_counted(file) and origin(file) == "user" and code.co_name != "<module>":
            self._enter("path")  # generated code, such as a dataclass's methods, is no new path: Python and torch make some all the time
        return sys.monitoring.DISABLE  # type: ignore[attr-defined,unused-ignore]
