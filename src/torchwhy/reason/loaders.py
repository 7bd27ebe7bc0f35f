"""How a loader was asked for: what its call passed, where each of that was decided, and what the text says of the dataset behind it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from ..model import Items, LoaderFacts, Plain, Span, Value
from .origins import origins
from .reading import Cause, Reading
from .source import Expression, SourceFile
from .structure import calls_of, last_name, methods


def passed_to(run: Reading, frame_end: str, function: str) -> dict[str, Value]:
    """The arguments of a torch function that checked them and raised, by parameter name: its frame's variables."""
    for frame in reversed(run.failure.frames):
        name = frame.span.function.rpartition(".")
        if frame.span.file.replace("\\", "/").endswith(frame_end) and function in (frame.span.function, name[2]):
            return {a.name: a.value for a in frame.locals}
    return {}


def built_cause(loader: LoaderFacts | None) -> Cause | None:
    """The call that built a loader."""
    return Cause(loader.built[0]) if loader is not None and loader.built else None


def plain(value: Value | None) -> object:
    """The number, text or truth value itself."""
    return value.value if isinstance(value, Plain) else None


def written_argument(run: Reading, parameter: str, position: int = -1) -> Expression | None:
    """The expression in the failing line's call that gives a parameter."""
    arguments = run.sources.arguments(run.raised)
    named = next((e for e in arguments if e.keyword == parameter), None)
    unnamed = [e for e in arguments if e.keyword is None]
    return named or (unnamed[position] if 0 <= position < len(unnamed) else None)


def argument_cause(run: Reading, parameter: str, position: int = -1, value: object = None) -> Cause | None:
    """Where the failing line's argument was decided: the literal, or the furthest expression that the text shows.

    A caller that passes something else (`training=True` for what becomes `shuffle=training`) decided something else. Where a configuration
    is put together at run time, the one place that gives this name this value.
    """
    found = run.argument_origins(run.calls, parameter, value=value)
    expression = written_argument(run, parameter, position)
    if found is None and expression is not None and expression.keyword != "**":
        found = run.expression_origins(expression.span, run.calls, value)
    chain = found.origins if found is not None else ()
    if (not chain or chain[-1].form == "name") and (only := only_setting(run, parameter, value)) is not None:
        return Cause(only)
    strange = next((n for n, o in enumerate(chain) if n and o.kind == "argument" and not _is_kin(o.name, parameter)), len(chain))
    return _deciding(Cause(chain[strange - 1].span, chain[:strange])) if chain else found


def _is_kin(name: str, option: str) -> bool:
    """Whether a name means the option: `workers` and `num_workers`."""
    return bool({w for w in name.lower().split("_") if len(w) > 3} & set(option.split("_"))) or name == option


def only_setting(run: Reading, name: str, value: object) -> Span | None:
    """The one literal in the program that stands for a name, as a keyword, an entry or an assignment, and has this value."""
    if value is None:
        return None
    found = []
    for source in run.sources.files():
        for node in source.nodes:
            for key, given in _named(node):
                if key == name and isinstance(given, ast.Constant) and given.value == value and type(given.value) is type(value):
                    found.append(source.span(given))
    return found[0] if len(found) == 1 else None


def _named(node: ast.AST) -> Iterator[tuple[str, ast.expr | None]]:
    if isinstance(node, ast.Dict):
        yield from ((k.value, v) for k, v in zip(node.keys, node.values) if isinstance(k, ast.Constant) and isinstance(k.value, str))
    elif isinstance(node, ast.keyword) and node.arg:
        yield node.arg, node.value
    elif isinstance(node, ast.AnnAssign):
        yield last_name(node.target), node.value
    elif isinstance(node, ast.Assign) and len(node.targets) == 1:
        yield last_name(node.targets[0]), node.value


def _deciding(cause: Cause) -> Cause:
    """Where the walk lost itself in a name, the last place before that."""
    chain = cause.origins
    while len(chain) > 1 and chain[-1].form == "name":
        chain = chain[:-1]
    return Cause(chain[-1].span, chain) if chain else cause


def only_call(run: Reading, name: str) -> Span | None:
    found = calls_of(run.sources, name)
    return found[0] if len(found) == 1 else None


def class_named(run: Reading, name: str) -> tuple[SourceFile, ast.ClassDef] | None:
    """The program's one class of a name."""
    found = [(s, n) for s in run.sources.files() for n in s.nodes if isinstance(n, ast.ClassDef) and n.name == name]
    return found[0] if len(found) == 1 else None


def given_by(run: Reading, name: str, method: str) -> Cause | None:
    """What a class's `__len__` counts, or what its `__iter__` runs over: the origins of `self.files` in `return len(self.files)`."""
    found = class_named(run, name)
    function = next((m for m in methods(found[1]) if m.name == method), None) if found is not None else None
    if found is None or function is None:
        return None
    source = found[0]
    given = [n.value for n in ast.walk(function) if isinstance(n, (ast.Return, ast.YieldFrom)) and n.value is not None]
    if len(given) != 1:
        return None
    counted = given[0]
    while isinstance(counted, ast.Call) and last_name(counted) in ("len", "iter") and counted.args:
        counted = counted.args[0]
    chain = origins(run.sources, source.span(counted), run.calls)
    return _deciding(Cause(chain[-1].span, chain)) if chain else Cause(source.span(counted))


def indices_cause(run: Reading, cause: Cause | None) -> Cause | None:
    """Behind the call of a `Subset`, what its indices are."""
    call = run.sources.call_at(cause.span) if cause is not None else None
    arguments = run.sources.arguments(cause.span) if cause is not None and call is not None and last_name(call) == "Subset" else ()
    return _deciding(run.expression_origins(arguments[1].span, run.calls)) if len(arguments) > 1 else cause


def length_statement(run: Reading, dataset: str) -> Span | None:
    """The `return` of a dataset's `__len__`."""
    found = class_named(run, dataset)
    method = next((m for m in methods(found[1]) if m.name == "__len__"), None) if found is not None else None
    returned = next((n for n in ast.walk(method) if isinstance(n, ast.Return)), None) if method is not None else None
    return found[0].span(returned) if found is not None and returned is not None else None


def numbers_of(value: Value | None) -> tuple[int, ...]:
    """The integers of a described list."""
    items: Sequence[Value] = value.items if isinstance(value, Items) else ()
    found = [plain(item) for item in items]
    return tuple(n for n in found if isinstance(n, int) and not isinstance(n, bool))


def values_of(run: Reading, cause: Cause) -> Cause:
    """Where a loop runs over a dict's items or values: what made the dict."""
    node = run.sources.call_at(cause.span)
    if node is None or node.args or not (isinstance(node.func, ast.Attribute) and node.func.attr in ("items", "values")):
        return cause
    made = run.expression_origins(run.sources.span_of(cause.span.file, node.func.value))
    return made if made.text else cause
