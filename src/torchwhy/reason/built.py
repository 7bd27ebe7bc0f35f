"""Layers that are built with the data as their settings where they should be called: `nn.ReLU(x)`."""

from __future__ import annotations

import ast

from ..model import Confidence, Fix, Label, Span
from . import edits
from .calls import frames_below
from .reading import Reading
from .told import Told
from .wording import code, first_fitting, listed


def as_settings(run: Reading) -> Told | None:
    """The constructor of a torch layer choked on data."""
    below = frames_below(run.failure)
    in_nn = any("torch/nn/" in f.span.file.replace("\\", "/") for f in below)
    if not in_nn or not any(f.span.function.endswith("__init__") for f in below):
        return None
    return _told(run, run.raised)


def as_value(run: Reading, kind: str, span: Span | None) -> Told | None:
    """A layer of this kind reached an op in a tensor's place: it was built, with the data as a setting, at `span`."""
    call = run.sources.node_at(span) if span is not None else None
    if span is None or not isinstance(call, ast.Call) or not call.args:
        return None
    name = call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""
    return _told(run, span) if name == kind else None


def _told(run: Reading, span: Span) -> Told | None:
    call, source = run.sources.call_at(span), run.sources.file(span.file)
    if call is None or source is None:
        return None
    name, given = source.segment(call.func), listed([code(source.segment(a)) for a in call.args])
    return Told(
        first_fitting(
            f"{code(name)} is built with {given} as settings, not called on it", f"{code(name)} gets the data in its constructor"
        ),
        span,
        "builds a layer",
        (f"{code(name)} is a class: {code(run.sources.segment(span))} builds a layer, {code(f'{name}()(…)')} runs one",),
        (Fix(f"build it, then call it: {code(f'{name}()(…)')}", edits.append_method(run.sources, source.span(call.func), "()"), "safe"),),
        (Label(span, "builds a layer"), Label(run.raised, "raised here")) if span != run.raised else (),
        Confidence.CERTAIN,
    )
