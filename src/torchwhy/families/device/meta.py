"""A tensor on the meta device, which has no data, is used as if it had.

Erroneous code (TW0305):

```python
{example}
```

Why: `device="meta"` and `with torch.device("meta")` make shapes without memory, to build large models quickly. Such a module has no weights until they are
materialised: `module.to_empty(device="cpu")` and then initialised or loaded (`load_state_dict(..., assign=True)`). A layer that was left out stays meta.

Fix: materialise every part before use, or build it on a real device.

Messages: `Cannot copy out of meta tensor; no data!`; `Tensor on device meta is not on the expected device cpu!`; `Tensor.item() cannot be called on meta tensors`;
`Please use torch.nn.Module.to_empty() instead of torch.nn.Module.to()`.

Not to be confused with: `device.mismatch` (two real devices).
"""

from __future__ import annotations

import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, TensorFacts
from ...reason import edits
from ...reason.devices import runs_on_meta
from ...reason.meta_edits import on_a_real_device
from ...reason.origins import origins
from ...reason.reading import Cause, Reading, named, reading
from ...reason.structure import calls_of, with_around
from ...reason.wording import code, listed, place, tensor_text


class Meta(Family):
    code = "TW0305"
    title = "a meta tensor, which has no data, is used"
    triggers = (
        Trigger(
            r"[Cc]annot copy out of meta tensor|meta tensors?\b|on device meta|expected device meta|meta device type tensor|MetaTensor|device='?meta"
        ),
    )
    rank = 1

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        if runs_on_meta(evidence) and any(t.device != "meta" for _, t in run.tensors):
            return None
        meta = next(((n, t) for n, t in run.tensors if t.device == "meta"), None)
        left = [
            f"{m.fqn}.{a.name}"
            for m in evidence.modules
            for a in m.parameters
            if isinstance(a.value, TensorFacts) and a.value.device == "meta" and "." not in a.name
        ]
        owner = run.history.owner_of.get(meta[1].id) if meta is not None else None
        name = meta[0] if meta is not None and meta[0] else left[0] if left else "a tensor"
        cause = self._made(run, meta[1] if meta is not None else None, left)
        notes = [
            f"{code(name)} is {tensor_text(meta[1])}: a shape without data"
            if meta is not None
            else f"{code(name)} is on the meta device: a shape without data"
        ]
        if left:
            notes.append(f"still on meta: {listed([code(n) for n in left[:4]])}" + (f" and {len(left) - 4} more" if len(left) > 4 else ""))
        if owner is not None:
            notes.append(
                f"it belongs to {named(run, owner[0])} ({owner[0].kind}), built at {place(owner[0].built[0])}"
                if owner[0].built
                else f"it belongs to {named(run, owner[0])}"
            )
        loads = [call for call in calls_of(run.sources, "load_state_dict") if "strict=False" in run.sources.segment(call)]
        if loads and left:
            notes.append(
                f"`load_state_dict(…, strict=False)` at {place(loads[0])} says nothing of keys that were missing: these got no data from the checkpoint"
            )
        if (
            run.op is not None
            and meta is not None
            and (made := run.decided(meta[1], "device").op) is not None
            and made.span is not None
            and made.span.function
        ):
            notes.append(f"it was made by {code(made.name)} in {code(made.span.function)}, {place(made.span)}")
        others = [f"{code(n or 'another operand')} is on {t.device}" for n, t in run.tensors if t.device != "meta"]
        notes += others[:1]
        moved = "to_empty" in run.failure.message
        call = code(run.op.name if run.op is not None else "to" if moved else "the call")
        return run.diagnosis(
            self,
            f"{code(name)} is on the meta device and has no data for {call}",
            cause,
            "made on meta here",
            notes=notes,
            trail=run.trail(meta[1], "device") if meta is not None else (),
            fixes=self._fixes(run, cause, moved, meta[1] if meta is not None else None),
            confidence=Confidence.CERTAIN if cause.span != run.raised else Confidence.LIKELY,
        )

    def _made(self, run: Reading, tensor: TensorFacts | None, left: list[str]) -> Cause:
        """The `device="meta"` that made it: a default set for all, in the constructor call, in a factory call, or of the `with` around them."""
        defaults = [call for call in calls_of(run.sources, "set_default_device") if "meta" in run.sources.segment(call)]
        if len(defaults) == 1:
            return Cause(defaults[0])
        calls = []
        owner = run.history.owner_of.get(tensor.id) if tensor is not None else None
        modules = [owner[0]] if owner is not None else [m for m in run.evidence.modules if any(n.startswith(m.fqn + ".") for n in left[:1])]
        for module in modules[::-1]:
            calls += list(module.built)
        if tensor is not None and not calls:
            calls = list(run.decided(tensor, "device").calls)
        for number, span in enumerate(calls):
            for given in run.sources.arguments(span):
                chain = origins(run.sources, given.span, calls[number:])
                if chain and "meta" in chain[-1].text:
                    return Cause(chain[-1].span, chain)
            around = with_around(run.sources, span, ("device",))
            if around is not None and "meta" in run.sources.segment(around.span):
                return Cause(around.span)
        return Cause(calls[0]) if calls else Cause(run.raised)

    def _fixes(self, run: Reading, cause: Cause, moved: bool, meta: TensorFacts | None) -> list[Fix]:
        fixes = []
        text = run.sources.segment(run.raised)
        if (
            moved
            and (found := re.search(r"\.to\((?P<device>[^()]*)\)", text)) is not None
            and "\n" not in text
            and run.raised.column + len(text) == run.raised.end_column
        ):
            start = run.raised.column + found.start()
            span = type(run.raised)(run.raised.file, run.raised.line, start, run.raised.line, start + len(found[0]))
            fixes.append(
                Fix(
                    "give it memory with `to_empty`, then load or initialise the weights",
                    edits.replace_text(span, f".to_empty(device={found['device']})"),
                    "unsafe",
                    changes="the weights are whatever was in memory until they are loaded",
                )
            )
        literal = run.sources.segment(cause.span)
        if literal in ("'meta'", '"meta"'):
            fixes.append(Fix("build it on a real device", edits.replace_text(cause.span, '"cpu"'), "unsafe"))
        fixes = fixes or on_a_real_device(run, cause, meta)
        return fixes or [Fix("materialise it with `to_empty(device=…)` and load its weights before use", (), "display-only")]

    examples = (
        Example(
            {
                "build.py": """\
import torch
from torch import nn


def build(width):
    with torch.device("meta"):  #~ cause
        body = nn.Linear(width, width)
    return nn.Sequential(body, nn.Linear(width, 2))


model = build(8)
print(model(torch.ones(1, 8)).shape)
"""
            },
            says=("meta", "weight", "no data"),
        ),
        Example(
            {
                "move.py": """\
from torch import nn

net = nn.Sequential(nn.Linear(4, 4, device="meta"), nn.ReLU())  #~ cause
net.to("cpu")
print(net)
"""
            },
            says=("meta", "to_empty", "0.weight"),
        ),
    )
    near_misses = (
        NearMiss({"ok.py": "import torch\nprint(torch.nn.Linear(2, 3, device='meta')(torch.ones(1, 2, device='meta')).shape)\n"}),
    )
