"""Values out of a range: which one, of which sample of the dataset, and what made the values."""

from __future__ import annotations

from dataclasses import dataclass

from ..model import LoaderFacts, OpRecord, TensorFacts
from .blame import derives
from .origins import Origin
from .reading import Cause, Reading
from .sizes import size_expression
from .wording import code, place

_COUNTS = ("arange", "randperm", "randint", "linspace")
_HOLDS = ("tensor", "as_tensor", "from_numpy", "asarray", "LongTensor", "Tensor", "IntTensor")
_FILLS = ("full", "full_like", "new_full")


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
    told = f"{code(name + index if name.isidentifier() else name)}{'' if name.isidentifier() or not index else ' at ' + index} is {found.value}"
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


def maker(run: Reading, tensor: TensorFacts) -> tuple[OpRecord, Cause] | None:
    """The op that made the values, and what in the text decided them: the count of `arange`, the data of `tensor`."""
    decision = run.decided(tensor, "values")
    op = decision.op
    if op is None or op.span is None or op.phase == "data" and op.name in ("random_",):
        return None
    if op.name in _COUNTS and (count := size_expression(run.sources, op, 0, 1)) is not None and op.name != "randint":
        return op, run.expression_origins(count.span, op.where)
    written = run.sources.arguments(op.span)
    given = written[0] if op.name in _HOLDS and written else written[1] if op.name in _FILLS and len(written) > 1 else None
    if given is not None:
        return op, run.expression_origins(given.span, op.where)
    return op, Cause(op.span)


def maker_told(run: Reading, tensor: TensorFacts, name: str) -> str:
    """What made the values, in a sentence; empty where that was not recorded."""
    found = maker(run, tensor)
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
