"""Two tensors that should hold the same batch have different numbers of rows.

Erroneous code (TW0111):

{example}

Why: a loss pairs each prediction with its target, so both need the same first dimension. It gets lost by a `view(-1, n)` whose `n` is not
the number of features of one sample, by a layer built without `batch_first=True` that takes the batch for time steps, by a reduction over
the wrong dimension, or by a `squeeze()` that drops a batch of one; two views in one batch double it.

Fix: keep the batch dimension: `x.flatten(1)` instead of `x.view(-1, n)`, `squeeze(1)` instead of `squeeze()`, `batch_first=True` in the
layer.

Messages: `Expected input batch_size (16) to match target batch_size (4).` · `size mismatch (got input: [4], target: [1])` · `Size mismatch
between tensors` (TensorDataset); from a loss on numbers also `The size of tensor a (30) must match the size of tensor b (8) at
non-singleton dimension 0`.

Not to be confused with: `shape.loss-target`, where the batch agrees and the shape of the targets does not fit the loss; `data.last-batch`,
where something was made for full batches and the last one is smaller.
"""

from __future__ import annotations

import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Diagnosis, Evidence, Fix, TensorFacts, tensors_in
from ...reason import edits
from ...reason.accounts import size_account, tensor_account
from ...reason.batches import Remainder, remainder_of
from ...reason.broadcasting import REDUCTIONS
from ...reason.conflict import BatchChange, batch_change, batch_change_told, conflict
from ...reason.dropped import rank_kept
from ...reason.provenance import Size
from ...reason.reading import Reading, named, reading
from ...reason.wording import code, first_fitting, shape_text

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
        if x.rank == 2 and y.rank > 1 and not y.is_floating and y.numel == m:
            return self._not_flattened(run, headline, y, right, m, notes)
        last = remainder_of(evidence, m, n)
        if last is not None and {m, n} == {last.rows, last.size}:
            return self._last(run, headline, last, (left, x) if m == last.size else (right, y), notes)
        changes = [
            c for c in (batch_change(run, left, x, n), batch_change(run, right, y, m)) if c is not None and c.span is not None and c.is_last
        ]
        if changes and (not is_broadcast or run.op is not None and run.op.name in _LOSSES):
            return self._changed(run, headline, max(changes, key=lambda c: (c.layer is not None, c.op.index)), notes)
        if is_broadcast:
            return None
        found = conflict(run, [(left, x, 0), (right, y, 0)])
        fixes = [Fix(f"give {code(left)} and {code(right)} the same rows, {m} or {n}")]
        return run.diagnosis(self, headline, found.cause, found.because, trail=found.trail, notes=found.notes, fixes=fixes)

    def _last(self, run: Reading, headline: str, last: Remainder, full: Named, notes: list[str]) -> Diagnosis:
        """The smaller last batch meets what was made, or cut, for a full one."""
        name, tensor = full
        decision, built = run.decided(tensor, Size(0)), last.loader.built[0] if last.loader.built else None
        cause = decision.op.span if decision.op is not None and decision.op.span is not None else built
        notes = [
            f"the last batch has {last.rows} of {last.size} samples, {last.length} in all: the loader keeps it (no drop_last)",
            f"{code(name)} still has {last.size} rows: {size_account(run, tensor, 0, decision)}",
            *notes,
        ]
        fixes = [Fix(f"take the number of rows of {code(name)} from the batch that came, as `len(x)`")]
        if built is not None:
            made = edits.set_keyword(run.sources, built, "drop_last", "True")
            fixes.append(Fix("leave the smaller last batch out: drop_last=True", made, changes=f"{last.rows} samples of an epoch not used"))
        trail = run.trail(tensor, Size(0))
        return run.diagnosis(self, headline, cause, f"{last.size} rows, as of a full batch", trail=trail, notes=notes, fixes=fixes)

    def _not_flattened(self, run: Reading, headline: str, y: TensorFacts, name: str, rows: int, notes: list[str]) -> Diagnosis:
        """One label for each row of the predictions, but still in the shape of the batch."""
        made, here = run.history.producer(y, run.before), run.span_of("target")
        notes = [*notes, f"{code(name)} holds {rows} labels in all, one for each row, in the shape {shape_text(y.shape)}"]
        flat = edits.append_method(run.sources, here, ".reshape(-1)") if here is not None else ()
        fix = Fix(f"flatten {code(name)} to [{rows}], as the predictions are", flat, "safe")
        cause = made.span if made is not None and made.span is not None else here
        return run.diagnosis(
            self, headline, cause, f"{shape_text(y.shape)}, not [{rows}]", trail=run.trail(y, "rank"), notes=notes, fixes=[fix]
        )

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
            fixes.append(self._kept(run, change, rows))
        trail = run.trail(change.tensor, Size(0))
        return run.diagnosis(self, headline, change.span, because, trail=trail, notes=notes, fixes=fixes)

    def _kept(self, run: Reading, change: BatchChange, rows: int) -> Fix:
        op, each = change.op, change.before.numel // max(1, rows)
        call = run.sources.call_at(op.span) if op.span is not None else None
        receiver = run.sources.operands(op.span, op.name)[:1] if op.span is not None else ()
        if op.name in ("view", "reshape", "flatten") and change.before.rank > 1:
            made = (
                edits.set_value(run.sources, op.span, f"{receiver[0].text}.flatten(1)") if receiver and call is not None and op.span else ()
            )
            changes = f"each sample has {each} features then; the layer that takes them needs in_features={each}"
            return Fix("flatten all but the batch: `flatten(1)`", made, changes=changes)
        if op.name == "squeeze":
            told = Fix(f"keep the {rows} rows: name the dimension to squeeze, or leave `squeeze()` out")
            return rank_kept(run, op, change.after.rank + (change.before.shape or ())[:1].count(1)) or told
        if op.name in REDUCTIONS:
            return Fix(f"keep the {rows} rows: {code(op.name)} over another dimension than 0")
        return Fix(f"keep the {rows} rows there, or give the other side {(change.after.shape or (0,))[0]} too")

    def _from_text(self, run: Reading, match: re.Match[str]) -> Diagnosis | None:
        groups = match.groupdict()
        if not groups.get("a") and not groups.get("kind") or "non-singleton" in match[0]:
            return None
        headline = f"the loss gets {groups.get('a')} predictions for {groups.get('b')} targets"
        if groups.get("kind"):
            headline = f"the {groups['kind']} of one dataset have different numbers of rows"
        written = [code(e.text) for e in run.sources.arguments(run.raised)][:2]
        note = f"the failing call gets {' and '.join(written)}" if written else ""
        return run.diagnosis(self, headline, None, "the two batches meet here", notes=[note])

    examples = (
        Example(
            {
                "train.py": """\
import torch
from torch import nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1 = nn.Conv2d(3, 8, 3, padding=1)
        self.c2 = nn.Conv2d(8, 16, 3, padding=1)
        self.out = nn.Linear(16 * 8 * 8, 10)

    def forward(self, x):
        x = F.relu(self.c1(x))
        x = F.max_pool2d(F.relu(self.c2(x)), 2)
        x = x.view(-1, 16 * 8 * 8)  #~ cause
        return self.out(x)


net = Net()
images, labels = torch.rand(4, 3, 32, 32), torch.randint(0, 10, (4,))
loss = F.cross_entropy(net(images), labels)
loss.backward()
""",
            },
            says=(
                "16 rows",
                "4",
                "x.view(-1, 16 * 8 * 8)",
                "[4, 16, 16, 16]",
            ),
        ),
        Example(
            {
                "train.py": """\
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from model import Tagger

torch.manual_seed(0)
data = TensorDataset(torch.rand(24, 15, 5), torch.randint(0, 3, (24,)))
net = Tagger(5, 3)
opt = torch.optim.SGD(net.parameters(), lr=0.1)
for x, y in DataLoader(data, batch_size=6):
    loss = nn.functional.cross_entropy(net(x), y)
    opt.zero_grad()
    loss.backward()
    opt.step()
""",
                "model.py": """\
from torch import nn


class Tagger(nn.Module):
    def __init__(self, features, classes, hidden=12):
        super().__init__()
        self.encoder = nn.LSTM(features, hidden)  #~ cause
        self.head = nn.Linear(hidden, classes)

    def forward(self, x):
        out, (h, c) = self.encoder(x)
        return self.head(h[-1])
""",
            },
            says=(
                "net.encoder",
                "batch_first",
                "15",
                "6",
            ),
            becomes="self.encoder = nn.LSTM(features, hidden, batch_first=True)",
        ),
    )
    near_misses = (
        NearMiss(
            {
                "train.py": """\
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

net = nn.Linear(6, 3)
for x, y in DataLoader(TensorDataset(torch.rand(20, 6), torch.randint(0, 3, (20,))), batch_size=8):
    nn.functional.cross_entropy(net(x), y).backward()
"""
            }
        ),
        NearMiss(
            {
                "train.py": """\
import torch
from torch import nn

nn.functional.cross_entropy(nn.Linear(6, 3)(torch.rand(4, 6)), torch.zeros(4, 1, dtype=torch.long))
"""
            },
            belongs_to="shape.loss-target",
        ),
    )
