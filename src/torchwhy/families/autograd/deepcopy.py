"""A deep copy meets a tensor that is part of a graph.

Erroneous code (TW0414):

```python
{example}
```

Why: `copy.deepcopy` copies everything that an object holds. A tensor that was computed with gradients hangs on its
graph and can't be copied; only leaves can. Mostly a module keeps a result of its forward in an attribute (a cached
attention map, a hidden state, the last loss), or the copied dictionary holds a loss that still has its graph; the old
`torch.nn.utils.weight_norm` keeps a computed `weight`.

Fix: keep `.detach()` of the result (`.item()` of a loss); or copy the weights only, `model.state_dict()`; use
`torch.nn.utils.parametrizations.weight_norm` in the place of `torch.nn.utils.weight_norm`.

Messages: `Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment`.

Not to be confused with: `data.worker`, where an object can't be pickled for another process.
"""

from __future__ import annotations

import ast
import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Failure, Fix, ModuleFacts, OpRecord, Plain, Span, TensorFacts
from ...reason.edits import Edits, append_method, replace_text
from ...reason.holdings import Stored, stored_anywhere, stores_of
from ...reason.reading import Reading, reading
from ...reason.structure import calls_of
from ...reason.wording import code, first_fitting, place, tensor_text

_OLD_NORMS = ("weight_norm", "spectral_norm")


