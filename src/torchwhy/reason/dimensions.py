"""The number of a dimension that the tensor lacks: dropped on the way, or asked for by the call or the layer."""

from __future__ import annotations

from ..family import Family
from ..model import Diagnosis, Fix, OpRecord, TensorFacts
from . import edits
from .accounts import size_account, tensor_account
from .alternatives import alternatives
from .dropped import dropped
from .reading import Cause, Reading, named
from .wording import code, first_fitting, place, plural, shape_text


def beyond_rank(family: Family, run: Reading, op: OpRecord | None, x: TensorFacts | None, got: int, last: int) -> Diagnosis:
    if op is None or x is None:
        written = [code(e.text) for e in run.sources.operands(run.raised)][:1]
        notes = [f"the call works on {written[0]}" if written else ""]
        return run.diagnosis(family, f"there is no dimension {got}", None, "a dimension that the tensor lacks", notes=notes)
    name = run.name("input", "self")
    headline = first_fitting(
        f"{code(name)} has {plural(x.rank, 'dimension')}, {op.name} asks for dimension {got}",
        f"no dimension {got} in {shape_text(x.shape)}",
    )
    return _dropped(family, run, headline, x, name) or _asked(family, run, op, headline, x, name, got, last)


def named_twice(family: Family, run: Reading, op: OpRecord | None) -> Diagnosis:
    """One dimension named twice."""
    ways = alternatives(run.sources, op) if op is not None else ()
    name = op.name if op is not None else "the call"
    fixes = [Fix(f"write {code(way.text)}", way.edits) for way in ways if way.kind == "order"][:2]
    return run.diagnosis(family, f"{name} names one dimension twice", run.raised, "each dimension once", fixes=fixes)


def index_too_long(family: Family, run: Reading, x: TensorFacts | None, rank: int) -> Diagnosis:
    name = run.name("input", "self") if x is not None else next((e.text for e in run.sources.operands(run.raised)), "the tensor")
    headline = first_fitting(
        f"{code(name)} has {plural(rank, 'dimension')}, the index takes more", f"the index takes more dimensions than {rank}"
    )
    if x is not None and x.rank == 0 or "0-dim" in run.failure.message:
        notes = [f"{code(name)} is a scalar: `.item()` gives its number, it has no index"]
        span = run.op.span if run.op is not None and run.op.span is not None else run.raised
        receiver = run.sources.operands(span, "getitem")
        base = receiver[0].text.removesuffix(".data") if receiver else ""
        made = edits.set_value(run.sources, span, f"{base}.item()") if base and base.replace(".", "").isidentifier() else ()
        fix = Fix("take the number with .item()", made, "safe")
        headline = f"{code(name)} is a scalar (0 dimensions), it can't be indexed"
        return run.diagnosis(family, headline, span, "an index of a scalar", notes=notes, fixes=[fix])
    if x is None:
        return run.diagnosis(family, headline, None, "the index takes more dimensions")
    answer = _dropped(family, run, headline, x, name)
    if answer is not None:
        return answer
    notes = [tensor_account(run, x, name), *(size_account(run, x, d) for d in range(x.rank))]
    own = run.op.span if run.op is not None else None
    fix = Fix(f"index {code(name)} in {plural(rank, 'dimension')} only")
    return run.diagnosis(
        family, headline, own or run.raised, f"{shape_text(x.shape)}: {plural(rank, 'dimension')}", notes=notes, fixes=[fix]
    )


def _dropped(family: Family, run: Reading, headline: str, x: TensorFacts, name: str) -> Diagnosis | None:
    """The op that dropped the dimension, where there is one."""
    found = dropped(run, x, name)
    if found is None:
        return None
    return run.diagnosis(family, headline, found.span, found.because, trail=found.trail, notes=found.notes, fixes=[found.fix])


def _asked(family: Family, run: Reading, op: OpRecord, headline: str, x: TensorFacts, name: str, got: int, last: int) -> Diagnosis:
    """The number of the dimension is to blame: the layer's `dim`, or the one in the call."""
    layer = run.layer
    notes = [tensor_account(run, x, name), f"its dimensions are 0 to {x.rank - 1} (or -{x.rank} to -1)"]
    if layer is not None and layer.setting("dim") is not None:
        notes.append(f"{named(run, layer)} ({layer.kind}) is built with dim={got} at {place(layer.built[0] if layer.built else None)}")
        cause = run.setting(layer, "dim", got)
    else:
        written = next((e for e in run.sources.arguments(run.raised) if e.keyword in ("dim", "axis") or e.text == str(got)), None)
        cause = run.expression_origins(written.span, run.calls, got) if written is not None else Cause(op.span or run.raised)
    exact = cause.origins and cause.origins[-1].form == "literal"
    fixes = [Fix(f"name a dimension from 0 to {last}", edits.set_value(run.sources, cause.span, str(last)) if exact and got > last else ())]
    return run.diagnosis(
        family,
        headline,
        cause,
        f"dim is {got}, {shape_text(x.shape)} has none such",
        trail=run.trail(x, "rank"),
        notes=notes,
        fixes=fixes,
    )
