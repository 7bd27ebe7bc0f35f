"""A view is written in place where PyTorch can't follow the write.

Erroneous code (TW0403):

```python
{example}
```

Why: a view shares the memory of the tensor it was taken from (its base), so a write to it is a write to the base, and the graph of the
base has to follow. That can't be done for one of several views that a single call returned (`unbind`, `split`, `chunk`, a loop over a
tensor), for a view that was taken under `torch.no_grad()` and is written with gradients on, or for a view that a custom Function
returned. It can't be done at all where several elements of a view are one place in memory (`expand`), or where what is read overlaps what
is written.

Fix: compute a new tensor instead of writing (`x = x - y`), write into a `clone()`, take the view by an index (`x[i]`), or take and write
it in the same mode.

Messages: `Output 0 of UnbindBackward0 is a view and is being modified inplace. This view is the output of a function that returns multiple
views.`; `A view was created in no_grad mode and is being modified inplace with grad mode enabled.`; `unsupported operation: more than one
element of the written-to tensor refers to a single memory location. Please clone() the tensor before performing the operation.`

Not to be confused with: `autograd.inplace-leaf`, a view of a leaf that requires grad.
"""

from __future__ import annotations

import ast
import re
from dataclasses import replace

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, Label, OpRecord, TensorFacts
from ...reason import edits
from ...reason.reading import Reading, reading
from ...reason.structure import decorator_of, with_around
from ...reason.wording import code, fitting, place, shape_text
from ...reason.writes import base_name, without_writing, written


