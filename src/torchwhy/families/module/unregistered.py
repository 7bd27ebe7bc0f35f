"""A module keeps layers or tensors where torch doesn't look for them.

Erroneous code (TW0702):

```python
{example}
```

Why: `parameters()`, `state_dict()`, `.to(...)`, `.double()` and `.train()` see what was assigned to `self` as a
module, an `nn.Parameter` or a buffer. Layers in a plain list, tuple or dict are none of these, and neither is a plain
tensor: an optimizer doesn't get them, `.to(...)` and `.double()` leave them behind, a checkpoint doesn't hold them.

Fix: `nn.ModuleList([...])` or `nn.ModuleDict({...})` for layers, `nn.ParameterList` for parameters,
`self.register_buffer("name", tensor)` for tensors that are not trained, `nn.Parameter(tensor)` for those that are.

Messages: `optimizer got an empty parameter list`; a dtype or device that differs in a layer of a converted model
(`expected scalar type Double but found Float`, `Input type (torch.cuda.FloatTensor) and weight type
(torch.FloatTensor) should be the same`); `list is not a Module subclass`.

Not to be confused with: `module.init`, where the layers were never made; `dtype.mismatch` and `device.mismatch`,
where the data is at fault.
"""

from __future__ import annotations

import ast
import re
from typing import Literal

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, Label, ModuleFacts, TensorFacts
from ...reason import edits
from ...reason.emptied import emptied
from ...reason.holdings import Stored, stores_of
from ...reason.members import Loose, loose_holder, loose_in, shown, state_of, stored_at
from ...reason.reading import Reading, reading
from ...reason.structure import last_name
from ...reason.wording import code, first_fitting, place, plural, tensor_text

_DTYPES = (
    r"same dtype|expected scalar type|expected m1 and m2|must have the same dtype|Input type \(|dtype.{0,200} must match|but (?:got|found) "
)
_DEVICES = r"same device|is not on the expected device|Input type \(|weight type|is on (?:cpu|meta|cuda)|on a different device"


_LAYERS = {n.lower(): n for n in ("ReLU", "Sigmoid", "Tanh", "GELU", "SiLU", "ELU", "Flatten", "Softplus", "Hardtanh", "Mish", "SELU")}
_LAYERS["leaky_relu"] = "LeakyReLU"


def layer_of(function: str) -> str:
    """The layer that does what a function of `torch.nn.functional` does."""
    return _LAYERS.get(function, "")


