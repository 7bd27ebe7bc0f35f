"""Edits for a dimension that is marked as dynamic and meets a tensor of one fixed size."""

from __future__ import annotations

import ast

from ..model import TensorFacts
from . import edits
from .holdings import class_of, method_of
from .reading import Reading
from .signatures import parameters


def cut_to(run: Reading, name: str, dim: int, size: int) -> edits.Edits:
    """`self.table[: x.shape[0]]` in the `forward` of `x`, for each tensor of the module that has the fixed size in a dimension of its own."""
    for module in run.evidence.modules:
        own = class_of(run.sources, module) if module.defined is not None else None
        forward = method_of(own[1], "forward") if own is not None else None
        if own is None or forward is None or name not in parameters(forward):
            continue
        made: list[edits.Edits] = []
        for argument in (*module.parameters, *module.buffers, *module.loose):
            value = argument.value
            shape = value.shape if isinstance(value, TensorFacts) and "." not in argument.name else None
            if not shape or size not in shape:
                continue
            index = ", ".join([*([":"] * shape.index(size)), f": {name}.shape[{dim}]"])
            made += [
                edits.append_method(run.sources, own[0].span(node), f"[{index}]")
                for node in ast.walk(forward)
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and own[0].segment(node) == f"self.{argument.name}"
            ]
        if made:
            return tuple(edit for each in made for edit in each)
    return ()
