"""Edits to a custom autograd Function: its methods made static, its gradients brought to their inputs' shapes."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from ..model import Edit, Span
from .edits import Edits, add_decorator, append_method, replace_text
from .functions import CustomFunction
from .reading import Reading
from .shape_edits import without_method
from .source import Function, SourceFile, first_line


def made_static(run: Reading, function: CustomFunction) -> Edits:
    """A Function of the old kind (an object with `self`) with static methods and `ctx`, and its calls with `.apply`.

    What the constructor was given becomes inputs of `forward`; nothing where it does more than keep them.
    """
    source, init = function.source, function.method("__init__")
    methods = [m for m in (function.method("forward"), function.method("backward")) if m is not None and not m.decorator_list]
    given = _kept_as_given(init) if init is not None else []
    forward = function.method("forward")
    if given is None or forward is None or any(not m.args.args for m in methods):
        return ()
    called = [edit for edit in _calls(run, function) if edit is not None]
    edits = [*called]
    for method in methods:
        edits += add_decorator(run.sources, source.file, method.lineno, "@staticmethod")
        own = method.args.args[0]
        edits.append(Edit(source.span(own), "ctx"))
        uses = [n for n in ast.walk(method) if isinstance(n, ast.Name) and n.id == own.arg]
        edits += [Edit(source.span(n), "ctx") for n in uses]
    if given and init is not None:
        last = forward.args.args[-1]
        edits.append(_after(source, last, "".join(f", {name}" for _, name in given)))
        edits += _first(source, forward, [f"ctx.{attribute} = {name}" for attribute, name in given])
        edits.append(_without(source, init))
        whole = function.whole_return()
        if whole is not None:
            edits.append(Edit(Span(whole.file, whole.end_line, whole.end_column, whole.end_line, whole.end_column), ", None" * len(given)))
    return tuple(edits) if called else ()


def _kept_as_given(init: Function) -> list[tuple[str, str]] | None:
    """(attribute, parameter) for each `self.a = b` of the constructor; None where it does anything else."""
    found: list[tuple[str, str]] = []
    names = {a.arg for a in init.args.args[1:]}
    for statement in init.body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, (ast.Call, ast.Constant)):
            continue  # `super().__init__()`, a docstring
        pairs: list[tuple[ast.expr, ast.expr]] = []
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target, value = statement.targets[0], statement.value
            both = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts)
            pairs = list(zip(target.elts, value.elts)) if both else [(target, value)]  # type: ignore[attr-defined]
        for target, value in pairs:
            if not isinstance(target, ast.Attribute) or not isinstance(value, ast.Name) or value.id not in names:
                return None
            found.append((target.attr, value.id))
        if not pairs:
            return None
    order = [a.arg for a in init.args.args]
    is_plain = not (init.args.kwonlyargs or init.args.vararg or init.args.kwarg or init.args.defaults)
    return sorted(found, key=lambda pair: order.index(pair[1])) if is_plain and len(found) == len(order) - 1 else None


def _calls(run: Reading, function: CustomFunction) -> list[Edit | None]:
    """`Name(a)(x)` as `Name.apply(x, a)`, everywhere in the program."""
    made: list[Edit | None] = []
    for source in run.sources.files():
        for node in source.nodes:
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Call) or node.keywords or node.func.keywords:
                continue
            inner = node.func
            name = inner.func.attr if isinstance(inner.func, ast.Attribute) else getattr(inner.func, "id", "")
            if name == function.name:
                passed = ", ".join(source.segment(a) for a in (*node.args, *inner.args))
                made.append(Edit(source.span(node), f"{source.segment(inner.func)}.apply({passed})"))
    return made


def _after(source: SourceFile, node: ast.AST, text: str) -> Edit:
    span = source.span(node)
    return Edit(Span(span.file, span.end_line, span.end_column, span.end_line, span.end_column), text)


def _first(source: SourceFile, method: Function, rows: Sequence[str]) -> Edits:
    """Lines at the top of a method's body."""
    body = [n for n in method.body if not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))] or method.body
    line, column = first_line(body[0]), source.position(body[0])[1]
    indent = source.lines[line - 1][:column]
    if indent.strip():
        return ()
    return (Edit(Span(source.file, line, 0, line, 0), "".join(f"{indent}{row}\n" for row in rows)),)


def _without(source: SourceFile, method: Function) -> Edit:
    """The method gone, with the empty lines behind it."""
    first, last = first_line(method), method.end_lineno or method.lineno
    while last < len(source.lines) and not source.lines[last].strip():
        last += 1
    return Edit(Span(source.file, first, 0, last + 1, 0), "")


def set_in_forward(function: CustomFunction, name: str) -> Edits:
    """`ctx.name = name` at the top of `forward`, where that is one of its inputs."""
    forward = function.method("forward")
    context = forward.args.args[0].arg if forward is not None and forward.args.args else ""
    return _first(function.source, forward, [f"{context}.{name} = {name}"]) if forward is not None and name in function.inputs else ()


def takes_all(function: CustomFunction) -> Edits:
    """`backward` takes the gradients of further outputs too."""
    backward = function.method("backward")
    arguments = backward.args if backward is not None else None
    if arguments is None or not arguments.args or arguments.vararg or arguments.kwonlyargs:
        return ()
    return (_after(function.source, arguments.args[-1], ", *others"),)


def shaped(run: Reading, function: CustomFunction, index: int, cause: Span | None, got: Sequence[int], want: Sequence[int]) -> Edits:
    """The gradient at `index` in its input's shape: not summed, transposed, or spread out again."""
    parts, inputs = function.returned(), function.inputs
    if index >= len(parts) or index >= len(inputs):
        return ()
    part = function.source.span(parts[index])
    for method in ("sum", "mean"):
        where = _ending_in(run, cause or part, method)
        if len(got) < len(want) and where is not None:
            return without_method(run.sources, where, method)
    if len(got) == 2 and list(got) == list(reversed(want)):
        return append_method(run.sources, part, ".t()")
    attribute = f"{inputs[index]}_shape"
    backward, forward = function.method("backward"), function.method("forward")
    if backward is None or forward is None or not forward.args.args or not backward.args.args:
        return ()
    context, read = forward.args.args[0].arg, f"{backward.args.args[0].arg}.{attribute}"
    missing = _missing(got, want)
    if missing is None:
        return ()
    kept = _first(function.source, forward, [f"{context}.{attribute} = {inputs[index]}.shape"])
    return (*kept, *append_method(run.sources, part, "".join(f".unsqueeze({d})" for d in missing) + f".expand({read})"))


def _ending_in(run: Reading, span: Span, method: str) -> Span | None:
    """The place of the call `….sum(…)` that the expression, or the assignment, at a span is."""
    node: ast.AST | None = run.sources.node_at(span)
    value = node.value if isinstance(node, (ast.Assign, ast.Expr, ast.Return)) else node
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr == method:
        return run.sources.span_of(span.file, value)
    return None


def _missing(got: Sequence[int], want: Sequence[int]) -> list[int] | None:
    """The dimensions that `got` lacks of `want`, when nothing else differs."""
    found: list[int] = []
    rest = list(got)
    for dim, size in enumerate(want):
        if rest and rest[0] == size:
            rest.pop(0)
        else:
            found.append(dim)
    return found if found and not rest else None


def trimmed(function: CustomFunction, most: int) -> Edits:
    """`backward` returns the first so many of its gradients."""
    parts, span = function.returned(), function.whole_return()
    text = ", ".join(function.source.segment(p) for p in parts[:most])
    return replace_text(span, text) if span is not None and len(parts) > most > 0 else ()
