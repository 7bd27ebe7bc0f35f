"""The traceback as plain frames."""

from __future__ import annotations

import linecache
import re
from types import FrameType, ModuleType, TracebackType
from typing import TYPE_CHECKING, Any

from torch import nn

from ..model import Argument, Frame
from ..record.kinds import held_by, is_a, name_of, variables_of
from ..record.spans import origin, span_of

if TYPE_CHECKING:
    from ..record.recorder import Recorder

_LOCALS = {"user": 60, "library": 24, "torch": 24}
_ATTRIBUTE = re.compile(r"\b([A-Za-z_]\w*)\.([A-Za-z_]\w*)\b(?!\s*\()")
_HIDDEN = ("__builtins__", "__annotations__", "__spec__", "__loader__", "__doc__", "__name__", "__file__", "__cached__", "__package__")


def walk(traceback: TracebackType | None) -> list[TracebackType]:
    """The traceback's levels, outermost first, without torchwhy's own."""
    found = []
    while traceback is not None:
        if origin(traceback.tb_frame.f_code.co_filename) != "own":
            found.append(traceback)
        traceback = traceback.tb_next
    return found


def frames_of(levels: list[TracebackType], recorder: "Recorder") -> tuple[Frame, ...]:
    """Each level with its place, its source line and its local variables, described."""
    return tuple(_frame(level, recorder) for level in levels)


def _frame(level: TracebackType, recorder: "Recorder") -> Frame:
    frame = level.tb_frame
    code = frame.f_code
    kind = origin(code.co_filename)
    span = span_of(code, level.tb_lasti)
    me = variables_of(frame).get("self")
    line = linecache.getline(code.co_filename, span.line).strip()
    held = _attributes_on(line, frame, recorder) if kind == "user" else ()
    return Frame(
        span=span,
        origin=kind if kind != "own" else "library",
        code=line,
        locals=(*_locals(frame, recorder, _LOCALS.get(kind, 24)), *held),
        module=recorder.module_id(me) if is_a(me, nn.Module) else None,
    )


def _locals(frame: FrameType, recorder: "Recorder", limit: int) -> tuple[Argument, ...]:
    chosen: list[tuple[str, Any]] = [(k, v) for k, v in variables_of(frame).items() if k not in _HIDDEN and not k.startswith("@")]
    if frame.f_locals is frame.f_globals:  # a script's top level: the last assigned are the nearest to the failure
        chosen = [(k, v) for k, v in chosen if not _is_definition(v)]
    return tuple(Argument(name, recorder.describe(value)) for name, value in chosen[-limit:])


def _attributes_on(line: str, frame: FrameType, recorder: "Recorder") -> tuple[Argument, ...]:
    """`self.labels` and the like, where the line names them and the object simply holds them."""
    found: dict[str, Argument] = {}
    for base, name in _ATTRIBUTE.findall(line)[:16]:
        owner = variables_of(frame).get(base)
        held = {} if is_a(owner, (ModuleType, type)) else held_by(owner)
        if name in held:
            found[f"{base}.{name}"] = Argument(f"{base}.{name}", recorder.describe(held[name]))
    return tuple(found.values())


def _is_definition(value: object) -> bool:
    return is_a(value, type) or name_of(type(value)) in ("module", "function", "builtin_function_or_method")
