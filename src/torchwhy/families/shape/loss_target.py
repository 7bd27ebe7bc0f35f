"""A loss gets targets of a shape, or with values, that do not go with the predictions.

Erroneous code (TW0117):

{example}

Why: `cross_entropy` takes predictions [N, C, …] and class indices [N, …], each from 0 to C - 1: classes lie in dimension 1, and the targets
have one dimension less. `binary_cross_entropy` takes both in the same shape, and probabilities. Labels that begin at 1, a column [N, 1]
instead of [N], one-hot rows, a padding label, a mask with a channel dimension, or a head with too few outputs break that.

Fix: give the head as many outputs as there are classes, count labels from 0, name the label to skip with `ignore_index`, `squeeze(1)`
or `unsqueeze(1)` the targets, or move the classes to dimension 1 with `transpose(1, 2)`.

Messages: `Target 10 is out of bounds.` · `0D or 1D target tensor expected, multi-target not supported` · `Target size (torch.Size([6]))
must be the same as input size (torch.Size([6, 1]))` · `Using a target size … that is different to the input size` · `only batches of
spatial targets supported (3D tensors)` · `Expected target size [4, 9], got [4, 7]` · `all elements of input should be between 0 and 1` ·
`weight tensor should be defined either for all 4 classes or no classes`; before torch 1.8: `1D target tensor expected`, `multi-target not
supported`, `Assertion 'cur_target >= 0 && cur_target < n_classes' failed`.

Not to be confused with: `shape.batch-mismatch`, another number of targets than predictions; `dtype.loss-target`, targets of another dtype.
"""

from __future__ import annotations

import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Diagnosis, Evidence, Fix, TensorFacts
from ...reason import edits
from ...reason.accounts import size_account, tensor_account
from ...reason.blame import derives
from ...reason.conflict import conflict, size_fixes
from ...reason.history import number
from ...reason.misfits import otherwise
from ...reason.provenance import Size
from ...reason.ranges import before_counting, beyond_told, maker, maker_told, outlier, position_told
from ...reason.reading import Cause, Reading, named, reading
from ...reason.shape_edits import other_function
from ...reason.wording import code, first_fitting, place, shape_text


