"""Values out of a range: which one, of which sample of the dataset, and what made the values."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from ..model import Fix, LoaderFacts, OpRecord, Plain, Span, TensorFacts, tensors_in
from . import edits
from .blame import derives, promise, side
from .following import follow_data
from .origins import Origin
from .places import Place
from .provenance import Size
from .reading import Cause, Reading
from .signatures import called
from .sizes import size_expression
from .source import Expression
from .walk import Walk
from .wording import code, place

_COUNTS = ("arange", "randperm", "randint", "linspace")
_HOLDS = ("tensor", "as_tensor", "from_numpy", "asarray", "LongTensor", "Tensor", "IntTensor")
_ARRAYS = ("from_numpy", "as_tensor", "asarray")
_PROMISES = ("arange", "randperm")
_FILLS = ("full", "full_like", "new_full")
_COMPUTES = ("matmul", "mm", "bmm", "linear", "conv1d", "conv2d", "embedding", "einsum", "addmm", "rmatmul", "layer_norm")


@dataclass(frozen=True, slots=True)
class Outlier:
    """A value of a tensor that lies outside of `0 … limit - 1`, and where it stands."""

    tensor: TensorFacts
    value: int
    at: tuple[int, ...]
    limit: int

    @property
    def is_negative(self) -> bool:
        return self.value < 0


def outlier(tensor: TensorFacts | None, limit: int, lowest: int = 0) -> Outlier | None:
    """The tensor's value out of `lowest … limit - 1`, where its values were read."""
    values = tensor.values if tensor is not None else None
    if tensor is None or values is None or values.low is None or values.high is None:
        return None
    if values.high >= limit:
        return Outlier(tensor, int(values.high), values.high_at or (), limit)
    return Outlier(tensor, int(values.low), values.low_at or (), limit) if values.low < lowest else None


def position_told(run: Reading, found: Outlier, name: str) -> str:
    """`ids[1, 2]` holds 24, with the sample of the dataset that this row is, where a loader tells it."""
    index = "[" + ", ".join(map(str, found.at)) + "]" if found.at else ""
    place_told = code(name + index) if name.isidentifier() else f"{code(name)} at {index}" if index else code(name)
    told = f"{place_told} is {found.value}"
    loader = loader_of(run, found.tensor)
    if loader is None or not found.at or loader.indices is None:
        return told
    return f"{told}: sample {loader.indices[found.at[0]]} of {loader.dataset}, row {found.at[0]} of batch {loader.batch_number}"


def loader_of(run: Reading, tensor: TensorFacts) -> LoaderFacts | None:
    """The loader whose newest batch has as many rows as the tensor, when there is one such and the tensor came from that batch."""
    batch = next((op for op in reversed(run.evidence.ops) if op.name == "batch"), None)
    if (
        not tensor.shape
        or batch is None
        or not any(t.id == tensor.id or derives(run.evidence, tensor, t, run.before) for t in batch.inputs)
    ):
        return None
    fitting = [loader for loader in run.evidence.loaders if loader.indices and len(loader.indices) == tensor.shape[0] and loader.shapes]
    return fitting[0] if len(fitting) == 1 else None


def maker(run: Reading, found: Outlier | TensorFacts) -> tuple[OpRecord, Cause] | None:
    """The op that made the values, and what in the text decided them: the count of `arange`, the data of `tensor`, a later write."""
    tensor = found.tensor if isinstance(found, Outlier) else found
    decision = run.decided(tensor, "values")
    op = decision.op
    if op is None or op.span is None or op.phase == "data" and op.name in ("random_",):
        return None
    if isinstance(found, Outlier) and (written := _written_over(run, decision.tensor, op, found.value)) is not None:
        return written, Cause(written.span or op.span)
    if op.name in _COUNTS and (count := size_expression(run.sources, op, 0, 1)) is not None and op.name != "randint":
        return op, run.expression_origins(count.span, op.where)
    arguments = run.sources.arguments(op.span)
    given = arguments[0] if op.name in _HOLDS and arguments else arguments[1] if op.name in _FILLS and len(arguments) > 1 else None
    if given is None:
        return op, Cause(op.span)
    chain = run.expression_origins(given.span, op.where)
    if chain.origins and chain.origins[-1].form == "literal":
        return op, chain
    if op.name not in _ARRAYS:
        return op, Cause(op.span)
    absurd = isinstance(found, Outlier) and found.value >= 2**31
    return op, _array_origin(run, given.span, op.where, 5 if absurd else 1) or Cause(op.span)


