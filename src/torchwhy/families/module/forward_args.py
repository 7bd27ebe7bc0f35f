"""A module is called with other arguments than its `forward` takes, or has no `forward`.

Erroneous code (TW0703):

```python
{example}
```

Why: `model(x)` runs `model.forward(x)`: the call must pass what `forward` asks for, by number and by name. A
`Sequential` passes one value from layer to layer; recurrent layers and attention give a tuple, of which the next
layer needs one part. `nn.ReLU(x)` and `nn.CrossEntropyLoss(x, y)` build a layer with the data as its settings instead
of running one. A `forward` that is misspelled, or indented into another method, is not there.

Fix: pass what `forward` takes; unpack a tuple (`out, hidden = lstm(x)`); build layers once and call them:
`nn.CrossEntropyLoss()(x, y)`.

Messages: `Net.forward() missing 1 required positional argument: 'mask'`; `takes 2 positional arguments but 3 were
given`; `Module [Net] is missing the required "forward" function`; `linear(): argument 'input' (position 1) must be
Tensor, not tuple`; `Boolean value of Tensor with more than one value is ambiguous` (from a layer's constructor).

Not to be confused with: `shape.unpack`, where a tuple is taken apart into the wrong number of names.
"""

from __future__ import annotations

import ast
import re
from difflib import get_close_matches

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, Items, Label, ModuleFacts, OpRecord, Span, Value, tensors_in
from ...reason import edits
from ...reason.built import as_settings, as_value, nothing_returned
from ...reason.calls import frames_below
from ...reason.constructors import misnamed
from ...reason.definitions import as_method
from ...reason.holdings import class_of, lineage, method_of
from ...reason.layer_edits import layer_by_layer
from ...reason.links import made_at
from ...reason.members import header
from ...reason.reading import Reading, named, reading
from ...reason.siblings import given_elsewhere
from ...reason.signatures import fields
from ...reason.told import tell, text_at
from ...reason.wording import code, first_fitting, listed, place, plural, value_text

_MODULE = "torch/nn/modules/module.py"
_COUNT = r"takes (?:from \d+ to )?(?P<takes>\d+) positional arguments? but (?P<got>\d+) (?:was|were) given"
_LESS = r"missing \d+ required positional arguments?: (?P<missing>.+)"
_MORE = r"got an unexpected keyword argument '(?P<unexpected>\w+)'"
_KINDS = r"tuple|list|dict|NoneType|str|int|float|[A-Z]\w+"
_TUPLES = ("RNN", "LSTM", "GRU", "MultiheadAttention", "LSTMCell")
Said = dict[str, str]