class LossTarget(Family):
    code = "TW0117"
    title = "targets that do not go with the predictions of a loss"
    triggers = (
        Trigger(r"Target (?P<value>-?\d+) is out of bounds|Assertion .?cur_target >= 0 && cur_target < n_classes"),
        Trigger(r"(0D or )?1D target tensor expected|multi-target not supported"),
        Trigger(r"Target size \(.*\) must be the same as input size|Using a target size \(.*\) that is different to the input size"),
        Trigger(r"only batches of spatial (targets|inputs) supported|Expected target size|inconsistent (target|tensor) size"),
        Trigger(r"input and target batch or spatial sizes don't match|size mismatch \(got input: "),
        Trigger(r"all elements of (?P<which>input|target) should be between 0 and 1"),
        Trigger(r"weight tensor should be defined either for all (?P<classes>\d+) classes or no classes"),
        Trigger(r"Expected (?P<lengths>\w+_lengths) to have value at most (?P<most>\d+), but got value (?P<value>\d+)"),
    )
    rank = 1

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        text = match[0]
        x, y = run.tensor("input", "log_probs"), run.tensor("target", "targets")
        if run.op is None or x is None or y is None or not x.shape:
            return self._from_text(run, match)
        if "out of bounds" in text or "cur_target" in text:
            return self._bounds(run, x, y)
        if "between 0 and 1" in text:
            return self._probabilities(run, x, y, match["which"])
        if "weight tensor" in text:
            return self._weight(run, x)
        if "_lengths" in text:
            return self._lengths(run, x, match["lengths"], int(match["value"]), int(match["most"]))
        if y.shape and x.shape[0] != y.shape[0] and x.rank > 1 and "size mismatch" in text:
            return None
        return self._shapes(run, x, y)

    # ── values ────────────────────────────────────────────────────────────────────────────────────────────────────────
    def _bounds(self, run: Reading, x: TensorFacts, y: TensorFacts) -> Diagnosis:
        assert run.op is not None
        dim = 1 if x.rank > 1 else 0
        classes, preds, name = (x.shape or ())[dim], run.name("input"), run.name("target")
        found = outlier(y, classes)
        ignored = number(run.op.argument("ignore_index"))
        if found is not None and found.value == ignored and y.values is not None and y.values.low is not None and y.values.low < 0:
            found = None
        value = found.value if found is not None else re.findall(r"-?\d+", run.failure.message)[:1][0]
        headline = first_fitting(
            f"target {value} in {code(name)} is out of range for {classes} classes", f"target {value} is out of range for {classes} classes"
        )
        low, high = (y.values.low, y.values.high) if y.values is not None else (None, None)
        notes = [
            position_told(run, found, name) if found is not None else "",
            f"{code(preds)} is {shape_text(x.shape)}: {classes} classes, targets 0 to {classes - 1}; {code(name)} has {low} to {high}",
            size_account(run, x, dim),
            f"the loss is {named(run, run.layer)} ({run.layer.kind})" if run.layer is not None else "",
            maker_told(run, found or y, name),
            beyond_told(found) if found is not None else "",
        ]
        trail = run.trail(x, Size(dim))
        made = maker(run, found or y)
        layer = run.layer
        if found is not None and (found.is_negative or found.value == 255):
            at = layer.built[0] if layer is not None and layer.built else run.op.span or run.raised
            notes.append(f"{found.value} is no class; of labels that are none the loss leaves out ignore_index only, which is {ignored}")
            fix = Fix(
                f"tell the loss to leave {found.value} out: ignore_index={found.value}",
                edits.set_keyword(run.sources, at, "ignore_index", str(found.value)),
            )
            return run.diagnosis(self, headline, at, f"ignore_index is {ignored}, not {found.value}", trail=trail, notes=notes, fixes=[fix])
        if made is not None and isinstance(low, int) and low == 1 and high == classes:
            fix = Fix("count the labels from 0", self._minus_one(run))
            notes.append(f"the labels start at 1; with {classes} classes they count from 0")
            return run.diagnosis(
                self,
                headline,
                made[1],
                f"labels 1 to {high}, not 0 to {classes - 1}",
                trail=run.trail(y, "values"),
                notes=notes,
                fixes=[fix],
            )
        cause = before_counting(run.cause(run.decided(x, Size(dim)), classes))
        last = cause.origins[-1] if cause.origins else None
        need = int(high) + 1 if high is not None else None
        settable = last is not None and last.form in ("literal", "name") and last.value == classes
        exact = settable and need is not None
        made_edit = edits.set_value(run.sources, cause.span, str(need)) if exact else ()
        fixes = [Fix(f"give the head {need} outputs, one for each class", made_edit, changes="the last layer's weight has another size")]
        if isinstance(low, int) and low >= 1:
            fixes.append(Fix(f"count the labels from 0 ({code(name)} begins at {low})", self._minus_one(run)))
        return run.diagnosis(self, headline, cause, f"{classes} classes", trail=trail, notes=notes, fixes=fixes)

    def _minus_one(self, run: Reading) -> edits.Edits:
        span = run.span_of("target")
        return edits.set_value(run.sources, span, f"{run.name('target')} - 1") if span is not None else ()

    def _probabilities(self, run: Reading, x: TensorFacts, y: TensorFacts, which: str) -> Diagnosis | None:
        assert run.op is not None
        tensor, name = (x, run.name("input")) if which == "input" else (y, run.name("target"))
        values = tensor.values
        if values is not None and values.nans:
            return None
        spread = (
            f"{values.low:.4g} to {values.high:.4g}"
            if values is not None and values.low is not None and values.high is not None
            else "beyond 0 to 1"
        )
        headline = first_fitting(f"{code(name)} runs from {spread}, the loss takes 0 to 1", f"values {spread} where the loss takes 0 to 1")
        if which == "target":
            made = maker(run, y)
            notes = [tensor_account(run, y, name), maker_told(run, y, name)]
            scaled = values is not None and values.high is not None and values.high > 2
            given = run.span_of("target")
            less = edits.append_method(run.sources, given, " / 255") if scaled and given is not None and name.isidentifier() else ()
            fix = Fix(f"scale the targets to 0 … 1 ({code(name + ' / 255')})" if scaled else "give targets from 0 to 1", less)
            return run.diagnosis(
                self,
                headline,
                made[1] if made is not None else None,
                f"values {spread}"[:60],
                trail=run.trail(y, "values"),
                notes=notes,
                fixes=[fix],
            )
        layer = run.layer
        last = run.history.producer(x, run.before)
        giver = run.history.module(last.module) if last is not None else None
        of_layer = giver is not None and giver.defined is None
        source = named(run, giver) if of_layer else code(last.name) if last is not None else "the model"
        notes = [
            f"{code(name)} comes from {source}{f' ({place(last.span)})' if last is not None else ''}, without a sigmoid after it",
            "BCELoss (binary_cross_entropy) takes probabilities; BCEWithLogitsLoss has the sigmoid inside and takes any numbers",
        ]
        at = layer.built[0] if layer is not None and layer.built else run.op.span or run.raised
        made_of = other_function(run.sources, at, "BCEWithLogitsLoss" if layer is not None else "binary_cross_entropy_with_logits")
        fixes = [
            Fix("use the loss with the sigmoid inside: BCEWithLogitsLoss", made_of),
            Fix(f"put a sigmoid over {code(name)}", self._sigmoid(run)),
        ]
        return run.diagnosis(self, headline, at, "takes probabilities, gets logits", trail=run.trail(x, "values"), notes=notes, fixes=fixes)

    def _sigmoid(self, run: Reading) -> edits.Edits:
        span = run.span_of("input")
        return edits.append_method(run.sources, span, ".sigmoid()") if span is not None else ()

    def _weight(self, run: Reading, x: TensorFacts) -> Diagnosis:
        weight, classes = run.tensor("weight"), (x.shape or ())[1 if x.rank > 1 else 0]
        count = weight.shape[0] if weight is not None and weight.shape else None
        headline = f"the loss has weights for {count} classes, the predictions have {classes}"
        notes = [tensor_account(run, x, run.name("input")), size_account(run, x, 1 if x.rank > 1 else 0)]
        if weight is None:
            return run.diagnosis(self, headline, None, "weights of another number of classes", notes=notes)
        cause = run.cause(run.decided(weight, Size(0)))
        counted = not cause.origins or cause.origins[-1].form != "literal"
        written = next((e for e in run.sources.arguments(run.raised) if e.keyword == "weight"), None)
        if counted and written is not None:
            notes.append(f"{code(written.text)} is computed for each call, from what is in it")
            cause = Cause(written.span)
        notes.append(f"{tensor_account(run, weight, run.name('weight'))}, given at {place(cause.span)}")
        return run.diagnosis(
            self,
            headline,
            cause,
            f"{count} weights",
            trail=run.trail(x, Size(1)),
            notes=notes,
            fixes=[Fix(f"give {classes} weights, one for each class")],
        )

    def _lengths(self, run: Reading, x: TensorFacts, which: str, value: int, most: int) -> Diagnosis:
        lengths = run.tensor(which)
        name = run.name(which)
        headline = first_fitting(
            f"{code(name)} says {value}, the predictions have {most} time steps", f"{which} says {value}, there are {most} time steps"
        )
        notes = [
            f"{tensor_account(run, x, run.name('log_probs'))}: time comes first, then the batch",
            maker_told(run, lengths, name) if lengths is not None else "",
        ]
        made = maker(run, lengths) if lengths is not None else None
        cause = made[1] if made is not None else Cause(run.raised)
        fix = Fix(f"tell the lengths of the predictions, at most {most} (after the layers that shorten the sequence)")
        return run.diagnosis(self, headline, cause, f"{value}, more than {most}", notes=notes, fixes=[fix])

    # ── shapes ────────────────────────────────────────────────────────────────────────────────────────────────────────
    def _shapes(self, run: Reading, x: TensorFacts, y: TensorFacts) -> Diagnosis | None:
        assert run.op is not None
        a, b = x.shape or (), y.shape or ()
        preds, name = run.name("input"), run.name("target")
        same = "binary" in run.op.name or "bce" in run.op.name
        wanted = a if same else (a[0], *a[2:]) if len(a) > 1 else ()
        headline = first_fitting(
            f"{code(name)} is {shape_text(b)}, {code(preds)} {shape_text(a)}: the loss takes {shape_text(wanted)}",
            f"targets {shape_text(b)} for predictions {shape_text(a)}, the loss takes {shape_text(wanted)}",
            f"targets {shape_text(b)} for predictions {shape_text(a)}",
        )
        loss = f"{named(run, run.layer)} ({run.layer.kind})" if run.layer is not None else code(run.op.name)
        notes = [f"{tensor_account(run, x, preds)}, {tensor_account(run, y, name)}; {loss} takes targets {shape_text(wanted)} for it"]
        other = otherwise(run, x, lambda shape: shape == b) if same else None
        if other is not None and other[0].span is not None:
            way = other[1][0]
            notes.append(f"as {code(way.text)} the predictions would be {shape_text(way.shape)} too")
            fixes = [Fix(f"write {code(way.text)}", way.edits)]
            because = f"makes {shape_text(a)}"
            return run.diagnosis(self, headline, other[0].span, because, trail=run.trail(x, "rank"), notes=notes, fixes=fixes)
        step = self._step(a, b, wanted, same)
        if step is not None:
            which, text, why = step
            tensor, operand = (y, "target") if which == "target" else (x, "input")
            decision = run.decided(tensor, "rank")
            op = decision.op
            span = run.span_of(operand) or run.raised
            own = op is not None and op.span is not None and op.phase != "data" and (decision.how == "op" or which == "target" and not same)
            if own and op is not None and op.span is not None and which == "target" and not same and op.name not in ("stack",):
                notes.append(f"{code(run.sources.segment(op.span))} ({place(op.span)}) gave the targets {len(b)} dimensions")
                span = op.span
            notes.append(why)
            at = run.span_of(operand)
            made = edits.append_method(run.sources, at, text) if at is not None else ()
            fixes = [Fix(f"give the loss {code((name if which == 'target' else preds) + text)}", made)]
            because = f"{shape_text(tensor.shape)}, not {shape_text(wanted)}"[:60] if which == "target" else "classes not in dimension 1"
            return run.diagnosis(self, headline, span, because, trail=run.trail(tensor, "rank"), notes=notes, fixes=fixes)
        if len(b) == len(wanted):
            dim = next((d for d, (p, q) in enumerate(zip(wanted, b)) if p != q), None)
            if dim is not None:
                found = conflict(run, [(preds, x, dim if same or dim == 0 else dim + 1), (name, y, dim)])
                return run.diagnosis(
                    self,
                    headline,
                    found.cause,
                    found.because,
                    trail=found.trail,
                    notes=[*notes, *found.notes],
                    fixes=size_fixes(run, found),
                )
        linked = "" if derives(run.evidence, x, y, run.before) else f"the targets need {len(wanted)} dimensions, they have {len(b)}"
        fix = Fix(f"give the targets the shape {shape_text(wanted)}")
        because = f"{shape_text(b)}, not {shape_text(wanted)}"[:60]
        return run.diagnosis(self, headline, run.span_of("target") or run.raised, because, notes=[*notes, linked], fixes=[fix])

    def _step(self, a: tuple[int, ...], b: tuple[int, ...], wanted: tuple[int, ...], same: bool) -> tuple[str, str, str] | None:
        """One method call that makes them agree: on which of the two, the call, and why."""
        if same and b == a[:-1] and a[-1] == 1:
            return "target", f".unsqueeze({len(b)})", "the predictions have a last dimension of 1, the targets have none"
        if same and a == b[:-1] and b[-1] == 1:
            return "target", f".squeeze({len(b) - 1})", "the targets have a last dimension of 1, the predictions have none"
        if not same and len(b) > 1 and b[1] == 1 and (b[0], *b[2:]) == wanted:
            return "target", ".squeeze(1)", "class indices have no dimension of their own for the class"
        if not same and b == a and len(a) > 1:
            return "target", ".argmax(1)", "the targets are one-hot rows; the loss takes class indices (or float probabilities)"
        if not same and len(a) == 3 and b == a[:2]:
            return (
                "input",
                ".transpose(1, 2)",
                f"the classes ({a[2]}) lie in the last dimension; the loss looks for them in dimension 1, where {a[1]} is",
            )
        return None

    def _from_text(self, run: Reading, match: re.Match[str]) -> Diagnosis:
        written = [code(e.text) for e in run.sources.arguments(run.raised)][:2]
        value = match.groupdict().get("value")
        headline = (
            f"target {value} is not one of the classes of the predictions"
            if value
            else "the targets do not go with the predictions of the loss"
        )
        note = f"the failing call gets {' and '.join(written)}" if written else ""
        return run.diagnosis(self, headline, None, "predictions and targets meet here", notes=[note])

    examples = (
        Example(
            {
                "train.py": """\
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from model import build

torch.manual_seed(0)
data = TensorDataset(torch.rand(40, 6), torch.randint(0, 12, (40,)))
net = build(num_classes=10)  #~ cause
for x, y in DataLoader(data, batch_size=8):
    nn.functional.cross_entropy(net(x), y).backward()
""",
                "model.py": """\
from torch import nn


def build(num_classes, width=16):
    return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, num_classes))
""",
            },
            says=(
                "target 11",
                "10 classes",
                "num_classes",
                "net.2",
            ),
            becomes="net = build(num_classes=12)",
        ),
        Example(
            {
                "train.py": """\
import torch
from torch import nn

net = nn.Linear(4, 1)
x, y = torch.rand(6, 4), torch.randint(0, 2, (6,)).float()
loss = nn.BCEWithLogitsLoss()(net(x), y)  #~ cause
""",
            },
            says=(
                "[6]",
                "[6, 1]",
                "unsqueeze(1)",
            ),
            becomes="loss = nn.BCEWithLogitsLoss()(net(x), y.unsqueeze(1))",
        ),
        Example(
            {
                "train.py": """\
import torch
from torch import nn

torch.manual_seed(0)
net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
out = net(torch.rand(5, 4) * 30)
loss = nn.BCELoss()(out, torch.ones(5, 1))  #~ cause
""",
            },
            says=(
                "sigmoid",
                "BCEWithLogitsLoss",
            ),
            becomes="loss = nn.BCEWithLogitsLoss()(out, torch.ones(5, 1))",
        ),
    )
    near_misses = (
        NearMiss(
            {
                "train.py": """\
import torch
from torch import nn

print(nn.CrossEntropyLoss()(torch.rand(4, 3), torch.tensor([0, 2, -100, 1])))
"""
            }
        ),
        NearMiss(
            {
                "train.py": """\
import torch
from torch import nn

nn.functional.cross_entropy(torch.rand(8, 3), torch.zeros(4, dtype=torch.long))
"""
            },
            belongs_to="shape.batch-mismatch",
        ),
    )