class Deepcopy(Family):
    code = "TW0414"
    title = "a deep copy meets a tensor that is part of a graph"
    triggers = (Trigger(r"Only Tensors created explicitly by the user \(graph leaves\) support the deepcopy protocol"),)

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        tensor = self._tensor(run)
        keys = _keys(run.failure)
        owner, path = self._owner(run, keys)
        written = run.sources.arguments(run.raised)
        root = written[0].text if written else "object"
        shown = f"{owner.fqn}.{path}" if owner is not None and path else _joined(root, keys)
        headline = first_fitting(
            f"{code(shown)} was computed with a graph; only leaves can be deep-copied",
            f"{code(root)} holds a tensor with a graph; only leaves can be deep-copied",
        )
        made = run.history.producer(tensor, run.before) if tensor is not None else None
        notes = (
            [f"{code(shown)} is {tensor_text(tensor)}, the result of {code(tensor.grad_fn or '?')}: not a graph leaf"]
            if tensor is not None
            else []
        )
        if (norm := self._norm(owner, path)) is not None and owner is not None:
            return self._normed(run, norm, owner, headline, notes)
        if not keys and tensor is not None and written:
            fix = replace_text(run.raised, f"{root}.detach().clone()")
            fixes = [Fix(f"copy its values: {code(root + '.detach().clone()')}", fix, "unsafe", changes="the copy has no graph")]
            return run.diagnosis(
                self,
                headline,
                run.raised,
                "copies a computed tensor",
                trail=run.trail(tensor, "grad"),
                notes=notes,
                fixes=fixes,
                confidence=Confidence.CERTAIN,
            )
        if made is not None and made.span is not None:
            notes.append(f"it was computed at {place(made.span)} by {code(run.sources.segment(made.span))}")
        stored = self._stored(run, owner, path or (keys[-1] if keys else ""), made)
        if stored is not None:
            line = code(run.sources.segment(stored.source.span(stored.statement)))
            notes.append(f"{line} keeps it with its graph; {code(root)} is copied at {place(run.raised)}")
        cause = stored.span if stored is not None else made.span if made is not None else None
        return run.diagnosis(
            self,
            headline,
            cause,
            "kept with its graph",
            trail=run.trail(tensor, "grad") if tensor is not None else (),
            notes=notes,
            fixes=self._fixes(run, cause, shown, root, owner),
            confidence=Confidence.CERTAIN if stored is not None else Confidence.LIKELY,
        )

    def _tensor(self, run: Reading) -> TensorFacts | None:
        frame = next((f for f in reversed(run.failure.frames) if isinstance(f.local("self"), TensorFacts)), None)
        found = frame.local("self") if frame is not None else None
        return found if isinstance(found, TensorFacts) else next((t for _, t in run.tensors), None)

    def _owner(self, run: Reading, keys: list[str]) -> tuple[ModuleFacts | None, str]:
        """The module that holds the tensor, and the attribute (with the keys of a list or dict in it)."""
        written = run.sources.arguments(run.raised)
        root = next((m for m in run.evidence.modules if written and m.fqn == written[0].text), None) or self._copied(run)
        at, rest = root, list(keys)
        while at is not None and rest[:1] == ["_modules"] and len(rest) > 1:
            child = next((number for name, number in at.children if name == rest[1]), None)
            at, rest = run.history.module(child), rest[2:]
        if rest[:1] in (["_buffers"], ["_parameters"]):
            rest = rest[1:]
        return (at, rest[0]) if at is not None and rest else (None, "")

    def _copied(self, run: Reading) -> ModuleFacts | None:
        """The one recorded module of the kind that the outermost `deepcopy` was given."""
        frame = next((f for f in run.failure.frames if f.span.function == "deepcopy" and isinstance(f.local("x"), Plain)), None)
        kind = frame.local("x") if frame is not None else None
        known = [m for m in run.evidence.modules if isinstance(kind, Plain) and m.kind == kind.kind]
        found = [m for m in known if m.copied_from is None] or known  # the copy itself has begun to exist
        inner = {child for m in found for _, child in m.children}
        outer = [m for m in found if m.id not in inner]
        return outer[0] if len(outer) == 1 else None

    def _stored(self, run: Reading, owner: ModuleFacts | None, name: str, made: OpRecord | None) -> Stored | None:
        """The statement that put it there: in the module's class; else the program's only one for an attribute or key of this name."""
        found = stores_of(run.sources, owner, name) if owner is not None else []
        found = [s for s in found or stored_anywhere(run.sources, name) if not s.is_empty]
        near = [
            s
            for s in found
            if made is not None and any(b.file == s.span.file and b.line in s.source.span(s.statement).lines for b in made.where)
        ]
        later = [s for s in found if (f := s.source.function(s.statement)) is not None and f.name != "__init__"]
        if not near and owner is None and len(later) == 1:
            return later[0]
        return near[-1] if near else found[0] if owner is not None and found or len(found) == 1 else None

    def _norm(self, owner: ModuleFacts | None, path: str) -> str | None:
        """The old weight or spectral norm, known by the parameters that it leaves in the layer."""
        names = {a.name for a in owner.parameters} if owner is not None else set()
        return "weight_norm" if {f"{path}_g", f"{path}_v"} <= names else "spectral_norm" if f"{path}_orig" in names else None

    def _normed(self, run: Reading, norm: str, owner: ModuleFacts, headline: str, notes: list[str]) -> Diagnosis:
        call = self._norm_call(run, norm, owner)
        notes.append(
            f"`torch.nn.utils.{norm}` computes {code(owner.fqn + '.weight')} before each forward and leaves it there as a plain attribute"
        )
        node = run.sources.call_at(call) if call is not None else None
        source = run.sources.file(call.file) if call is not None else None
        title, changes = (
            f"use `torch.nn.utils.parametrizations.{norm}`, whose weights can be copied",
            "the names of the weights in the state_dict",
        )
        edits: Edits = ()
        if source is not None and node is not None and (text := source.segment(node.func)).endswith(f"utils.{norm}"):
            edits = replace_text(source.span(node.func), text.removesuffix(norm) + f"parametrizations.{norm}")
        elif source is not None and (
            line := next((n for n in source.nodes if isinstance(n, ast.ImportFrom) and (n.module or "").endswith("nn.utils")), None)
        ):
            edits = (
                replace_text(source.span(line), source.segment(line).replace("nn.utils ", "nn.utils.parametrizations ", 1))
                if len(line.names) == 1
                else ()
            )
        return run.diagnosis(
            self,
            headline,
            call,
            f"{norm} leaves a computed weight",
            notes=notes,
            fixes=[Fix(title, edits, "unsafe", changes=changes)],
        )

    def _norm_call(self, run: Reading, norm: str, owner: ModuleFacts) -> Span | None:
        """The call around the layer's construction; else the only such call of the program."""
        calls = calls_of(run.sources, norm)
        near = [c for c in calls if any(c.file == b.file and c.line <= b.line <= max(c.end_line, c.line) for b in owner.built)]
        return near[0] if near else calls[0] if len(calls) == 1 else None

    def _fixes(self, run: Reading, cause: Span | None, shown: str, root: str, owner: ModuleFacts | None) -> list[Fix]:
        detach = append_method(run.sources, cause, ".detach()") if cause is not None else ()
        fixes = [
            Fix(f"keep it without its graph: {code('.detach()')}", detach, "unsafe", changes="no gradient flows through the kept value")
        ]
        if owner is not None:
            fixes.append(Fix(f"or copy the weights only: {code(f'copy.deepcopy({root}.state_dict())')}", (), "display-only"))
        return fixes

    examples = (
        Example(
            {
                "search.py": """\
import copy

import torch
from blocks import Mixer
from torch import nn

net = nn.Sequential(nn.Linear(6, 8), Mixer(8), nn.Linear(8, 2))
best, lowest = None, float("inf")
for trial in range(3):
    loss = net(torch.rand(5, 6)).pow(2).mean()
    if loss.item() < lowest:
        best, lowest = copy.deepcopy(net), loss.item()
""",
                "blocks.py": """\
import torch
from torch import nn


class Mixer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.gate = nn.Linear(width, width)
        self.last_gate = None

    def forward(self, x):
        gate = torch.sigmoid(self.gate(x))
        self.last_gate = gate  #~ cause
        return x * gate
""",
            },
            says=("net.1.last_gate", "[5, 8]", "deep", "detach", "state_dict"),
            becomes="self.last_gate = gate.detach()",
        ),
        Example(
            {
                "ema.py": """\
import copy

import torch
from torch import nn

layers = [nn.utils.weight_norm(nn.Linear(4, 4)) for _ in range(2)]  #~ cause
net = nn.Sequential(*layers)
net(torch.rand(2, 4))
average = copy.deepcopy(net)
"""
            },
            says=("net.0.weight", "weight_norm", "parametrizations"),
        ),
    )
    near_misses = (
        NearMiss(
            {
                "ok.py": """\
import copy
import torch

net = torch.nn.Linear(2, 2)
net(torch.ones(1, 2)).sum().backward()
print(copy.deepcopy(net))
"""
            }
        ),
        NearMiss({"no.py": "import copy\nimport threading\ncopy.deepcopy({'lock': threading.Lock()})\n"}),
    )


def _keys(failure: Failure) -> list[str]:
    """The attributes and keys that the copy went through, outermost first."""
    found = [f.local("key") for f in failure.frames if f.span.function == "_deepcopy_dict"]
    return [str(key.value) for key in found if isinstance(key, Plain) and key.value is not None]


def _joined(root: str, keys: list[str]) -> str:
    inner = [key for key in keys if key not in ("_modules", "_parameters", "_buffers")]
    return (
        root + "".join(f".{key}" if key.isidentifier() else f"[{key}]" for key in inner) if root.isidentifier() else ".".join(inner) or root
    )
