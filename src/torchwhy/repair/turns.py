"""Candidates from the way to the failure: each step that led there written otherwise, one at a time.

A step in another dimension or order, two arguments in each other's place, an option as the program's other calls have it, a dimension of
size 1 more or less in what a step gives. Which of them holds, the runs show.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..model import Edit, Evidence, Failure, Fix, OpRecord, Span, TensorFacts, tensors_in
from ..reason.alternatives import Alternative, alternatives, asked_sizes, called, is_torchs_name, swapped
from ..reason.edits import append_method, out_of_place, set_keyword
from ..reason.history import history_of
from ..reason.source import SourceFile, Sources
from ..reason.structure import methods
from .writing import is_outside

_STEPS = 100
_NEAR = 8
_BATCHED = ("pad_sequence", "pack_padded_sequence", "pad_packed_sequence", "LSTM", "GRU", "RNN", "MultiheadAttention")
_SIMPLE = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Expr, ast.Return)
_OTHER_SIZES = "the error; all that is built from the two arguments gets other sizes"
_NOT_LAYERS = ("super", "range", "print", "len", "isinstance", "getattr", "zip")


def turns(evidence: Evidence, failure: Failure, most: int) -> list[Fix]:
    """At most so many fixes worth a trial, the most telling first."""
    sources, way = Sources(evidence), steps(evidence, failure)
    swaps = sorted(_swaps(evidence, sources, _constructors(evidence, way)), key=lambda pair: -pair[0])
    named = [fix for gain, fix in swaps if gain > 0]
    others = [fix for gain, fix in swaps if gain == 0]
    near, far = list(_steps_otherwise(sources, way[:_NEAR])), list(_steps_otherwise(sources, way[_NEAR:]))
    return _distinct([*_not_in_place(sources, way), *named, *near, *others, *far, *_resized(sources, way)])[:most]


def like_others(evidence: Evidence, failure: Failure, most: int) -> list[Fix]:
    """Steps and layers made as the program's other calls of the same thing are, where this one is the odd one out."""
    sources, way = Sources(evidence), steps(evidence, failure)
    built = _constructors(evidence, way)
    calls = list(_calls(sources, tuple(dict.fromkeys([*(op.span for op in way if op.span is not None), *built]))))
    odd = [
        fix
        for source, call in calls
        for fix in (*_options(sources, source, call), *_places(sources, source, call), *_arguments(source, call))
    ]
    named = [fix for gain, fix in _swaps(evidence, sources, built) if gain > 0]
    used = [fix for fix in _not_in_place(sources, way) if not isinstance(sources.statement_at(*_line(fix)), (ast.Expr, ast.AugAssign))]
    return _distinct([*used, *_batched(sources), *named, *odd])[:most]


def _line(fix: Fix) -> tuple[str, int]:
    return (place_of(fix.edits).file, place_of(fix.edits).line) if fix.edits else ("", 0)


def _distinct(fixes: Sequence[Fix]) -> list[Fix]:
    return list({fix.edits: fix for fix in reversed(fixes) if fix.edits}.values())[::-1]


def steps(evidence: Evidence, failure: Failure) -> list[OpRecord]:
    """The failing op and those that its operands came from, nearest first, as far as the program's own lines show them."""
    history, failing = history_of(evidence), failure.op
    waiting = [(tensor, failing.index if failing is not None else None) for tensor in _operands(failure)]
    found = {(failing.span, failing.module): failing} if failing is not None and failing.span is not None else {}
    seen = {tensor.id for tensor, _ in waiting}
    for tensor, before in waiting:
        op = history.producer(tensor, before)
        if op is None or len(found) >= _STEPS:
            continue
        if op.span is not None and not is_outside(op.span.file):
            found.setdefault((op.span, op.module), op)
        for source in op.inputs:
            if source.id not in seen and (source.id not in history.owner_of or history.owner_of[source.id][0].defined is not None):
                seen.add(source.id)
                waiting.append((source, op.index))
    return [op for (span, _), op in found.items() if not is_outside(span.file)]


