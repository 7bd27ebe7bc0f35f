"""A module's constructor does not run, or not in the order that `nn.Module` needs.

Erroneous code (TW0701):

```python
{example}
```

Why: `nn.Module.__init__` makes the tables in which a module keeps its layers, so `super().__init__()` comes first in
every constructor; only then can layers and parameters be assigned. A constructor that is called anything but
`__init__` (with two underscores on each side) never runs: the module stays empty, its layers don't exist, and an
optimizer finds no parameters. A layer bound to a plain variable is lost when the constructor ends.

Fix: `super().__init__()` as the first statement of `__init__`; spell `__init__` so; assign layers to `self`.

Messages: `cannot assign module before Module.__init__() call`; `'Net' object has no attribute '_parameters'`; `'Net'
object has no attribute 'fc'`; `Net.__init__() takes 1 positional argument but 2 were given`; `optimizer got an empty
parameter list`; `cannot assign 'torch.FloatTensor' as parameter 'weight' (torch.nn.Parameter or None expected)`;
`super(type, obj): obj must be an instance or subtype of type`.

Not to be confused with: `module.unregistered`, where the layers exist but are kept in a list or dict that torch does
not look into.
"""

from __future__ import annotations

import ast
import re
from difflib import get_close_matches

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, Label, ModuleFacts, Span
from ...reason import edits
from ...reason.assigned import refused
from ...reason.constructors import calls_misnamed, failing_class, generated, init_frame, misnamed, only_local, set_up, set_up_first
from ...reason.emptied import emptied
from ...reason.holdings import class_of, lineage, method_of
from ...reason.members import constructor_of, header, shown
from ...reason.reading import Reading, reading
from ...reason.source import SourceFile
from ...reason.told import tell, text_at
from ...reason.wording import code, first_fitting, place

_MODULE = "torch/nn/modules/module.py"
_TABLES = r"_(?:parameters|buffers|modules|\w{0,40}hooks\w{0,40}|non_persistent_buffers_set)"
Said = dict[str, str]
Class = tuple[SourceFile, ast.ClassDef]


