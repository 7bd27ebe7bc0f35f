"""Another norm in the place of one that reads its channels elsewhere."""

from __future__ import annotations

from ..model import Fix, ModuleFacts
from . import edits
from .layers import base_kind
from .reading import Reading, named
from .wording import code


def other_norm(run: Reading, layer: ModuleFacts, setting: str) -> Fix | None:
    """`nn.GroupNorm(1, dim)` for a LayerNorm whose channels come in dimension 1; a LayerNorm for a BatchNorm whose channels come last."""
    call = run.sources.call_at(layer.built[0]) if layer.built else None
    given = next((e for e in run.sources.arguments(layer.built[0]) if e.keyword in (None, setting)), None) if layer.built else None
    if call is None or given is None:
        return None
    kind = base_kind(layer)
    if kind == "LayerNorm":
        new, changes = f"nn.GroupNorm(1, {given.text})", "all positions of a sample are normalised together"
    elif kind == "BatchNorm1d":
        new, changes = f"nn.LayerNorm({given.text})", "each position is normalised by itself, not over the batch"
    else:
        return None
    made = edits.set_value(run.sources, run.sources.span_of(layer.built[0].file, call), new)
    return Fix(f"build {named(run, layer)} as {code(new)}", made, changes=changes) if made and "\n" not in given.text else None
