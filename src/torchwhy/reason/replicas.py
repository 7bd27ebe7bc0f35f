"""What makes the replicas of a DistributedDataParallel model differ, or leaves some of their parameters out, read from the source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..model import Span
from .source import SourceFile, Sources

_CHECKPOINTS = ("checkpoint.checkpoint", "checkpoint.checkpoint_sequential")


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition of the program's, and the statement under it that matters."""

    test: str
    span: Span
    inner: Span


def reentrant_checkpoints(sources: Sources) -> tuple[Span, ...]:
    """The calls of `torch.utils.checkpoint` that run a backward of their own: `use_reentrant` is True, or left to its default."""
    found = []
    for source in sources.files():
        imported = {
            a.asname or a.name
            for n in source.nodes
            if isinstance(n, ast.ImportFrom) and n.module == "torch.utils.checkpoint"
            for a in n.names
        }
        for node in source.nodes:
            if not isinstance(node, ast.Call) or not node.args:
                continue
            written = ast.unparse(node.func)
            if written in imported or written.endswith(_CHECKPOINTS):
                given = next((k.value for k in node.keywords if k.arg == "use_reentrant"), None)
                if not (isinstance(given, ast.Constant) and given.value is False):
                    found.append(source.span(node))
    return tuple(found)


def frozen_under(sources: Sources) -> tuple[Condition, ...]:
    """The conditions under which the program changes which parameters require grad."""
    found: dict[Span, Condition] = {}
    for source in sources.files():
        for node in source.nodes:
            if not _is_freezing(node):
                continue
            branch = next((o for o in source.ancestors(node) if isinstance(o, ast.If) and not _is_main(o)), None)
            if branch is not None:
                found.setdefault(
                    source.span(branch.test), Condition(source.segment(branch.test), source.span(branch.test), source.span(node))
                )
    return tuple(found.values())


def left_out_under(sources: Sources, names: Sequence[str]) -> Condition | None:
    """The condition under which a loop over the layers that hold these parameters (`blocks.0.weight`) leaves one out."""
    holders = {part for name in names for part, after in _steps(name) if after.isdigit()}
    found = []
    for source in sources.files():
        for node in source.nodes:
            if isinstance(node, ast.For) and holders & set(re.findall(r"\bself\.(\w+)", source.segment(node.iter))):
                found += [c for inner in node.body for c in _skipping(source, inner)]
    return found[0] if len(found) == 1 else None


def _steps(name: str) -> Iterator[tuple[str, str]]:
    parts = name.split(".")
    return zip(parts, parts[1:])


def _skipping(source: SourceFile, node: ast.stmt) -> Iterator[Condition]:
    """`if …: continue`, or a call made only `if …`, without another in its place."""
    if isinstance(node, ast.If) and not node.orelse:
        last = node.body[-1]
        calls = any(isinstance(n, ast.Call) for statement in node.body for n in ast.walk(statement))
        if isinstance(last, ast.Continue) or calls and not isinstance(last, (ast.Return, ast.Raise)):
            yield Condition(source.segment(node.test), source.span(node.test), source.span(last))


def _is_freezing(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Attribute) and node.func.attr == "requires_grad_"
    return isinstance(node, ast.Assign) and any(isinstance(t, ast.Attribute) and t.attr == "requires_grad" for t in node.targets)


def _is_main(node: ast.If) -> bool:
    return "__name__" in ast.unparse(node.test)