class Init(Family):
    code = "TW0701"
    title = "a module's constructor does not run as `nn.Module` needs"
    triggers = (
        Trigger(r"cannot assign (?P<early>module|parameters?|buffer)s? before Module\.__init__\(\) call"),
        Trigger(rf"'(?P<cls>\w+)' object has no attribute '(?P<table>{_TABLES})'", ("AttributeError",)),
        Trigger(r"'(?P<cls>\w+)' object has no attribute '(?P<attribute>\w+)'", ("AttributeError",), _MODULE),
        Trigger(
            r"\b(?P<cls>\w+)\.__init__\(\) (?P<arguments>takes 1 positional argument but|got an unexpected keyword argument)",
            ("TypeError",),
            _MODULE,
        ),
        Trigger(r"(?P<empty>optimizer got an empty parameter list)"),
        Trigger(
            r"(?P<parent>super\(type, obj\): obj must be an instance or subtype of type|'super' object has no attribute '\w+__init'"
            r"|descriptor '__init__' of 'super' object needs an argument"
            r"|Module\.__init__\(\) missing 1 required positional argument: 'self')"
        ),
        Trigger(
            r"cannot assign '(?P<given>[\w.]+)'(?: object)? (?:as|to) (?P<what>parameter|child module|buffer) '(?P<member>\w+)'",
            ("TypeError",),
        ),
    )
    rank = 1

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run, said = reading(evidence), {k: v for k, v in match.groupdict().items() if v is not None}
        answers = {
            "early": self._early,
            "table": self._early,
            "attribute": self._attribute,
            "arguments": self._arguments,
            "empty": self._empty,
            "parent": self._parent,
            "given": self._given,
        }
        return next((answers[key](run, said) for key in answers if key in said), None)

    # ── nn.Module is not set up ───────────────────────────────────────────────────────────────────────────────────────
    def _early(self, run: Reading, said: Said) -> Diagnosis | None:
        if run.raised.file == "<string>" and (by_dataclass := generated(run)) is not None:
            return tell(run, self, by_dataclass)
        found = failing_class(run, said.get("cls", ""))
        setting = set_up(run, *found) if found is not None else None
        line = code(run.sources.line_text(run.raised.file, run.raised.line).strip())
        if found is None or setting is None or setting.state == "fine":
            name = code(said["cls"]) if "cls" in said else "a module"
            told = f"{name} is used before `super().__init__()` has run"
            return run.diagnosis(
                self, told, None, notes=[f"{line} needs it first"], fixes=[Fix("call `super().__init__()` first", (), "display-only")]
            )
        name = found[1].name
        texts = {
            "missing": (f"{code(name + '.__init__')} never calls `super().__init__()`", "no super().__init__() in it"),
            "late": (f"{code(name + '.__init__')} assigns to `self` before `super().__init__()`", "comes before super().__init__()"),
            "uncalled": (f"{code(name + '.__init__')} names `super().__init__` without calling it", "no call"),
            "unbound": (f"{code(run.sources.segment(setting.call) if setting.call else '')} sets up no {code(name)}", "an unbound super"),
        }  # fmt: skip
        headline, because = texts[setting.state]
        at = header(setting.source, setting.init.lineno, "__init__")
        inside = run.raised.function.rpartition(".")[2] == "__init__" and "early" in said
        cause = setting.call if setting.state in ("uncalled", "unbound") else run.raised if inside else at
        notes = [f"{line} at {place(run.raised)} needs the tables that `nn.Module.__init__` makes"]
        if setting.state == "late" and setting.call is not None:
            notes.append(f"`super().__init__()` comes later, at {place(setting.call)}")
        if setting.state == "missing":
            notes.append(f"the constructor at {place(at)} has no `super().__init__()`")
        return run.diagnosis(
            self,
            headline,
            cause,
            because,
            notes=notes,
            fixes=[Fix("call `super().__init__()` first in the constructor", set_up_first(run.sources, setting), "safe")],
            confidence=Confidence.CERTAIN,
        )

    def _parent(self, run: Reading, said: Said) -> Diagnosis | None:
        frame = init_frame(run)
        if frame is None or frame.module is None:
            return None
        found = failing_class(run)
        name = found[1].name if found is not None else "the class"
        statement = run.sources.statement_at(run.raised.file, run.raised.line)
        span = run.sources.span_of(run.raised.file, statement) if isinstance(statement, ast.Expr) else run.raised
        line = run.sources.segment(span)
        told = f"{code(line)} is no call of the parent's constructor of {code(name)}"
        return run.diagnosis(
            self,
            first_fitting(told, f"{code(name)} does not call its parent's constructor"),
            span,
            "not the parent's constructor",
            notes=[f"{code(name)} is set up by `super().__init__()`, without a class in `super()`", said["parent"]],
            fixes=[Fix("call `super().__init__()`", edits.replace_text(span, "super().__init__()") if "init" in line else (), "safe")],
            confidence=Confidence.CERTAIN,
        )

    # ── the constructor never ran, or lost a layer ────────────────────────────────────────────────────────────────────
    def _misnamed(self, run: Reading, found: Class, headline: str, notes: list[str]) -> Diagnosis | None:
        wrong = misnamed(run, *found, "__init__")
        if wrong is None or method_of(found[1], "__init__") is not None:
            return None
        more = [
            f"{code(wrong.name)} at {place(wrong.span)} is misspelled: the constructor is `__init__`, with two underscores on each side",
            f"{code(wrong.name)} is never called, so `nn.Module.__init__` alone runs",
        ]
        changed = [wrong.span, *calls_misnamed(run, found[1], found[0], wrong.name)]
        fix = Fix("name it `__init__`", tuple(e for s in changed for e in edits.replace_text(s, "__init__")), "safe")
        return run.diagnosis(
            self, headline, wrong.span, "not `__init__`", notes=[*more, *notes], fixes=[fix], confidence=Confidence.CERTAIN
        )

    def _empty(self, run: Reading, said: Said) -> Diagnosis | None:
        reason = emptied(run)
        if reason.why != "no-layers" or reason.module is None:
            return None
        module, name = reason.module, reason.module.kind
        found = class_of(run.sources, module)
        notes = [f"{code(reason.expression)} gives no parameter: {code(module.fqn)} is a {code(name)} without layers"]
        wrong = misnamed(run, *found, "__init__") if found is not None else None
        if found is not None and wrong is not None:
            headline = f"the constructor of {code(name)} is called {code(wrong.name)}: it never ran, no layers exist"
            diagnosis = self._misnamed(
                run, found, first_fitting(headline, f"{code(name)} has no layers: {code(wrong.name)} is no constructor"), notes
            )
            if diagnosis is not None:
                return diagnosis
        lost, built = only_local(run, module), constructor_of(run, module)
        if lost:
            return self._lost(run, module, lost, f"{code(name)} has no parameters: its layers are local variables", notes)
        cause = (
            header(built[0], built[1].lineno, "__init__")
            if built is not None
            else module.defined or (module.built[0] if module.built else None)
        )
        notes.append(
            f"the constructor at {place(cause)} assigns no layer to `self`"
            if built is not None
            else f"{code(name)} has no constructor of its own"
        )
        return run.diagnosis(
            self,
            f"{code(module.fqn)} has no parameters: nothing to train",
            cause,
            "assigns no layer",
            trail=[Label(reason.made, "no parameters"), Label(run.raised, "raised here")]
            if reason.made is not None and reason.made != run.raised
            else (),
            notes=notes,
            fixes=[Fix(f"make the layers in the constructor of {code(name)} and assign them to `self`", (), "display-only")],
        )

    def _lost(self, run: Reading, module: ModuleFacts, lost: list[tuple[str, Span]], headline: str, notes: list[str]) -> Diagnosis:
        name, span = lost[0]
        fix = tuple(e for _, at in lost for e in edits.wrap(run.sources, at, "self.", ""))
        verb = "are plain variables" if len(lost) > 1 else "is a plain variable"
        more = f"{shown([n for n, _ in lost])} at {place(span)} {verb}: gone when the constructor ends"
        return run.diagnosis(
            self, headline, span, "a local variable", notes=[more, *notes], fixes=[Fix(f"assign to {code('self.' + name)}", fix, "safe")]
        )

    def _attribute(self, run: Reading, said: Said) -> Diagnosis | None:
        attribute, name = said["attribute"], said["cls"]
        found = failing_class(run, name)
        own = next((m for m in run.evidence.modules if m.kind == name and (run.frame is None or run.frame.module in (m.id, None))), None)
        headline = f"{code(name)} has no {code(attribute)}"
        if found is None:
            return self._wrapped(run, said, own)
        read = code(text_at(run, run.raised))
        diagnosis = self._misnamed(
            run, found, f"{headline}: its constructor never ran", [f"{read} at {place(run.raised)} needs {code(attribute)}"]
        )
        if diagnosis is not None:
            return diagnosis
        hidden = next((f for s, c in lineage(run.sources, *found) if (f := method_of(c, attribute)) is not None), None)
        if hidden is not None:
            return run.diagnosis(
                self,
                f"the property {code(attribute)} of {code(name)} raised an AttributeError of its own",
                header(found[0], hidden.lineno),
                "raised inside",
                notes=["a property that raises AttributeError looks like a missing attribute of a module"],
            )
        lost = [pair for pair in (only_local(run, own) if own is not None else []) if pair[0] == attribute]
        if own is not None and lost:
            return self._lost(run, own, lost, f"{headline}: the layer is a local variable of the constructor", [])
        return self._never(run, said, found, own, headline)

    def _never(self, run: Reading, said: Said, found: Class, own: ModuleFacts | None, headline: str) -> Diagnosis:
        """Nobody assigned it: perhaps it has another name, or is assigned in a branch or method that did not run."""
        attribute = said["attribute"]
        assigned = {
            n.attr: (s, n)
            for s, c in lineage(run.sources, *found)
            for n in ast.walk(c)
            if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)
        }
        held = [name for name, _ in own.children] if own is not None else []
        near = get_close_matches(attribute, [*held, *assigned], 1, 0.6)
        at = run.raised
        if attribute in assigned:
            source, node = assigned[attribute]
            at = source.span(node)
            told = f"{headline}: the line that assigns it did not run"
            return run.diagnosis(
                self,
                told,
                at,
                "did not run",
                notes=[f"{code(attribute)} is assigned at {place(at)}, in {code(at.function or '?')}"],
                fixes=[Fix("assign it in `__init__`, in every case", (), "display-only")],
            )
        notes = [f"the constructor assigns {shown(held) or 'no layer'}" if own is not None else ""]
        fixes = []
        if near:
            notes.append(f"its {code(near[0])} has nearly that name")
            line = edits.replace_text(Span(at.file, at.end_line, at.end_column - len(attribute), at.end_line, at.end_column), near[0])
            fixes = [Fix(f"use {code(near[0])}", line if run.sources.segment(at).endswith(attribute) else (), "unsafe")]
        return run.diagnosis(self, f"{headline}: it is assigned nowhere", at, "assigned nowhere", notes=notes, fixes=fixes)

    def _wrapped(self, run: Reading, said: Said, own: ModuleFacts | None) -> Diagnosis | None:
        """Torch's own containers and wrappers: `DataParallel` keeps the model as `module`."""
        attribute, name = said["attribute"], said["cls"]
        inner = next(
            (m for m in run.evidence.modules if attribute in (dict(m.children).keys() | set(m.methods) | {a.name for a in m.settings})),
            None,
        )
        way = next((n for n, child in own.children if inner is not None and child == inner.id), "") if own is not None else ""
        if not way and name not in ("DataParallel", "DistributedDataParallel"):
            return run.diagnosis(
                self, f"a {code(name)} has no {code(attribute)}", run.raised, "no such attribute", confidence=Confidence.POSSIBLE
            )
        way = way or "module"
        at, text = run.raised, text_at(run, run.raised)
        fix = edits.replace_text(at, f"{text.removesuffix('.' + attribute)}.{way}.{attribute}") if text.endswith("." + attribute) else ()
        return run.diagnosis(
            self,
            f"{code(attribute)} is the wrapped model's: {code(name)} keeps that as {code(way)}",
            at,
            f"{name}, not the model",
            fixes=[Fix(f"go through {code('.' + way)}", fix, "safe")],
        )

    def _arguments(self, run: Reading, said: Said) -> Diagnosis | None:
        """`nn.Module.__init__` itself got arguments: by a `super().__init__(x)`, or meant for a constructor that is misspelled."""
        frame = init_frame(run)
        if frame is not None and frame is run.frame:
            call = run.sources.call_at(run.raised)
            told = f"`super().__init__` of {code(said['cls'])} passes arguments on to `nn.Module`, which takes none"
            source = run.sources.file(run.raised.file)
            fix = edits.replace_text(run.raised, f"{source.segment(call.func)}()") if source is not None and call is not None else ()
            return run.diagnosis(
                self, told, run.raised, "arguments to nn.Module", fixes=[Fix("pass none", fix, "unsafe")], confidence=Confidence.CERTAIN
            )
        found = failing_class(run, said["cls"])
        if found is None:
            return None
        text = code(text_at(run, run.raised))
        headline = f"{code(said['cls'])} has no constructor that takes these arguments"
        wrong = misnamed(run, *found, "__init__")
        if wrong is not None:
            headline = first_fitting(f"the constructor of {code(said['cls'])} is called {code(wrong.name)}: it never runs", headline)
        diagnosis = self._misnamed(
            run, found, headline, [f"{text} at {place(run.raised)} passes arguments that `nn.Module.__init__` doesn't take"]
        )
        at = header(found[0], found[1].lineno)
        return diagnosis or run.diagnosis(
            self, headline, at, "no __init__", notes=[f"{text} at {place(run.raised)} reaches `nn.Module.__init__`"]
        )

    def _given(self, run: Reading, said: Said) -> Diagnosis | None:
        return tell(run, self, refused(run, said["what"], said["member"], said["given"]))

    examples = (
        Example(
            {
                "train.py": """\
import torch
from model import Speaker

model = Speaker()
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
""",
                "model.py": """\
from torch import nn


class Speaker(nn.Module):
    def _init_(self):  #~ cause
        super()._init_()
        self.voice = nn.Linear(40, 8)

    def forward(self, frames):
        return self.voice(frames).mean(1)
""",
            },
            says=("Speaker", "`_init_`", "`__init__`", "never", "underscores", "model.parameters()"),
            becomes="def __init__(self):",
        ),
        Example(
            {
                "noise.py": """\
import torch
from torch import nn


class Noise(nn.Module):
    def __init__(self, strength):
        self.strength = strength
        self.scale = nn.Parameter(torch.ones(1))  #~ cause
        super().__init__()


layers = [Noise(s / 10) for s in range(3)]
"""
            },
            says=("Noise.__init__", "super().__init__()", "noise.py:9"),
        ),
    )
    near_misses = (
        NearMiss({"no.py": "class Plain:\n    pass\n\n\nprint(Plain().width)\n"}),
        NearMiss({"ok.py": "from torch import nn\n\n\nclass Net(nn.Module):\n    pass\n\n\nprint(list(Net().parameters()))\n"}),
        NearMiss(
            {
                "list.py": """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.parts = [nn.Linear(2, 2)]


net = Net()
torch.optim.SGD(net.parameters(), lr=0.1)
"""
            },
            belongs_to="module.unregistered",
        ),
    )
