"""One failure, read: what families ask, in the words they think in. Everything is computed from the Evidence, nothing is stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from ..family import Family
from ..model import (
    Confidence,
    Diagnosis,
    Evidence,
    Failure,
    Fix,
    Frame,
    Label,
    ModuleFacts,
    Operand,
    OpRecord,
    Span,
    TensorFacts,
    tensors_in,
)
from .calls import expression_of, forward_operands, helper_call
from .history import History, history_of
from .layers import base_kind, constructor_order
from .lists import items_of
from .operands import expressions
from .origins import Origin, argument_origins, deciding, origins
from .provenance import Decision, Property, Size, decided, path
from .scopes import value_of
from .shape_edits import callee
from .sizes import size_expression
from .source import Sources, is_installed
from .structure import methods, returns, super_init
from .wording import code, tensor_text


@dataclass(frozen=True, slots=True)
class Cause:
    """The line to blame with the chain that led to it: the constructor's argument first, the literal or expression that decided it last."""

    span: Span
    origins: tuple[Origin, ...] = ()
    walk: tuple[Origin, ...] = ()
    """The whole way, also into definitions that others share; `origins` ends at the place to blame."""

    @property
    def text(self) -> str:
        return self.origins[-1].text if self.origins else ""


@dataclass(frozen=True)
class Reading:
    evidence: Evidence
    failure: Failure

    # ── what failed ───────────────────────────────────────────────────────────────────────────────────────────────────
    @cached_property
    def history(self) -> History:
        return history_of(self.evidence)

    @cached_property
    def sources(self) -> Sources:
        return Sources(self.evidence)

    @property
    def op(self) -> OpRecord | None:
        return self.failure.op

    @property
    def raised(self) -> Span:
        return self.failure.raised_at or Span("<unknown>", 0)

    @property
    def before(self) -> int | None:
        return self.op.index if self.op is not None else None

    @cached_property
    def frame(self) -> Frame | None:
        """The program's innermost frame."""
        return self.failure.user_frames[-1] if self.failure.user_frames else None

    @cached_property
    def module(self) -> ModuleFacts | None:
        """The innermost module whose forward was running."""
        return self.history.module(self.op.module if self.op is not None and self.op.module is not None else self.failure.module)

    @cached_property
    def layer(self) -> ModuleFacts | None:
        """The torch layer that raised, when the failing call was made inside one (`nn.Linear`, or a class of the program that keeps its `forward`)."""
        module = self.module
        if (
            module is None
            or module.defined is not None
            and (self.frame is None or self.frame.module == module.id or "forward" in module.methods)
        ):
            return None
        return module

    def owner(self, parameter: str, kind: str) -> ModuleFacts | None:
        """The layer of torch's (or a subclass) that holds the operand as its own parameter, also where the program's code calls the op itself."""
        tensor = self.tensor(parameter)
        owned = self.history.owner_of.get(tensor.id) if tensor is not None else None
        return owned[0] if owned is not None and base_kind(owned[0]).startswith(kind) else None

    @cached_property
    def constructing(self) -> ModuleFacts | None:
        """The torch layer whose constructor raised."""
        for frame in reversed(self.failure.frames):
            if frame.origin == "torch" and frame.module is not None:
                return self.history.module(frame.module) if frame.span.function.endswith("__init__") else None
        return None

    # ── operands ──────────────────────────────────────────────────────────────────────────────────────────────────────
    @cached_property
    def operands(self) -> tuple[Operand, ...]:
        """The failing op's arguments with the user's own expressions."""
        return expressions(self.evidence, self.failure)

    def operand(self, *parameters: str) -> Operand | None:
        """The first operand with one of these parameter names."""
        return next((o for name in parameters for o in self.operands if o.parameter == name), None)

    @cached_property
    def tensors(self) -> tuple[tuple[str, TensorFacts], ...]:
        """Every tensor among the operands with the user's expression for it."""
        found = []
        for operand in self.operands:
            inside = tensors_in(operand.value)
            words = [operand.expression] if isinstance(operand.value, TensorFacts) else self._elements(operand, len(inside))
            found += [(self.history.names.get(tensor.id) or word, tensor) for word, tensor in zip(words, inside)]
        return tuple(found)

    def _elements(self, operand: Operand, count: int) -> list[str]:
        """Names for the tensors of a list: the expressions in its brackets, else the list's name with an index."""
        around = self.sources.listed_around(operand.span) if operand.span is not None else ()
        if len(around) == count:
            return [e.text for e in around]
        name = operand.expression
        return [f"{name}[{n}]" if name.replace(".", "").isidentifier() else f"tensor {n}" for n in range(count)]

    def tensor(self, *parameters: str) -> TensorFacts | None:
        operand = self.operand(*parameters)
        return next(iter(tensors_in(operand.value)), None) if operand is not None else None

    def name(self, *parameters: str) -> str:
        """What the user calls that operand: its expression in the failing call, else its variable, else the op's word for it."""
        operand = self.operand(*parameters)
        if operand is None:
            return parameters[0] if parameters else ""
        return operand.expression or operand.parameter

    def name_or_empty(self, parameter: str) -> str:
        """The user's expression or variable for that operand; empty where the text shows none."""
        operand = self.operand(parameter)
        return operand.expression if operand is not None else ""

    def given(self, parameter: str) -> Operand | None:
        """What the failing torch layer's `forward` was given for one of its parameters, before it changed anything itself."""
        found = next((o for o in forward_operands(self.failure) if o.parameter == parameter), None)
        tensors = tensors_in(found.value) if found is not None else ()
        written = expression_of(self.sources, self.failure).get(tensors[0].id) if len(tensors) == 1 else None
        if found is None or written is None:
            return found
        return replace(found, expression=written.text, span=written.span)

    def bound_at(self, tensor: TensorFacts) -> Span | None:
        """The expression that gave the program's outermost variable its value that holds this tensor; of a loop what it runs over."""
        for frame in self.failure.user_frames:
            for variable in frame.locals:
                if isinstance(variable.value, TensorFacts) and variable.value.id == tensor.id:
                    found = value_of(self.sources, variable.name, frame.span.file, frame.span.line)
                    if found is not None:
                        return found
        return None

    def written(self, tensor: TensorFacts) -> str:
        """The expression that stands for this very tensor in the failing line's call of a module; empty where none does."""
        found = expression_of(self.sources, self.failure).get(tensor.id)
        return found.text if found is not None else ""

    def written_at(self, tensor: TensorFacts) -> Span | None:
        """The place of that expression."""
        found = expression_of(self.sources, self.failure).get(tensor.id)
        return found.span if found is not None else None

    def earlier_input(self, tensor: TensorFacts) -> TensorFacts | None:
        """What the same op of the same layer got in the place of this tensor when it last went well."""
        if self.op is not None:
            position = next((i for i, t in enumerate(self.op.inputs) if t.id == tensor.id), None)
            earlier = self.history.earlier_calls(self.op)
            if position is None or not earlier or position >= len(earlier[-1].inputs):
                return None
            return earlier[-1].inputs[position]
        layer = self.layer
        for op in reversed(self.evidence.ops):
            if layer is not None and op.module == layer.id and not op.raised:
                data = [t for t in op.inputs if t.id not in self.history.owner_of and t.rank > 0]
                if data:
                    return data[0]
        return None

    def name_of(self, tensor: TensorFacts) -> str:
        return next((name for name, t in self.tensors if t.id == tensor.id), "") or self.history.names.get(tensor.id, "")

    def span_of(self, *parameters: str) -> Span | None:
        """Where the operand stands in the failing call."""
        operand = self.operand(*parameters)
        return operand.span if operand is not None else None

    # ── causes ────────────────────────────────────────────────────────────────────────────────────────────────────────
    def decided(self, tensor: TensorFacts, what: Property) -> Decision:
        if isinstance(what, Size) and what.dim < 0:
            what = Size(what.dim + tensor.rank)
        return decided(self.evidence, tensor, what, self.before)

    def cause(self, decision: Decision, value: object = None) -> Cause:
        """The place to blame for a decision: the literal or expression behind the argument that decided, else the call, else the failing line."""
        if decision.how == "module" and decision.module is not None and decision.setting:
            return self.setting(decision.module, decision.setting, value)
        if decision.how in ("created", "op") and decision.op is not None and decision.op.span is not None:
            if (
                decision.dim is not None
                and (written := size_expression(self.sources, decision.op, decision.dim, decision.tensor.rank)) is not None
            ):
                chain = deciding(self.sources, origins(self.sources, written.span, decision.op.where, value), value)
                reckoned = not chain or chain[-1].form == "expression"
                if reckoned and (asked := helper_call(self.sources, self.failure, decision.op.where)) is not None:
                    return Cause(asked)
                return Cause(chain[-1].span, chain) if chain else Cause(written.span)
            if (listed := items_of(self.sources, decision.op, decision.dim or 0)) is not None:
                return Cause(listed.span)
            if decision.setting and (found := self.argument_origins(decision.op.where, decision.setting, value=value)):
                return found
            if decision.how == "op" and decision.module is not None and decision.module.defined is None and decision.module.built:
                return Cause(decision.module.built[0])
            return Cause(decision.op.span)
        if decision.how == "given" and (found := self.first_sight(decision)) is not None:
            return found
        return Cause(decision.span or self.raised)

    def first_sight(self, decision: Decision) -> Cause | None:
        """For a tensor that no recorded op made (`torch.Tensor(...)`, data that was there before): what its expression leads to in the source."""
        first = decision.trail[0] if decision.trail else self.op
        if first is None or first.span is None:
            return None
        written = self.sources.operands(first.span, first.name)
        position = next((i for i, t in enumerate(first.inputs) if t.id == decision.tensor.id), 0)
        if position >= len(written):
            return None
        chain = origins(self.sources, written[position].span, first.where)
        decided_at = [o for o in chain if o.form != "name"]
        sample = self.sample() if not decided_at or any(o.kind == "loop" for o in chain) else None
        return sample or (Cause(decided_at[-1].span, chain) if decided_at else None)

    def sample(self) -> Cause | None:
        """What the dataset's `__getitem__` returns, for data that the program's one loader gave and nothing else is known of."""
        defined = {loader.dataset_defined for loader in self.evidence.loaders if loader.batch_number is not None}
        where = next(iter(defined)) if len(defined) == 1 else None
        if where is None:
            return None
        cls = self.sources.class_at(where.file, where.line)
        method = next((f for f in methods(cls) if f.name == "__getitem__"), None) if cls is not None else None
        found = returns(self.sources, where.file, method.body[0].lineno) if method is not None else ()
        return Cause(found[-1]) if found else None

    def setting(self, module: ModuleFacts, setting: str, value: object = None) -> Cause:
        """What decided a constructor argument of a layer: followed through parameters, configs and defaults to the literal."""
        own = getattr(module.setting(setting), "value", None)
        value = value if own is None else own
        outer = self.builder(module)
        if outer is not module:
            module, setting = outer, self._handed_on(outer, setting, value)
        found = self.argument_origins(module.built, setting, module.signature, value) if setting else None
        if found is None and module.defined is not None and (inner := self._inherited(module)) is not None:
            found = self.argument_origins((inner, *module.built), setting, constructor_order(base_kind(module)), value)
        return found or Cause(module.built[0] if module.built else self.raised)

    def _inherited(self, module: ModuleFacts) -> Span | None:
        """The `super().__init__(...)` call of the program's own subclass of a torch layer."""
        where = module.defined
        cls = self.sources.class_at(where.file, where.line) if where is not None else None
        return super_init(self.sources, where.file, cls) if where is not None and cls is not None else None

    def builder(self, module: ModuleFacts) -> ModuleFacts:
        """The module whose constructor the program called, where torch built this one inside of it (`nn.TransformerEncoderLayer` its attention)."""
        parent = self.history.parents.get(module.id)
        while parent is not None and parent.defined is None and parent.built and module.built and parent.built[0] == module.built[0]:
            module, parent = parent, self.history.parents.get(parent.id)
        return module

    def _handed_on(self, outer: ModuleFacts, setting: str, value: object) -> str:
        """The outer constructor's parameter that became this setting: by its usual name, else the one with the same value."""
        usual = {"embed_dim": "d_model", "num_heads": "nhead"}.get(setting, setting)
        same = [n for n in outer.signature if getattr(outer.setting(n), "value", None) == value and value is not None]
        return usual if usual in same or usual in outer.signature and not same else same[0] if len(same) == 1 else ""

    def kind(self, module: ModuleFacts) -> Cause:
        """Where the kind of a layer was chosen: its constructor call, or what its name there stands for (`norm_layer=nn.BatchNorm2d`)."""
        call = module.built[0] if module.built else None
        name = callee(self.sources, call) if call is not None else None
        if call is None or name is None:
            return Cause(call or self.raised)
        if self.sources.segment(name) == module.kind:
            return Cause(name)
        source, node = self.sources.file(call.file), self.sources.call_at(call)
        found = origins(self.sources, source.span(node.func), module.built) if source is not None and node is not None else ()
        last = next((o for o in reversed(found) if o.text.rpartition(".")[2] == module.kind), None)
        return Cause(last.span, found) if last is not None else Cause(call)

    def argument_origins(self, calls: Sequence[Span], parameter: str, signature: Sequence[str] = (), value: object = None) -> Cause | None:
        """The chain behind one argument of a recorded call (`calls`: that call, then the calls around it)."""
        if not calls:
            return None
        walk = argument_origins(self.sources, calls, parameter, signature, value)
        chain = deciding(self.sources, walk, value)
        return Cause(chain[-1].span, chain, walk) if chain else None

    def expression_origins(self, span: Span, calls: Sequence[Span] = (), value: object = None) -> Cause:
        walk = origins(self.sources, span, calls, value)
        chain = deciding(self.sources, walk, value)
        return Cause(chain[-1].span, chain, walk) if chain else Cause(span)

    @property
    def calls(self) -> tuple[Span, ...]:
        """The failing line and the program's lines that called it, nearest first."""
        return tuple(f.span for f in reversed(self.failure.user_frames))

    # ── trails ────────────────────────────────────────────────────────────────────────────────────────────────────────
    def label(self, op: OpRecord, text: str = "") -> Label | None:
        out = op.outputs[0] if op.outputs else None
        return Label(op.span, text or (tensor_text(out) if out is not None else "")) if op.span is not None else None

    def trail(self, tensor: TensorFacts, what: Property, limit: int = 5) -> tuple[Label, ...]:
        """From the data to the failing line: one label a line, with what came out of it; the last says where it was raised."""
        return self.trail_of(path(self.evidence, tensor, what, self.before, limit=40), limit)

    def trail_of(self, ops: Iterable[OpRecord], limit: int = 5) -> tuple[Label, ...]:
        labels: list[Label] = []
        for op in ops:
            label = self.label(op)
            if label is None or is_installed(label.span.file):
                continue
            if labels and (labels[-1].span.file, labels[-1].span.line) == (label.span.file, label.span.line):
                labels.pop()
            labels.append(label)
        if len(labels) > limit:
            labels = [labels[0], *labels[-(limit - 1) :]]
        return (*labels, Label(self.raised, "raised here"))

    # ── the answer ────────────────────────────────────────────────────────────────────────────────────────────────────
    def diagnosis(
        self,
        family: Family,
        headline: str,
        cause: Cause | Span | None,
        because: str = "",
        *,
        trail: Sequence[Label] = (),
        notes: Sequence[str] = (),
        fixes: Sequence[Fix] = (),
        confidence: Confidence = Confidence.LIKELY,
    ) -> Diagnosis:
        """Put together; where no cause is known the raising line is blamed and the confidence is `possible`."""
        if cause is None:
            confidence = Confidence.POSSIBLE
        span = cause.span if isinstance(cause, Cause) else cause or self.raised
        if not trail:
            trail = (Label(self.raised, "raised here"),)
        return Diagnosis(
            family.code,
            family.slug,
            family.title,
            headline,
            Label(span, because),
            tuple(trail),
            tuple(n for n in notes if n),
            tuple(fixes)[:3],
            confidence,
        )


@lru_cache(maxsize=8)
def reading(evidence: Evidence, failure: Failure | None = None) -> Reading:
    """The reading of the evidence's failure (or of one in its chain of causes)."""
    chosen = failure or evidence.failure
    assert chosen is not None, "a reading needs a failure"
    return Reading(evidence, chosen)


def named(reading: Reading, module: ModuleFacts | None) -> str:
    """The layer's path as inline code, or its kind."""
    return code(module.fqn) if module is not None and module.fqn else code(module.kind) if module is not None else "the call"
