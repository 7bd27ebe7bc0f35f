"""A saved state does not fit the model that it is loaded into.

Erroneous code (TW0704):

```python
{example}
```

Why: `load_state_dict` matches parameters and buffers by name and shape. Names differ when the model was wrapped
(`module.` by DataParallel, `_orig_mod.` by torch.compile), when a layer was renamed, added or left out; shapes differ
when the model is built with other numbers, such as another count of classes, than the one that was saved.
`strict=False` skips missing and unexpected names; a shape that differs is an error all the same.

Fix: build the model as it was when it was saved; strip or add the prefix; leave out the layers that are meant to
differ and load the rest with `strict=False`.

Messages: `Error(s) in loading state_dict for Net: Missing key(s) in state_dict: "fc.weight". Unexpected key(s) in
state_dict: "module.fc.weight".`; `size mismatch for fc.weight: copying a param with shape torch.Size([10, 64]) from
checkpoint, the shape in current model is torch.Size([7, 64])`.

Not to be confused with: `module.checkpoint`, where a whole checkpoint (with epoch and optimizer) is passed, or the
file can't be read.
"""

from __future__ import annotations

import os
import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, Label, ModuleFacts, Span
from ...reason.edits import Edits, replace_text, set_keyword
from ...reason.members import member, repeated, shown, state_of
from ...reason.origins import settable
from ...reason.reading import Cause, Reading, named, reading
from ...reason.saved import Loading, Misfit, loading, prefix, registered_late
from ...reason.wording import code, first_fitting, place, plural, shape_text

_WRAPPERS = {"module.": "`nn.DataParallel` or `DistributedDataParallel`", "_orig_mod.": "`torch.compile`", "_fsdp_wrapped_module.": "FSDP"}
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


