"""Which argument of a failing call is the wrong one, and in what: from the call, its signature, torch's words and the changes that were tried.

The rules, first that applies:
 1. the text names the parameter in the form that argument parsers use (`argument 'dim'`, an unexpected or missing keyword, `!float!` marks)
 2. one parameter whose change alone makes the call work: the one that the text names or whose value it quotes, where there are several
 3. the one parameter that the text names, or whose value it quotes
 4. the one whose change has torch complain of something else
Nothing is said where none of them leaves an answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ..model import Call, Change, Items, Parameter, Plain, TensorFacts, Value, tensors_in
from .wording import dtype_name

What = Literal[
    "device", "layout", "dtype", "rank", "size", "values", "grad", "value", "type", "left out", "missing", "unexpected", "surplus", "said"
]
_STRONG = {"device": 5, "layout": 3, "dtype": 5, "rank": 5, "size": 5, "values": 4, "grad": 4, "value": 5, "type": 3, "left out": 3}
"""How much it says of a parameter that a change of this kind makes the call work."""
_NEAREST = ("device", "size", "rank", "value", "values", "grad", "layout", "dtype", "type", "left out")
"""Of several such kinds for one parameter the one to tell; another dtype may only hide what is wrong."""
_SPOKEN = {
    "device": r"device",
    "layout": r"layout|sparse|strided?\b|contiguous|expand",
    "dtype": r"dtype|scalar type|\b(?:Float|Double|Half|Long|Int|Bool|Byte|Char|Short|BFloat16|Complex\w*)\b|floating|integ|complex|bool|implemented for",
    "rank": r"dim|shape|\b\d-?D\b|matri|vector|rank|scalar",
    "size": r"dim|shape|size|length|elements|channels|broadcast|match|divisible",
    "values": r"value|negative|positive|range|\bnan\b|\binf\b|singular|between|constraint|ind(?:ex|ices)|sorted|zero|unique|sum to|monotonic",
    "grad": r"grad|leaf",
}
"""Words by which a message speaks of such a property."""
_OF_VALUES = re.compile(r"invalid value|negative|positive|constraint|singular|\bnan\b|sorted|monoton|[<>]=?\s", re.IGNORECASE)
"""Words that are of values, whatever else the message names."""
_COMMON = (
    "input",
    "size",
    "other",
    "values",
    "value",
    "type",
    "data",
    "index",
    "output",
    "out",
    "dim",
    "shape",
    "target",
    "length",
    "source",
)
_UNEXPECTED = re.compile(r"(?:unexpected|[Uu]nknown) keyword argument '?(?P<name>\w+)|keywords were incorrect: (?P<words>[\w, ]+)")
_MISSING = re.compile(
    r"missing \d+ required (?:positional|keyword-only) arguments?: '(?P<name>\w+)|missing (?:a )?(?:value for )?(?:required )?argument:? '?(?P<other>\w+)|missing \d+ required positional arguments?: \"(?P<third>\w+)"
)
_SURPLUS = re.compile(
    r"takes (?:from \d+ to )?(?P<takes>\d+) positional arguments? but (?P<got>\d+)|"
    r"expected at most (?P<most>\d+) argument\(s\) but received (?P<received>\d+)|takes \d+ positional arguments? but (?P<more>\d+)"
)
_SAID = re.compile(r"argument '(?P<name>\w+)'|parameter '?(?P<parameter>\w+)'? |Argument '?#?(?P<old>\w+)'?")


@dataclass(frozen=True, slots=True)
class Wrong:
    """The argument to blame. `instead`: a value with which the call works; `others`: other arguments whose change makes it work too."""

    parameter: Parameter
    what: What
    instead: Value | None = None
    others: tuple[tuple[Parameter, Change], ...] = ()
    tried: bool = False
    """Whether the call was made again with other values."""
    named: bool = False
    """Whether torch's words name it or quote its value."""


def wrong_argument(call: Call, message: str, tried: Sequence[Change] | None) -> Wrong | None:
    """The argument to blame; None where nothing tells them apart."""
    changes = tried or ()
    found = (
        _by_form(call, message, changes)
        or _by_trying(call, message, changes)
        or _mistyped(call)
        or _by_words(call, message)
        or _by_others(call, changes)
        or _tensorless(call)
    )
    if found is not None and found.what in ("value", "left out", "said") and _is_mistyped(found.parameter):
        return replace(found, what="type")
    if found is None or found.what != "said" or not isinstance(found.parameter.value, TensorFacts):
        return found
    properties: tuple[What, ...] = ("device", "dtype", "rank", "size")
    return replace(found, what=next((p for p in properties if re.search(_SPOKEN[p], message)), found.what))