class InplaceView(Family):
    code = "TW0403"
    title = "a view is written in place where PyTorch can't follow the write"
    triggers = (
        Trigger(r"is a view and (?:is being modified|its base or another view of its base has been modified) in-?place"),
        Trigger(r"[Aa] view was created in (?:no_grad|inference) mode and (?:is being modified|its base or another view)"),
        Trigger(
            r"(?:more than one element of the written-to tensor|some elements of the input tensor and the written-to tensor)"
            r" refers? to a single memory"
        ),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run, message = reading(evidence), evidence.failure.message if evidence.failure is not None else ""
        if "Inplace update to inference tensor" in message:
            return None
        target = run.tensor("input", "self", "out") or next((t for _, t in run.tensors), None)
        bare = base_name(run, run.raised) or run.name_or_empty("input")
        name = code(bare) if bare else "the tensor"
        by = written(run, run.op).by if run.op is not None else "an in-place write"
        view = _view_op(run, target, message) if target is not None else None
        if "multiple views" in message:
            told = _several(run, name, by, view)
        elif "no_grad mode" in message or "inference mode" in message:
            told = _other_mode(run, name, by, view)
        elif "custom Function" in message:
            told = (
                f"{name} is a view that a custom Function returned, and {by} writes into it",
                (f"{_made(view)}; a `clone()` of its output may be written",),
            )
        elif "more than one element" in message:
            return self._expanded(run, name, by, view, target)
        else:
            told = (
                f"{by} reads and writes memory that overlaps",
                (f"{name} and the other operand are views of one tensor; a `clone()` of what is read ends it",),
            )
        headline, notes = told
        headline = fitting(
            headline, headline.partition(", and ")[0], f"{name} is a view that can't be written in place", "a view is written in place"
        )
        sharing = f"{name} shares its memory with {_base(run, view)}" if view is not None and _base(run, view) != name else ""
        trail = (
            *((Label(view.span, f"{name} is taken here, a view"),) if view is not None and view.span is not None else ()),
            Label(run.raised, "raised here"),
        )
        fixes = _fixes(run, view, message)
        sure = Confidence.CERTAIN if run.op is not None else Confidence.LIKELY
        return run.diagnosis(
            self, headline, run.raised, "the in-place write", trail=trail, notes=(*notes, sharing), fixes=fixes, confidence=sure
        )

    def _expanded(self, run: Reading, name: str, by: str, view: OpRecord | None, target: TensorFacts | None) -> Diagnosis:
        if view is None or view.span is None or target is None:
            return run.diagnosis(self, f"several elements of {name} are one place in memory", None, notes=(f"{by} writes to it",))
        before = view.inputs[0].shape if view.inputs else None
        headline = f"{name} was expanded from {shape_text(before)} to {shape_text(target.shape)} and is written in place"
        notes = (
            f"`{view.name}` at {place(view.span)} copies nothing: several elements are one place in memory",
            f"{by} would write them several times",
        )
        copy = Fix(
            "copy after the expansion",
            edits.append_method(run.sources, view.span, ".clone()"),
            "safe",
            changes="the expanded tensor takes memory",
        )
        return run.diagnosis(
            self, headline, view.span, "a view without memory of its own", notes=notes, fixes=(copy,), confidence=Confidence.CERTAIN
        )

    examples = (
        Example(
            {
                "boxes.py": """\
import torch

scale = torch.nn.Parameter(torch.ones(4))
boxes = torch.rand(5, 4) * scale
left, top, width, height = boxes.unbind(dim=1)
left -= width / 2  #~ cause
(left + top + width + height).sum().backward()
"""
            },
            says=("`left`", "4 views", "`unbind`", "`boxes`", "boxes.py:5"),
            becomes="left = left - (width / 2)",
        ),
        Example(
            {
                "run.py": """\
import torch
from memory import Memory

memory = Memory(3, 4)
reader = torch.nn.Linear(4, 4)
memory.slot.copy_(reader(torch.ones(4)))  #~ cause
""",
                "memory.py": """\
import torch


class Memory:
    @torch.no_grad()
    def __init__(self, slots, width):
        self.cells = torch.zeros(slots, width)
        self.slot = self.cells[0]
""",
            },
            says=("`memory.slot`", "no_grad", "memory.py:8", "with gradients on"),
        ),
        Example(
            {
                "grid.py": """\
import torch

column = torch.arange(3.0).reshape(3, 1)
grid = column.expand(3, 4)  #~ cause
grid += torch.rand(3, 4)
"""
            },
            says=("`grid`", "expanded", "[3, 1]", "[3, 4]", "one place in memory"),
            becomes="grid = column.expand(3, 4).clone()",
        ),
    )
    near_misses = (
        NearMiss({"ok.py": "import torch\n\nx = torch.ones(3, 2, requires_grad=True) * 2\nrow = x[0]\nrow += 1\nx.sum().backward()\n"}),
        NearMiss({"leaf.py": "import torch\n\nx = torch.ones(3, 2, requires_grad=True)\nx[0] += 1\n"}, belongs_to="autograd.inplace-leaf"),
    )


_MANY = ("unbind", "split", "chunk", "tensor_split", "split_with_sizes", "hsplit", "vsplit", "dsplit", "unsafe_split", "meshgrid")


def _view_op(run: Reading, tensor: TensorFacts, message: str) -> OpRecord | None:
    """The call that took the view at issue: one of several, made in another mode, by a custom Function, or expanded."""
    before, current = run.before, tensor
    first = None
    for _ in range(12):
        op = run.history.producer(current, before)
        if op is None:
            break
        first = first or op
        if (
            "multiple views" in message
            and op.name in _MANY
            or "mode" in message
            and not op.grad_enabled
            or "custom Function" in message
            and op.name == "Function.apply"
            or "more than one" in message
            and op.name in ("expand", "expand_as", "broadcast_to", "broadcast_tensors", "as_strided", "diagonal")
        ):
            return op
        inputs = [t for t in op.inputs if t.storage == current.storage] or list(op.inputs)
        if not inputs:
            break
        current, before = inputs[0], op.index
    return first


def _made(view: OpRecord | None) -> str:
    return f"it came out of `{view.qualname.rpartition('.')[2]}` at {place(view.span)}" if view is not None else "it is a view"


def _base(run: Reading, view: OpRecord) -> str:
    name = run.name_of(view.inputs[0]) if view.inputs else ""
    return code(name) if name else "the tensor it was taken from"


def _several(run: Reading, name: str, by: str, view: OpRecord | None) -> tuple[str, tuple[str, ...]]:
    if view is None:
        return f"{name} is one of several views that one call returned, and {by} writes into it", ()
    how = f"`{view.name}`" if not _is_loop(run, view) else "a loop over a tensor (`unbind`)"
    count = len(view.outputs)
    shape = shape_text(view.outputs[0].shape) if view.outputs else ""
    headline = f"{name} is one of {count} views that {how} gave, and {by} writes into it"
    return headline, (
        f"{how} at {place(view.span)} returned {count} views {shape} of {_base(run, view)} at once: none of them may be written in place",
    )


def _other_mode(run: Reading, name: str, by: str, view: OpRecord | None) -> tuple[str, tuple[str, ...]]:
    mode = "inference_mode" if view is not None and view.inference_mode else "no_grad"
    around = (
        with_around(run.sources, view.span) or decorator_of(run.sources, view.span) if view is not None and view.span is not None else None
    )
    where = (
        f"`{view.name}` at {place(view.span)} took the view under {code(around.text) if around else f'`{mode}`'}"
        if view is not None
        else ""
    )
    return f"{name} is a view taken under `{mode}`, and {by} writes into it with gradients on", (
        where,
        "it is written with gradients on: view and write must both be inside that block, or both outside",
    )


def _taken_again(run: Reading, view: OpRecord) -> edits.Edits:
    """The statement that took the view, repeated before the write; only where it takes one view, in the same function."""
    span, statement = view.span, run.sources.statement_at(view.span.file, view.span.line) if view.span is not None else None
    if span is None or view.name in _MANY or (span.file, span.function) != (run.raised.file, run.raised.function):
        return ()
    simple = (
        isinstance(statement, ast.Assign) and statement.value is run.sources.node_at(span) and isinstance(statement.targets[0], ast.Name)
    )
    text = run.sources.segment(run.sources.span_of(span.file, statement)) if simple and statement is not None else ""
    return edits.insert_before(run.sources, run.raised.file, run.raised.line, text) if text else ()


def _is_loop(run: Reading, view: OpRecord) -> bool:
    return view.span is not None and view.name == "unbind" and isinstance(_statement(run, view), (ast.For, ast.AsyncFor))


def _statement(run: Reading, view: OpRecord) -> ast.stmt | None:
    return run.sources.statement_at(view.span.file, view.span.line) if view.span is not None else None


def _read_later(run: Reading, name: str) -> bool:
    """Whether the program goes on with the view itself; if not, it was written for what it is a view of."""
    function = run.sources.function_at(run.raised.file, run.raised.line)
    source = run.sources.file(run.raised.file)
    tree = function or (source.tree if source is not None else None)
    loads = (n for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)) if tree is not None else ()
    return any(n.id == name.partition(".")[0] and n.lineno > run.raised.line for n in loads)


