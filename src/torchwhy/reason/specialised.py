"""Why compiled code does not take a size or a value: a range declared too wide, a size it was not made for, a number that a module counts up."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from ..model import Span
from . import edits
from .compiled import literal_lines
from .printed import find
from .reading import Reading
from .source import SourceFile
from .structure import calls_of, last_name
from .wording import code, first_fitting, place

_GUARD = re.compile(r"tensor '(?P<name>[^'\n]+)' size mismatch at index (?P<dim>\d+)\. expected (?P<made>\d+), actual (?P<now>\d+)")
_STRIDES = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True, slots=True)
class Specialised:
    """What is said of it, and the change."""

    headline: str
    at: Span
    because: str
    notes: tuple[str, ...]
    fix: str
    made: edits.Edits = ()


def declared_wider(run: Reading) -> Specialised | None:
    """`Dim("frames", max=4000)` where the program takes at most 3000."""
    message = run.failure.message
    declared = re.search(
        r"in the specified range (?:(?P<low>\d+) <= )?(?P<name>\w+)(?: <= (?P<high>\d+))? satisfy the generated guard (?P<guard>[^\n]*)",
        message,
    )
    if declared is None:
        return None
    name, guard = declared["name"], declared["guard"]
    high = find(r"<= (\d+)\D*$", guard, 1)
    low = find(r"(?:^|and )(\d+) <= ", guard, 1)
    too_high = bool(high and declared["high"] and int(high) < int(declared["high"]))
    which, limit, given = ("max", high, declared["high"]) if too_high else ("min", low, declared["low"])
    if not limit or not given or limit == given:
        return None
    dims = [s for s in calls_of(run.sources, "Dim") if (a := run.sources.arguments(s)) and a[0].text.strip("'\"") == name]
    most = "at most" if which == "max" else "at least"
    notes = [
        f"{code(name)} is declared from {declared['low'] or 0} to {declared['high'] or 'any size'}; the compiler found that the program takes {most} {limit}"
    ]
    for stride in _STRIDES if which == "max" else ():
        written = literal_lines(run.sources, str(int(limit) // stride)) if int(limit) % stride == 0 else ()
        if len(written) == 1:
            span = written[0]
            notes.append(
                f"{limit}{f' is {stride} · {int(limit) // stride}, which' if stride > 1 else ''} is written at {place(span)}: {code(run.sources.line_text(span.file, span.line).strip())}"
            )
            notes += [
                f"that size belongs to {code(owner)}, which the dimension is cut to or added to"
                for owner in _of_size(run, int(limit) // stride)[:1]
            ]
            break
    return Specialised(
        first_fitting(f"{code(name)} is declared {'up' if which == 'max' else 'down'} to {given}, the program takes {most} {limit}", f"{code(name)} is declared for sizes that do not fit"),
        dims[0] if len(dims) == 1 else run.raised,
        f"{which} is {given}",
        tuple(notes),
        f"declare `Dim(\"{name}\", {which}={limit})`, or make the program take {given}",
        edits.set_keyword(run.sources, dims[0], which, limit) if len(dims) == 1 else (),
    )  # fmt: skip


def example_of_one(run: Reading, which: str, value: str) -> Specialised | None:
    """An example input of size 0 or 1 in the dynamic dimension: `torch.export` takes these two for constants always."""
    call = run.sources.call_at(run.raised)
    if value not in ("0", "1") or call is None or last_name(call.func) != "export" or len(call.args) < 2:
        return None
    source = run.sources.file(run.raised.file)
    given = run.expression_origins(source.span(call.args[1]), run.calls) if source is not None else None
    at = given.span if given is not None else run.raised
    listed = run.sources.node_at(at)
    if isinstance(listed, ast.Tuple) and len(listed.elts) == 1:
        at = run.expression_origins(run.sources.span_of(at.file, listed.elts[0]), run.calls).span
    return Specialised(
        first_fitting(f"{which} is dynamic, but the example input has size {value} there", f"a dynamic dimension has size {value} in the example input"),
        at,
        f"the example has size {value}",
        (
            f"sizes 0 and 1 are always specialised to a constant: of an example of size {value} the compiler can't tell that other sizes are meant",
            f"the example input is {code(run.sources.segment(at))}",
        ),
        "export with an example of size 2 or more in that dimension (two samples, `torch.cat([x, x])`)",
    )  # fmt: skip


def marked_too(run: Reading, dim: str, value: str) -> tuple[tuple[str, ...], edits.Edits]:
    """Inputs of the failing call that have the same size and are not marked dynamic, and the edit that marks them beside the one that is."""
    marks = [s for s in calls_of(run.sources, "mark_dynamic") if run.sources.arguments(s)]
    call, frame = run.sources.call_at(run.raised), run.frame
    if len(marks) != 1 or call is None or frame is None or not dim.isdigit() or not value.isdigit():
        return (), ()
    marked = run.sources.arguments(marks[0])[0].text
    names = [a.id for a in (*call.args, *(k.value for k in call.keywords)) if isinstance(a, ast.Name) and a.id != marked]
    shapes = {v.name: getattr(v.value, "shape", None) or () for v in frame.locals}
    same = tuple(n for n in names if len(shapes.get(n, ())) > int(dim) and shapes[n][int(dim)] == int(value))
    text = run.sources.segment(marks[0])
    lines = "\n".join(text.replace(f"({marked}", f"({name}", 1) for name in same)
    return same, edits.insert_after(run.sources, marks[0].file, marks[0].line, lines) if same else ()


def recompile_forbidden(run: Reading, stance: str) -> Specialised:
    """A size that was not compiled for, after `torch.compiler.set_stance("fail_on_recompile")`."""
    set_at = [s for s in calls_of(run.sources, "set_stance") if stance in run.sources.segment(s)]
    guard = _GUARD.search(run.failure.message)
    said = find(r"guard failure\(s\):\s*-?\s*(?:\d+/\d+: )?([^\n]+)", run.failure.message, 1)
    notes = [f"the guard that failed: {code(said)}"] if said else []
    headline = "a call needs another compilation, which the stance forbids"
    if guard is not None:
        headline = f"{code(guard['name'])} has {guard['now']} in dimension {guard['dim']}, it was compiled for {guard['made']}"
        notes.append(
            f"only a size of {guard['made']} was compiled; {guard['now']} comes now (a last, smaller batch, or another input), and would be recompiled"
        )
    notes += [f"recompiling is forbidden at {place(s)}: {code(run.sources.segment(s))}" for s in set_at[:1]]
    fix = "compile for every size before it is forbidden: mark the dimension (`torch._dynamo.mark_dynamic(x, 0)`), or pad to the one size"
    return Specialised(first_fitting(headline, "a size comes that was not compiled for"), set_at[0] if len(set_at) == 1 else run.raised, "forbids to compile again", tuple(notes), fix)  # fmt: skip


def counted_attribute(run: Reading) -> tuple[str, Span] | None:
    """The one number that a compiled method counts up on `self`: as an attribute that is no tensor it is a constant to the compiler."""
    compiled = {"forward", "__call__"} | {
        last_name(a) for s in calls_of(run.sources, "compile") for a in getattr(run.sources.call_at(s), "args", ())
    }
    found = []
    for source in run.sources.files():
        for node in source.nodes:
            if isinstance(node, ast.AugAssign) and _is_own_number(source, node, compiled):
                found.append((source.segment(node.target), source.span(node)))
    return found[0] if len(found) == 1 else None


def _is_own_number(source: SourceFile, node: ast.AugAssign, compiled: set[str]) -> bool:
    target, function, cls = node.target, source.function(node), source.class_of(node)
    if not (isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self") or cls is None:
        return False
    if function is None or function.name not in compiled:
        return False
    first = [
        a.value
        for a in ast.walk(cls)
        if isinstance(a, ast.Assign)
        and any(isinstance(t, ast.Attribute) and t.attr == target.attr and last_name(t.value) == "self" for t in a.targets)
    ]
    return any(isinstance(value, ast.Constant) and type(value.value) in (int, float) for value in first)


def _of_size(run: Reading, size: int) -> list[str]:
    """The modules' buffers and parameters that have this size."""
    return [
        argument.name
        for module in run.evidence.modules
        for argument in (*module.buffers, *module.parameters)
        if size in (getattr(argument.value, "shape", None) or ())
    ]
