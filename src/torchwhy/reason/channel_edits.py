"""Edits to values that are given one for each channel."""

from __future__ import annotations

import ast

from ..model import Edit, Span
from .edits import Edits
from .source import Sources


def per_channel(sources: Sources, call: Span, count: int, channels: int) -> Edits:
    """The call's lists of `count` values cut to the first ones, or its single value repeated, so that there is one for each channel."""
    source, node = sources.file(call.file), sources.call_at(call)
    if source is None or node is None or count < channels and count != 1:
        return ()
    made: list[Edit] = []
    for given in [*node.args, *(k.value for k in node.keywords if k.arg in ("mean", "std") or isinstance(k.value, (ast.Tuple, ast.List)))]:
        text = source.segment(given)
        if isinstance(given, ast.Starred):
            values = f"values[:{channels}]" if count > channels else f"list(values) * {channels}"
            made.append(Edit(source.span(given), f"*[{values} for values in {source.segment(given.value)}]"))
        elif isinstance(given, (ast.Tuple, ast.List)) and len(given.elts) == count:
            parts = [source.segment(e) for e in given.elts[:channels]] if count > channels else [source.segment(given.elts[0])] * channels
            made.append(Edit(source.span(given), f"[{', '.join(parts)}]"))
        elif isinstance(given, (ast.Name, ast.Attribute)):
            made.append(Edit(source.span(given), f"{text}[:{channels}]" if count > channels else f"list({text}) * {channels}"))
    return tuple(made)
