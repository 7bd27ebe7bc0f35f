"""Edits that mend a cut in the graph: a `detach` taken out, a `no_grad` block opened, a switch made local, numbers kept as tensors."""

from __future__ import annotations

import ast
import re

from ..model import Edit, Fix, Items, Span, TensorFacts
from . import edits
from .cuts import Cut
from .reading import Reading
from .scopes import assignments, producer_of
from .wording import code, place


def mended(run: Reading, found: Cut) -> tuple[Fix, ...]:
    """How the link would stay."""
    name = code(found.name) if found.name else "it"
    if found.how == "op" and found.op is not None:
        made = _without(run, found)
        return (Fix(f"leave {name} in the graph: no {code(found.op.name)}", made, changes="gradients flow through it again"),)
    if found.how == "mode" and found.around is not None:
        return (
            Fix(
                f"run it with gradients: no {code(found.around.text)} around it",
                opened(run, found.around.span),
                changes="what is inside builds a graph again",
            ),
        )
    if found.how == "switch" and found.span is not None:
        return (_local_switch(run, found.span, found),)
    if found.how == "python" and found.op is not None:
        return (
            Fix(
                f"keep {name} as a tensor, without {code('.' + found.op.name + '()')}",
                _as_tensors(run, found),
                changes="the graph reaches the loss",
            ),
        )
    if found.how == "checkpoint" and found.span is not None:
        made = edits.set_keyword(run.sources, found.span, "use_reentrant", "False")
        return (Fix("checkpoint without reentering: `use_reentrant=False`", made, "safe"),)
    return ()


def _without(run: Reading, found: Cut) -> edits.Edits:
    """`x` for `x.detach()`, `x.data` and `torch.tensor(x)`; `torch.stack` for `torch.tensor` of a list."""
    span, op = found.span, found.op
    node = run.sources.node_at(span) if span is not None else None
    if (
        span is None
        or op is None
        or op.name not in ("detach", "data", "tensor", "as_tensor")
        or any(o.name in ("numpy", "__array__") for o in found.trail[:1])
    ):
        return ()
    if isinstance(node, ast.Attribute):
        return edits.replace_text(span, _text(run, span, node.value))
    if not isinstance(node, ast.Call):
        return ()
    if op.name in ("tensor", "as_tensor"):
        several = isinstance(op.argument("data"), Items)
        func = run.sources.span_of(span.file, node.func)
        if several:
            return edits.replace_text(func, "torch.stack")
        return edits.replace_text(span, _text(run, span, node.args[0])) if node.args else ()
    return edits.replace_text(span, _text(run, span, node.func.value)) if isinstance(node.func, ast.Attribute) else ()


def _text(run: Reading, span: Span, node: ast.AST) -> str:
    return run.sources.segment(run.sources.span_of(span.file, node))


def opened(run: Reading, header: Span) -> edits.Edits:
    """The block of a `with` without its header, one step further out; a decorator's line gone."""
    source = run.sources.file(header.file)
    node = run.sources.node_at(header)
    statement = source.statement(node) if source is not None and node is not None else None
    if source is None or statement is None:
        return ()
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        line = source.lines[header.line - 1]
        return (Edit(Span(header.file, header.line, 0, header.line, len(line)), ""),) if line.strip().startswith("@") else ()
    if not isinstance(statement, ast.With) or len(statement.items) != 1 or statement.body[0].lineno == statement.lineno:
        return ()
    outer, inner = source.position(statement)[1], source.position(statement.body[0])[1]
    first, last = statement.body[0].lineno, statement.end_lineno or statement.lineno
    found = [Edit(Span(header.file, statement.lineno, 0, first - 1, len(source.lines[first - 2])), "")]
    for number in range(first, last + 1):
        if source.lines[number - 1][:inner].strip() == "" and source.lines[number - 1].strip():
            found.append(Edit(Span(header.file, number, outer, number, inner), ""))
    return tuple(found)


def _local_switch(run: Reading, span: Span, found: Cut) -> Fix:
    """The switch made a matter of its function, or turned on again before the training that follows."""
    function = run.sources.function_at(span.file, span.line)
    text = _text(run, span, function) if function is not None else ""
    if function is not None and ".backward(" not in text:
        made = (*edits.add_decorator(run.sources, span.file, span.line, "@torch.no_grad()"), *edits.delete_statement(run.sources, span))
        return Fix(f"turn gradients off only inside {code(function.name)}: `@torch.no_grad()`", made, "safe")
    near = next((s for s in found.op.where if s.file == span.file and s.function == span.function), None) if found.op is not None else None
    made = edits.insert_before(run.sources, near.file, near.line, "torch.set_grad_enabled(True)") if near is not None else ()
    return Fix(f"turn gradients on again after {place(span)}: `torch.set_grad_enabled(True)`", made)


