"""Edits that count what was joined: `cin + w` for a layer that gets the skip's channels too, twice a size for two directions."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..model import Fix, ModuleFacts, Span
from . import edits
from .origins import Origin
from .reading import Reading, named
from .source import SourceFile
from .wording import code


def summed(run: Reading, layer: ModuleFacts, setting: str, gets: int) -> Iterator[Fix]:
    """The expression handed on to the constructor, outermost first, with another argument of the same call that has the difference."""
    wants = layer.number(setting) or 0
    more = gets - wants
    chain = run.setting(layer, setting).walk
    others = [(n, run.setting(layer, n).walk) for n in layer.passed if n != setting and layer.number(n) == more]
    seen: set[Span] = set()
    for origin in reversed([o for o in chain if o.kind in ("argument", "expression")]):
        source, node = run.sources.file(origin.span.file), run.sources.node_at(origin.span)
        if source is None or not isinstance(node, (ast.Name, ast.Attribute)) or origin.span in seen:
            continue
        seen.add(origin.span)
        for text in [*_beside(source, node, others), *([f"{origin.text}"] if more == wants else [])]:
            new = f"2 * {origin.text}" if text == origin.text else f"{origin.text} + {text}"
            changes = f"{named(run, layer)} gets weights of another size"
            yield Fix(f"build it for what is joined: {code(new)}", edits.set_value(run.sources, origin.span, new), changes=changes)


def _beside(source: SourceFile, node: ast.expr, others: list[tuple[str, tuple[Origin, ...]]]) -> list[str]:
    """The arguments of the same call through which the settings with that value came."""
    call = source.parents.get(node)
    call = source.parents.get(call) if isinstance(call, ast.keyword) else call
    if not isinstance(call, ast.Call):
        return []
    spans = {source.span(a): source.segment(a) for a in [*call.args, *(k.value for k in call.keywords)] if a is not node}
    return list(dict.fromkeys(spans[o.span] for _, walk in others for o in walk if o.span in spans))
