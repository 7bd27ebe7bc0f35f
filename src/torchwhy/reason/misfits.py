"""A layer that wants one size in a dimension of its input and gets another: what is to blame and what mends it.

Asked in this order, the first that applies:
 1. *news*: the layer has taken its size from this very place before, and only now another one came: the data changed, not the layer
 2. *broken*: a step that only moves or drops dimensions, before which the tensor did fit
 3. *otherwise*: a step before it that, written in another dimension or order, would have made the tensor fit
 4. *turned*: the layer's own two sizes in each other's place would fit
 5. *missing*: one such step at the call makes the tensor fit
 6. *giver*: the size was promised by another layer, and that layer is the odd one (its number stands alone, this layer's is shared)
 7. *layer*: the constructor argument of this layer
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ..model import Confidence, Fix, Label, ModuleFacts, OpRecord, Span, TensorFacts
from . import edits
from .accounts import called, setting_account, size_account, tensor_account
from .alternatives import Alternative, fitting, swapped
from .fits import Kind, Shape, Step, steps
from .history import first_tensor
from .layer_edits import pooled
from .partings import parted
from .provenance import Decision, Size, path
from .reading import Cause, Reading, named
from .shape_edits import put_before, without_method
from .signatures import holds
from .sum_edits import summed
from .wording import code, place, shape_text

Why = Literal["broken", "news", "otherwise", "turned", "missing", "giver", "layer"]
_TURNS = ("permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "t", "T", "mT", "view", "reshape", "squeeze", "unsqueeze")
_REDUCES = ("getitem", "select", "mean", "sum", "max", "amax", "min", "amin", "argmax")
MOVES = frozenset((*_TURNS, *_REDUCES))
_ACTIVATIONS = ("relu", "gelu", "tanh", "sigmoid", "silu", "leaky_relu", "elu", "softmax", "dropout")
_PASSES = frozenset((*_ACTIVATIONS, "contiguous", "clone", "detach", "to", "float", "add", "mul", "sub", "div"))

_AS_IT_CAME = ("given", "created", "python")


@dataclass(frozen=True, slots=True)
class Misfit:
    """`layer` wants `wants` in dimension `dim` (from the left) of `tensor`, because of its constructor argument `setting`."""

    layer: ModuleFacts
    setting: str
    wants: int
    tensor: TensorFacts
    dim: int
    parameter: str = "input"
    """The name of the operand in the failing call."""
    could_miss: tuple[Kind, ...] = ("move",)
    fits: Callable[[Shape], bool] | None = None
    """Whether a shape would do; by default: the right rank, and the wanted size at the dimension counted from the right or left as here."""

    @property
    def gets(self) -> int:
        return (self.tensor.shape or ())[self.dim]


@dataclass(frozen=True, slots=True)
class Explanation:
    why: Why
    cause: Cause | Span
    because: str
    notes: tuple[str, ...] = ()
    fixes: tuple[Fix, ...] = ()
    trail: tuple[Label, ...] = ()
    confidence: Confidence = Confidence.LIKELY


def explain(run: Reading, misfit: Misfit) -> Explanation:
    """What is to blame, with the notes and fixes that go with it."""
    fits = misfit.fits or (lambda shape: len(shape) == misfit.tensor.rank and shape[misfit.dim] == misfit.wants)
    decision = run.decided(misfit.tensor, Size(misfit.dim))
    trail = run.trail(misfit.tensor, Size(misfit.dim))
    facts = (
        tensor_account(run, misfit.tensor, run.name_or_empty(misfit.parameter)),
        setting_account(run, misfit.layer, misfit.setting),
        size_account(run, misfit.tensor, misfit.dim, decision),
    )
    found = (
        _news(run, misfit, decision, fits)
        or _broken(run, misfit, fits)
        or _otherwise(run, misfit, fits)
        or _turned(run, misfit, decision)
        or _missing(run, misfit, fits)
        or _giver(run, misfit, decision)
        or _layer(run, misfit, decision)
    )
    why, cause, because, notes, fixes, confidence = found
    return Explanation(why, cause, because, (*notes, *(f for f in facts if f and f not in notes)), tuple(fixes), trail, confidence)


Found = tuple[Why, Cause | Span, str, Sequence[str], Sequence[Fix], Confidence]


def broken_at(
    run: Reading, tensor: TensorFacts, fits: Callable[[Shape], bool], dim: int, moves: frozenset[str] = MOVES
) -> tuple[OpRecord, TensorFacts] | None:
    """The last op that moved or dropped dimensions of a tensor that did fit, with that tensor; nothing that computes may lie behind it."""
    for op in reversed(path(run.evidence, tensor, Size(dim), run.before, limit=40)):
        name = op.name.rstrip("_")
        inputs = [t for t in op.inputs if t.shape is not None]
        if not inputs or op.span is None:
            return None
        if name in moves and fits(inputs[0].shape or ()):
            return op, inputs[0]
        if name not in moves and name not in _PASSES:
            return None
    return None


def otherwise(
    run: Reading, tensor: TensorFacts, fits: Callable[[Shape], bool], dim: int = 0
) -> tuple[OpRecord, tuple[Alternative, ...]] | None:
    """The last step that would have made a tensor that fits, written in another dimension or order; nothing that computes may lie behind it."""
    for op in reversed(path(run.evidence, tensor, Size(dim), run.before, limit=40)):
        before, now = first_tensor(op), op.outputs[0].shape if op.outputs else None
        rows = before.shape[0] if before is not None and before.shape else None
        ways = [way for way in fitting(run.sources, op, fits) if way.kind != "left out"]
        ways.sort(key=lambda way: (way.shape or (None,))[0] != rows)
        if now and now[0] == rows:  # what keeps the batch is not to lose it
            ways = [way for way in ways if way.shape and way.shape[0] == rows]
        if ways and op.outputs and before is not None:
            return op, tuple(ways)
        if op.name.rstrip("_") not in _PASSES:
            return None
    return None


def _broken(run: Reading, misfit: Misfit, fits: Callable[[Shape], bool]) -> Found | None:
    found = broken_at(run, misfit.tensor, fits, misfit.dim)
    if found is None:
        return None
    op, before = found
    assert op.span is not None
    text = run.sources.segment(op.span)
    note = f"before {code(text)} at {place(op.span)} it was {shape_text(before.shape)}, which has the {misfit.wants}"
    removed = without_method(run.sources, op.span, op.name)
    fixes = [Fix(f"leave out {code('.' + op.name)}", removed, changes=f"the layer then gets {shape_text(before.shape)}")] if removed else []
    return "broken", op.span, f"makes {shape_text(op.outputs[0].shape)} of {shape_text(before.shape)}", (note,), fixes, Confidence.LIKELY


def _news(run: Reading, misfit: Misfit, decision: Decision, fits: Callable[[Shape], bool]) -> Found | None:
    before = run.earlier_input(misfit.tensor)
    if before is None or before.shape is None or not fits(before.shape):
        return None
    cause = parted(run, misfit.tensor, before) or (run.first_sight(decision) if decision.how == "given" else None)
    note = f"in earlier calls {named(run, misfit.layer)} got {shape_text(before.shape)}, now {shape_text(misfit.tensor.shape)}"
    told = f"what came now parts from what came before at {place(cause.span)}: {code(run.sources.segment(cause.span))}" if cause else ""
    size = run.cause(decision, misfit.gets)
    last = size.origins[-1] if size.origins else None
    name = called(run, misfit.tensor, run.name_or_empty(misfit.parameter))
    fix = Fix(f"give {name} {misfit.wants} {_features(misfit)} here as before", applicability="display-only")
    if last is not None and last.form == "literal" and last.value == misfit.gets:
        changes = "the data has another size"
        fix = Fix(
            f"make {misfit.gets} at {place(size.span)} {misfit.wants}", edits.replace_text(size.span, str(misfit.wants)), changes=changes
        )
    missing = _missing(run, misfit, fits)
    smaller = pooled(run, misfit.tensor, misfit.wants) if misfit.setting == "in_features" else ()
    pooling = Fix(f"pool the maps to {misfit.wants} features before", smaller, changes="any size of picture then goes through")
    fixes = [*(missing[4] if missing else ()), fix, *([pooling] if smaller else [])]
    return "news", cause or run.raised, f"{misfit.gets} where {misfit.wants} came before", (note, told), fixes, Confidence.LIKELY


def _otherwise(run: Reading, misfit: Misfit, fits: Callable[[Shape], bool]) -> Found | None:
    found = otherwise(run, misfit.tensor, fits, misfit.dim)
    if found is None:
        return None
    op, ways = found
    assert op.span is not None
    notes = [f"as {code(way.text)} it would be {shape_text(way.shape)}, which has the {misfit.wants}" for way in ways[:1]]
    fixes = [Fix(f"write {code(way.text)}", way.edits) for way in ways[:2]]
    return "otherwise", op.span, f"makes {shape_text(op.outputs[0].shape)}", notes, fixes, Confidence.LIKELY


def _turned(run: Reading, misfit: Misfit, decision: Decision) -> Found | None:
    layer = misfit.layer
    if layer.defined is not None or misfit.setting not in layer.signature[:2] or not layer.built or decision.how in _AS_IT_CAME:
        return None
    other = layer.signature[1 - layer.signature.index(misfit.setting)]
    source, call = run.sources.file(layer.built[0].file), run.sources.call_at(layer.built[0])
    if layer.number(other) != misfit.gets or source is None or call is None or len(call.args) < 2:
        return None
    sizes = {(m.number(misfit.setting), m.number(other)) for m in run.evidence.modules if m.built[:1] == layer.built[:1]}
    if len(sizes) > 1:  # the line is right for others
        return None
    way = swapped(source, call, 0, 1)
    changes = f"{named(run, layer)} gets weights of another size"
    fixes = (Fix(f"write {code(way.text)}", way.edits, changes=changes), _built_for(run, layer, misfit.setting, misfit.gets))
    note = f"{code(other)} is {misfit.gets}: with both in each other's place they would fit"
    return "turned", way.span, f"{misfit.setting} is {misfit.wants}, {other} {misfit.gets}", (note,), fixes, Confidence.LIKELY


def _missing(run: Reading, misfit: Misfit, fits: Callable[[Shape], bool]) -> Found | None:
    found = steps(misfit.tensor.shape or (), fits, misfit.could_miss)
    if not found:
        return None
    step, span = found[0], run.span_of(misfit.parameter)
    if span is not None:
        fix = Fix(step.title, edits.append_method(run.sources, span, step.text))
        return (
            "missing",
            span,
            f"is {shape_text(misfit.tensor.shape)}, not {shape_text(step.shape)}",
            (_said(run, misfit, step),),
            (fix,),
            Confidence.LIKELY,
        )
    built = misfit.layer.built[0] if misfit.layer.built else None
    if step.kind == "flatten" and built is not None and (before := put_before(run.sources, built, "Flatten()")):
        fix = Fix("put `nn.Flatten()` before the layer", before)
        return (
            "missing",
            built,
            f"is not flattened before: {shape_text(misfit.tensor.shape)}",
            (_said(run, misfit, step),),
            (fix,),
            Confidence.LIKELY,
        )
    fix = Fix(f"{step.title}: {code(step.text)}", applicability="display-only")
    return "missing", run.raised, f"gets {shape_text(misfit.tensor.shape)}", (_said(run, misfit, step),), (fix,), Confidence.LIKELY


def _said(run: Reading, misfit: Misfit, step: Step) -> str:
    return f"{called(run, misfit.tensor, run.name_or_empty(misfit.parameter))} is {shape_text(misfit.tensor.shape)}; {step.said}"


def _giver(run: Reading, misfit: Misfit, decision: Decision) -> Found | None:
    giver = decision.module
    if decision.how != "module" or giver is None or not decision.setting or not giver.built or giver.id == misfit.layer.id:
        return None
    there, here = run.setting(giver, decision.setting, misfit.gets), run.setting(misfit.layer, misfit.setting, misfit.wants)
    odd = not is_shared(run, there, giver) and is_shared(run, here, misfit.layer) or _is_slip(there, here)
    if not odd or _of_one_call(there, here):
        return None
    fixes = (_built_for(run, giver, decision.setting, misfit.wants), _built_for(run, misfit.layer, misfit.setting, misfit.gets))
    return "giver", there, f"{decision.setting} is {misfit.gets}", (), fixes, Confidence.LIKELY


def _is_slip(there: Cause, here: Cause) -> bool:
    """Whether the giver's number is one or two off a round one, which is the layer's."""
    one, other = (c.origins[-1].value if c.origins and c.origins[-1].form == "literal" else None for c in (there, here))
    return isinstance(one, int) and isinstance(other, int) and abs(one - other) in (1, 2) and other % 8 == 0 != one % 8


def _of_one_call(one: Cause, other: Cause) -> bool:
    """Whether both numbers were handed over by one call, as in `block(3, 8)`: then one of them was taken for the other inside of it."""
    lines = {(o.span.file, o.span.line, o.span.function) for o in one.walk[1:]}
    return any((o.span.file, o.span.line, o.span.function) in lines for o in other.walk[1:])


def _layer(run: Reading, misfit: Misfit, decision: Decision) -> Found:
    here = argument_cause(run, misfit.layer, misfit.setting, misfit.wants)
    if here.origins and misfit.wants in parts_of(decision):  # the number is right for a part: the others were not counted
        handed = 1
        while handed < len(here.origins) and here.origins[handed].kind == "argument":
            handed += 1
        here = Cause(here.origins[handed - 1].span, here.origins[:handed])
    fixes = [_built_for(run, misfit.layer, misfit.setting, misfit.gets)]
    if misfit.gets > misfit.wants:
        fixes += list(summed(run, misfit.layer, misfit.setting, misfit.gets))[:2]
    giver = decision.module if decision.how == "module" else None
    if giver is not None and decision.setting and giver.built and giver.id != misfit.layer.id:
        shared_by = misfit.gets // (giver.number(decision.setting) or misfit.gets)  # two directions give twice the size
        if misfit.wants % max(shared_by, 1) == 0:
            fixes.append(_built_for(run, giver, decision.setting, misfit.wants // max(shared_by, 1)))
    confidence = Confidence.CERTAIN if decision.product or giver is None else Confidence.LIKELY
    return "layer", here, f"{misfit.setting} is {misfit.wants}", (), fixes, confidence


def parts_of(decision: Decision) -> tuple[int, ...]:
    """The sizes that a size was put together from: flattened, joined, or of both directions of a recurrent layer."""
    op, dim = decision.op, decision.dim or 0
    if decision.product or op is None:
        return decision.product
    if op.name in ("cat", "concat", "concatenate", "hstack"):
        return tuple(t.shape[dim] for t in op.inputs if t.shape and dim < t.rank)
    if op.name in ("lstm", "gru", "rnn_tanh", "rnn_relu") and decision.tensor.shape:
        return (decision.tensor.shape[dim] // 2,)
    return ()


def argument_cause(run: Reading, module: ModuleFacts, setting: str, value: object = None) -> Cause:
    """The line to blame for a layer's setting: as near to the literal as the text decides this layer alone, and no others."""
    cause = run.setting(module, setting, value)
    while len(cause.origins) > 1 and cause.origins[-1].form == "expression" and cause.origins[-1].text.startswith(("def ", "class ", "@")):
        cause = Cause(cause.origins[-2].span, cause.origins[:-1])  # what is computed there no single line decides
    others = _ways_of_others(run, module)
    for end in range(len(cause.origins), 0, -1):
        if not _is_in(cause.origins[end - 1].span, others):
            return Cause(cause.origins[end - 1].span, cause.origins[:end])
    return cause


