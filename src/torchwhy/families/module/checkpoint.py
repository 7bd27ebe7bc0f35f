"""A checkpoint can't be read or used; or activation checkpointing runs a forward that is not the same twice.

Erroneous code (TW0705):

```python
{example}
```

Why: `torch.load` reads tensors and plain containers only, unless it is told `weights_only=False`; a file that was cut
short, is empty, is a web page or a Git LFS pointer is no checkpoint. A checkpoint is often a dictionary with the
model's state, the epoch and more: the model takes the one entry. And `torch.utils.checkpoint` runs the function again
in the backward: it must save the same tensors, so it may not depend on `random`, NumPy's generator or state that has
changed since.

Fix: `torch.load(path, weights_only=False)` for files that you trust, or
`torch.serialization.add_safe_globals([...])`; save plain values; `model.load_state_dict(checkpoint["model"])`; draw
random decisions outside of the checkpointed function and pass them in.

Messages: `Weights only load failed`; `PytorchStreamReader failed reading zip archive`; `invalid load key, '<'`; `Ran
out of input`; `Expected state_dict to be dict-like`; `A different number of tensors was saved during the original
forward and recomputation`; `Recomputed values for the following tensors have different metadata`; `Checkpointing is
not compatible with .grad() or when an inputs parameter is passed to .backward()`.

Not to be confused with: `module.state-dict`, where names or shapes of the state differ; `device.deserialize`, where
the saved device is missing.
"""

from __future__ import annotations

import ast
import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, Items, Label, Plain, Span
from ...reason import edits, recomputed
from ...reason.links import made_at
from ...reason.members import shown
from ...reason.origins import argument
from ...reason.reading import Reading, reading
from ...reason.saved import failing_load, file_name, load_call, loading, save_calls, saved_object
from ...reason.told import tell, text_at
from ...reason.unreadable import unreadable, without_class
from ...reason.wording import code, first_fitting, listed, place

_STATE = ("state_dict", "model_state_dict", "model", "net", "model_state", "network", "weights", "params")
_OF_MODULES = (
    "eval",
    "train",
    "to",
    "cuda",
    "cpu",
    "parameters",
    "forward",
    "state_dict",
    "load_state_dict",
    "named_parameters",
    "half",
    "float",
    "modules",
    "children",
    "zero_grad",
    "requires_grad_",
)
Said = dict[str, str]


