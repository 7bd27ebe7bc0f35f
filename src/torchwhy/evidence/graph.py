"""The live autograd graph of a failed backward, as plain nodes.

Reads `torch/autograd/graph.py`'s Node interface: `next_functions`, `_sequence_nr`, `_saved_*` (checks the version) and `_raw_saved_*` (doesn't).
"""

from __future__ import annotations

import re
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch

from ..model import GraphNode, SavedTensor
from ..record.kinds import is_a

if TYPE_CHECKING:
    from ..record.recorder import Recorder

LIMIT = 20_000
_NOT_NUMBERED = 1 << 63
_VERSIONS = re.compile(r"is at version (\d+); expected version (\d+)")


def roots_of(levels: list[TracebackType]) -> list[Any]:
    """The graph nodes that `backward` or `autograd.grad` was started from, read off its frame."""
    for level in reversed(levels):
        code = level.tb_frame.f_code
        if code.co_filename.replace("\\", "/").endswith("torch/autograd/__init__.py") and code.co_name in ("backward", "grad"):
            local = level.tb_frame.f_locals
            given = local.get("tensors") if code.co_name == "backward" else local.get("outputs")
            tensors = given if type(given) is list or type(given) is tuple else (given,)
            return [t.grad_fn for t in tensors if is_a(t, torch.Tensor) and t.grad_fn is not None]
    return []


def graph_of(roots: list[Any], recorder: "Recorder") -> tuple[GraphNode, ...]:
    """The nodes below the roots, breadth first, at most LIMIT."""
    numbers: dict[Any, int] = {}
    queue = deque((node, 0) for node in roots)
    order: list[tuple[Any, int]] = []
    while queue and len(order) < LIMIT:
        node, depth = queue.popleft()
        if node is None or node in numbers:
            continue
        numbers[node] = len(order)
        order.append((node, depth))
        queue.extend((below, depth + 1) for below, _ in node.next_functions)
    runs = sorted(recorder.backward_nodes.items())
    return tuple(_node(node, depth, numbers, runs, recorder) for node, depth in order)


def _node(node: Any, depth: int, numbers: dict[Any, int], runs: list[tuple[int, frozenset[int]]], recorder: "Recorder") -> GraphNode:
    sequence = node._sequence_nr() if hasattr(node, "_sequence_nr") else _NOT_NUMBERED
    variable = getattr(node, "variable", None) if node.name().endswith("AccumulateGrad") else None
    return GraphNode(
        id=numbers[node],
        name=node.name(),
        sequence=sequence if sequence < _NOT_NUMBERED else None,
        next=tuple(numbers[below] for below, _ in node.next_functions if below in numbers),
        saved=tuple(_saved(node)),
        shapes=tuple(_shapes(node)),
        leaf=recorder.facts(variable).id if isinstance(variable, torch.Tensor) else None,
        depth=depth,
        ran_in=tuple(index for index, ran in runs if sequence in ran),
    )


def _shapes(node: Any) -> list[tuple[int, ...] | None]:
    found: list[tuple[int, ...] | None] = []
    for metadata in getattr(node, "_input_metadata", None) or ():
        try:
            found.append(tuple(int(s) for s in metadata.shape))
        except (RuntimeError, TypeError, AttributeError):  # nested and symbolic shapes
            found.append(None)
    return found


_TOLD = re.compile(
    r"\[[\w.]{1,80} \[(?P<shape>[\d, ]{0,400})\]\].{0,400}?is at version (?P<current>\d+); expected version (?P<expected>\d+)", re.DOTALL
)
_NAMES: dict[type, tuple[tuple[str, str], ...]] = {}


def _saved_names(kind: type) -> tuple[tuple[str, str], ...]:
    """What nodes of a kind save, and the attribute that reads it with its version check (custom Functions have but one)."""
    if kind in _NAMES:
        return _NAMES[kind]
    names = dir(kind)
    bare = [name.removeprefix("_raw_saved_") for name in names if name.startswith("_raw_saved_")]
    _NAMES[kind] = tuple((name, "saved_tensors" if name == "tensors" and "saved_tensors" in names else f"_saved_{name}") for name in bare)
    return _NAMES[kind]


def _saved(node: Any) -> list[SavedTensor]:
    found: list[SavedTensor] = []
    for name, checked in _saved_names(type(node)):
        try:
            raw = getattr(node, f"_raw_saved_{name}")
        except RuntimeError:
            found.append(SavedTensor(name, freed=True))
            continue
        several = raw if isinstance(raw, (tuple, list)) else (raw,)
        hooked = any(getattr(one, "unpack_hook", None) is not None for one in several)
        error = "" if hooked else _access(node, checked)
        for one in several:
            found.append(_one(name, one, error, hooked))
    return found


def _access(node: Any, name: str) -> str:
    """What torch says when the saved tensor is read with its version check: empty when it is as it was saved."""
    try:
        getattr(node, name)
    except RuntimeError as error:
        return str(error)
    except AttributeError:
        return ""
    return ""


def _one(name: str, raw: Any, error: str, hooked: bool) -> SavedTensor:
    if not hasattr(raw, "data"):  # older torch shows nothing of it: what the message tells
        told = _TOLD.search(error)
        if told is None:
            return SavedTensor(name, freed="second time" in error)
        size = tuple(int(n) for n in told["shape"].split(",") if n.strip())
        return SavedTensor(name, None, size, int(told["expected"]), int(told["current"]), mismatch=True)
    data = getattr(raw, "data", None)
    if not isinstance(data, torch.Tensor):
        return SavedTensor(name, freed=data is None and not hooked and "second time" in error)
    storage = shape = current = None
    try:
        storage, shape = data.untyped_storage()._cdata, tuple(data.shape)
        current = None if data.is_inference() else data._version
    except RuntimeError:  # sparse and other tensors without one storage
        pass
    found = _VERSIONS.search(error)
    mismatch = found is not None and (current is None or int(found[1]) == current)
    return SavedTensor(name, storage, shape, int(found[2]) if found and mismatch else current, current, mismatch=mismatch)
