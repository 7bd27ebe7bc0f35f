"""Edits that let a program run as one process where no process group was set up."""

from __future__ import annotations

import ast

from ..model import Fix
from . import edits
from .reading import Reading
from .signatures import called
from .wording import code

_ONE_PROCESS = {"get_rank": "0", "get_world_size": "1"}


def alone(run: Reading) -> list[Fix]:
    """For a call that needs a process group: what it would give in one process, or the call left out there."""
    source, call = run.sources.file(run.raised.file), run.sources.call_at(run.raised)
    if source is None or call is None:
        return []
    name, span = called(call), source.span(call)
    if name.endswith("DistributedSampler"):
        made = edits.set_keyword(run.sources, span, "num_replicas", "1")
        made = (*made, *edits.set_keyword(run.sources, span, "rank", "0"))
        return [Fix("tell the sampler that there is one process: `num_replicas=1, rank=0`", made, changes="for one process only")]
    module = source.segment(call.func.value) if isinstance(call.func, ast.Attribute) else ""
    if not module:
        return []
    if name in _ONE_PROCESS:
        text = f"({source.segment(call)} if {module}.is_initialized() else {_ONE_PROCESS[name]})"
        return [Fix(f"take {_ONE_PROCESS[name]} where no group is set up", edits.set_value(run.sources, span, text), "safe")]
    statement = source.statement(call)
    if isinstance(statement, ast.Expr) and statement.value is call:
        header = f"if {module}.is_initialized():"
        return [Fix(f"call it only where a group is set up: {code(header)}", edits.wrap_with(run.sources, span, header), "safe")]
    return []


def once(run: Reading) -> list[Fix]:
    """A set-up that is left out where it was done before."""
    source, call = run.sources.file(run.raised.file), run.sources.call_at(run.raised)
    statement = source.statement(call) if source is not None and call is not None else None
    if source is None or call is None or not isinstance(call.func, ast.Attribute) or not isinstance(statement, ast.Expr):
        return []
    header = f"if not {source.segment(call.func.value)}.is_initialized():"
    return [Fix(f"set it up once: {code(header)}", edits.wrap_with(run.sources, source.span(call), header), "safe")]
