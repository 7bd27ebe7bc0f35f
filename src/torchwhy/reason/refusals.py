"""A refused call told: which argument is wrong, in what, where its value was decided, and what was found by trying."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from ..family import Family
from ..model import Call, Confidence, Diagnosis, Evidence, Fix, Items, Label, Parameter, Plain, Span, TensorFacts, Value, tensors_in
from .arguments import Wrong, wrong_argument
from .convert import conversion_fixes
from .dtypes import dtype_cause
from .origins import argument
from .provenance import Property, Size
from .reading import Cause, Reading, named
from .source import Expression
from .wording import code, first_fitting, listed, plural, shape_text, tensor_text, value_text

SIGNATURE = ("type", "missing", "unexpected", "surplus")
OF_TENSORS = ("device", "layout", "dtype", "rank", "size", "values", "grad")
NO_OPS = (
    "backward",
    "grad",
    "step",
    "zero_grad",
    "load_state_dict",
    "compile",
    "load",
    "save",
    "deepcopy",
    "numpy",
    "from_numpy",
    "__array__",
)
"""Calls whose failures are not about their arguments."""
_ASKED = (
    "TypeError",
    "ValueError",
    "RuntimeError",
    "IndexError",
    "NotImplementedError",
    "AssertionError",
    "AttributeError",
    "LinAlgError",
    "_LinAlgError",
    "OverflowError",
)
"""Types of errors by which torch refuses arguments."""

_TYPES = {
    "List[int]": "ints",
    "List[Tensor]": "tensors",
    "Tensor": "a tensor",
    "number": "a number",
    "int": "an int",
    "float": "a float",
    "bool": "a bool",
    "str": "a str",
    "ScalarType": "a dtype",
    "Device": "a device",
}
"""Declared types in words."""


@lru_cache(maxsize=8)
def wrong_of(evidence: Evidence) -> Wrong | None:
    """The argument to blame for the failure; None where the call is not known or nothing tells."""
    failure, call = evidence.failure, call_of(evidence)
    if failure is None or call is None or failure.error_type not in _ASKED or call.name in NO_OPS:
        return None
    wrong = wrong_argument(call, failure.message, evidence.tried)
    return wrong if failure.error_type != "AttributeError" or wrong is not None and wrong.what == "type" and wrong.named else None


def call_of(evidence: Evidence) -> Call | None:
    """The refused call; of a failure that was replayed, the recorded op."""
    failure = evidence.failure
    if evidence.call is not None or failure is None or failure.op is None or not failure.op.raised:
        return evidence.call
    return Call(failure.op.name, "function", tuple(Parameter(a.name, a.value, True) for a in failure.op.arguments))


def group_of(wrong: Wrong) -> str:
    """`signature`, `tensor` or `value`: which family speaks of it."""
    if wrong.what in SIGNATURE:
        return "signature"
    return "tensor" if wrong.parameter.value is not None and tensors_in(wrong.parameter.value) else "value"


def refusal(run: Reading, family: Family, group: str) -> Diagnosis | None:
    """The diagnosis, where the wrong argument is of this group."""
    wrong, call = wrong_of(run.evidence), call_of(run.evidence)
    if wrong is None or call is None or group_of(wrong) != group:
        return None
    told = _Told(run, call, wrong)
    cause, trail = told.cause()
    return run.diagnosis(
        family,
        told.headline(),
        cause,
        told.is_now(),
        trail=trail,
        notes=told.notes(),
        fixes=told.fixes(cause),
        confidence=Confidence.LIKELY if wrong.named or wrong.tried and wrong.what != "said" else Confidence.POSSIBLE,
    )


def written(run: Reading, call: Call, known: Parameter) -> Expression | None:
    """The user's own expression for a parameter in the failing call."""
    node = run.sources.call_at(run.raised)
    if node is None or known.of_constructor:
        return None
    order = [p.name for p in call.parameters if not p.by_keyword and not p.of_constructor]
    for name in (known.name, known.also):
        found = argument(run.sources, run.raised, name, order[1:] if call.kind == "method" else order) if name else None
        if found is not None:
            return found
    return None