def _as_tensors(run: Reading, found: Cut) -> edits.Edits:
    """`x` for `x.item()`, and what made a tensor of the numbers again put right: `torch.stack` of a list, the value itself of one."""
    span, made_by = found.span, found.trail[0] if found.trail else None
    node = run.sources.node_at(span) if span is not None else None
    if (
        span is None
        or made_by is None
        or made_by.span is None
        or made_by.name != "tensor"
        or found.op is None
        or found.op.name not in ("item", "tolist")
    ):
        return ()
    call = run.sources.call_at(made_by.span)
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or call is None or not call.args:
        return ()
    kept = edits.replace_text(span, _text(run, span, node.func.value))
    if isinstance(made_by.argument("data"), Items):
        return (*kept, *edits.replace_text(run.sources.span_of(made_by.span.file, call.func), "torch.stack"))
    whole = run.sources.span_of(made_by.span.file, call)
    return (*kept, *edits.replace_text(whole, _text(run, made_by.span, call.args[0])))


def edits_for_input(run: Reading, tensor: TensorFacts) -> edits.Edits:
    """`x.requires_grad_(True)` behind the statement that gave the program's outermost variable for this tensor its value."""
    for frame in run.failure.user_frames:
        for variable in frame.locals:
            if not isinstance(variable.value, TensorFacts) or variable.value.id != tensor.id:
                continue
            line = f"{variable.name}.requires_grad_(True)"
            at = producer_of(run.sources, variable.name, frame.span.file, frame.span.line)
            statement = run.sources.statement_at(at.file, at.line) if at is not None else None
            if at is None or statement is None:
                return ()
            if isinstance(statement, (ast.For, ast.With)):
                return edits.insert_before(run.sources, at.file, statement.body[0].lineno, line)
            return edits.insert_after(run.sources, at.file, at.line, line)
    return ()


def thawed(run: Reading, found: Cut, name: str) -> edits.Edits:
    """`model.head.requires_grad_(True)` after the statement that froze the model, where the variable `model` is known.

    Where layers were put around older ones (adapters), what they added is meant, not the head.
    """
    owner, _, _ = name.rpartition(".")
    root = owner.split(".")[0]
    rows = _added_around(run, root) or [f"{_indexed(owner)}.requires_grad_(True)"]
    where = found.op.where if found.op is not None else ()
    at = next((span for span in reversed(where) if _has(run, span, root)), None)
    if at is None or not owner:
        return ()
    loops = [s for s in _around(run, at) if isinstance(s, (ast.For, ast.While, ast.With))]
    line = loops[-1].lineno if loops else at.line
    return edits.insert_after(run.sources, at.file, line, "\n".join(rows))


def _added_around(run: Reading, root: str) -> list[str]:
    """A loop over the layers of the program's own class that hold an older layer: it thaws what they have besides."""
    around = [
        m
        for m in run.evidence.modules
        if m.defined is not None and m.fqn.startswith(f"{root}.") and any(child < m.id for _, child in m.children)
    ]
    if len({m.kind for m in around}) != 1:
        return []
    one = around[0]
    names = [p.name for p in one.parameters if "." not in p.name] + [name for name, child in one.children if child > one.id]
    if not names:
        return []
    test = f'    if type(module).__name__ == "{one.kind}":'
    return [f"for module in {root}.modules():", test, *(f"        module.{name}.requires_grad_(True)" for name in names)]


def _has(run: Reading, span: Span, name: str) -> bool:
    """Whether the function around the span binds the name, or the file at its top level does."""
    return bool(assignments(run.sources, name, span.file, span.line if span.function not in ("", "<module>") else None))


def _around(run: Reading, span: Span) -> list[ast.stmt]:
    """The statements around the one at a span, innermost first, in its function."""
    source, statement = run.sources.file(span.file), run.sources.statement_at(span.file, span.line)
    found: list[ast.stmt] = []
    for node in source.ancestors(statement) if source is not None and statement is not None else ():
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            break
        if isinstance(node, ast.stmt):
            found.append(node)
    return found


def _indexed(path: str) -> str:
    """`model[0].fc` for `model.0.fc`."""
    return re.sub(r"\.(\d+)", r"[\1]", path)