def _array_origin(run: Reading, span: Span, calls: tuple[Span, ...], turns: int) -> Cause | None:
    """Where an array was made; each turn goes on past a function that was handed it."""
    found: Cause | None = None
    for _ in range(turns):
        source = run.sources.file(span.file)
        node = source.exactly_at(span) if source is not None else None
        chain = follow_data(Walk(run.sources), Place(source, node, calls)) if source is not None and node is not None else ()
        if not chain or found is not None and chain[-1].span == found.span:
            break
        found = Cause(chain[-1].span, (*(found.origins if found is not None else ()), *chain))
        span, calls = chain[-1].span, calls[1:]
    return found


def _written_over(run: Reading, tensor: TensorFacts, made: OpRecord, value: int) -> OpRecord | None:
    """The last write to the tensor after it was made, unless it was filled with that very value to begin with."""
    if any(isinstance(a.value, Plain) and a.value.value == value for a in made.arguments) or tensor.storage is None:
        return None
    later = [op for op in run.history.writes_to.get(tensor.storage, ()) if op.index > made.index and op.span is not None]
    later = [op for op in later if run.before is None or op.index < run.before]
    return later[-1] if later else None


def maker_told(run: Reading, values: Outlier | TensorFacts, name: str) -> str:
    """What made the values, in a sentence; empty where that was not recorded."""
    found = maker(run, values)
    if found is None or found[0].span is None:
        return ""
    op, cause = found
    text = f"the values of {code(name)} come from {code(run.sources.segment(op.span or cause.span))} ({place(op.span)})"
    last = cause.origins[-1] if cause.origins else None
    if last is not None and last.span.line != (op.span or cause.span).line and last.name:
        text += f", with {code(last.name)} from {place(last.span)}"
    return text


def before_counting(cause: Cause) -> Cause:
    """The chain up to the expression that counts (`len(vocab)`), without what the counted thing holds."""
    for number, origin in enumerate(cause.origins):
        if counts(origin):
            return Cause(origin.span, cause.origins[: number + 1])
    return cause


def counts(origin: Origin) -> bool:
    """Whether the expression counts something."""
    return origin.text.startswith(("len(", "max(")) or ".max(" in origin.text or origin.text.endswith((".nunique()", ".size"))


def index_cause(run: Reading, table: str, x: TensorFacts, dim: int, index: TensorFacts) -> tuple[Cause, str]:
    """Which of the two to blame for an index beyond `x`: what promised its size, where that is a layer or a tensor made for it; else what
    made the indices, also where they were counted out for another tensor or are no indices at all."""
    size = (x.shape or (0,))[dim]
    found, here = outlier(index, size, -size), side(run.evidence, table, x, Size(dim), run.before)
    made = maker(run, found or index)
    own = here.decision.how == "module" or not any(op.name in _COMPUTES for op in here.decision.trail)
    absurd = found is not None and found.value >= 2**31
    if made is None or promise(run.evidence, here) == 3 and own and made[0].name not in _PROMISES and not absurd:
        return run.cause(here.decision, size), f"{size} is decided here"
    return made[1], f"made for more than {size}"


def beyond_told(found: Outlier) -> str:
    """What the value itself says of its origin."""
    if found.value >= 2**32:
        low = found.value % 2**32
        parts = f"{found.value} is {found.value >> 32} · 2**32 + {low}"
        return f"{parts}: two int32 numbers read as one int64, as when a file is read with another dtype"
    if found.value == found.limit:
        beyond = f"{found.value} is one beyond the last, {found.limit - 1}"
        return f"{beyond}: numbers that start at 1 need `- 1`, a largest number is one less than a count"
    return ""