class Checkpoint(Family):
    code = "TW0705"
    title = "a checkpoint can't be read or used as it is"
    triggers = (
        Trigger(
            r"Weights only load failed|Cannot use ``weights_only=True`` with (?P<archive>TorchScript)", ("UnpicklingError", "RuntimeError")
        ),
        Trigger(
            r"(?P<broken>PytorchStreamReader failed|failed finding central directory|not in a subdirectory|Invalid magic number"
            r"|unexpected EOF|invalid load key, '.'|Ran out of input|pickle data was truncated)"
        ),
        Trigger(r"^$", ("EOFError",)),
        Trigger(r"(?:Expected state_dict to be dict-like, got <class '(?P<whole>[\w.]+)'>)", ("TypeError",)),
        Trigger(r"(?P<nested>Error\(s\) in loading state_dict)"),
        Trigger(
            r"'(?:collections\.)?(?P<used>OrderedDict|dict)' object (?:has no attribute '(?P<attribute>\w+)'|is not callable)",
            ("AttributeError", "TypeError"),
        ),
        Trigger(r"^'?(?P<key>\w+)'?$", ("KeyError",)),
        Trigger(
            r"Can't get attribute '(?P<lost>\w+)' on <module|No module named '(?P<module>[\w.]+)'",
            ("AttributeError", "ModuleNotFoundError"),
        ),
        Trigger(r"Parent directory (?P<folder>.+) does not exist"),
        Trigger(
            r"(?P<recomputed>different number of tensors was saved|have different metadata than during the forward"
            r"|more tensors during recomputation|[cC]heckpoint(?:ing)? is (?:not |in)compatible with \.grad\(\)"
            r"|this checkpoint\(\) is not necessary|Unexpected keyword arguments:"
            r"|'Tensor' object is not callable|Mismatch in shape: grad_output)"
        ),
    )
    rank = 2

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run, said = reading(evidence), {k: v for k, v in match.groupdict().items() if v is not None}
        if "recomputed" in said:
            return tell(run, self, recomputed.told(run))
        if "whole" in said:
            return self._no_dict(run, said["whole"])
        if "nested" in said:
            return self._nested(run)
        if "used" in said:
            return self._as_model(run, said)
        if "key" in said:
            return self._key(run, said["key"])
        if "folder" in said:
            call = run.sources.call_at(run.raised)
            where = (
                run.sources.segment(run.sources.span_of(run.raised.file, call.args[1])) if call is not None and len(call.args) > 1 else ""
            )
            line = f"os.makedirs(os.path.dirname({where}), exist_ok=True)"
            made = edits.insert_before(run.sources, run.raised.file, run.raised.line, line) if where and "\n" not in where else ()
            fix = Fix("make the folder first: `os.makedirs(..., exist_ok=True)`", made, "safe")
            return run.diagnosis(
                self, f"the folder {code(said['folder'])} does not exist: nothing was saved", run.raised, "saves there", fixes=[fix]
            )
        load = failing_load(run)
        if load is None:
            return None
        if "lost" in said or "module" in said:
            return tell(run, self, without_class(run, load, said.get("lost", ""), said.get("module", "")))
        if (
            "broken" in said
            or run.failure.error_type == "EOFError"
            or re.search("invalid load key|Unsupported operand", run.failure.message)
        ):
            return tell(run, self, unreadable(run, load))
        return self._weights_only(run, said, load)

    # ── reading the file ──────────────────────────────────────────────────────────────────────────────────────────────
    def _weights_only(self, run: Reading, said: Said, load: Span) -> Diagnosis:
        found = re.search(r"GLOBAL ([\w.]+)|class[: ]+`?([\w.]+)`?|globals\(\[([\w.]+)\]\)", run.failure.message)
        kind = next((g for g in found.groups() if g), "") if found is not None else ""
        name = code(file) if (file := file_name(run)) else "the file"
        if "archive" in said:
            headline = f"{name} is a TorchScript archive: `torch.load` takes no weights from it"
        else:
            headline = (
                f"{name} holds {code(kind)}: `torch.load` reads weights only"
                if kind
                else f"{name} holds more than weights, and is read weights only"
            )
        saves = save_calls(run, load)
        call = f"{code(text_at(run, load))} at {place(load)}" if load.line else "`torch.load`"
        notes = [f"{call} has weights_only=True, the default since torch 2.6"]
        what = saved_object(run, saves[0]) if len(saves) == 1 else None
        if what is not None:
            notes.append(f"it was saved at {place(saves[0])}: {code(what.text)}")
        trusted = edits.set_keyword(run.sources, load, "weights_only", "False")
        fixes = [
            Fix(
                "read it with `weights_only=False`, if its source is trusted",
                trusted,
                "unsafe",
                changes="the file may run code when it is read",
            )
        ]
        if kind and not kind.startswith("__main__."):
            allowed = edits.insert_before(run.sources, load.file, load.line, f"torch.serialization.add_safe_globals([{kind}])")
            known = kind.partition(".")[0] in self._imports(run, load)
            fixes.append(Fix(f"or allow this class: {code(f'add_safe_globals([{kind}])')}", allowed if known else ()))
        fixes.append(
            Fix(
                f"or save plain values{f' in the place of {code(kind)}' if kind else ''}, and the `state_dict()` of a model",
                (),
                "display-only",
            )
        )
        return run.diagnosis(
            self,
            first_fitting(headline, "the file holds more than weights, and is read weights only"),
            load if load.line else None,
            "reads weights only",
            notes=notes,
            fixes=fixes,
            confidence=Confidence.CERTAIN if kind else Confidence.LIKELY,
        )

    def _imports(self, run: Reading, load: Span) -> set[str]:
        source = run.sources.file(load.file)
        found = [n for n in source.nodes if isinstance(n, ast.Import)] if source is not None else []
        return {a.asname or a.name for n in found for a in n.names}

    # ── using what was read ───────────────────────────────────────────────────────────────────────────────────────────
    def _no_dict(self, run: Reading, kind: str) -> Diagnosis:
        """A model, a path or something else in the place of a state."""
        state = argument(run.sources, run.raised, "state_dict", ("state_dict",))
        short, text = kind.rpartition(".")[2], state.text if state is not None else "state_dict"
        origin = made_at(run, state.span) if state is not None else None
        notes, fixes = [f"{code(text)} is a {code(kind)}"], []
        if kind == "str":
            headline = f"{code(text)} is a path, not a state: nothing has loaded it"
            edit = edits.wrap(run.sources, state.span, "torch.load(", ")") if state is not None else ()
            fixes.append(Fix(f"load it first: {code(f'torch.load({text})')}", edit, "safe"))
        elif kind in ("generator", "list", "NoneType"):
            headline = f"{code(text)} is a {short}, not a state_dict"
        else:
            headline = f"{code(text)} is a whole {code(short)}, not its state_dict"
            edit = edits.append_method(run.sources, state.span, ".state_dict()") if state is not None else ()
            fixes.append(Fix("pass its state", edit, "safe"))
            saves = [s for s in (save_calls(run, origin) if origin is not None else []) if saved_object(run, s) is not None]
            if len(saves) == 1 and (what := saved_object(run, saves[0])) is not None:
                notes.append(f"{code(what.text)} was saved whole at {place(saves[0])}")
        return run.diagnosis(
            self,
            first_fitting(headline, f"a {short} is passed as the state_dict"),
            state.span if state is not None else run.raised,
            f"a {short}",
            notes=notes,
            fixes=fixes or [Fix("pass a state_dict", (), "display-only")],
            confidence=Confidence.CERTAIN,
        )

    def _nested(self, run: Reading) -> Diagnosis | None:
        """The whole checkpoint where its entry with the model's state is due."""
        found = loading(run)
        if found is None or not found.nested or not found.missing or found.state is None:
            return None
        likely = [k for k in found.unexpected if k in found.nested]
        key = next((k for k in _STATE if k in likely), next((k for k in likely if "optim" not in k and "sched" not in k), ""))
        text = found.state.text
        entry = f'{text}["{key}"]'
        headline = first_fitting(
            f"{code(text)} is a whole checkpoint; the state of {code(found.model)} is its entry {code(key)}",
            f"{code(text)} is a whole checkpoint, not the state of {code(found.model)}",
        ) if key else f"{code(text)} is a whole checkpoint, not a state_dict"  # fmt: skip
        load = load_call(run, found.state.span)
        notes = [f"its keys are {shown(found.unexpected, 6)}", f"{code(found.model)} has {shown(found.missing, 2)}"]
        if load is not None:
            notes.append(f"it was read at {place(load)}: {code(text_at(run, load))}")
        return run.diagnosis(
            self,
            headline,
            found.state.span,
            "the whole checkpoint",
            trail=[Label(run.raised, "raised here")],
            notes=notes,
            fixes=[Fix(f"pass {code(entry)}", edits.replace_text(found.state.span, entry) if key else (), "safe")],
            confidence=Confidence.CERTAIN,
        )

    def _as_model(self, run: Reading, said: Said) -> Diagnosis | None:
        """A loaded state on which a method of a model is called."""
        if said.get("attribute", "eval") not in _OF_MODULES:
            return None
        node, source = run.sources.call_at(run.raised) or run.sources.node_at(run.raised), run.sources.file(run.raised.file)
        node = node.func if isinstance(node, ast.Call) else node
        receiver = node.value if isinstance(node, ast.Attribute) and "attribute" in said else node
        span = source.span(receiver) if source is not None and receiver is not None else None
        load = load_call(run, span) if span is not None else None
        if load is None or span is None:
            return None
        name, doing = run.sources.segment(span), f".{said['attribute']}()" if "attribute" in said else "__call__"
        saves = save_calls(run, load)
        what = saved_object(run, saves[0]) if len(saves) == 1 else None
        return run.diagnosis(
            self,
            first_fitting(
                f"{code(name)} is a dict of weights, not a model: it has no {code(doing)}",
                f"{code(name)} is a dict of weights, not a model",
            ),
            load,
            "gives weights, no model",
            trail=[Label(load, "gives a state"), Label(run.raised, "raised here")],
            notes=[
                f"{code(text_at(run, load))} gives what was saved"
                + (f" at {place(saves[0])}: {code(what.text)}" if what is not None else "")
            ],
            fixes=[Fix(f"build the model, then {code(f'model.load_state_dict({name})')}", (), "display-only")],
            confidence=Confidence.CERTAIN,
        )

    def _key(self, run: Reading, key: str) -> Diagnosis | None:
        """An entry that the loaded checkpoint does not have."""
        node, source = run.sources.node_at(run.raised), run.sources.file(run.raised.file)
        value = node.value if isinstance(node, ast.Subscript) else None
        load = load_call(run, source.span(value)) if source is not None and value is not None else None
        if load is None or source is None or value is None:
            return None
        local = run.frame.local(source.segment(value)) if run.frame is not None else None
        keys = local.keys if isinstance(local, Items) else ()
        if not keys and isinstance(local, Plain):
            return None
        name = source.segment(value)
        return run.diagnosis(
            self,
            f"the checkpoint {code(name)} has no {code(key)}",
            run.raised,
            "not in it",
            trail=[Label(load, "read here"), Label(run.raised, "raised here")],
            notes=[f"its keys are {listed([code(k) for k in keys[:8]])}" if keys else ""],
            fixes=[Fix("use a key that was saved", (), "display-only")],
            confidence=Confidence.LIKELY if keys else Confidence.POSSIBLE,
        )

    examples = (
        Example(
            {
                "resume.py": """\
import torch
from torch import nn

net = nn.Linear(5, 1)
torch.save({"step": 40, "network": net.state_dict()}, "last.pt")

saved = torch.load("last.pt", weights_only=True)
fresh = nn.Linear(5, 1)
fresh.load_state_dict(saved)  #~ cause
"""
            },
            says=("`saved`", "whole checkpoint", "`network`", "`step`", "fresh"),
            becomes='fresh.load_state_dict(saved["network"])',
        ),
        Example(
            {
                "run.py": """\
import torch
from store import load, save

save("run.pt", torch.ones(3), "baseline")
print(load("run.pt"))
""",
                "store.py": """\
import collections
import fractions

import torch


def save(path, weights, name):
    notes = {"name": name, "scale": fractions.Fraction(1, 3)}
    torch.save({"weights": weights, "notes": notes}, path)


def load(path):
    return torch.load(path)  #~ cause
""",
            },
            says=("run.pt", "fractions.Fraction", "weights_only", "store.py:9"),
            becomes="return torch.load(path, weights_only=False)",
        ),
        Example(
            {
                "deep.py": """\
import random

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

random.seed(4)


class Step(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x):
        for layer in (self.one, self.two):
            if random.random() > 0.4:  #~ cause
                x = layer(x).tanh()
        return x


x = torch.rand(3, 6, requires_grad=True)
for step in [Step() for _ in range(5)]:
    x = checkpoint(step, x, use_reentrant=False)
x.sum().backward()
"""
            },
            says=("checkpoint", "random.random()", "recomputation", "draw it"),
        ),
    )
    near_misses = (
        NearMiss({"no.py": "settings = {'lr': 0.1}\nprint(settings['epochs'])\n"}),
        NearMiss({"no.py": "open('weights.pt').read()\n"}),
        NearMiss(
            {
                "names.py": """\
import torch
from torch import nn

nn.Sequential(nn.Linear(2, 2)).load_state_dict(nn.Linear(2, 2).state_dict())
"""
            },
            belongs_to="module.state-dict",
        ),
    )