def _operands(failure: Failure) -> list[TensorFacts]:
    """What the failing op was given; where none was recorded, the variables of the failing line."""
    given = [tensor for operand in failure.operands for tensor in tensors_in(operand.value)]
    frame = failure.user_frames[-1] if failure.user_frames else None
    words = re.findall(r"\w+", frame.code) if frame is not None and not given else []
    return given or [tensor for a in (frame.locals if frame is not None else ()) if a.name in words for tensor in tensors_in(a.value)]


def _constructors(evidence: Evidence, way: Sequence[OpRecord]) -> list[Span]:
    """The calls that built the modules of these steps, and the calls around them."""
    modules = history_of(evidence).modules
    spans = [span for op in way if op.module in modules for span in modules[op.module].built[:3]]
    return [span for span in dict.fromkeys(spans) if not is_outside(span.file)]


def _steps_otherwise(sources: Sources, way: Sequence[OpRecord]) -> Iterator[Fix]:
    for op in way:
        source = sources.file(op.span.file) if op.span is not None else None
        statement = sources.statement_at(op.span.file, op.span.line) if op.span is not None else None
        sizes = asked_sizes(source, statement) if source is not None and isinstance(statement, _SIMPLE) else ()
        yield from (_fix(other) for other in (*alternatives(sources, op), *sizes))


def written_apart(evidence: Evidence, failure: Failure, most: int) -> list[Fix]:
    """The failing write made out of place."""
    sources = Sources(evidence)
    return _distinct(list(_not_in_place(sources, steps(evidence, failure))))[:most]


def _not_in_place(sources: Sources, way: Sequence[OpRecord]) -> Iterator[Fix]:
    op = way[0] if way else None
    if op is not None and op.raised and op.name.endswith("_") and op.span is not None:
        yield Fix(f"write it out of place at {op.span.file}:{op.span.line}", out_of_place(sources, op.span), "unsafe")


def _swaps(evidence: Evidence, sources: Sources, calls: Sequence[Span]) -> Iterator[tuple[int, Fix]]:
    """Neighbouring arguments of a constructor in each other's place, and how many more of them then bear their parameter's name."""
    signatures = {m.kind: m.signature for m in evidence.modules if m.defined is None}
    for source, call in _calls(sources, calls):
        own = _parameters(sources, called(call))
        names = own or signatures.get(called(call), ())
        for n in range(min(len(call.args) - 1, 4 if own else 1)):  # the sizes of a layer of torch's, not its kernel and stride
            one, other = (source.segment(argument) for argument in call.args[n : n + 2])
            if one != other and not any(isinstance(argument, ast.Starred) for argument in call.args[n : n + 2]):
                a, b = (names[n : n + 2] + ("", ""))[:2]
                gain = _alike(one, b) + _alike(other, a) - _alike(one, a) - _alike(other, b)
                fix = _fix(swapped(source, call, n, n + 1))
                yield gain, replace(fix, changes=_OTHER_SIZES) if own and not gain else fix


def _parameters(sources: Sources, name: str) -> tuple[str, ...]:
    """What a class of the program calls its constructor's parameters, or a function its own."""
    for source in sources.files():
        for node in source.nodes:
            if isinstance(node, ast.ClassDef) and node.name == name:
                init = next((m for m in methods(node) if m.name == "__init__"), None)
                return tuple(a.arg for a in init.args.args[1:]) if init is not None else ()
            if isinstance(node, ast.FunctionDef) and node.name == name:
                return tuple(a.arg for a in node.args.args)
    return ()


def _alike(text: str, parameter: str) -> int:
    """Whether the last word of an expression is the parameter's name."""
    words = re.findall(r"[a-z]+", text.lower())
    return int(bool(words) and words[-1] in parameter.lower().split("_"))