# ── the forms of argument parsers ─────────────────────────────────────────────────────────────────────────────────────
def _by_form(call: Call, message: str, tried: Sequence[Change]) -> Wrong | None:
    if (found := _UNEXPECTED.search(message)) is not None:
        name = found["name"] or (found["words"] or "").split(",")[0].strip()
        return Wrong(parameter(call, name) or Parameter(name, None, True), "unexpected", named=True)
    if (found := _MISSING.search(message)) is not None:
        name = found["name"] or found["other"] or found["third"]
        return Wrong(parameter(call, name) or Parameter(name), "missing", named=True)
    if _SURPLUS.search(message) is not None:
        surplus = [p for p in call.parameters if p.given and p.name.startswith("argument ")]
        return Wrong(surplus[0], "surplus", named=True) if surplus else None
    marked = _marked(call, message) or _by_kind(call, message)
    works = [c for c in tried if c.outcome == "works"]
    if marked is not None:
        return Wrong(marked, "type", _type_instead(marked, works), tried=bool(works), named=True)
    for said in _SAID.finditer(message):
        found_parameter = parameter(call, said["name"] or said["parameter"] or said["old"] or "")
        if found_parameter is not None and (found_parameter.given or not any(p.given for p in call.parameters)):
            mine = [c for c in works if c.parameter == found_parameter.name]
            is_type = "must be" in message and (", not " in message or "of type" in message)
            told = best(mine, message) if mine else None
            what: What = "type" if is_type else told.what if told is not None else "said"
            return Wrong(found_parameter, what, told.instead if told is not None else None, tried=told is not None, named=True)
    return None


def _type_instead(marked: Parameter, works: list[Change]) -> Value | None:
    mine = [c for c in works if c.parameter == marked.name and c.instead is not None]
    return mine[0].instead if mine else None


def _by_kind(call: Call, message: str) -> Parameter | None:
    """The argument of the type that lacks what was asked of it: `'int' object has no attribute 'dim'`."""
    said = re.search(
        r"'(\w+)' object has no attribute '|doesn't apply to an? '(\w+)' object|object of type '(\w+)' has no|expected [\w.]+ \(got (\w+)\)",
        message,
    )
    if said is None:
        return None
    kind = next(filter(None, said.groups()))
    found = [p for p in call.parameters if p.given and isinstance(p.value, (Plain, Items)) and p.value.kind == kind]
    return found[0] if len(found) == 1 or found and "apply" in said[0] else None


def _marked(call: Call, message: str) -> Parameter | None:
    """The argument that the parser marks as of a wrong type (`(Tensor, !float!)`), in the overload that fits best otherwise."""
    lists = re.findall(r"invalid types: \((.{0,600}?)\)\s{0,20}(?:$|\n)", message, re.MULTILINE)
    fewest = min(lists, key=lambda text: text.count("!"), default="")
    parts = _split(fewest)
    wrong = [(number, part) for number, part in enumerate(parts) if "!" in part]
    if not wrong:
        return None
    number, part = wrong[0]
    keyword = re.match(r"!?(\w+)=", part)
    if keyword is not None:
        return parameter(call, keyword[1])
    given = [p for p in call.parameters if p.given]
    shift = len(given) - len(parts)  # a method's tensor is not in the list
    number += shift if call.kind == "method" and shift == 1 else 0
    return given[number] if number < len(given) else None


def _split(text: str) -> list[str]:
    """The parts of a list, at its own commas."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


# ── what was tried ────────────────────────────────────────────────────────────────────────────────────────────────────
def best(changes: Sequence[Change], message: str) -> Change:
    """The change to tell: of a property that the message speaks of first."""
    values = _OF_VALUES.search(message) is not None

    def order(change: Change) -> tuple[bool, bool, int]:
        return not (values and change.what == "values"), not _is_spoken_of(change, message), _NEAREST.index(change.what)

    return min(changes, key=order)


def _is_spoken_of(change: Change, message: str) -> bool:
    return change.what in _SPOKEN and re.search(_SPOKEN[change.what], message) is not None


def _weight(changes: Sequence[Change], message: str) -> float:
    change = best(changes, message)
    return _STRONG[change.what] + (1 if _is_spoken_of(change, message) or change.what not in _SPOKEN else 0)


def _by_trying(call: Call, message: str, tried: Sequence[Change]) -> Wrong | None:
    works = {p.name: found for p in call.parameters if (found := [c for c in tried if c.outcome == "works" and c.parameter == p.name])}
    if not works:
        return None
    candidates = [p for p in call.parameters if p.name in works]
    chosen = max(candidates, key=lambda p: _weight(works[p.name], message) + _in_words(call, p, message) + _standing(p))
    change = best(works[chosen.name], message)
    others = tuple((p, best(works[p.name], message)) for p in candidates if p is not chosen)
    return Wrong(chosen, change.what, change.instead, others, True, _in_words(call, chosen, message) > 0)


def _standing(known: Parameter) -> int:
    """What is rather wrong than others: an `out` that was given must be as the result is; a default is rarely what is wrong."""
    is_default = not known.given or isinstance(known.value, Plain) and known.value.text == known.default
    return 2 if known.name == "out" and known.given else -2 if is_default else 0


def _by_others(call: Call, tried: Sequence[Change]) -> Wrong | None:
    """No single change makes it work; one argument's has torch complain of something else."""
    moved = {c.parameter for c in tried if c.outcome == "other" and c.what not in ("type", "left out")}
    given = [p for p in call.parameters if p.given and p.name in moved]
    return Wrong(given[0], "said", tried=True) if len(given) == 1 else None