def is_shared(run: Reading, cause: Cause, module: ModuleFacts) -> bool:
    """Whether settings of other layers come from the same place in the text."""
    return len(cause.walk) > 1 and _is_in(cause.walk[-1].span, _ways_of_others(run, module, of_the_loop=True))


def _is_in(span: Span, ways: Mapping[Span, str]) -> bool:
    """Whether the place is one of these, or stands in a list or table that is."""
    return any(span == way or text[:1] in "([{" and holds(way, span) for way, text in ways.items())


def _ways_of_others(run: Reading, module: ModuleFacts, of_the_loop: bool = False) -> dict[Span, str]:
    """Every place in the text that a number of another layer of torch's went through, with what stands there.

    Layers built by the same call in the text count only where that is asked for.
    """
    found: dict[Span, str] = {}
    for other in run.evidence.modules[:200]:
        if (
            other.id != module.id
            and other.defined is None
            and other.built
            and module.built
            and (of_the_loop or other.built[0] != module.built[0])
        ):
            for name in other.passed:
                if other.number(name) is not None and name in other.signature:
                    found |= {origin.span: origin.text for origin in run.setting(other, name).walk}
    return found


def _built_for(run: Reading, module: ModuleFacts, setting: str, size: int) -> Fix:
    """The layer with another number: at the literal where that decides this setting alone, else in the constructor call."""
    cause = argument_cause(run, module, setting)
    title = f"build {named(run, module)} with {setting}={size}"
    changes = f"{named(run, module)} gets weights of another size"
    last = cause.origins[-1] if cause.origins else None
    exact = last is not None and last.form == "literal" and last.value == module.number(setting)
    if not exact and cause.origins:
        cause = Cause(cause.origins[0].span, cause.origins[:1])
    text, held = run.sources.segment(cause.span), module.number(setting) or 0
    new = f"{size // held} * {text}" if not exact and held and size == 2 * held and text.replace(".", "").isidentifier() else str(size)
    made = edits.set_value(run.sources, cause.span, new) if cause.origins else ()
    return Fix(title, made, "unsafe" if made else "display-only", changes=changes)


def _features(misfit: Misfit) -> str:
    return {"in_channels": "channels", "num_features": "channels", "num_channels": "channels"}.get(misfit.setting, "features")