class ForwardArgs(Family):
    code = "TW0703"
    title = "a module is called with other arguments than its forward takes"
    triggers = (
        Trigger(
            rf"\b(?P<cls>\w+)\.forward\(\) (?:{_COUNT}|{_LESS}|{_MORE}|got multiple values for argument '(?P<twice>\w+)')", ("TypeError",)
        ),
        Trigger(rf"^forward\(\) (?:{_COUNT}|{_LESS}|{_MORE})", ("TypeError",), _MODULE),
        Trigger(r"Module \[(?P<cls>\w+)\] is missing the required \"(?P<lacks>forward)\" function"),
        Trigger(
            rf"\b(?P<op>\w+)\(\): argument '(?P<parameter>\w+)' \(position \d+\) must be Tensor, not (?P<kind>{_KINDS})$", ("TypeError",)
        ),
        Trigger(rf"\b(?P<op>\w+)\(\) received an invalid combination of arguments - got \((?P<kind>{_KINDS})[,)]", ("TypeError",)),
        Trigger(r"'(?P<kind>tuple|list|dict|NoneType)' object has no attribute '(?P<attribute>\w+)'", ("AttributeError",)),
        Trigger(r"(?P<settings>Boolean value of Tensor with more than one value is ambiguous)"),
    )
    rank = 1

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run, said = reading(evidence), {k: v for k, v in match.groupdict().items() if v is not None}
        if "settings" in said:
            return tell(run, self, as_settings(run))
        if "lacks" in said:
            return self._no_forward(run, said["cls"])
        if "kind" in said:
            return self._no_tensor(run, said)
        return self._other_arguments(run, said)

    # ── the call and the signature ────────────────────────────────────────────────────────────────────────────────────
    def _other_arguments(self, run: Reading, said: Said) -> Diagnosis | None:
        module = self._called(run, said.get("cls", ""))
        name = named(run, module) if module is not None else code(said.get("cls", "the module"))
        takes = self._signature(run, module)
        shown_call = code(text_at(run, run.raised))
        if "missing" in said:
            told = f"{name} is called without {said['missing'].replace(chr(39), '`')}"
        elif "unexpected" in said:
            told = f"{name} is called with {code(said['unexpected'])}, which its `forward` doesn't take"
        elif "got" in said:
            told = f"{name} takes {plural(int(said['takes']) - 1, 'input')} and is called with {int(said['got']) - 1}"
        else:
            told = f"{name} gets {code(said.get('twice', 'an argument'))} twice"
        holder = self._sequence_around(run, module)
        notes = [f"{shown_call} at {place(run.raised)}", f"`forward` of {name} takes {listed([code(n) for n in takes])}" if takes else ""]
        if module is not None and module.defined is not None and (own := class_of(run.sources, module)) is not None:
            forward = next((f for _, c in lineage(run.sources, *own) if (f := method_of(c, "forward")) is not None), None)
            notes.append(f"it is defined at {place(header(own[0], forward.lineno))}" if forward is not None else "")
        cause, because, fixes = run.raised, "its arguments", self._call_fixes(run, said, takes)
        if module is not None and module.kind == "Sequential":
            notes.append("an `nn.Sequential` passes exactly one value from layer to layer")
            fixes = [Fix("call its layers in a loop, with all inputs", layer_by_layer(run, run.raised))]
        elif holder is not None and holder.built:
            cause, because = holder.built[0], "passes one value"
            notes.append(
                f"{named(run, holder)} at {place(cause)} is an `nn.Sequential`, which passes exactly one value from layer to layer"
            )
            fixes = [Fix(f"call {name} outside of the `nn.Sequential`, with all its inputs", (), "display-only")]
        trail = [Label(cause, because), Label(run.raised, "raised here")] if cause != run.raised else ()
        return run.diagnosis(
            self,
            first_fitting(told, f"{name} is called with other arguments than it takes"),
            cause,
            because,
            trail=trail,
            notes=notes,
            fixes=fixes,
            confidence=Confidence.CERTAIN if module is not None else Confidence.LIKELY,
        )

    def _called(self, run: Reading, kind: str) -> ModuleFacts | None:
        """The module whose call failed: that of the innermost `_call_impl`."""
        frame = next((f for f in reversed(run.failure.frames) if f.module is not None and f.span.function.endswith("_call_impl")), None)
        module = run.history.module(frame.module) if frame is not None else None
        return module if module is not None and kind in ("", module.kind) else None

    def _sequence_around(self, run: Reading, module: ModuleFacts | None) -> ModuleFacts | None:
        """The `Sequential` that made the call, where one did."""
        below = [f for f in frames_below(run.failure) if f.span.function.endswith("Sequential.forward") and f.module is not None]
        holder = run.history.module(below[-1].module) if below else None
        return holder if holder is not None and module is not None and holder.id != module.id else None

    def _signature(self, run: Reading, module: ModuleFacts | None) -> list[str]:
        own = class_of(run.sources, module) if module is not None else None
        for _, cls in lineage(run.sources, *own) if own is not None else ():
            if (forward := method_of(cls, "forward")) is not None:
                return fields(forward)
        return []

    def _call_fixes(self, run: Reading, said: Said, takes: list[str]) -> list[Fix]:
        if "unexpected" in said and (near := get_close_matches(said["unexpected"], takes, 1)):
            call, source = run.sources.call_at(run.raised), run.sources.file(run.raised.file)
            keyword = next((k for k in call.keywords if k.arg == said["unexpected"]), None) if call is not None else None
            if keyword is not None and source is not None:
                text = source.segment(keyword.value)
                whole = source.span(keyword.value)
                start = Span(
                    whole.file, keyword.lineno, source.column(keyword.lineno, keyword.col_offset), whole.end_line, whole.end_column
                )
                return [Fix(f"call it {code(near[0])}, as `forward` does", edits.replace_text(start, f"{near[0]}={text}"), "safe")]
        if "missing" in said:
            told = f"pass {said['missing'].replace(chr(39), '`')}, or give it a default in `forward`"
            passed = list(given_elsewhere(run.sources, run.raised))[:1]
            return [*passed, Fix(told)]
        return [Fix("make the call and `forward` agree", (), "display-only")]

    # ── no forward ────────────────────────────────────────────────────────────────────────────────────────────────────
    def _no_forward(self, run: Reading, kind: str) -> Diagnosis:
        module = self._called(run, kind)
        name = named(run, module) if module is not None else code(kind)
        own = class_of(run.sources, module) if module is not None else None
        if kind in ("ModuleList", "ModuleDict"):
            return run.diagnosis(
                self,
                f"{name} is an `nn.{kind}`, which holds layers and can't be called",
                run.raised,
                "can't be called",
                notes=[
                    f"{code(text_at(run, run.raised))} calls it",
                    f"built at {place(module.built[0])}" if module is not None and module.built else "",
                ],
                fixes=[
                    Fix("call its layers one by one in a loop", layer_by_layer(run, run.raised) if kind == "ModuleList" else (), "safe")
                ],
                confidence=Confidence.CERTAIN,
            )
        headline = f"{code(kind)} has no `forward`"
        if own is None:
            return run.diagnosis(self, headline, None, notes=[f"{code(text_at(run, run.raised))} calls it"])
        source, cls = own
        wrong = misnamed(run, source, cls, "forward")
        notes = [f"{code(text_at(run, run.raised))} at {place(run.raised)} calls {name}"]
        if wrong is not None:
            notes.append(f"{code(wrong.name)} at {place(wrong.span)} is nearly that, but torch calls `forward`")
            return run.diagnosis(
                self,
                first_fitting(f"{headline}: its method is called {code(wrong.name)}", headline),
                wrong.span,
                "not `forward`",
                notes=notes,
                fixes=[Fix("name it `forward`", edits.replace_text(wrong.span, "forward"), "safe")],
                confidence=Confidence.CERTAIN,
            )
        inner = next(
            (n for n in ast.walk(cls) if isinstance(n, ast.FunctionDef) and n.name == "forward" and source.parents.get(n) is not cls), None
        )
        if inner is not None:
            outer = source.function(inner)
            notes.append(
                f"`forward` at {place(header(source, inner.lineno))} stands inside of {code(outer.name if outer is not None else '?')}"
            )
            return run.diagnosis(
                self,
                f"{headline} of its own: it is indented into another method",
                header(source, inner.lineno),
                "inside of another method",
                notes=notes,
                fixes=[Fix("indent it as a method of the class", as_method(source, inner), "safe")],
                confidence=Confidence.CERTAIN,
            )
        methods = [n.name for n in cls.body if isinstance(n, ast.FunctionDef)]
        notes.append(f"it defines {listed([code(m) for m in methods]) or 'no method'}")
        return run.diagnosis(
            self,
            headline,
            header(source, cls.lineno),
            "no `forward`",
            notes=notes,
            fixes=[Fix(f"define `forward` in {code(kind)}", (), "display-only")],
        )

    # ── something that is no tensor ───────────────────────────────────────────────────────────────────────────────────
    def _no_tensor(self, run: Reading, said: Said) -> Diagnosis | None:
        """A layer gets a tuple, None or a layer: followed back to the call that gave it."""
        kind, value = said["kind"], self._value(run, said["kind"])
        part = self._written(run, kind)
        span = made_at(run, part) if part is not None else None
        giver = code(run.sources.segment(span)) if span is not None else ""
        if kind[:1].isupper() and kind != "NoneType":
            return tell(run, self, as_value(run, kind, span))
        if kind == "NoneType":
            return tell(run, self, nothing_returned(run, part, span))
        maker = self._maker(run, value)
        is_call = any(f.span.function.endswith("_call_impl") for f in frames_below(run.failure))
        if value is None and is_call:
            return run.diagnosis(self, f"{code(said.get('op', 'a layer'))} gets a {kind} where a tensor is due", None, notes=[giver])
        if value is None or not tensors_in(value) or maker is None and not is_call:
            return None
        name = code(run.sources.segment(part)) if part is not None else giver or f"the {kind}"
        layer = run.layer or run.module if is_call else None
        taker = (
            named(run, layer)
            if layer is not None and is_call
            else code(said.get("attribute") and "." + said["attribute"] or said.get("op", "the op"))
        )
        holder = self._sequence_around(run, layer)
        by = f", what {named(run, maker)} gave," if maker is not None else ""
        headline = first_fitting(
            f"{taker} gets a {kind}: {name} is {value_text(value)}",
            f"{taker} gets a {kind}{by} where a tensor is due",
            f"{taker} gets a {kind} where a tensor is due",
        )
        notes = [f"{name} is {value_text(value)}"]
        if maker is not None:
            notes.append(
                f"{named(run, maker)} ({maker.kind}) returns a {kind}" + ("; its first part is the output" if maker.kind in _TUPLES else "")
            )
        if holder is not None and holder.built and maker is not None and part is None:
            notes.append(f"{named(run, holder)} passes the whole {kind} on to the next layer")
            span = holder.built[0]
        return run.diagnosis(
            self,
            headline,
            span or run.raised,
            f"a {kind} from here on",
            notes=notes,
            fixes=self._unpacking(run, span, part, value),
            confidence=Confidence.LIKELY if span is not None else Confidence.POSSIBLE,
        )

    def _value(self, run: Reading, kind: str) -> Items | None:
        """The tuple (list, …) itself: an argument of the failing op, or a local variable of the failing frame."""
        values = [a.value for a in (run.op.arguments if run.op is not None else ())]
        values += [a.value for f in reversed(run.failure.frames[-2:]) for a in f.locals if a.name not in ("args", "kwargs")]
        found = [v for v in values if isinstance(v, Items) and v.kind == kind]
        return found[0] if found else None

    def _written(self, run: Reading, kind: str) -> Span | None:
        """Where the program wrote it: the receiver of the failing method, else the argument of the failing call."""
        node, source = run.sources.node_at(run.raised), run.sources.file(run.raised.file)
        if source is None or node is None:
            return None
        if isinstance(node, ast.Attribute):
            return source.span(node.value)
        call = run.sources.call_at(run.raised)
        if call is None or not call.args or isinstance(call.args[0], ast.Starred):
            return None
        inner = self._sequence_around(run, run.layer or run.module)
        return None if inner is not None else source.span(call.args[0])

    def _maker(self, run: Reading, value: Value | None) -> ModuleFacts | None:
        """The module that returned the tuple: the innermost one under which its tensors were made and that is not running any more."""
        for tensor in tensors_in(value) if value is not None else ():
            op: OpRecord | None = run.history.producer(tensor, run.before)
            module = run.history.module(op.module) if op is not None else None
            if module is not None and module.id not in {f.module for f in run.failure.frames}:
                return module
        return None

    def _unpacking(self, run: Reading, span: Span | None, part: Span | None, value: Items) -> list[Fix]:
        if part is None:
            return [
                Fix(f"put a layer between that gives on one tensor of the {value.kind}, or call the layers one by one", (), "display-only")
            ]
        if value.keys:
            entry = f"[{next((k for k, v in zip(value.keys, value.items) if tensors_in(v)), '')!r}]".replace("'", '"')
            return [
                Fix(f"pass one of its entries: {code(run.sources.segment(part) + entry)}", edits.append_method(run.sources, part, entry))
            ]
        statement = run.sources.statement_at(span.file, span.line) if span is not None else None
        target = statement.targets[0] if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call) else None
        fixes, source = [], run.sources.file(span.file) if span is not None else None
        if isinstance(target, ast.Name) and source is not None:
            fixes.append(Fix(f"take it apart: {code(target.id + ', _ = …')}", edits.replace_text(source.span(target), f"{target.id}, _")))
        if isinstance(run.sources.node_at(part), (ast.Tuple, ast.List)):
            return [*fixes, Fix("join its parts with `torch.cat`, or pass them as arguments of their own", (), "display-only")]
        text = run.sources.segment(part)
        return [*fixes, Fix(f"pass its first part: {code(text + '[0]')}", edits.append_method(run.sources, part, "[0]"))]

    examples = (
        Example(
            {
                "tag.py": """\
import torch
from tagger import Tagger

model = Tagger(12, 5)
scores = model(torch.rand(3, 7, 12))
""",
                "tagger.py": """\
from torch import nn


class Tagger(nn.Module):
    def __init__(self, width, labels):
        super().__init__()
        self.reader = nn.GRU(width, 16, batch_first=True)
        self.label = nn.Linear(16, labels)

    def forward(self, words):
        states = self.reader(words)  #~ cause
        return self.label(states)
""",
            },
            says=("model.label", "tuple", "self.reader", "GRU", "[3, 7, 16]"),
            becomes="states, _ = self.reader(words)",
        ),
        Example(
            {
                "blocks.py": """\
import torch
from torch import nn


class Mix(nn.Module):
    def forward(self, left, right):
        return left + right


net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), Mix())  #~ cause
net(torch.rand(2, 4))
"""
            },
            says=("net.2", "`right`", "Sequential", "one value"),
        ),
        Example(
            {
                "loss.py": """\
import torch
from torch import nn

guess, truth = torch.rand(6), torch.rand(6)
loss = nn.MSELoss(guess, truth)  #~ cause
"""
            },
            says=("nn.MSELoss", "`guess`", "`truth`", "settings"),
            becomes="loss = nn.MSELoss()(guess, truth)",
        ),
    )
    near_misses = (
        NearMiss({"no.py": "import torch\n\nx = torch.rand(3)\nif x > 0.5:\n    print(x)\n"}),
        NearMiss({"no.py": "options = None\nprint(options.depth)\n"}),
    )
