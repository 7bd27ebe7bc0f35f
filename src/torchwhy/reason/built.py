"""What is no tensor where one is due: a layer built with the data as its settings (`nn.ReLU(x)`), None from a forward without `return`."""

from __future__ import annotations

import ast

from ..model import Confidence, Fix, Label, Span
from . import edits
from .calls import frames_below
from .holdings import class_of, method_of
from .members import header, module_named
from .reading import Reading
from .told import Told
from .wording import code, first_fitting, listed, place


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


def nothing_returned(run: Reading, part: Span | None, made: Span | None) -> Told | None:
    """None reached a layer in the place of a tensor: it was given by the call at `made` of a module whose `forward` has no `return`."""
    node, source = (run.sources.node_at(made), run.sources.file(made.file)) if made is not None else (None, None)
    if not isinstance(node, ast.Call) or source is None or part is None:
        return None
    module = module_named(run, source.segment(node.func))
    own = class_of(run.sources, module) if module is not None else None
    forward = method_of(own[1], "forward") if own is not None else None
    if (
        module is None
        or own is None
        or forward is None
        or any(isinstance(n, ast.Return) and n.value is not None for n in ast.walk(forward))
    ):
        return None
    at = header(own[0], forward.lineno, "forward")
    return Told(
        f"{code(module.kind + '.forward')} returns nothing: {code(run.sources.segment(part))} is None",
        at,
        "no `return`",
        (f"{code(source.segment(node))} at {place(made)} gives None",),
        (Fix("return the result in `forward`", (), "display-only"),),
        (Label(at, "no return"), Label(run.raised, "raised here")),
        Confidence.CERTAIN,
    )


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