class _Told:
    """The words for one wrong argument."""

    def __init__(self, run: Reading, call: Call, wrong: Wrong) -> None:
        self.run, self.call, self.wrong = run, call, wrong
        self.known = wrong.parameter
        self.expression = written(run, call, self.known)
        self.op = code(call.name)

    # ── the headline ──────────────────────────────────────────────────────────────────────────────────────────────────
    def headline(self) -> str:
        what, value = self.wrong.what, self.known.value
        name, op = code(self.known.name), self.op
        if what == "missing":
            return first_fitting(f"{op} is called without {name}", f"a call lacks {name}")
        if what == "unexpected":
            return first_fitting(f"{op} has no parameter {name}", f"the call has no parameter {name}")
        if what == "surplus":
            takes = sum(not p.by_keyword and not p.name.startswith("argument ") for p in self.call.parameters)
            got = sum(p.given for p in self.call.parameters)
            return f"{op} takes {plural(takes, 'argument')} and gets {got}"
        is_now = self._property(value)
        works = self._property(self.wrong.instead) if self.wrong.instead is not None else ""
        who = self._who()
        if what == "values":
            return first_fitting(f"{who[0]} holds values that {op} does not take", f"{who[-1]} holds values that it does not take")
        if what == "left out":
            return first_fitting(*(f"{w} is {is_now}; the call works without it" for w in who))
        if what == "type":
            return first_fitting(
                *(f"{w} is {is_now}, {op} wants {self._wanted()}" for w in who if self._wanted()),
                *(f"{w} is {is_now}, which is of the wrong type" for w in who),
            )
        if works and works != is_now:
            return first_fitting(*(f"{w} {self._verb()} {is_now}; it works with {works}" for w in who))
        return first_fitting(*(f"{w} {self._verb()} {is_now}, which {op} does not take" for w in who), f"{who[-1]} is not what it takes")

    def _who(self) -> tuple[str, ...]:
        """The argument's names, the longest first: `x` (`mat2` of `mm`)."""
        name, text = self.known.name, self.expression.text if self.expression is not None else ""
        if not text and self.known.value is not None and isinstance(self.known.value, TensorFacts):
            text = self.run.history.names.get(self.known.value.id, "")
        full = f"{code(name)} of {self.op}"
        if text.replace(".", "").replace("_", "").isalnum() and not text[:1].isdigit() and text not in (name, "None", "True", "False"):
            return f"{code(text)} ({full})", code(text), full, code(name)
        return full, code(name)

    def _verb(self) -> str:
        return "has" if self.wrong.what == "rank" else "is"

    def _property(self, value: Value | None) -> str:
        """What is wrong with it, or right with another value, in a few words."""
        if value is None:
            return "not given" if not self.known.given else "None"
        if not isinstance(value, TensorFacts):
            return (
                f"{'an' if value.kind[0] in 'aeiou' else 'a'} {value.kind} ({value.text})"
                if self.wrong.what == "type" and isinstance(value, Plain) and value.value is not None
                else _short(value)
            )
        what = self.wrong.what
        if what == "rank":
            return plural(value.rank, "dimension") if value is self.known.value else str(value.rank)
        if what == "size":
            return shape_text(value.shape)
        if what == "dtype":
            return value.dtype
        if what == "device":
            return value.device
        if what == "layout":
            return value.layout if value.layout != "strided" else "dense" if value.is_contiguous else f"strided {value.stride}"
        if what == "grad":
            return "in the graph" if value.requires_grad else "it detached"
        return f"a tensor {tensor_text(value)}"

    def _wanted(self) -> str:
        """What the parameter takes: in the parser's words, else as declared, else what worked."""
        said = re.search(r"must be ([\w. ]{1,200}), not", self.run.failure.message)
        if said is not None:
            return said[1]
        declared = _TYPES.get(re.sub(r"^Optional\[(.*)\]$", r"\1", self.known.takes), self.known.takes)
        if declared and len(declared) <= 30:
            return declared
        instead = self.wrong.instead
        return instead.kind if isinstance(instead, Plain) else "a tensor" if isinstance(instead, TensorFacts) else ""

    def is_now(self) -> str:
        value = self.known.value
        return _short(value) if value is not None else ""

    # ── the cause ─────────────────────────────────────────────────────────────────────────────────────────────────────
    def cause(self) -> tuple[Cause | Span, Sequence[Label]]:
        """Where the value was decided: for a tensor the property that is wrong, for anything else its expression."""
        run, value = self.run, self.known.value
        tensor = value if isinstance(value, TensorFacts) else next(iter(tensors_in(value)), None) if value is not None else None
        what = self._asked(tensor)
        if tensor is not None and what is not None and not self.known.of_constructor:
            decision = run.decided(tensor, what)
            cause = (
                dtype_cause(run, decision)
                if what == "dtype"
                else run.cause(decision, tensor.shape[what.dim] if isinstance(what, Size) and tensor.shape else None)
            )
            return cause, run.trail(tensor, what)
        layer = run.history.module(self.call.module)
        if self.known.of_constructor and layer is not None:
            found = run.setting(layer, self.known.name, value.value if isinstance(value, Plain) else None)
            return found, ()
        if self.expression is not None:
            plain = value.value if isinstance(value, Plain) else None
            found = run.expression_origins(self.expression.span, run.calls, plain)
            return found, ()
        return run.raised, ()

    def _asked(self, tensor: TensorFacts | None) -> Property | None:
        what, instead = self.wrong.what, self.wrong.instead
        if tensor is None:
            return None
        if what == "size" and isinstance(instead, TensorFacts) and instead.rank == tensor.rank:
            differ = [d for d, (a, b) in enumerate(zip(tensor.shape or (), instead.shape or ())) if a != b]
            return Size(differ[0]) if differ else "rank"
        asked: dict[str, Property] = {"dtype": "dtype", "device": "device", "layout": "layout", "grad": "grad", "values": "values"}
        return asked.get(what, "rank")

    # ── the facts ─────────────────────────────────────────────────────────────────────────────────────────────────────
    def notes(self) -> list[str]:
        known, call, wrong = self.known, self.call, self.wrong
        value = known.value
        schema = f", {code(known.also)} in its schema," if known.also == "self" else ""
        notes = [f"{self._who()[0]}{schema} is {_full(self._with_values(value))}" if value is not None else ""]
        if known.of_constructor:
            notes.append(f"{named(self.run, self.run.history.module(call.module))} is built with it")
        declared = f"declared {code(known.takes)}" if known.takes else ""
        default = f"{code(known.default)} by default" if known.default is not None and known.default not in ("", "None") else ""
        if (declared or default) and wrong.what not in OF_TENSORS:
            notes.append(f"{code(known.name)} of {self.op} is {listed([w for w in (declared, default) if w])}")
        notes.append(self._trying())
        if wrong.what in SIGNATURE and call.signature:
            notes.append(f"its signature: {call.signature[:160]}")
        words = self.run.failure.message.strip().splitlines()
        if words and wrong.what not in SIGNATURE:
            notes.append(f"torch: {words[0][:200]}")
        return [note for note in notes if note]

    def _with_values(self, value: Value) -> Value:
        """With the range of its values, which was read when the op failed."""
        ids = {t.id: t for t in self.run.op.inputs} if self.run.op is not None else {}
        return ids.get(value.id, value) if isinstance(value, TensorFacts) and self.wrong.what in ("values", "said") else value

    def _trying(self) -> str:
        """What was found by making the call again."""
        if not self.wrong.tried or self.run.evidence.tried is None:
            return ""
        if self.wrong.instead is None and self.wrong.what != "left out":
            return f"made again with each argument changed alone: only changes of {code(self.known.name)} lead further"
        works = "left out" if self.wrong.what == "left out" else f"= {_full(self.wrong.instead)}" if self.wrong.instead is not None else ""
        others = [f"{code(p.name)} = {_full(c.instead)}" for p, c in self.wrong.others[:3] if c.instead is not None]
        also = f"; also with {listed(others, 'or')}" if others else "; with no other single change that was tried"
        return f"tried on copies: the call works with {code(self.known.name)} {works}{also}"

    # ── what mends it ─────────────────────────────────────────────────────────────────────────────────────────────────
    def fixes(self, cause: Cause | Span) -> list[Fix]:
        wrong, name = self.wrong, code(self.known.name)
        value, instead = self.known.value, wrong.instead
        if wrong.what == "dtype" and isinstance(value, TensorFacts) and isinstance(instead, TensorFacts) and isinstance(cause, Cause):
            return conversion_fixes(self.run, value, self.run.decided(value, "dtype"), cause, instead.dtype)
        if wrong.what == "missing":
            return [Fix(f"pass {name}", (), "display-only")]
        if wrong.what in ("unexpected", "left out"):
            return [Fix(f"leave {name} out", (), "display-only")]
        if wrong.what == "surplus":
            return [Fix(f"pass what {self.op} takes", (), "display-only")]
        if instead is not None:
            return [Fix(f"give {name} a value that {self.op} takes, such as {_full(instead)}", (), "display-only")]
        return [Fix(f"give {name} what {self.op} takes", (), "display-only")]


def _short(value: Value) -> str:
    return f"a {value.kind} of {value.length}" if isinstance(value, Items) and (value.length > 6 or tensors_in(value)) else _full(value)


def _full(value: Value | None) -> str:
    if isinstance(value, TensorFacts):
        where = "" if value.layout == "strided" else f" {value.layout}"
        held = (
            f" with values from {value.values.low} to {value.values.high}"
            if value.values is not None and value.values.low is not None
            else ""
        )
        return f"{tensor_text(value)}{where}{held}"
    if isinstance(value, Items) and value.kind != "dict" and not tensors_in(value):
        inside = ", ".join(value_text(item) for item in value.items[:8]) + (", …" if value.length > 8 else "")
        return f"[{inside}]" if value.kind == "list" else f"({inside}{',' if value.length == 1 else ''})"
    return value_text(value)