def _options(sources: Sources, source: SourceFile, call: ast.Call) -> Iterator[Fix]:
    """An option that the other calls of its kind pass with another value, or that this one lacks."""
    kind = called(call)
    every = [n for s in sources.files() for n in s.nodes if isinstance(n, ast.Call) and n is not call]
    own = {k.arg: ast.unparse(k.value) for k in call.keywords if k.arg}
    for others in ([n for n in every if called(n) == kind], [n for n in every if called(n)[:4] == kind[:4]]):
        passed = Counter((k.arg or "", ast.unparse(k.value)) for n in others for k in n.keywords if isinstance(k.value, ast.Constant))
        for (name, value), count in passed.most_common(4):
            if name and 2 * count > len(others) and own.get(name) != value:
                yield _as_others(source, call, set_keyword(sources, source.span(call), name, value), f"pass `{name}={value}`", count)


def _batched(sources: Sources) -> Iterator[Fix]:
    """`batch_first=True` where one call lacks what the others that handle the same sequences pass."""
    calls = [
        (s, n) for s in sources.files() if not is_outside(s.file) for n in s.nodes if isinstance(n, ast.Call) and called(n) in _BATCHED
    ]
    lack = [(s, n) for s, n in calls if all(k.arg != "batch_first" for k in n.keywords)]
    if lack and len(lack) < len(calls):
        for source, call in lack:
            edits = set_keyword(sources, source.span(call), "batch_first", "True")
            yield _as_others(source, call, edits, "pass `batch_first=True`", len(calls) - len(lack))


def _places(sources: Sources, source: SourceFile, call: ast.Call) -> Iterator[Fix]:
    """A number by position for which the other calls of the same class have another one."""
    if not called(call)[:1].isupper():
        return
    others = [n for s in sources.files() for n in s.nodes if isinstance(n, ast.Call) and n is not call and called(n) == called(call)]
    for at, own in enumerate(call.args):
        given = Counter(ast.unparse(n.args[at]) for n in others if len(n.args) > at and isinstance(n.args[at], ast.Constant))
        for text, count in given.most_common(1) if isinstance(own, ast.Constant) else ():
            if 2 * count > len(others) > 1 and text != source.segment(own):
                yield _as_others(source, call, (Edit(source.span(own), text),), f"write {text} instead of {source.segment(own)}", count)


def _arguments(source: SourceFile, call: ast.Call) -> Iterator[Fix]:
    """The arguments by position that the other calls of the same function or method in this function of the program have."""
    if not call.args or called(call)[:1].isupper():
        return
    function = source.function(call)
    calls = [
        n
        for n in source.nodes
        if isinstance(n, ast.Call) and n is not call and called(n) == called(call) and source.function(n) is function
    ]
    first = 0 if isinstance(call.func, ast.Attribute) and not is_torchs_name(source, call.func.value) else 1
    given = Counter(tuple(source.segment(a) for a in n.args[first:]) for n in calls if len(n.args) == len(call.args))
    for texts, count in given.most_common(1):
        changed = [(a, text) for a, text in zip(call.args[first:], texts) if source.segment(a) != text]
        if changed and 2 * count > len(calls):
            edits = tuple(Edit(source.span(a), text) for a, text in changed)
            yield _as_others(source, call, edits, f"pass `{', '.join(texts)}`", count)


def _as_others(source: SourceFile, call: ast.Call, edits: tuple[Edit, ...], what: str, count: int) -> Fix:
    others = "another call" if count == 1 else f"{count} other calls"
    return Fix(f"{what} at {source.file}:{call.lineno}, as {others} do{'es' * (count == 1)}", edits, "unsafe")


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
            if node is not None and op.span is not None:
                text = source.segment(node) if isinstance(node, (ast.Call, ast.Name, ast.Attribute)) else f"({source.segment(node)})"
                edits = append_method(sources, source.span(node), ending)
                yield Fix(f"write `{_short(text + ending)}` at {source.file}:{op.span.line}", edits, "unsafe")


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
