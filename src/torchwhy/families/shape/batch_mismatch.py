"""Two tensors that should hold the same batch have different numbers of rows.

Erroneous code (TW0111):

{example}

Why: a loss pairs each prediction with its target, so both need the same first dimension. It gets lost by a `view(-1, n)` whose `n` is not
the number of features of one sample, by a layer built without `batch_first=True` that takes the batch for time steps, by a reduction over
the wrong dimension, or when something was made once with `batch_size` rows and the last batch of an epoch is smaller.

Fix: keep the batch dimension by name: `x.flatten(1)` instead of `x.view(-1, n)`, `x.size(0)` instead of a stored batch size; or leave the
last, smaller batch out with `drop_last=True`.

Messages: `Expected input batch_size (16) to match target batch_size (4).` · `Size mismatch between tensors` (TensorDataset); on a last
batch also `The size of tensor a (4) must match the size of tensor b (16) at non-singleton dimension 0`.

Not to be confused with: `shape.loss-target`, where the batch agrees and the shape of the targets does not fit the loss.
"""

from __future__ import annotations

import re

from ...family import Family, Trigger
from ...model import Diagnosis, Evidence, Fix, Label, LoaderFacts, TensorFacts, tensors_in
from ...reason import edits
from ...reason.accounts import tensor_account
from ...reason.batches import kept_from_before, last_batch
from ...reason.blame import side
from ...reason.conflict import BatchChange, batch_change, batch_change_told, conflict
from ...reason.provenance import Size
from ...reason.reading import Reading, named, reading
from ...reason.wording import code, first_fitting, place, plural, shape_text, tensor_text

Named = tuple[str, TensorFacts]
_LOSSES = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "kl_div", "gaussian_nll_loss", "poisson_nll_loss", "soft_margin_loss")


