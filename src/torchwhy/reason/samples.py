"""The samples of a batch that could not be put together: which differ, in which part, and what the program's text has for that part."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Union

from ..model import Evidence, Failure, Items, LoaderFacts, Plain, SampleFacts, Span, TensorFacts, Value
from .places import Place
from .scopes import bindings, dotted, scope_of
from .source import FUNCTIONS, SourceFile, Sources
from .walk import Walk

Step = Union[int, str]
Kind = Literal["none", "type", "size", "length", "keys"]
_NUMBERS = re.compile(r"(?:bool|u?int\d*|float\d*|complex\d*)_?")
_ARRAY = re.compile(r"(?P<dtype>\S+) \[(?P<shape>[\d, ]*)\]")


@dataclass(frozen=True, slots=True)
class Part:
    """One sample's part at the path of a clash. `position`: its place in the batch."""

    sample: SampleFacts
    position: int
    value: Value | None


@dataclass(frozen=True, slots=True)
class Clash:
    """Where samples of one batch differ so that they can't be stacked. `odd` is the fewer's first, `usual` one of the others."""

    kind: Kind
    path: tuple[Step, ...]
    odd: Part
    usual: Part
    key: str = ""
    parts: tuple[Part, ...] = ()


def clash_of(samples: Sequence[SampleFacts]) -> Clash | None:
    """The first difference in the order in which torch's `default_collate` meets them; None where there is none that it minds."""
    parts = tuple(Part(sample, n, sample.value) for n, sample in enumerate(samples) if sample.value is not None)
    return _clash(parts, ()) if len(parts) == len(samples) and parts else None


def _clash(parts: tuple[Part, ...], path: tuple[Step, ...]) -> Clash | None:
    sorts = [_sort(p.value) for p in parts]
    if sorts[:1] in (["str"], ["bytes"]):
        return None  # kept as they are
    found = _apart(parts, "none", path, [_is_none(p.value) for p in parts]) or _apart(parts, "type", path, sorts)
    if found is not None:
        return found
    if parts and _is_none(parts[0].value):
        return Clash("none", path, parts[0], parts[0], parts=parts)
    shapes = [shape_of(p.value) for p in parts]
    if shapes and shapes[0] is not None:
        return _apart(parts, "size", path, shapes)
    first = parts[0].value if parts else None
    if not isinstance(first, Items) or first.kind in ("set", "frozenset"):
        return None
    if first.keys:
        return _clash_of_keys(parts, first, path)
    if (found := _apart(parts, "length", path, [p.value.length for p in parts if isinstance(p.value, Items)])) is not None:
        return found
    return next((c for n in range(len(first.items)) if (c := _clash(_below(parts, n), (*path, n))) is not None), None)


def _clash_of_keys(parts: tuple[Part, ...], first: Items, path: tuple[Step, ...]) -> Clash | None:
    for key in first.keys:
        lacking = [p for p in parts if isinstance(p.value, Items) and key not in p.value.keys]
        if lacking:
            return Clash("keys", path, lacking[0], parts[0], key, parts)
        if (found := _clash(_below(parts, key), (*path, key))) is not None:
            return found
    return None


def _apart(parts: tuple[Part, ...], kind: Kind, path: tuple[Step, ...], values: Sequence[object]) -> Clash | None:
    """The clash where the values are not all the same."""
    counts = Counter(values)
    if len(counts) < 2 or len(values) != len(parts):
        return None
    often = max(counts.values())
    usual = next(n for n, value in enumerate(values) if counts[value] == often)
    odd = next(n for n, value in enumerate(values) if value != values[usual])
    if kind == "none" and not values[odd]:
        odd, usual = usual, odd
    return Clash(kind, path, parts[odd], parts[usual], parts=parts)


def _below(parts: tuple[Part, ...], step: Step) -> tuple[Part, ...]:
    return tuple(Part(p.sample, p.position, _inside(p.value, step)) for p in parts)


def _inside(value: Value | None, step: Step) -> Value | None:
    if not isinstance(value, Items):
        return None
    if isinstance(step, str):
        return dict(zip(value.keys, value.items)).get(step)
    return value.items[step] if step < len(value.items) else None


def _is_none(value: Value | None) -> bool:
    return isinstance(value, Plain) and value.kind == "NoneType"


def _sort(value: Value | None) -> str:
    """What `default_collate` treats alike."""
    if isinstance(value, TensorFacts):
        return "tensor"
    if isinstance(value, Items):
        return "dict" if value.keys else "set" if value.kind in ("set", "frozenset") else "list"
    if value is None:
        return ""
    return "number" if _NUMBERS.fullmatch(value.kind) else value.kind


