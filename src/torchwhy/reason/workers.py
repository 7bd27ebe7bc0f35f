"""What goes on around a loader's worker processes: how they are started, what must be sent to them, what ends them."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..model import Argument, Evidence, Frame, Items, LoaderFacts, Plain, Span, TensorFacts
from .scopes import bindings, dotted
from .source import FUNCTIONS, SourceFile, Sources
from .structure import last_name
from .wording import code, listed, value_text

ENDING = ("_exit", "abort", "kill", "exit", "quit", "raise_signal")
BLOCKING = ("sleep", "acquire", "wait", "join", "recv", "input", "get", "put")
_IMPLICIT = ("forkserver", "spawn")


@dataclass(frozen=True, slots=True)
class Unpicklable:
    """The object that can't be sent to a worker. `path`: from the program's variable to it; `place`: where it was defined or stored."""

    path: str
    role: str
    what: str
    name: str
    place: Span | None
    attribute: str = ""
    holder: str = ""


def unpicklable(evidence: Evidence, sources: Sources) -> Unpicklable | None:
    """As the walk over the live dataset found it."""
    answer = next((probe.answer for probe in evidence.probes if probe.name == "unpicklable"), None)
    if answer is None:
        return None
    told = json.loads(answer)
    place = _definition(sources, told["file"], told["line"], told["what"]) if "file" in told else None
    if place is None and "holder_file" in told:
        place = _stored(sources, told["holder_file"], told["holder_line"], told["attribute"])
    return Unpicklable(told["path"], told["role"], told["what"], told["name"], place, told.get("attribute", ""), told.get("holder", ""))


def _definition(sources: Sources, file: str, line: int, what: str) -> Span:
    source = sources.file(file)
    kinds: tuple[type[ast.AST], ...] = {"lambda": (ast.Lambda,), "class": (ast.ClassDef,)}.get(what, FUNCTIONS)
    for node in source.nodes if source is not None else ():
        if isinstance(node, kinds) and getattr(node, "lineno", 0) == line and source is not None:
            span = source.span(node)
            return span if what == "lambda" else Span(file, line, span.column, line, len(source.lines[line - 1].rstrip()), span.function)
    return Span(file, line)


def _stored(sources: Sources, file: str, line: int, attribute: str) -> Span | None:
    """The one assignment of an attribute in a class."""
    source, cls = sources.file(file), sources.class_at(file, line)
    if source is None or cls is None:
        return None
    inside = {node for node in ast.walk(cls) if isinstance(node, FUNCTIONS)}
    found = [b for scope, all_ in bindings(source).items() if scope in inside for b in all_ if b.name == f"self.{attribute}"]
    return source.span(found[0].statement) if len(found) == 1 else None


def start_method_set(sources: Sources, loader: LoaderFacts | None) -> Span | None:
    """Where the program asks for another way to start workers: `multiprocessing_context=…` of the loader, or `set_start_method(…)`."""
    if loader is not None and loader.built:
        for argument in sources.arguments(loader.built[0]):
            if argument.keyword == "multiprocessing_context":
                return argument.span
    for source in sources.files():
        for node in source.nodes:
            if isinstance(node, ast.Call) and last_name(node) == "set_start_method":
                return source.span(node)
    return None


def is_unguarded(sources: Sources, frame: Frame) -> bool:
    """Whether the program's outermost line runs also when the file is imported, as a spawned worker imports it."""
    source = sources.file(frame.span.file)
    node: ast.AST | None = sources.statement_at(frame.span.file, frame.span.line)
    if source is None or node is None or frame.span.function:
        return False
    return not any(isinstance(n, ast.If) and "__name__" in source.segment(n.test) for n in (node, *source.ancestors(node)))


def calls_in_dataset(sources: Sources, loader: LoaderFacts | None, names: Sequence[str]) -> tuple[Span, ...]:
    """Calls by one of these names in the dataset's class: what it does in the worker."""
    if loader is None or loader.dataset_defined is None:
        return ()
    source, cls = sources.file(loader.dataset_defined.file), sources.class_at(loader.dataset_defined.file, loader.dataset_defined.line)
    if source is None or cls is None:
        return ()
    return tuple(source.span(call) for call in _calls(source, cls) if last_name(call) in names)


def _calls(source: SourceFile, cls: ast.ClassDef) -> Iterator[ast.Call]:
    for node in ast.walk(cls):
        function = source.function(node) if isinstance(node, ast.Call) else None
        if isinstance(node, ast.Call) and function is not None and function.name not in ("__init__", "__len__"):
            yield node


def values_on_line(frame: Frame) -> str:
    """`i` is 8, `self.labels` a list of 8: what stood in the names of a frame's line; empty where nothing simple did."""
    told = []
    for argument in frame.locals:
        if _is_named(argument, frame.code) and (text := _short(argument)):
            told.append(text)
    return listed(told[:4])


def _is_named(argument: Argument, line: str) -> bool:
    try:
        nodes = list(ast.walk(ast.parse(line.rstrip(":") if line.startswith(("return", "raise")) is False else line)))
    except SyntaxError:
        return argument.name in line.replace("(", " ").replace(")", " ").replace("[", " ").replace("]", " ").split()
    return any(isinstance(n, (ast.Name, ast.Attribute)) and isinstance(n.ctx, ast.Load) and dotted(n) == argument.name for n in nodes)


def _short(argument: Argument) -> str:
    value = argument.value
    if isinstance(value, Items):
        return f"{code(argument.name)} has {value.length} items"
    if isinstance(value, TensorFacts) or isinstance(value, Plain) and value.value is not None:
        return f"{code(argument.name)} is {value_text(value)}"
    return ""