class BatchMismatch(Family):
    code = "TW0111"
    title = "different numbers of rows where the same batch was meant"
    triggers = (
        Trigger(r"Expected input batch_size \((?P<a>\d+)\) to match target batch_size \((?P<b>\d+)\)"),
        Trigger(r"Size mismatch between (?P<kind>tensors|datasets)", types=("AssertionError",)),
        Trigger(r"[Ss]ize of tensor a \((?P<a>\d+)\) must match the size of tensor b \((?P<b>\d+)\) at non-singleton dimension 0"),
        Trigger(r"input and target batch or spatial sizes don't match|size mismatch \(got input: \[.*target: \["),
        Trigger(r"bilinear\(\): input batch dimensions do not match"),
    )
    rank = 2

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        pair, is_broadcast = self._pair(run), "non-singleton" in match[0]
        if pair is None:
            return self._from_text(run, match)
        (left, x), (right, y) = pair
        m, n = (x.shape or (0,))[0], (y.shape or (0,))[0]
        if m == n:
            return None
        headline = first_fitting(
            f"{code(left)} has {m} rows, {code(right)} has {n}: not the same batch", f"{m} rows meet {n}: they are not the same batch"
        )
        notes = [tensor_account(run, x, left), tensor_account(run, y, right)]
        changes = [c for c in (batch_change(run, left, x, n), batch_change(run, right, y, m)) if c is not None and c.span is not None]
        if changes and (not is_broadcast or run.op is not None and run.op.name in _LOSSES):
            return self._changed(run, headline, max(changes, key=lambda c: (c.layer is not None, c.op.index)), notes)
        loader = last_batch(evidence, m, n)
        if loader is not None and (answer := self._last(run, headline, loader, pair, notes)) is not None:
            return answer
        if is_broadcast:
            return None
        found = conflict(run, [(left, x, 0), (right, y, 0)])
        fixes = [Fix(f"give {code(left)} and {code(right)} the same rows, {m} or {n}")]
        return run.diagnosis(self, headline, found.cause, found.because, trail=found.trail, notes=found.notes, fixes=fixes)

    def _pair(self, run: Reading) -> tuple[Named, Named] | None:
        tensors = [(name, t) for name, t in run.tensors if t.shape]
        if run.op is not None and run.op.name == "backward":
            tensors = self._of_loss(run)
        if not tensors and run.failure.frames:
            given = tensors_in(value) if (value := run.failure.frames[-1].local("tensors")) is not None else ()
            written = [e.text for e in run.sources.arguments(run.raised)]
            names = written if len(written) == len(given) else [run.history.names.get(t.id, "") for t in given]
            tensors = [(name, t) for name, t in zip(names, given) if t.shape]
        first = tensors[0] if tensors else None
        other = next((n for n in tensors[1:] if first is not None and (n[1].shape or ())[0] != (first[1].shape or ())[0]), None)
        return (first, other) if first is not None and other is not None else None

    def _of_loss(self, run: Reading) -> list[Named]:
        """Predictions and targets of the last loss, where it raised in backward only."""
        for op in reversed(run.evidence.ops):
            x, y = op.argument("input"), op.argument("target")
            if op.name in ("cross_entropy", "nll_loss") and isinstance(x, TensorFacts) and isinstance(y, TensorFacts):
                written = [e.text for e in run.sources.arguments(op.span)] if op.span is not None else []
                names = written[:2] if len(written) >= 2 else ["the predictions", "the targets"]
                return [(name, t) for name, t in zip(names, (x, y)) if t.shape]
        return []

    def _last(self, run: Reading, headline: str, loader: LoaderFacts, pair: tuple[Named, Named], notes: list[str]) -> Diagnosis | None:
        """What was made for a whole batch meets the smaller last one."""
        rows, size = len(loader.indices or ()), loader.batch_size or 0
        name, tensor = next(n for n in pair if (n[1].shape or ())[0] == size)
        fresh = next(n for n in pair if n[0] != name or n[1] is not tensor)
        decision = side(run.evidence, name, tensor, Size(0), run.before).decision
        op = kept_from_before(run.evidence, decision)
        if op is None or op.span is None:
            return None
        span = op.span
        notes.append(
            f"the last batch of {loader.dataset} ({plural(loader.length or 0, 'sample')}, batch_size={size}, built at {place(loader.built[0] if loader.built else None)})"
            f" has only {rows} rows; {code(name)} was made for {size} at {place(span)}"
        )
        leave_out = edits.set_keyword(run.sources, loader.built[0], "drop_last", "True") if loader.built else ()
        fixes = [
            Fix(
                f"make it as long as the batch that came, `{fresh[0]}.size(0)`, instead of {size}"
                if fresh[0].isidentifier()
                else f"make it as long as the batch that came, not {size}"
            ),
            Fix(
                "leave the smaller last batch out: drop_last=True",
                leave_out,
                changes=f"the last {plural(rows, 'sample')} of an epoch are not used",
            ),
        ]
        trail = [
            Label(span, tensor_text(op.outputs[0]) if op.outputs else f"{size} rows"),
            Label(run.raised, "raised here"),
        ]
        fixes.sort(key=lambda f: not f.edits)
        return run.diagnosis(
            self, headline, span, f"made for a batch of {size}, the last one has {rows}", trail=trail, notes=notes, fixes=fixes
        )

    def _changed(self, run: Reading, headline: str, change: BatchChange, notes: list[str]) -> Diagnosis:
        notes = [batch_change_told(run, change), *notes]
        rows = (change.before.shape or (0,))[0]
        fixes = []
        if change.layer is not None and change.layer.built:
            made = edits.set_keyword(run.sources, change.layer.built[0], "batch_first", "True", change.layer.signature)
            fixes.append(Fix(f"build {named(run, change.layer)} with batch_first=True", made))
            because = f"no batch_first: the batch of {rows} is read as time"
        else:
            because = f"{change.op.name} makes {shape_text(change.after.shape)} of {shape_text(change.before.shape)}"[:60]
            fixes.append(Fix(f"keep the {rows} rows there: {self._kept(change)}"))
        trail = run.trail(change.tensor, Size(0))
        return run.diagnosis(self, headline, change.span, because, trail=trail, notes=notes, fixes=fixes)

    def _kept(self, change: BatchChange) -> str:
        if change.op.name in ("view", "reshape", "flatten"):
            return "`flatten(1)` flattens all but the batch"
        if change.op.name == "squeeze":
            return "name the dimension to squeeze"
        return f"{code(change.op.name)} over another dimension than 0"

    def _from_text(self, run: Reading, match: re.Match[str]) -> Diagnosis | None:
        groups = match.groupdict()
        if "non-singleton" in match[0] or not groups.get("a"):
            return None
        headline = f"the loss gets {groups['a']} predictions for {groups['b']} targets"
        written = [code(e.text) for e in run.sources.arguments(run.raised)][:2]
        note = f"the failing call gets {' and '.join(written)}" if written else ""
        return run.diagnosis(self, headline, None, "the two batches meet here", notes=[note])
