"""Sentences about decisions: where a size comes from, how a layer was built. One fact each, with this run's numbers and the user's
names."""

from __future__ import annotations

from ..model import Items, ModuleFacts, OpRecord, TensorFacts, tensors_in
from .provenance import Decision, Size
from .reading import Cause, Reading, named
from .wording import code, place, shape_text, value_text


def size_account(run: Reading, tensor: TensorFacts, dim: int, decision: Decision | None = None) -> str:
    """Where the size of one dimension comes from; empty where that was not recorded."""
    dim = dim % max(1, tensor.rank)
    decision = decision or run.decided(tensor, Size(dim))
    size, op = (tensor.shape or ())[dim], decision.op
    if decision.how == "module" and decision.module is not None and decision.setting:
        layer, own = decision.module, decision.module.number(decision.setting)
        if own is not None and own != size and size == 2 * own and layer.setting("bidirectional") is not None:
            both = f"{size} is 2 · {own}: {named(run, layer)} gives its {decision.setting} for both directions"
            return both + _built_at(run, layer, decision.setting)
        return f"{size} is the {decision.setting} of {named(run, layer)}" + _built_at(run, layer, decision.setting)
    if decision.product:
        return f"{size} is {' · '.join(map(str, decision.product))}, {_verb(op)} at {place(op.span if op else None)}"
    if op is None or op.span is None:
        return ""
    if op.name in ("cat", "concat", "concatenate", "hstack") and (parts := parts_of_sum(op, decision)):
        return f"{size} is {' + '.join(map(str, parts))}, joined at {place(op.span)} by {code(run.sources.segment(op.span))}"
    verb = "given" if decision.how == "created" else "made"
    return f"{size} is {verb} at {place(op.span)} by {code(run.sources.segment(op.span))}" + _named_on_the_way(run.cause(decision, size))


def setting_account(run: Reading, module: ModuleFacts, *settings: str) -> str:
    """How a layer was built: its call's place, the settings, and the names that they went through."""
    told = [f"{name}={value_text(module.setting(name))}" for name in settings if module.setting(name) is not None]
    if not told:
        return ""
    at = f" at {place(module.built[0])}" if module.built else ""
    way = _named_on_the_way(run.setting(module, settings[0])) if module.built else ""
    return f"{named(run, module)} is built{at} with {', '.join(told)}{way}"


def tensor_account(run: Reading, tensor: TensorFacts, expression: str = "") -> str:
    """`x` float32 [4, 3], or what gave it where the user has no name for it."""
    return f"{called(run, tensor, expression)} is {tensor.dtype} {shape_text(tensor.shape)}"


def called(run: Reading, tensor: TensorFacts, expression: str = "") -> str:
    """What the tensor is called: the user's expression or variable, else the layer whose output it is."""
    name = expression or run.history.names.get(tensor.id, "")
    if name:
        return code(name)
    op = run.history.producer(tensor, run.before)
    module = run.history.module(op.module) if op is not None else None
    if op is not None and module is not None and module.defined is None:
        return f"the output of {named(run, module)}"
    if op is not None and op.span is not None:
        return f"the result of {code(run.sources.segment(op.span))}"
    return "the input"


def _built_at(run: Reading, module: ModuleFacts, setting: str) -> str:
    return f", built at {place(module.built[0])}{_named_on_the_way(run.setting(module, setting))}" if module.built else ""


def _named_on_the_way(cause: Cause) -> str:
    """`, from `hidden` at config.py:3`: the last name that the walk to the literal followed, where it left the call."""
    names = [o for o in cause.origins[1:] if o.name]
    if not names:
        return ""
    last = names[-1]
    return f", from {code(last.name)} at {place(last.span)}"


def _verb(op: OpRecord | None) -> str:
    return "flattened" if op is not None and op.name.startswith(("flatten", "view", "reshape", "ravel")) else "made"


def parts_of_sum(op: OpRecord, decision: Decision) -> tuple[int, ...]:
    """The sizes that were joined."""
    joined = next((tensors_in(a.value) for a in op.arguments if isinstance(a.value, Items)), ())
    dim = decision.dim if decision.dim is not None else 0
    return tuple(t.shape[dim] for t in joined if t.shape and dim < t.rank) if len(joined) > 1 else ()
