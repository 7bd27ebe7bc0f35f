"""Layers that a module builds and none of its methods uses, read from the source."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from ..model import Span
from .source import Sources


@dataclass(frozen=True, slots=True)
class UnusedLayer:
    name: str
    """`Net.head`: the class and the attribute."""
    span: Span


def unused_layers(sources: Sources) -> tuple[UnusedLayer, ...]:
    """`self.x = nn.…(…)` in a constructor of a class that has `forward`, where `self.x` is read nowhere in the class."""
    found = []
    for source in sources.files():
        for kind in source.nodes:
            if not isinstance(kind, ast.ClassDef) or not any(isinstance(n, ast.FunctionDef) and n.name == "forward" for n in kind.body):
                continue
            attributes = [
                n for n in ast.walk(kind) if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id == "self"
            ]
            read = {n.attr for n in attributes if isinstance(n.ctx, ast.Load)}
            for node in ast.walk(kind):
                if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and len(node.targets) == 1:
                    target = node.targets[0]
                    if isinstance(target, ast.Attribute) and target in attributes and target.attr not in read and _is_layer(node.value):
                        found.append(UnusedLayer(f"{kind.name}.{target.attr}", source.span(node)))
    return tuple(found)


def _is_layer(call: ast.Call) -> bool:
    function = call.func
    return isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "nn" or (
        isinstance(function, ast.Name) and function.id[:1].isupper()
    )  # fmt: skip
