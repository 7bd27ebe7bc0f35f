"""Candidates from the way to the failure: each step that led there written otherwise, one at a time.

A step in another dimension or order, two arguments in each other's place, an option as the program's other calls have it, a dimension of
size 1 more or less in what a step gives. Which of them holds, the runs show.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Sequence

from ..model import Edit, Evidence, Failure, Fix, OpRecord, Span, TensorFacts, tensors_in
from ..reason.alternatives import Alternative, alternatives, called, swapped
from ..reason.edits import append_method, set_keyword
from ..reason.history import history_of
from ..reason.source import SourceFile, Sources
from .writing import is_outside

_STEPS = 24
_NOT_LAYERS = ("super", "range", "print", "len", "isinstance", "getattr", "zip")


def turns(evidence: Evidence, failure: Failure, most: int) -> list[Fix]:
    """At most so many fixes worth a trial, the most telling first."""
    sources = Sources(evidence)
    way = steps(evidence, failure)
    built = _constructors(evidence, way)
    found: list[Fix] = []
    for fix in (*_like_others(sources, built), *_steps_otherwise(sources, way), *_swaps(sources, built), *_resized(sources, way)):
        if fix.edits and all(fix.edits != other.edits for other in found):
            found.append(fix)
    return found[:most]


def steps(evidence: Evidence, failure: Failure) -> list[OpRecord]:
    """The failing op and those that its operands came from, nearest first, as far as the program's own lines show them."""
    history = history_of(evidence)
    failing = [failure.op] if failure.op is not None else []
    waiting = [(t, failure.op.index if failure.op is not None else None) for o in failure.operands for t in tensors_in(o.value)]
    found, seen = list(failing), {t.id for t, _ in waiting}
    for tensor, before in waiting:
        op = history.producer(tensor, before)
        if op is None or len(found) >= _STEPS:
            continue
        if all(op.index != other.index for other in found):
            found.append(op)
        for source in op.inputs:
            if source.id not in seen:
                seen.add(source.id)
                waiting.append((source, op.index))
    return [op for op in found if op.span is not None and not is_outside(op.span.file)]


def _constructors(evidence: Evidence, way: Sequence[OpRecord]) -> list[Span]:
    """The calls that built the modules of these steps, and the calls around them."""
    modules = history_of(evidence).modules
    spans = [span for op in way if op.module in modules for span in modules[op.module].built[:3]]
    return [span for span in dict.fromkeys(spans) if not is_outside(span.file)]


def _steps_otherwise(sources: Sources, way: Sequence[OpRecord]) -> Iterator[Fix]:
    for op in way:
        yield from (_fix(other) for other in alternatives(sources, op))


def _swaps(sources: Sources, calls: Sequence[Span]) -> Iterator[Fix]:
    """Neighbouring arguments of a constructor in each other's place."""
    for source, call in _calls(sources, calls):
        for n in range(min(len(call.args) - 1, 4)):
            one, other = call.args[n : n + 2]
            if source.segment(one) != source.segment(other) and not isinstance(one, ast.Starred) and not isinstance(other, ast.Starred):
                yield _fix(swapped(source, call, n, n + 1))


def _like_others(sources: Sources, calls: Sequence[Span]) -> Iterator[Fix]:
    """A constructor's option, where most other calls of the same thing pass another value."""
    for source, call in _calls(sources, calls):
        others = [n for s in sources.files() for n in s.nodes if isinstance(n, ast.Call) and n is not call and called(n) == called(call)]
        own = {k.arg: ast.unparse(k.value) for k in call.keywords if k.arg}
        passed = Counter((k.arg, ast.unparse(k.value)) for n in others for k in n.keywords if k.arg and isinstance(k.value, ast.Constant))
        for (name, value), count in passed.most_common(4):
            if name and count > 1 and 2 * count > len(others) and own.get(name) != value:
                edits = set_keyword(sources, source.span(call), name, value)
                place = f"{source.file}:{call.lineno}"
                yield Fix(f"pass `{name}={value}` at {place}, as {count} other calls of `{called(call)}` do", edits, "unsafe")


def _resized(sources: Sources, way: Sequence[OpRecord]) -> Iterator[Fix]:
    """What a statement gives, with a dimension of size 1 more or less."""
    for op in way[1:]:
        source, node = (sources.file(op.span.file), sources.node_at(op.span)) if op.span is not None else (None, None)
        made: TensorFacts | None = op.outputs[0] if op.outputs else None
        parent = source.parents.get(node) if source is not None and node is not None else None
        if source is None or made is None or made.shape is None or not isinstance(parent, (ast.Return, ast.Assign)):
            continue
        endings = [f".squeeze({dim})" for dim, size in enumerate(made.shape) if size == 1]
        endings += [f".unsqueeze({dim})" for dim in (1, 0) if dim <= made.rank < 4]
        for ending in endings:
            edits = append_method(sources, source.span(node), ending) if node is not None else ()
            yield Fix(
                f"write `{source.segment(node)}{ending}` at {source.file}:{op.span.line}" if op.span and node else "", edits, "unsafe"
            )


def _calls(sources: Sources, spans: Sequence[Span]) -> Iterator[tuple[SourceFile, ast.Call]]:
    for span in spans:
        source, call = sources.file(span.file), sources.call_at(span)
        if source is not None and call is not None and called(call) not in _NOT_LAYERS:
            yield source, call


def _fix(way: Alternative) -> Fix:
    return Fix(f"write `{_short(way.text)}` at {way.span.file}:{way.span.line}", way.edits, "unsafe")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 70 else f"{line[:69]}…"


def place_of(edits: Sequence[Edit]) -> Span:
    """The line that a fix changes first."""
    return min((edit.span for edit in edits), key=lambda span: (span.file, span.line, span.column))
