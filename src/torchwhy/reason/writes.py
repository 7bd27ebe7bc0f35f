"""An in-place write in the program's own words: what was written, where to blame it, and the same without the harm."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from ..model import Fix, Items, ModuleFacts, Operand, OpRecord, Plain, Span, TensorFacts, tensors_in
from . import edits
from .graph import Overwritten, maker, operands_of
from .order import in_one_block, moved_after
from .reading import Cause, Reading
from .scopes import dotted
from .wording import code, place

_ONLY_IN_PLACE = (
    "copy_",
    "zero_",
    "uniform_",
    "normal_",
    "random_",
    "exponential_",
    "geometric_",
    "cauchy_",
    "log_normal_",
    "set_",
    "resize_",
    "bernoulli_",
)


@dataclass(frozen=True, slots=True)
class Written:
    """`target`: the program's expression for what was written; `module`: the layer built with `inplace=True` or `max_norm`."""

    op: OpRecord
    cause: Cause
    target: str = ""
    module: ModuleFacts | None = None
    setting: str = ""
    by: str = ""
    """What wrote, in a word or two, as inline code."""


def written(run: Reading, op: OpRecord) -> Written:
    """The write that an op made: a layer's `inplace=True` is blamed where the layer was built, everything else on its own line."""
    target = _target(run, op)
    layer = run.history.module(op.module)
    if layer is not None and layer.defined is None:
        for name in ("inplace", "max_norm"):
            value = layer.setting(name)
            if isinstance(value, Plain) and value.value not in (None, False) and (name == "inplace" or "embedding" in op.name):
                built = Cause(layer.built[0]) if layer.built else Cause(run.raised)
                found = run.setting(layer, name) if name == "inplace" else built
                return Written(op, found, target, layer, name, code(layer.fqn or layer.kind))
    return Written(op, Cause(op.span or run.raised), target, by=_by(run, op))


def _by(run: Reading, op: OpRecord) -> str:
    """`h += …`, `p[:, 0] = …`, `x.mul_()`, `Adam.step`."""
    node = run.sources.node_at(op.span) if op.span is not None else None
    if op.name == "optimizer.step" or op.span is None:
        return code(f"{op.qualname}.step") if op.name == "optimizer.step" else code(op.name)
    if isinstance(node, ast.AugAssign):
        return code(f"{run.sources.segment(run.sources.span_of(op.span.file, node.target))} {edits.OPERATORS[type(node.op)]}= …")
    if isinstance(node, ast.Subscript):
        return code(f"{run.sources.segment(op.span)} = …")
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return code(f"{run.sources.segment(run.sources.span_of(op.span.file, node.func))}()")
    return code(op.name)


def _target(run: Reading, op: OpRecord) -> str:
    if op.name == "optimizer.step":
        return ""
    ids = {w.tensor for w in op.writes}
    for operand in operands_of(run.evidence, op):
        if any(t.id in ids for t in tensors_in(operand.value)) and operand.expression:
            return operand.expression
    return base_name(run, op.span) if op.span is not None else ""


def base_name(run: Reading, span: Span) -> str:
    """The variable that a statement writes to in place: `x` of `x[:, 0] = …`, `x += …` and `x.mul_(…)`; of a list of tensors its item."""
    node = run.sources.node_at(span) or run.sources.statement_at(span.file, span.line)
    name = statement_base(node)
    held = run.frame.local(name) if run.frame is not None else None
    return statement_base(node, whole=False) if isinstance(held, Items) else name


def statement_base(node: ast.AST | None, whole: bool = True) -> str:
    """The same for a statement or expression; with `whole` an item `x[0]` is a piece of `x`."""
    if isinstance(node, ast.Expr):
        node = node.value
    if isinstance(node, ast.Assign):
        node = node.targets[0]
    elif isinstance(node, ast.AugAssign):
        node = node.target
    if isinstance(node, ast.Call):
        out = next((k.value for k in node.keywords if k.arg == "out"), None)
        in_place = isinstance(node.func, ast.Attribute) and not _is_module_name(node.func.value)
        node = out or (node.func.value if in_place and isinstance(node.func, ast.Attribute) else node.args[0] if node.args else None)
    while isinstance(node, (ast.Subscript, ast.Call)) and (dotted(node) is None or whole and _is_item(node)):
        node = node.func.value if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else getattr(node, "value", None)
    return (dotted(node) or "") if node is not None else ""


