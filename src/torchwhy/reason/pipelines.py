"""The steps that a sample goes through: which one failed, where it was put into the pipeline, what came before it."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from ..model import Failure, Frame, Span
from .reading import Reading
from .samples import loader_of
from .source import SourceFile
from .structure import calls_of, last_name

_GIVING = ("__getitem__", "__iter__", "__next__", "__getitems__")


def is_in_data(failure: Failure) -> bool:
    """Whether it failed while a sample was made: below a loader's fetch, or below a dataset's own `__getitem__`."""
    return any(
        f.span.file.replace("\\", "/").endswith("torch/utils/data/_utils/fetch.py")
        or f.origin == "user"
        and f.span.function.rpartition(".")[2] in _GIVING
        for f in failure.frames
    )


def went_well(run: Reading) -> bool:
    """Whether the loader had other samples of the dataset before the one that failed."""
    loader, sample = loader_of(run.evidence, run.failure), next(iter(run.evidence.samples), None)
    indices = loader.indices or () if loader is not None else ()
    return bool(loader is not None and loader.batch_number) or sample is not None and sample.index in indices[1:]


def whole(run: Reading, span: Span) -> Span:
    """What an expression takes a part of: `self.data` for `self.data[i]`."""
    source, node = run.sources.file(span.file), run.sources.node_at(span)
    while isinstance(node, ast.Subscript):
        node = node.value
    return source.span(node) if source is not None and node is not None else span


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a pipeline: the class (or function) that failed, the call that put it there, and the steps of that list in order."""

    name: str
    frame: Frame
    call: Span | None
    steps: tuple[Span, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def position(self) -> int | None:
        return self.steps.index(self.call) if self.call in self.steps else None


def failing_step(run: Reading) -> Step | None:
    """The innermost `__call__` (or `forward`) of an object among the frames, as a step."""
    for frame in reversed(run.failure.user_frames):
        owner, _, function = frame.span.function.rpartition(".")
        if function in ("__call__", "forward") and owner:
            name = owner.rpartition(".")[2]
            return step_named(run, name, frame)
    return None


def step_named(run: Reading, name: str, frame: Frame) -> Step:
    """The last call of the class that stands in a list with others; else its only call."""
    calls = calls_of(run.sources, name)
    for call in reversed(calls):
        source, node = run.sources.file(call.file), run.sources.node_at(call)
        around = source.parents.get(node) if source is not None and node is not None else None
        if source is not None and isinstance(around, (ast.List, ast.Tuple)):
            return Step(name, frame, call, *_steps(source, list(around.elts)))
        if source is not None and isinstance(around, ast.Call) and len(around.args) > 1:
            return Step(name, frame, call, *_steps(source, list(around.args)))
    return Step(name, frame, calls[0] if len(calls) == 1 else None)


def _steps(source: SourceFile, nodes: list[ast.expr]) -> tuple[tuple[Span, ...], tuple[str, ...]]:
    return tuple(source.span(n) for n in nodes), tuple(last_name(n) or source.segment(n)[:24] for n in nodes)


FLIPS = ("flip", "fliplr", "flipud", "rot90")


def flips(run: Reading) -> tuple[Span, ...]:
    """Every place that turns a NumPy array around, which gives a view with a negative stride."""
    found = []
    for source in run.sources.files():
        for node in source.nodes:
            backwards = isinstance(node, ast.Subscript) and any(isinstance(n, ast.Slice) and _is_backwards(n) for n in ast.walk(node.slice))
            named = isinstance(node, ast.Call) and last_name(node) in FLIPS and "torch" not in source.segment(node.func)
            if (backwards or named) and not _is_copied(source, node):
                found.append(source.span(node))
    return tuple(found)


def _is_backwards(node: ast.Slice) -> bool:
    return isinstance(node.step, ast.UnaryOp) and isinstance(node.step.op, ast.USub)


def _is_copied(source: SourceFile, node: ast.AST) -> bool:
    """Whether `.copy()` or `ascontiguousarray(…)` follows at once."""
    parent = source.parents.get(node)
    if isinstance(parent, ast.Attribute):
        return parent.attr in ("copy", "tolist")
    return isinstance(parent, ast.Call) and last_name(parent) in ("ascontiguousarray", "array", "list", "sorted", "join")