def counted_out(run: Reading, index: Expression, x: TensorFacts, dim: int) -> Cause | None:
    """Where the size was decided, when the function takes every index before this one too: then the index is meant, and the size too small."""
    size, source = (x.shape or ())[dim], run.sources.file(index.span.file)
    node = source.exactly_at(index.span) if source is not None else None
    subscript = source.parents.get(node) if source is not None and node is not None else None
    if source is None or not isinstance(subscript, ast.Subscript) or index.text != str(size) or not size:
        return None
    function, name = source.function(subscript), source.segment(subscript.value)
    taken = {
        n.slice.value
        for n in source.nodes
        if isinstance(n, ast.Subscript)
        and isinstance(n.slice, ast.Constant)
        and source.function(n) is function
        and source.segment(n.value) == name
    }
    decision = run.decided(x, Size(dim))
    return run.cause(decision, size) if set(range(size)) <= taken and decision.span is not None else None


def enlarged(run: Reading, cause: Cause, size: int, need: int) -> edits.Edits:
    """The size made large enough where it was decided: another number, a largest value in the place of a count, else so many more."""
    last = cause.origins[-1] if cause.origins else None
    if last is None:
        return ()
    if last.form == "literal":
        return edits.set_value(run.sources, last.span, str(need)) if last.value == size else ()
    counted = _COUNTED.fullmatch(last.text)
    if counted is not None and need > size + 1:
        return edits.set_value(run.sources, last.span, f"int({counted['what'] or counted['frame']}.max()) + 1")
    return edits.set_value(run.sources, last.span, f"{last.text} + {need - size}")


def read_as_written(run: Reading, cause: Cause, found: Outlier) -> Fix | None:
    """Two int32 numbers read as one int64: the file read as int32, and converted."""
    source, node = run.sources.file(cause.span.file), run.sources.node_at(cause.span)
    around = [node, *source.ancestors(node)] if source is not None and node is not None else []
    call = next((n for n in around if isinstance(n, ast.Call) and called(n) in ("fromfile", "frombuffer", "memmap")), None)
    text = source.segment(call) if source is not None and call is not None else ""
    if found.value < 2**32 or source is None or call is None or text.count("int64") != 1 or not isinstance(call.func, ast.Attribute):
        return None
    module = source.segment(call.func.value)
    made = edits.set_value(run.sources, source.span(call), f"{text.replace('int64', 'int32')}.astype({module}.int64)")
    return Fix("read the file as int32, as it was written", made, "safe") if made else None


_COUNTED = re.compile(r"len\((?:np|numpy|torch)\.unique\((?P<what>[\w.]+)\)\)|(?P<frame>[\w.\[\]'\"]+)\.nunique\(\)")


def counted_from_zero(run: Reading, index: TensorFacts, name: str, size: int) -> Fix | None:
    """`index - 1`, where the values run from 1 to the size."""
    values = index.values
    if values is None or not isinstance(values.low, int) or values.low < 1 or values.high != size:
        return None
    made = maker(run, index)
    at = made[0].span if made is not None and made[0].span is not None else None
    statement = run.sources.statement_at(at.file, at.line) if at is not None else None
    value = statement.value if isinstance(statement, ast.Assign) else None
    if at is not None and value is not None and not isinstance(value, (ast.Tuple, ast.BinOp)):
        span = run.sources.span_of(at.file, value)
        less = edits.set_value(run.sources, span, f"{run.sources.segment(span)} - 1")
        return Fix(f"count from 0 where the values of {code(name)} are made", less)
    given = next((o.span for o in run.operands if o.span is not None and any(t.id == index.id for t in tensors_in(o.value))), None)
    return Fix(f"count from 0: {code(name + ' - 1')}", edits.wrap(run.sources, given, "(", " - 1)")) if given is not None else None