def _is_item(node: ast.AST) -> bool:
    return isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, int)


def writes_in_place(statement: ast.stmt) -> bool:
    """Whether a statement is `x[…] = …`, `x += …` or `x.method_(…)`."""
    if isinstance(statement, ast.Assign):
        return isinstance(statement.targets[0], ast.Subscript)
    call = statement.value if isinstance(statement, ast.Expr) else None
    method = call.func.attr if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) else ""
    return isinstance(statement, ast.AugAssign) or method.endswith("_") and not method.endswith("__")


def _is_module_name(node: ast.AST) -> bool:
    """`torch`, `nn.init`, `F`: what stands in front of a function's dot and is no tensor."""
    name = dotted(node) or ""
    return name in ("F", "init", "nn.init", "torch") or name.startswith(("torch.", "nn."))


def storage_name(run: Reading, storage: int | None) -> str:
    """The path of the parameter or buffer with this memory."""
    for module in run.evidence.modules:
        for argument in (*module.parameters, *module.buffers):
            if isinstance(argument.value, TensorFacts) and argument.value.storage == storage is not None and "." not in argument.name:
                return f"{module.fqn}.{argument.name}"
    return ""


def saved_operand(run: Reading, found: Overwritten) -> Operand | None:
    """The argument of the saving op that was saved, as the program wrote it."""
    given = operands_of(run.evidence, found.saver) if found.saver is not None else ()
    return next((o for o in given if o.expression and any(t.storage == found.saved.storage for t in tensors_in(o.value))), None)


def saved_name(run: Reading, found: Overwritten) -> str:
    """What the program calls the tensor that was saved: a parameter's path, the variable that was passed or that got the result."""
    if name := storage_name(run, found.saved.storage):
        return name
    if (operand := saved_operand(run, found)) is not None:
        return operand.expression
    if found.saver is not None and found.saver.span is not None and any(t.storage == found.saved.storage for t in found.saver.outputs):
        statement = run.sources.statement_at(found.saver.span.file, found.saver.span.line)
        if isinstance(statement, ast.Assign) and statement.value is run.sources.node_at(found.saver.span):
            return dotted(statement.targets[0]) or ""
    return ""


def is_update(run: Reading, op: OpRecord) -> bool:
    """Whether it changes what the program trains or keeps, outside of the graph; not a value on its way through a forward pass."""
    return not op.grad_enabled or op.name == "optimizer.step"


# ── mending ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def without_writing(run: Reading, what: Written, found: Overwritten | None = None) -> Fix | None:
    """The write replaced by one into new memory, or (where a layer's `max_norm` writes) the tensor copied before it is saved."""
    span, layer = what.op.span, what.module
    if what.setting == "max_norm":
        operand = saved_operand(run, found) if found is not None else None
        made = edits.append_method(run.sources, operand.span, ".clone()") if operand is not None and operand.span is not None else ()
        return Fix(f"use a copy of the weight: `{operand.expression if operand else 'weight'}.clone()`", made, "safe")
    if layer is not None and what.setting == "inplace" and layer.built:
        made = edits.remove_keyword(run.sources, layer.built[0], "inplace")
        made = made or edits.replace_argument(run.sources, layer.built[0], "inplace", "False", layer.signature)
        return Fix(f"build {code(layer.fqn or layer.kind)} without `inplace=True`", made, "safe", changes="one more tensor of memory")
    if span is None or layer is not None:
        return None
    name = base_name(run, span)
    if made := edits.out_of_place(run.sources, span) if not _in_a_piece(run, span, what.target) else ():
        return Fix(f"write the result of {code(run.sources.segment(span))} to a new tensor", made, "safe")
    own = bool(name) and "[" not in name and not name.startswith("torch")
    made = edits.insert_before(run.sources, span.file, span.line, f"{name} = {name}.clone()") if own else ()
    return Fix(f"write into a copy: {code(f'{name} = {name}.clone()')} first", made, "safe") if made else None