def _mistyped(call: Call) -> Wrong | None:
    """The one argument whose type is not the declared one."""
    found = [p for p in call.parameters if p.given and _is_mistyped(p)]
    return Wrong(found[0], "type", named=True) if len(found) == 1 else None


def _is_mistyped(known: Parameter) -> bool:
    kind = known.value.kind if isinstance(known.value, Plain) else ""
    if kind == "str":
        return re.search(r"\b(?:int|float|number|SymInt|Scalar)\b", known.takes) is not None and "str" not in known.takes
    return kind == "float" and re.fullmatch(r"(?:Optional\[)?(?:int|List\[int\]|SymInt)\]?(?: \| None)?", known.takes) is not None


def _tensorless(call: Call) -> Wrong | None:
    """No tensor was given at all, to a function that takes one."""
    given = [p for p in call.parameters if p.given and p.value is not None]
    taking = [p for p in given if "Tensor" in p.takes]
    return Wrong(taking[0], "type") if taking and not any(tensors_in(p.value) for p in given if p.value is not None) else None


# ── torch's words ─────────────────────────────────────────────────────────────────────────────────────────────────────
def _by_words(call: Call, message: str) -> Wrong | None:
    scores = {p.name: _in_words(call, p, message) for p in call.parameters if p.given}
    top = max(scores.values(), default=0)
    first = [name for name, score in scores.items() if score == top]
    if top < 1 or len(first) > 1 and top < 2:
        given = [p for p in call.parameters if p.given and not p.of_constructor]
        tensors = [p for p in given if p.value is not None and tensors_in(p.value)]
        only = tensors if len(given) > 1 or tensors else []
        return Wrong(only[0], "said") if len(only) == 1 else None
    chosen = parameter(call, first[0])
    return Wrong(chosen, "said", named=True) if chosen is not None else None


def _in_words(call: Call, known: Parameter, message: str) -> float:
    """How much the message speaks of this parameter: by name, by its value."""
    score = 0.0
    if len(re.findall(r"\b\w+=", message)) > 3:  # the whole call is repeated
        return score
    for name in filter(None, (known.name, known.also if known.also != "self" else "")):
        if re.search(rf"[`'\"]{re.escape(name)}[`'\"]|\b{re.escape(name)}(?:=|\[|:| =)", message):
            score = max(score, 3.0)
        elif re.search(rf"\b{_stem(name)}", message, re.IGNORECASE) and len(name) > 1:
            score = max(score, 1.0 if name in _COMMON else 2.0)
        elif len(name) > 2 and re.search(rf"\b{re.escape(name)}", message):
            score = max(score, 1.0)
    if re.search(rf"\b{re.escape(known.name)}\b is None", message):
        score += 2
    return score + _quoted(call, known, message)


def _stem(name: str) -> str:
    """`kernel_size` is also the kernel size, `betas` a beta, `lr` the learning rate."""
    if name == "lr":
        return r"(?:lr|learning rate)\b"
    words = r"[ _]?".join(map(re.escape, name.split("_")))
    return rf"{words.removesuffix('s')}s?\b"


def _quoted(call: Call, known: Parameter, message: str) -> float:
    """Whether the message quotes its value, and that of no other argument."""
    mine = _tokens(known.value)
    others = {token for p in call.parameters if p is not known for token in _tokens(p.value)}
    return 1.5 if any(re.search(rf"(?<![\w.]){re.escape(token)}(?![\w.])", message) for token in mine - others) else 0.0


def _tokens(value: Value | None) -> set[str]:
    """How torch would write it: numbers, words, dtypes, shapes."""
    if isinstance(value, Plain):
        if value.kind in ("int", "float", "str") and value.text.strip("'\"") not in ("0", "1", "0.0", "1.0", ""):
            return {value.text.strip("'\""), *([str(value.value)] if value.value is not None else [])}
        return set()
    if isinstance(value, TensorFacts):
        words = {*_DTYPES.get(value.dtype, ()), *([value.device] if value.device != "cpu" else [])}
        shape = ", ".join(map(str, value.shape or ()))
        return words | {f"[{shape}]", "x".join(map(str, value.shape))} if value.shape else words
    if isinstance(value, Items):
        inside = [item.text for item in value.items if isinstance(item, Plain)]
        return (
            {f"({', '.join(inside)})", f"[{', '.join(inside)}]"} | {t for t in inside if len(t) > 1}
            if inside and not tensors_in(value)
            else set()
        )
    return set()


_DTYPES: dict[str, tuple[str, ...]] = {}
for _word in ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool", "ComplexFloat", "ComplexDouble"):
    _DTYPES[dtype_name(_word)] = (_word, f"torch.{dtype_name(_word)}")


def parameter(call: Call, name: str) -> Parameter | None:
    """The parameter of that name, or of which that is another name."""
    found = [p for p in call.parameters if name and name == p.name] + [p for p in call.parameters if name and name == p.also]
    return found[0] if found else None
