"""What the text says of a custom autograd Function: its inputs, what its methods return, what it saves."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from ..model import Plain, Span
from .holdings import method_of
from .reading import Reading
from .source import Function, SourceFile


@dataclass(frozen=True, slots=True)
class CustomFunction:
    """A class of the program that derives from `torch.autograd.Function`."""

    source: SourceFile
    cls: ast.ClassDef

    @property
    def name(self) -> str:
        return self.cls.name

    @property
    def inputs(self) -> tuple[str, ...]:
        """The parameters of `forward` without `ctx`."""
        forward = self.method("forward")
        if forward is None or forward.args.vararg is not None:
            return ()
        names = tuple(a.arg for a in (*forward.args.posonlyargs, *forward.args.args))
        return names if self.method("setup_context") is not None else names[1:]

    @property
    def saves(self) -> tuple[ast.Call, ...]:
        """The calls of `save_for_backward`."""
        calls = [n for n in ast.walk(self.cls) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)]
        return tuple(n for n in calls if isinstance(n.func, ast.Attribute) and n.func.attr == "save_for_backward")

    @property
    def kept(self) -> tuple[str, ...]:
        """The attributes that its methods set on `ctx`."""
        return tuple(n.attr for n in ast.walk(self.cls) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store))

    def method(self, name: str) -> Function | None:
        return method_of(self.cls, name)

    def returned(self, method: str = "backward") -> tuple[ast.expr, ...]:
        """What the method's last `return` gives, one by one."""
        function = self.method(method)
        values = [n.value for n in ast.walk(function) if isinstance(n, ast.Return) and n.value is not None] if function else []
        last = values[-1] if values else None
        return tuple(last.elts) if isinstance(last, ast.Tuple) else (last,) if last is not None else ()

    def whole_return(self) -> Span | None:
        """The place of the expression that `backward` returns."""
        parts = self.returned()
        parent = self.source.parents.get(parts[0]) if parts else None
        return None if not parts else self.source.span(parent if isinstance(parent, ast.Tuple) else parts[0])

    def header(self, method: str = "") -> Span:
        """The first line of the class statement, or of a method's `def`."""
        line = (self.method(method) or self.cls).lineno
        text = self.source.lines[line - 1].rstrip()
        return Span(self.source.file, line, len(text) - len(text.lstrip()), line, len(text), method)


def custom_function(run: Reading, name: str = "") -> CustomFunction | None:
    """The Function that failed: by its name, the class in torch's frames, the class around the failing line; else the only one."""
    known = [CustomFunction(f, n) for f in run.sources.files() for n in f.nodes if isinstance(n, ast.ClassDef) and _derives(n)]
    wanted = name or _in_frames(run)
    inside = run.sources.class_at(run.raised.file, run.raised.line)
    for found in ([c for c in known if c.name == wanted], [c for c in known if c.cls is inside], known if len(known) == 1 else []):
        if found:
            return found[0]
    return None


def _in_frames(run: Reading) -> str:
    for frame in reversed(run.failure.frames):
        for value in (frame.local("fwd_cls"), frame.local("cls"), frame.local("self") if frame.origin == "torch" else None):
            if isinstance(value, Plain) and value.text not in ("type", "None"):
                return value.text.rpartition(".")[2].removesuffix("Backward")
    return ""


def _derives(cls: ast.ClassDef) -> bool:
    names = [b.attr if isinstance(b, ast.Attribute) else b.id if isinstance(b, ast.Name) else "" for b in cls.bases]
    return any(name.endswith("Function") for name in names)