def _in_a_piece(run: Reading, span: Span, target: str) -> bool:
    """Whether only a piece of a tensor is written (`x[0] += 1`): spelled out it would still be an assignment into the old one.

    The same for a function of several tensors, `torch._foreach_add_(…)`, which has no tensor in front of the dot."""
    node = run.sources.node_at(span) or run.sources.statement_at(span.file, span.line)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr.endswith("_"):
        receiver = node.func.value
        if node.func.attr in _ONLY_IN_PLACE:
            return True
        return isinstance(receiver, ast.Subscript) or isinstance(receiver, ast.Name) and receiver.id != target.partition(".")[0]
    return isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Subscript)


def in_order(run: Reading, found: Overwritten, what: Written) -> tuple[Fix, ...]:
    """For an update between a forward pass and its backward: the pass made after it, or the update after the backward."""
    function = (run.raised.file, run.raised.function)
    span = next((s for s in what.op.where if (s.file, s.function) == function), None)
    pair = in_one_block(run.sources, span, run.raised) if span is not None else None
    again = pair is not None and any(op.name == "backward" and not op.raised and op.index < what.op.index for op in run.evidence.ops)
    title = f"compute what needs {code(saved_name(run, found) or 'it')} after {what.by}, from the new values"
    moved = moved_after(run.sources, run.raised.file, [pair[0]], pair[1]) if pair is not None else ()
    seen = "the update then sees the gradients of both backward runs" if again else ""
    later = Fix(f"call {what.by} after the backward at {place(run.raised)}", moved, changes=seen)
    if what.op.name == "optimizer.step" and again:
        statements = _reading_it(run, what, pair[0]) if pair is not None else []
        made = moved_after(run.sources, run.raised.file, statements, pair[0]) if pair is not None else ()
        return Fix(title, made), later
    copied = _copied(run, found) if not moved else None
    return (later, *([copied] if copied is not None else []))


def _copied(run: Reading, found: Overwritten) -> Fix | None:
    """What was saved, copied where it was used: the update then writes into other memory."""
    operand = saved_operand(run, found)
    made = edits.append_method(run.sources, operand.span, ".clone()") if operand is not None and operand.span is not None else ()
    changes = "the gradient is that of the values from before the update"
    return Fix(f"use a copy: {code(f'{operand.expression}.clone()')}", made, changes=changes) if made and operand is not None else None


def _reading_it(run: Reading, what: Written, step: ast.stmt) -> list[ast.stmt]:
    """The statements before the update through which the failing graph reads what it wrote; none where others need them too."""
    nodes = [(node, maker(run.evidence, node)) for node in run.evidence.graph]
    mine = {op.index: node for node, op in nodes if op is not None and op.index < what.op.index}
    tainted = {w.tensor for w in what.op.writes}
    chosen: list[ast.stmt] = []
    for op in run.evidence.ops:
        if op.index >= what.op.index or op.step != what.op.step or not any(t.id in tainted for t in op.inputs):
            continue
        if op.index in mine and len(mine[op.index].ran_in) <= 1:
            tainted |= {t.id for t in op.outputs}
            spans = [s for s in op.where if s.file == run.raised.file and s.function == run.raised.function]
            pair = in_one_block(run.sources, spans[0], run.raised) if spans else None
            if pair is None or pair[0].lineno >= step.lineno:
                return []
            chosen += [pair[0]] if pair[0] not in chosen else []
    shared = {
        s.line
        for op in run.evidence.ops
        if op.step == what.op.step and op.index < what.op.index and op.name == "backward"
        for s in op.where
    }
    return [] if any(s.lineno in shared for s in chosen) else chosen