def _by_index(run: Reading, view: OpRecord, loop: ast.For | ast.AsyncFor) -> edits.Edits:
    """`zip([x[i] for i in range(len(x))], …)` for `zip(x, …)`."""
    call = loop.iter
    arguments = call.args if isinstance(call, ast.Call) else []
    held = [a for a in arguments if isinstance(a, (ast.Name, ast.Attribute)) and _is_base(run, view, a)]
    if len(held) != 1 or view.span is None:
        return ()
    span = run.sources.span_of(view.span.file, held[0])
    name = run.sources.segment(span)
    return edits.replace_text(span, f"[{name}[i] for i in range(len({name}))]")


def _is_base(run: Reading, view: OpRecord, node: ast.expr) -> bool:
    """Whether the variable holds the tensor that the views were taken from."""
    for frame in run.failure.user_frames:
        held = frame.local(node.id) if isinstance(node, ast.Name) else None
        if isinstance(held, TensorFacts) and view.inputs and held.id == view.inputs[0].id:
            return True
    return False


def _fixes(run: Reading, view: OpRecord | None, message: str) -> list[Fix]:
    new = without_writing(run, written(run, run.op)) if run.op is not None else None
    if "some elements" in message and (read := run.span_of("other", "src", "source", "value")) is not None:
        return [Fix("read from a copy", edits.append_method(run.sources, read, ".clone()"), "safe")]
    if "no_grad mode" in message and view is not None and (again := _taken_again(run, view)):
        return [Fix(f"take the view next to the write, outside of the block at {place(view.span)}", again, "safe")]
    loop = _statement(run, view) if view is not None else None
    if view is None or view.span is None or not isinstance(loop, (ast.For, ast.AsyncFor)) or not _is_loop(run, view):
        if new is not None and not _read_later(run, base_name(run, run.raised)):
            new = replace(
                new, edits=(), changes="what the view was taken from then keeps its old values: put the result back where it is used"
            )
        return [new] if new is not None else []
    file = view.span.file
    rows, row = (run.sources.segment(run.sources.span_of(file, node)) for node in (loop.iter, loop.target))
    title = f"take each view by its index: {code(f'{row} = {rows}[i]')}"
    if not isinstance(loop.target, ast.Name) or not isinstance(loop.iter, (ast.Name, ast.Attribute)):
        return [Fix("take each view by its index, `x[i]`", _by_index(run, view, loop), "safe")]
    header = edits.replace_text(run.sources.span_of(file, loop.target), "i") + edits.replace_text(
        run.sources.span_of(file, loop.iter), f"range(len({rows}))"
    )
    return [Fix(title, (*header, *edits.insert_before(run.sources, file, loop.body[0].lineno, f"{row} = {rows}[i]")))]