class StateDict(Family):
    code = "TW0704"
    title = "a saved state does not fit the model"
    triggers = (Trigger(r"Error\(s\) in loading state_dict for (?P<kind>\w+)"),)
    rank = 1

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        found = loading(run)
        if found is None or found.nested and found.missing:
            return None
        before = prefix(found)
        if before is not None:
            return self._prefix(run, found, before.text, before.in_file)
        return self._sizes(run, found) if found.sizes else self._names(run, found)

    # ── a prefix ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def _prefix(self, run: Reading, found: Loading, text: str, in_file: bool) -> Diagnosis:
        by, names = _WRAPPERS.get(text), found.unexpected if in_file else found.missing
        side, other = ("the saved keys", code(found.model)) if in_file else (f"the keys of {code(found.model)}", "the saved state")
        headline = first_fitting(
            f"{side} begin with {code(text)}, those of {other} don't", f"{side} begin with {code(text)}, the others don't"
        )
        notes = [
            f"{plural(len(names), 'key')} {'of the saved state' if in_file else 'of the model'}: {shown(names, 2)}; "
            f"the other side has {code(names[0].removeprefix(text))}",
            f"{by} puts {code(text)} before each key: the model was wrapped when it was {'saved' if in_file else 'loaded'}" if by else "",
        ]
        state = found.state
        strip: Edits = ()
        if state is not None:
            made = (
                f'{{k.removeprefix("{text}"): v for k, v in {state.text}.items()}}'
                if in_file
                else f'{{"{text}" + k: v for k, v in {state.text}.items()}}'
            )
            strip = replace_text(state.span, made)
        return run.diagnosis(
            self,
            headline,
            run.raised,
            "loads them as they are",
            notes=notes,
            fixes=[Fix(f"{'strip' if in_file else 'add'} the prefix {code(text)}", strip, "safe"), *self._inner(text, in_file, found)],
            confidence=Confidence.CERTAIN,
        )

    def _inner(self, text: str, in_file: bool, found: Loading) -> list[Fix]:
        attribute = text.rstrip(".")
        if not in_file and text in _WRAPPERS:
            return [Fix(f"or load it into {code(f'{found.model}.{attribute}')}", (), "display-only")]
        return [Fix(f"or save the inner model: {code(f'model.{attribute}.state_dict()')}", (), "display-only")] if text in _WRAPPERS else []

    # ── shapes ────────────────────────────────────────────────────────────────────────────────────────────────────────
    def _sizes(self, run: Reading, found: Loading) -> Diagnosis:
        first = next((m for m in found.sizes if m.setting), found.sizes[0])
        saved, own = (m[first.dim] if first.dim < len(m) else 0 for m in (first.saved, first.own))
        headline = first_fitting(
            f"{code(first.name)} is {shape_text(first.saved)} in the checkpoint, {shape_text(first.own)} in {code(found.model)}",
            f"{code(first.name)} is {shape_text(first.saved)} in the checkpoint, {shape_text(first.own)} here",
            f"a parameter is {shape_text(first.saved)} in the checkpoint, {shape_text(first.own)} here",
        )
        layer = first.layer
        cause: Cause | Span | None = run.setting(layer, first.setting, own) if layer is not None and first.setting else None
        if cause is None and layer is not None and layer.built:
            cause = layer.built[0]
        notes = []
        if layer is not None and first.setting:
            where = f" at {place(layer.built[0])}" if layer.built else ""
            notes.append(f"{named(run, layer)} was built with {first.setting}={own}{where}, the checkpoint has {saved}")
        if isinstance(cause, Cause) and cause.origins and layer is not None and layer.built and cause.span != layer.built[0]:
            name = next((o.name for o in reversed(cause.origins) if o.name), "")
            notes.append(f"{own} comes from {f'{code(name)} = ' if name else ''}{code(cause.text)} at {place(cause.span)}")
        other = self._built_so(run, first, saved)
        if other is not None and other.built:
            notes.append(f"{named(run, other)}, built at {place(other.built[0])}, has {saved}")
        if len(found.sizes) > 1:
            notes.append(
                f"{len(found.sizes)} shapes differ: "
                + "; ".join(f"{code(m.name)} {shape_text(m.saved)} → {shape_text(m.own)}" for m in found.sizes[:4])
            )
        return run.diagnosis(
            self,
            headline,
            cause,
            f"{first.setting or 'the size'} is {own} here",
            trail=[Label(run.raised, "raised here")],
            notes=notes,
            fixes=self._size_fixes(run, found, cause, own, saved),
            confidence=Confidence.CERTAIN if isinstance(cause, Cause) else Confidence.LIKELY,
        )

    def _built_so(self, run: Reading, misfit: Misfit, saved: int) -> ModuleFacts | None:
        """Another layer of the run with the checkpoint's size, in the same place of another model."""
        if misfit.layer is None or not misfit.setting:
            return None
        end = misfit.name.rpartition(".")[0]
        same = [
            m for m in run.evidence.modules if m.id != misfit.layer.id and m.kind == misfit.layer.kind and m.number(misfit.setting) == saved
        ]
        return next((m for m in same if m.fqn.endswith("." + end)), None)

    def _size_fixes(self, run: Reading, found: Loading, cause: Cause | Span | None, own: int, saved: int) -> list[Fix]:
        fixes = []
        written = settable(cause.origins, own) if isinstance(cause, Cause) else None
        if written is not None and written.form == "literal":
            edit = replace_text(written.span, str(saved))
            fixes.append(Fix(f"build the model as it was saved: {saved} in the place of {own}", edit, "unsafe", changes="the layer's size"))
        tops = sorted({m.name.rpartition(".")[0] or m.name for m in found.sizes})
        state = found.state
        keep: Edits = ()
        if state is not None:
            starts = ", ".join(f'"{top}."' if any(m.name.startswith(top + ".") for m in found.sizes) else f'"{top}"' for top in tops)
            condition = f"k.startswith(({starts}))" if len(tops) > 1 else f"k.startswith({starts})"
            keep = replace_text(state.span, f"{{k: v for k, v in {state.text}.items() if not {condition}}}")
            keep = (*keep, *set_keyword(run.sources, run.raised, "strict", "False"))
        keep = keep if len({(e.span.line, e.span.column) for e in keep}) == len(keep) else ()
        rest = Fix(
            f"leave {shown(tops, 2)} out and load the rest with `strict=False`", keep, "unsafe", changes="what is left out starts untrained"
        )
        one_layer = len(tops) == 1 and found.module is not None and len(state_of(run, found.module)) > len(found.sizes)
        return [rest, *fixes] if one_layer else [*fixes, rest]

    # ── names ─────────────────────────────────────────────────────────────────────────────────────────────────────────
    def _names(self, run: Reading, found: Loading) -> Diagnosis:
        lost, extra = found.missing, found.unexpected
        if not lost and not extra:
            return self._other(run, found)
        tops = self._tops(lost), self._tops(extra)
        if lost and extra:
            told = f"{code(found.model)} has {code(tops[0][0])}, the checkpoint {code(tops[1][0])}"
        elif lost:
            told = f"{code(found.model)} has {code(tops[0][0])}, the checkpoint doesn't"
        else:
            told = f"the checkpoint has {code(tops[1][0])}, {code(found.model)} doesn't"
        notes = [
            f"missing keys, in {code(found.model)} only ({len(lost)}): {shown(lost)}" if lost else "",
            f"unexpected keys, in the checkpoint only ({len(extra)}): {shown(extra)}" if extra else "",
        ]
        layer = member(run, found.module, lost[0]) if found.module is not None and lost else None
        cause = (
            layer.built[0]
            if layer is not None and layer.built
            else found.module.built[0]
            if found.module is not None and found.module.built
            else None
        )
        if layer is not None and layer.built:
            notes.append(f"{named(run, layer)} is built at {place(layer.built[0])}")
            numbered = any(part.isdigit() for part in lost[0].split("."))
            if numbered and not extra and (count := repeated(run, layer)) is not None:
                cause = count.span
                notes.append(
                    f"how many there are of it is {code(run.sources.segment(count.span))} ({place(count.span)}); the checkpoint has fewer"
                )
        if lost and all(name.endswith(_STATISTICS) for name in lost):
            notes.append(
                "they are the running statistics of normalization layers: the saved model had `track_running_stats=False`, or another norm"
            )
        late = registered_late(run.sources, extra[0].rpartition(".")[2]) if extra and not lost else None
        if late is not None:
            cause = late
            notes.append(
                f"{code(extra[0].rpartition('.')[2])} is registered at {place(late)}, outside of `__init__`: a fresh model does not have it before that has run"
            )
        loose = set_keyword(run.sources, run.raised, "strict", "False")
        skip = Fix(
            "load what fits: `strict=False`",
            loose,
            "unsafe",
            changes=f"{shown(tops[0] or tops[1], 2)} {'start untrained' if lost else 'are ignored'}",
        )
        same = Fix("build the model with the same layers and names as when it was saved", (), "display-only")
        rename = [self._renaming(found, tops)] if lost and extra and len(tops[0]) == len(tops[1]) == 1 else []
        return run.diagnosis(
            self,
            first_fitting(told, f"{plural(len(lost), 'key')} missing in the checkpoint, {len(extra)} unexpected"),
            cause,
            "registered only when this runs" if late else "not in the checkpoint" if layer is not None else "the model is built here",
            trail=[Label(run.raised, "raised here")],
            notes=notes,
            fixes=[*rename, same, skip],
            confidence=Confidence.LIKELY,
        )

    def _tops(self, names: tuple[str, ...]) -> list[str]:
        """What the names have in common: the layer, or the name itself where there is but one."""
        common = os.path.commonprefix([n.split(".") for n in names]) if len(names) > 1 else []  # type: ignore[list-item]
        return [".".join(common)] if common else list(dict.fromkeys(n.split(".")[0] for n in names)) if len(names) > 1 else list(names)

    def _renaming(self, found: Loading, tops: tuple[list[str], list[str]]) -> Fix:
        state, (own,), (saved,) = found.state, *tops
        edit = (
            replace_text(state.span, f'{{k.replace("{saved}", "{own}", 1): v for k, v in {state.text}.items()}}')
            if state is not None
            else ()
        )
        return Fix(f"rename {code(saved)} to {code(own)} while loading", edit, "unsafe")

    def _other(self, run: Reading, found: Loading) -> Diagnosis:
        wrong = re.search(r'named "([^"]+)".{0,400}?received <class \'([\w.]+)\'>', run.failure.message, re.DOTALL)
        if wrong is None:
            return run.diagnosis(
                self, f"the state does not fit {code(found.model)}", None, notes=[run.failure.message.partition("\n\t")[2][:200]]
            )
        return run.diagnosis(
            self,
            f"{code(wrong[1])} of the state is {code(wrong[2])}, not a tensor",
            found.state.span if found.state is not None else None,
            "holds no tensors",
            notes=[f"{code(found.state.text)} is loaded" if found.state is not None else ""],
            fixes=[Fix("make tensors of its values", (), "display-only")],
        )

    examples = (
        Example(
            {
                "predict.py": """\
import torch
from net import Scorer

training = Scorer(inputs=6)
torch.save(torch.nn.DataParallel(training).state_dict(), "scorer.pt")

scorer = Scorer(inputs=6)
weights = torch.load("scorer.pt", weights_only=True)
scorer.load_state_dict(weights)  #~ cause
""",
                "net.py": """\
from torch import nn


class Scorer(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.score = nn.Linear(inputs, 1)
""",
            },
            says=("`module.`", "DataParallel", "module.score.weight", "scorer", "keys"),
            becomes='scorer.load_state_dict({k.removeprefix("module."): v for k, v in weights.items()})',
        ),
        Example(
            {
                "adapt.py": """\
import torch
from torch import nn

FEATURES = {"small": 12, "large": 20}  #~ cause


def build(size, labels=5):
    width = FEATURES[size]
    return nn.Sequential(nn.Linear(30, width), nn.ReLU(), nn.Linear(width, labels))


state = build("small").state_dict()
model = build("large")
model.load_state_dict(state)
"""
            },
            says=("`0.weight`", "[12, 30]", "[20, 30]", "out_features", "3 shapes differ", "strict=False"),
        ),
    )
    near_misses = (
        NearMiss({"ok.py": "import torch\n\nnet = torch.nn.Linear(2, 2)\nprint(net.load_state_dict(net.state_dict()))\n"}),
        NearMiss(
            {
                "whole.py": """\
import torch

net = torch.nn.Linear(2, 2)
net.load_state_dict({"epoch": 3, "model": net.state_dict()})
"""
            },
            belongs_to="module.checkpoint",
        ),
    )
