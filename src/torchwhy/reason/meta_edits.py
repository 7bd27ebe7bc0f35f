"""Edits that keep a tensor off the meta device: a default made local, a cache taken off, a buffer that is saved with the weights."""

from __future__ import annotations

import ast

from ..model import Edit, Fix, Span, TensorFacts
from . import edits
from .order import following
from .reading import Cause, Reading
from .signatures import called
from .wording import code

_CACHES = ("lru_cache", "cache")


def on_a_real_device(run: Reading, cause: Cause, tensor: TensorFacts | None) -> list[Fix]:
    """What can be mended in the text, best first."""
    fixes = [_made_local(run, cause.span), *([_uncached(run, tensor), _saved(run, tensor)] if tensor is not None else [])]
    return [fix for fix in fixes if fix is not None]


def _made_local(run: Reading, call: Span) -> Fix | None:
    """`with torch.device("meta"):` around the next statement, in the place of `torch.set_default_device("meta")`."""
    node, source = run.sources.call_at(call), run.sources.file(call.file)
    statement = run.sources.statement_at(call.file, call.line)
    if node is None or source is None or called(node) != "set_default_device" or not isinstance(statement, ast.Expr) or not node.args:
        return None
    after = following(run.sources, call)
    if not after:
        return None
    header = f"with torch.device({source.segment(node.args[0])}):"
    made = (*edits.delete_statement(run.sources, call), *edits.wrap_with(run.sources, source.span(after[0]), header))
    return Fix(f"use the meta device for this statement only: {code(header[:-1])}", made, "safe")


def _uncached(run: Reading, tensor: TensorFacts) -> Fix | None:
    """The function that made the tensor without its cache, which keeps what was made on the meta device."""
    op = run.decided(tensor, "device").op
    function = run.sources.function_at(op.span.file, op.span.line) if op is not None and op.span is not None else None
    for decorator in function.decorator_list if function is not None else ():
        name = decorator.func if isinstance(decorator, ast.Call) else decorator
        if op is not None and op.span is not None and (getattr(name, "attr", "") or getattr(name, "id", "")) in _CACHES:
            source = run.sources.file(op.span.file)
            line = source.lines[decorator.lineno - 1] if source is not None else ""
            made = (Edit(Span(op.span.file, decorator.lineno, 0, decorator.lineno, len(line)), ""),)
            return Fix(f"make it anew each time: {code(function.name if function else '')} without a cache", made, "safe")
    return None


def _saved(run: Reading, tensor: TensorFacts) -> Fix | None:
    """A buffer that is no part of the saved state, and so gets nothing when that is loaded."""
    owned = run.history.owner_of.get(tensor.id)
    if owned is None:
        base = run.history.producer(tensor, run.before)
        owned = next((run.history.owner_of[t.id] for t in base.inputs if t.id in run.history.owner_of), None) if base is not None else None
    module, name = owned if owned is not None else (None, "")
    where = module.defined if module is not None else None
    cls, source = (run.sources.class_at(where.file, where.line), run.sources.file(where.file)) if where is not None else (None, None)
    for node in ast.walk(cls) if cls is not None and source is not None else ():
        if isinstance(node, ast.Call) and called(node) == "register_buffer" and node.args and source is not None:
            first = node.args[0]
            made = edits.remove_keyword(run.sources, source.span(node), "persistent")
            if isinstance(first, ast.Constant) and first.value == name and made:
                changes = "the buffer is part of the saved state: older checkpoints lack it"
                return Fix(f"save {code(name)} with the weights: without `persistent=False`", made, changes=changes)
    return None
