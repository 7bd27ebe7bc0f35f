"""Activation checkpointing (`torch.utils.checkpoint`): what the checkpointed function did differently when it was run again."""

from __future__ import annotations

import ast
import re

from ..model import Confidence, Fix, Label, Span
from . import edits
from .holdings import class_of, lineage, method_of
from .members import module_named
from .origins import argument
from .reading import Cause, Reading
from .source import SourceFile
from .structure import last_name
from .told import Told, text_at
from .wording import code, first_fitting, place, plural

_FILE = "torch/utils/checkpoint.py"
_RANDOM = ("random", "np.random", "numpy.random")


def told(run: Reading) -> Told | None:
    """The reading of an error of `checkpoint`; None where it was raised elsewhere."""
    frames = [f for f in run.failure.frames if f.span.file.replace("\\", "/").endswith(_FILE)]
    message = run.failure.message
    if not frames and run.failure.error_type != "CheckpointError":
        return None
    call = _checkpoint_call(run)
    if "with .grad()" in message or "Unexpected keyword" in message:
        return _reentrant(run, call)
    if "not necessary" in message:
        return Told(
            "no output of the checkpointed function requires grad",
            call,
            "gives nothing to train",
            (),
            (Fix("let an output keep its graph", (), "display-only"),),
        )
    if "not callable" in message:
        given = argument(run.sources, run.raised, "function", ("function",))
        text = code(given.text) if given is not None else "its first argument"
        return Told(
            first_fitting(f"{text} is a result; `checkpoint` takes the function and its inputs", f"{text} is a result, not a function"),
            given.span if given else run.raised,
            "called too early",
            (),
            (Fix("pass the function and its inputs: `checkpoint(layer, x)`", (), "display-only"),),
            confidence=Confidence.CERTAIN,
        )
    return _not_the_same(run, call)


def _checkpoint_call(run: Reading) -> Span | None:
    """The program's call of `checkpoint`: recorded by its frame, else the only one in the text."""
    found = [
        (f, n)
        for f in run.sources.files()
        for n in f.nodes
        if isinstance(n, ast.Call) and last_name(n) in ("checkpoint", "checkpoint_sequential")
    ]
    calls = [f.span(n) for f, n in found]
    raised = [c for c in calls if c.file == run.raised.file and run.raised.line in c.lines]
    return raised[0] if raised else calls[0] if calls else None


def _reentrant(run: Reading, call: Span | None) -> Told:
    fix = edits.set_keyword(run.sources, call, "use_reentrant", "False") if call is not None else ()
    cause = run.argument_origins((call,), "use_reentrant", ("function",)) if call is not None else None
    keyword = re.search(r"Unexpected keyword arguments: (.+)", run.failure.message)
    what = f"takes no keyword {code(keyword[1])}" if keyword else "has no `autograd.grad` or `inputs=`"
    return Told(
        first_fitting(f"`checkpoint` with use_reentrant=True {what}", "`checkpoint` with use_reentrant=True can't do this"),
        cause or call,
        "use_reentrant=True",
        (f"{code(text_at(run, run.raised))} at {place(run.raised)} needs the variant without reentrance",),
        (Fix("use the variant without reentrance: `use_reentrant=False`", fix, "safe"),),
        confidence=Confidence.CERTAIN,
    )


def _not_the_same(run: Reading, call: Span | None) -> Told:
    message = run.failure.message
    counts = re.search(r"during forward: (\d{1,12})\b.{0,600}during recomputation: (\d+)", message, re.DOTALL)
    facts = re.search(r"saved metadata: (\{[^}]{0,900}\})\s{0,20}recomputed metadata: (\{[^}]{0,900}\})\n", message, re.DOTALL)
    function = argument(run.sources, call, "function", ("function",)) if call is not None else None
    name = code(function.text) if function is not None else "the checkpointed function"
    chance = _chance(run, function.text if function is not None else "", call)
    detail = f": {counts[1]} tensors saved, then {counts[2]}" if counts else ""
    headline = first_fitting(
        f"{name} did something else when `checkpoint` ran it again{detail}", f"a checkpointed forward was not the same twice{detail}"
    )
    notes = [f"`checkpoint` runs {name} once in the forward and again in the backward; both must save the same tensors"]
    if counts:
        notes.append(f"{plural(int(counts[1]), 'tensor')} saved in the forward, {counts[2]} in the recomputation")
    if facts:
        notes.append(f"saved {_shortly(facts[1])}, recomputed {_shortly(facts[2])}")
    cause: Cause | Span | None = call
    because, fixes = "runs it twice", [Fix("let the function depend on its inputs only", (), "display-only")]
    if chance is not None:
        source, node = chance
        cause, because = source.span(node), "drawn anew in the recomputation"
        notes.append(
            f"{code(source.segment(node))} at {place(cause)} is drawn anew each time: "
            "`checkpoint` restores torch's random state, not Python's or NumPy's"
        )
        drawn = (
            edits.set_value(run.sources, cause, "torch.rand(()).item()") if source.segment(node).endswith(("random()", "rand()")) else ()
        )
        changes = "the numbers are others than before" if drawn else ""
        fixes = [Fix("draw it outside of the checkpointed function and pass it in, or draw it with torch", drawn, changes=changes)]
    trail = (Label(call, "checkpointed here"), Label(run.raised, "raised here")) if call is not None else ()
    return Told(headline, cause, because, tuple(notes), tuple(fixes), trail, Confidence.LIKELY)


def _shortly(text: str) -> str:
    shape, dtype = re.search(r"Size\((\[[^\]]{0,400}\])\)", text), re.search(r"torch\.(\w+)", text)
    return f"{dtype[1] if dtype else ''} {shape[1] if shape else ''}".strip()


def _chance(run: Reading, function: str, call: Span | None) -> tuple[SourceFile, ast.expr] | None:
    """A call of Python's or NumPy's random generator in the checkpointed function, or in the forward of the checkpointed module."""
    for source, body in _bodies(run, function, call):
        for node in ast.walk(body):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and source.segment(node.func.value) in _RANDOM:
                return source, node
    return None


def _bodies(run: Reading, function: str, call: Span | None) -> list[tuple[SourceFile, ast.AST]]:
    module = module_named(run, function) if function else None
    own = class_of(run.sources, module) if module is not None else None
    name = function.rpartition(".")[2]
    found: list[tuple[SourceFile, ast.AST]] = [
        (f, n)
        for f in run.sources.files()
        for n in f.nodes
        if isinstance(n, (ast.FunctionDef, ast.Lambda)) and getattr(n, "name", "") == name
    ]
    for source, cls in lineage(run.sources, *own) if own is not None else ():
        found += [(source, m) for m in [method_of(cls, "forward")] if m is not None]
    if not found:  # in a loop over layers: every forward of the program's modules
        found = [(f, n) for f in run.sources.files() for n in f.nodes if isinstance(n, ast.FunctionDef) and n.name == "forward"]
    return found