class Unregistered(Family):
    code = "TW0702"
    title = "a module keeps layers or tensors where torch doesn't look"
    triggers = (
        Trigger(r"(?P<empty>optimizer got an empty parameter list)"),
        Trigger(r"(?<![\w.<>])(?P<kind>[\w.<>]+) is not a Module subclass", ("TypeError",), "torch/nn/modules/module.py"),
        Trigger(rf"{_DTYPES}|{_DEVICES}", ("RuntimeError", "ValueError", "TypeError", "NotImplementedError")),
        Trigger(r"Error\(s\) in loading state_dict .*(?:Missing|Unexpected) key"),
    )
    rank = 4

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run, said = reading(evidence), match.groupdict()
        if said.get("empty"):
            return self._empty(run)
        if said.get("kind"):
            return self._no_module(run, said["kind"])
        return self._keys(run) if "loading state_dict" in run.failure.message else self._left_behind(run)

    def _empty(self, run: Reading) -> Diagnosis | None:
        reason = emptied(run)
        if reason.why != "unregistered" or reason.module is None:
            return None
        kept = [
            one for one in loose_in(run, reason.module) if one.module is not None or one.tensor is not None and one.tensor.requires_grad
        ]
        first, told = kept[0], self._what(kept)
        name = f"self.{first.attribute}"
        headline = first_fitting(
            f"{code(reason.module.fqn)} keeps {told} in {code(name)}, a plain {self._container(run, first)}: not registered",
            f"{code(name)} holds {told} in a plain {self._container(run, first)}: not registered",
            f"{code(name)} is not registered in its module",
        )
        return self._answer(
            run, first, headline, [f"{code(reason.expression)} is empty: {code(reason.module.fqn)} has no registered parameter"]
        )

    def _what(self, kept: list[Loose]) -> str:
        inside = [one for one in kept if one.attribute == kept[0].attribute]
        kinds = sorted({one.module.kind for one in inside if one.module is not None})
        if kinds:
            return plural(len(inside), f"{'/'.join(kinds[:2])} layer" if len(kinds) < 3 else "layer")
        return plural(len(inside), "tensor")

    def _container(self, run: Reading, loose: Loose) -> str:
        stored = stored_at(run, loose)
        if not loose.in_container:
            return "attribute"
        return {"[": "list", "{": "dict", "(": "tuple"}.get(loose.name[len(loose.attribute) :][:1] and self._opening(stored), "list")

    def _opening(self, stored: Stored | None) -> str:
        value = stored.value if stored is not None else None
        return "{" if isinstance(value, (ast.Dict, ast.DictComp)) else "(" if isinstance(value, ast.Tuple) else "["

    def _left_behind(self, run: Reading) -> Diagnosis | None:
        """An operand that `.to()` or `.double()` did not reach, since it is not registered, while what is registered was converted."""
        for name, tensor in run.tensors:
            others = [t for _, t in run.tensors if (t.dtype, t.device) != (tensor.dtype, tensor.device) and t.rank > 0]
            what: Literal["dtype", "device"] = "device" if others and others[0].device != tensor.device else "dtype"
            loose = loose_holder(run, tensor) or loose_holder(run, run.decided(tensor, what).tensor)
            if not others or loose is None or not self._made_in_constructor(run, loose):
                continue
            old, new = getattr(tensor, what), getattr(others[0], what)
            root = self._root(run, loose.owner)
            if not self._was_converted(run, [t for t in state_of(run, root).values() if getattr(t, what) == new], what):
                continue
            called = f"self.{loose.name}" if loose.module is None else f"{loose.owner.fqn}.{loose.name}"
            kind = "a plain tensor" if loose.tensor is not None and not loose.in_container else f"in a plain {self._container(run, loose)}"
            headline = first_fitting(
                f"{code(called)} stayed {old} while the model is {new}: {kind}, not registered",
                f"{code(called)} stayed {old}: it is {kind}, not registered",
                f"{code('self.' + loose.attribute)} stayed {old}: it is not registered",
            )
            other = run.name_of(others[0]) or "the other side"
            return self._answer(
                run,
                loose,
                headline,
                [
                    f"{code(name or called)} is {tensor_text(tensor)}, {code(other)} is {tensor_text(others[0])}",
                    f"what is registered in {code(root.fqn)} was converted to {new}, {code('self.' + loose.attribute)} was not",
                ],
            )
        return None

    def _was_converted(self, run: Reading, registered: list[TensorFacts], what: Literal["dtype", "device"]) -> bool:
        """Whether what is registered came to its dtype or device by `.to(...)`; where the record begins too late, it may have."""
        return any(run.decided(t, what).how == "setter" for t in registered) or bool(registered) and run.evidence.recording.dropped > 0

    def _root(self, run: Reading, module: ModuleFacts) -> ModuleFacts:
        while (parent := run.history.parents.get(module.id)) is not None:
            module = parent
        return module

    def _made_in_constructor(self, run: Reading, loose: Loose) -> bool:
        """Whether it was put there when the module was built, not computed and kept by a forward."""
        stored = stored_at(run, loose)
        return stored is not None and stored.function not in ("forward", "")

    def _keys(self, run: Reading) -> Diagnosis | None:
        """A checkpoint whose keys begin with an attribute that is a plain list here."""
        frame = next(
            (f for f in reversed(run.failure.frames) if f.span.function.endswith("load_state_dict") and f.module is not None), None
        )
        module = run.history.module(frame.module) if frame is not None else None
        unexpected = run.failure.message.partition("Unexpected key(s) in state_dict: ")[2]
        keys = re.findall(r'"([^"]+)"', re.split(r"\.\s", unexpected, maxsplit=1)[0])
        for one in loose_in(run, module) if module is not None else ():
            prefix = re.sub(r"\[['\"]?(\w+)['\"]?\]", r".\1", one.name)
            mine = [k for k in keys if k == prefix or k.startswith(prefix + ".") or f".{prefix}." in f".{k}"]
            if mine:
                headline = first_fitting(
                    f"the checkpoint has {code(mine[0])}, but {code('self.' + one.attribute)} is not registered here",
                    f"{code('self.' + one.attribute)} is not registered: the checkpoint's keys for it are unexpected",
                )
                return self._answer(run, one, headline, [f"unexpected keys: {shown(mine)}"])
        return None

    def _answer(self, run: Reading, loose: Loose, headline: str, notes: list[str]) -> Diagnosis:
        stored = stored_at(run, loose)
        cause = stored.source.span(stored.statement) if stored is not None else None
        line = code(run.sources.segment(cause)) if cause is not None else ""
        if cause is not None:
            notes.append(
                f"{line} at {place(cause)} hides {'them' if loose.in_container else 'it'} from `parameters()`, `state_dict()` and `.to()`"
            )
        trail = [Label(cause, "not registered"), Label(run.raised, "raised here")] if cause is not None else ()
        return run.diagnosis(
            self,
            headline,
            cause,
            "torch does not look in here" if loose.in_container else "a plain attribute",
            trail=trail,
            notes=notes,
            fixes=self._fixes(run, loose, stored),
            confidence=Confidence.CERTAIN if cause is not None else Confidence.LIKELY,
        )

    def _fixes(self, run: Reading, loose: Loose, stored: Stored | None) -> list[Fix]:
        if stored is None:
            return [Fix("register it in its module", (), "display-only")]
        source, value, name = stored.source, stored.value, loose.attribute
        span = source.span(value)
        if not loose.in_container:
            statement = source.span(stored.statement)
            text = f'self.register_buffer("{name}", {source.segment(value)})'
            trained = loose.tensor is not None and loose.tensor.requires_grad
            parameter = Fix("make it a parameter", edits.wrap(run.sources, span, "nn.Parameter(", ")"), "safe", changes="it is trained")
            buffer = Fix(
                f"register it: {code(f'self.register_buffer({name!r}, …)')}",
                edits.replace_text(statement, text) if self._is_plain(stored) else (),
                "safe",
            )
            return [parameter, buffer] if trained else [buffer, parameter]
        kind = (
            "ParameterList" if loose.tensor is not None else "ModuleDict" if isinstance(value, (ast.Dict, ast.DictComp)) else "ModuleList"
        )
        if isinstance(value, (ast.List, ast.ListComp, ast.Dict, ast.DictComp, ast.Tuple, ast.BinOp)):
            return [
                Fix(
                    f"keep them in an `nn.{kind}`",
                    edits.wrap(run.sources, span, f"nn.{kind}(", ")"),
                    "safe",
                    changes="they are trained, moved and saved",
                )
            ]
        empty = [s for s in self._rooms(run, loose) if isinstance(s.value, (ast.List, ast.Dict, ast.Call))]
        room = edits.replace_text(empty[0].span, f"nn.{kind}()") if empty else ()
        return [Fix(f"keep them in an `nn.{kind}`", room, "safe", changes="they are trained, moved and saved")]

    def _rooms(self, run: Reading, loose: Loose) -> list[Stored]:
        return [s for s in stores_of(run.sources, loose.owner, loose.attribute) if s.is_empty]

    def _is_plain(self, stored: Stored) -> bool:
        return (
            isinstance(stored.statement, ast.Assign)
            and len(stored.statement.targets) == 1
            and isinstance(stored.statement.targets[0], ast.Attribute)
        )

    def _no_module(self, run: Reading, kind: str) -> Diagnosis:
        """A list, a function or a class in the place of a layer: `nn.Sequential([…])`, `nn.Sequential(nn.Linear(2, 2), F.relu)`."""
        call, source = run.sources.call_at(run.raised), run.sources.file(run.raised.file)
        short = kind.rpartition(".")[2]
        part = self._part(call, short) if call is not None else None
        span = source.span(part) if source is not None and part is not None else run.raised
        text = run.sources.segment(span)
        fixes, given = [Fix("pass a layer", (), "display-only")], code(text) if part is not None else f"a {short}"
        if short in ("list", "tuple", "generator") and part is not None:
            fixes = [Fix("unpack it", edits.wrap(run.sources, span, "*", ""), "safe")]
            headline = f"{given} is a {short}; each layer is an argument of its own"
        elif isinstance(part, (ast.Name, ast.Attribute)) and short[:1].isupper():
            fixes = [Fix(f"make the layer: {code(text + '()')}", edits.append_method(run.sources, span, "()"), "safe")]
            headline = f"{given} is a class, not a layer: it was not called"
        elif part is not None and layer_of(short):
            layer = layer_of(short)
            fixes = [Fix(f"use the layer {code('nn.' + layer + '()')}", edits.replace_text(span, f"nn.{layer}()"), "safe")]
            headline = f"{given} is a function, not a layer"
        else:
            headline = f"{given} is no `nn.Module`: a {short}"
        return run.diagnosis(
            self,
            first_fitting(headline, f"a {short} is given where a layer is due"),
            span,
            f"a {short}, no module",
            notes=[f"{code(kind)} can't be registered as a layer"],
            fixes=fixes,
            confidence=Confidence.CERTAIN,
        )

    def _part(self, call: ast.Call, short: str) -> ast.expr | None:
        """The argument (or item of a list that is one) which is of that kind, as far as the text tells."""
        kinds = {"list": (ast.List, ast.ListComp), "tuple": (ast.Tuple,), "generator": (ast.GeneratorExp,)}.get(short)
        if kinds is not None:
            found = [a for a in call.args if isinstance(a, kinds)] or (call.args if len(call.args) == 1 else [])
        else:
            flat = [e for a in call.args for e in (a.elts if isinstance(a, (ast.List, ast.Tuple)) else [a])]
            found = [a for a in flat if last_name(a) == short and not isinstance(a, ast.Call)]
        return found[0] if len(found) == 1 else None

    examples = (
        Example(
            {
                "train.py": """\
import torch
from model import Ensemble

ensemble = Ensemble(members=4)
optimizer = torch.optim.SGD(ensemble.parameters(), lr=0.05)
""",
                "model.py": """\
from torch import nn


class Ensemble(nn.Module):
    def __init__(self, members):
        super().__init__()
        self.members = [nn.Linear(10, 2) for _ in range(members)]  #~ cause

    def forward(self, x):
        return sum(member(x) for member in self.members) / len(self.members)
""",
            },
            says=("ensemble", "4 Linear layers", "self.members", "plain list", "ModuleList"),
            becomes="self.members = nn.ModuleList([nn.Linear(10, 2) for _ in range(members)])",
        ),
        Example(
            {
                "sobel.py": """\
import torch
from torch import nn


class Edges(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix = nn.Conv2d(2, 1, 1)
        self.sobel = torch.tensor([[1.0, 0.0, -1.0]]).view(1, 1, 1, 3)  #~ cause

    def forward(self, picture):
        return nn.functional.conv2d(self.mix(picture), self.sobel)


edges = Edges().to(torch.float64)
edges(torch.rand(1, 2, 5, 5, dtype=torch.float64))
"""
            },
            says=("self.sobel", "float32", "float64", "plain tensor", "register_buffer"),
        ),
    )
    near_misses = (
        NearMiss({"ok.py": "from torch import nn\n\nnet = nn.Linear(2, 2)\nnet.notes = [1, 2]\nprint(len(list(net.parameters())))\n"}),
        NearMiss(
            {
                "data.py": """\
import torch
from torch import nn


class Shift(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.offset = torch.ones(3)

    def forward(self, x):
        return self.fc(x) + self.offset


Shift()(torch.rand(2, 3).double())
"""
            },
            belongs_to="dtype.mismatch",
        ),
    )