def shape_of(value: Value | None) -> tuple[int, ...] | None:
    """The shape of a tensor or of a NumPy array."""
    if isinstance(value, TensorFacts):
        return value.shape
    found = _ARRAY.fullmatch(value.text) if isinstance(value, Plain) and value.kind == "ndarray" else None
    return tuple(int(n) for n in found["shape"].split(",") if n.strip()) if found else None


def path_to(value: Value | None, kind: str, path: tuple[Step, ...] = ()) -> tuple[Step, ...] | None:
    """The path to the first part of this kind."""
    if isinstance(value, Items) and value.kind != kind:
        steps: Sequence[Step] = value.keys or range(len(value.items))
        return next((p for step in steps if (p := path_to(_inside(value, step), kind, (*path, step))) is not None), None)
    return path if value is not None and getattr(value, "kind", "") == kind else None


def part_at(samples: Sequence[SampleFacts], position: int, path: Sequence[Step]) -> Part:
    """One sample's part at a path."""
    value = samples[position].value
    for step in path:
        value = _inside(value, step)
    return Part(samples[position], position, value)


def path_text(path: Sequence[Step]) -> str:
    """`["mask"][0]`, as it is written behind a sample's name."""
    return "".join(f"[{step}]" if isinstance(step, int) else f'["{step}"]' for step in path)


def loader_of(evidence: Evidence, failure: Failure) -> LoaderFacts | None:
    """The loader that failed."""
    return next((loader for loader in evidence.loaders if loader.id == failure.loader), None)


def sample_text(part: Part, loader: LoaderFacts | None) -> str:
    """`sample 3`, by its index in the dataset; `sample 3 of the batch` where there is none."""
    return f"sample {part.sample.index}" if part.sample.index is not None else f"the batch's sample {part.position}"


# ── what the program's text has for a part of a sample ────────────────────────────────────────────────────────────────
def written(sources: Sources, sample: SampleFacts, path: Sequence[Step]) -> Place | None:
    """The expression that gives a part of a sample: from the line that returned the sample down the path."""
    for span in reversed(sample.returned):
        place = _returned(sources, span)
        for step in path:
            place = _entry(sources, place, step) if place is not None else None
        if place is not None:
            return place
    return None


def _returned(sources: Sources, span: Span) -> Place | None:
    source = sources.file(span.file)
    node: ast.AST | None = sources.node_at(span) or sources.statement_at(span.file, span.line)
    if isinstance(node, ast.Expr):
        node = node.value
    if isinstance(node, (ast.Return, ast.Yield)):
        node = node.value
    return Place(source, node, (span,)) if source is not None and node is not None else None


def _entry(sources: Sources, place: Place, step: Step) -> Place | None:
    """The entry of a tuple or a dict; also one that was put into it by `sample["mask"] = …`."""
    name = dotted(place.node)
    if name is not None:
        walk = Walk(sources)
        set_here = walk.name(place, f"{name}[{step!r}]")
        if set_here:
            return set_here[0]
    return Walk(sources).entry(place, step, None)


def returns_in_class(sources: Sources, loader: LoaderFacts | None) -> Iterator[tuple[SourceFile, ast.Return | ast.Yield]]:
    """What the dataset's `__getitem__` (or `__iter__`) may return, where it was not seen which it was."""
    if loader is None or loader.dataset_defined is None:
        return
    source, cls = sources.file(loader.dataset_defined.file), sources.class_at(loader.dataset_defined.file, loader.dataset_defined.line)
    for node in ast.walk(cls) if source is not None and cls is not None else ():
        function = source.function(node) if source is not None and isinstance(node, (ast.Return, ast.Yield)) else None
        if source is not None and isinstance(node, (ast.Return, ast.Yield)) and function and function.name in ("__getitem__", "__iter__"):
            yield source, node


def key_written(sources: Sources, sample: SampleFacts, key: str) -> Span | None:
    """The one statement that puts a key into what the dataset returns: `sample["mask"] = …`."""
    for span in sample.returned:
        source, place = sources.file(span.file), _returned(sources, span)
        name = dotted(place.node) if place is not None else None
        scope = scope_of(source, place.node) if source is not None and place is not None else None
        while isinstance(scope, ast.AST) and not isinstance(scope, (*FUNCTIONS, ast.Module)) and source is not None:
            scope = scope_of(source, scope)
        if source is None or name is None or scope is None:
            continue
        found = [b for b in bindings(source).get(scope, ()) if b.name == f"{name}[{key!r}]"]
        if len(found) == 1:
            return source.span(found[0].statement)
    return None
