"""The last batch of an epoch is smaller, and something can't do with that.

Erroneous code (TW0604):

```python
{example}
```

Why: when the length of the dataset is no multiple of `batch_size`, the last batch has the remainder. Code that was written for full
batches then fails late: labels, masks or states made once for `batch_size` rows, a `view(batch_size, -1)`. Batch normalisation
needs more than one value per channel to train with, so it fails on a last batch of one sample.

Fix: take the size from the batch that came (`x.size(0)`), or leave the smaller batch out with `drop_last=True` (its samples are
then not used in that epoch; with shuffling others are left out each time).

Messages: `Expected more than 1 value per channel when training, got input size torch.Size([1, 64])`; `The size of tensor a (3) must
match the size of tensor b (8) at non-singleton dimension 0`; `Expected hidden[0] size (1, 3, 20), got [1, 8, 20]`; `shape '[8, -1]'
is invalid for input of size 90`.

Not to be confused with: `shape.batch-mismatch` and `shape.broadcast`, where full batches fail too; `shape.norm`, where every batch
has one sample.
"""

from __future__ import annotations

import ast
import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, Label, LoaderFacts, TensorFacts
from ...reason import edits
from ...reason.batches import Remainder, kept_from_before, remainder_of
from ...reason.minibatches import left_over
from ...reason.provenance import Decision, Size
from ...reason.reading import Cause, Reading, named, reading
from ...reason.scopes import producer_of
from ...reason.sequences import is_recurrent
from ...reason.sizes import size_expression
from ...reason.wording import code, first_fitting, place, plural, shape_text, tensor_text


class LastBatch(Family):
    code = "TW0604"
    title = "the last batch is smaller"
    rank = 5
    triggers = (
        Trigger(r"Expected more than 1 (?:value per channel|spatial element) when training, got input size \D*(?P<norm>[\d, ]+)"),
        Trigger(r"(?P<sizes>\d)", types=("RuntimeError", "ValueError", "IndexError", "AssertionError")),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        last = remainder_of(evidence)
        if last is None and match.groupdict().get("norm"):
            return self._by_hand(run)
        if last is None or run.failure.loader is not None or not (last.loader.batch_number or last.length and last.length < last.size):
            return None
        if match.groupdict().get("norm"):
            return self._norm(run, last) if last.rows == 1 else None
        return self._assumed(run, last)

    def _norm(self, run: Reading, last: Remainder) -> Diagnosis:
        loader, layer, x = last.loader, run.layer or run.module, run.tensor("input")
        shape = shape_text(x.shape) if x is not None else f"[{run.failure.message.partition('[')[2].partition(']')[0]}]"
        where = f"{named(run, layer)} ({layer.kind})" if layer is not None else "batch normalisation"
        headline = first_fitting(
            f"the last batch has 1 sample, and {named(run, layer)} needs more to train",
            "the last batch has 1 sample: too few for batch normalisation",
        )
        notes = [
            self._account(last),
            f"{where} normalises each channel over the batch: in training it needs more than 1 value, it gets {shape}",
        ]
        cause = Cause(loader.built[0]) if loader.built else None
        trail = [Label(loader.built[0], f"{last.length} samples, {last.size} a batch")] if loader.built else []
        return run.diagnosis(
            self,
            headline,
            cause,
            "no drop_last: 1 sample is left over",
            trail=[*trail[1:], Label(run.raised, "raised here")],
            notes=notes,
            fixes=self._leave_out(run, last),
            confidence=Confidence.CERTAIN,
        )

    def _by_hand(self, run: Reading) -> Diagnosis | None:
        """Batch normalisation gets the one row that the program's own cutting into minibatches left."""
        x, layer = run.tensor("input"), run.layer or run.module
        last = left_over(run, x) if x is not None else None
        if last is None or last.rows != 1 or x is None:
            return None
        headline = first_fitting(
            f"the last minibatch has 1 of {last.whole} rows, and {named(run, layer)} needs more to train",
            "the last minibatch has 1 row: too few for batch normalisation",
        )
        notes = [
            f"{last.whole} rows in minibatches of {last.size} are {last.whole // last.size} full ones, and 1 row is left over",
            f"{named(run, layer)} normalises each channel over the batch: in training it needs more than 1 value, it gets {shape_text(x.shape)}",
        ]
        fixes = [
            Fix("leave out what does not fill a minibatch: `drop_last=True`", last.drops, changes="up to a minibatch of rows is left out"),
            Fix(f"take a size that leaves no single row of {last.whole}, or join it with the minibatch before"),
        ]
        trail = run.trail(x, Size(0))
        return run.diagnosis(self, headline, last.cut, "1 row is left over", trail=trail, notes=notes, fixes=fixes)

    def _assumed(self, run: Reading, last: Remainder) -> Diagnosis | None:
        """Something is as long as a full batch."""
        found = self._stale(run, last)
        if found is None:
            return None
        name, tensor, dim, times = found
        full, short = last.size * times, last.rows * times
        decision = run.decided(tensor, Size(dim)) if tensor is not None else None
        if (
            decision is not None
            and decision.how == "created"
            and run.layer is not None
            and is_recurrent(run.layer)
            and kept_from_before(run.evidence, decision) is None
        ):
            return None  # a state that each forward makes for a written batch size: shape.rnn
        cause, label = self._cause(run, decision, last)
        made = f"`{name}`" if name else "the shape"
        headline = first_fitting(
            f"{made} is for {full} rows, the last batch gives {short}", f"made for {full} rows, the last batch gives {short}"
        )
        notes = [
            self._account(last),
            f"{code(name)} is {tensor_text(tensor)}: made for a full batch" if tensor is not None and name else "",
            f"{full} and {short} are {times} for each of {last.size} and {last.rows} samples" if times > 1 else "",
        ]
        fresh = next((n for n, t in run.tensors if t.shape and t.shape[0] == short and n.isidentifier()), "") or self._fresh(run, short)
        fixes = [*self._sized(run, decision, dim, fresh, last), *self._leave_out(run, last)]
        trail = [Label(run.raised, "raised here")]
        if label is not None and cause is not None and (label.span.file, label.span.line) != (cause.span.file, cause.span.line):
            trail.insert(0, label)
        because = (
            f"made for a full batch of {last.size}"
            if cause is None or cause.span not in last.loader.built
            else f"no drop_last: the last batch has {last.rows}"
        )
        return run.diagnosis(
            self,
            headline,
            cause,
            because,
            trail=trail,
            notes=notes,
            fixes=fixes,
            confidence=Confidence.LIKELY if cause is not None else Confidence.POSSIBLE,
        )

    def _stale(self, run: Reading, last: Remainder) -> tuple[str, TensorFacts | None, int, int] | None:
        """The operand with a full batch's size, that dimension, and how many there are for a sample; another has the last batch's."""
        tensors = [(n, t) for n, t in run.tensors if t.shape and not _is_parameter(run, t)]
        numbers = [int(n) for n in re.findall(r"\d+", run.failure.message)]
        for times in (1, 2, 3, 4):
            if not {last.rows * times, last.size * times} <= set(numbers):
                continue
            short = [t for _, t in tensors if last.rows * times in (t.shape or ())]
            full = [(n, t) for n, t in tensors if last.size * times in (t.shape or ()) and not any(t is s for s in short)]
            if short and full:
                name, tensor = full[0]
                return name, tensor, (tensor.shape or ()).index(last.size * times), times
        if run.op is not None and run.op.name in ("view", "reshape", "expand") and len(tensors) == 1:
            asked = [n for n in re.findall(r"-?\d+", run.failure.message.partition("[")[2].partition("]")[0])]
            rows = (tensors[0][1].shape or (0,))[0]
            return ("", None, 0, 1) if str(last.size) in asked and rows == last.rows else None
        if not tensors and last.rows > 1 and {last.rows, last.size} <= set(numbers):
            return "", None, 0, 1
        return None

    def _cause(self, run: Reading, decision: Decision | None, last: Remainder) -> tuple[Cause | None, Label | None]:
        """What was made for a full batch; for a state that is carried on from the batch before, the loader that gives another size."""
        if decision is None:
            return Cause(run.raised), None
        kept = kept_from_before(run.evidence, decision)
        made = decision.op if decision.op is not None and decision.op.span is not None and decision.op.phase != "data" else None
        if made is not None and made.span is not None:
            return Cause(made.span), None
        if decision.how == "module" and decision.span is not None:
            return Cause(decision.span), None
        label = Label(kept.span, "kept from the batch before") if kept is not None and kept.span is not None else None
        return Cause(last.loader.built[0]) if last.loader.built else None, label

    def _fresh(self, run: Reading, rows: int) -> str:
        """A variable of the failing frame that is as long as the batch that came."""
        local = run.frame.locals if run.frame is not None else ()
        return next((a.name for a in local if isinstance(a.value, TensorFacts) and a.value.shape and a.value.shape[0] == rows), "")

    def _sized(self, run: Reading, decision: Decision | None, dim: int, fresh: str, last: Remainder) -> list[Fix]:
        """The written size becomes that of the batch, where the batch has a name at that place."""
        title = f"make it as long as the batch that came: `{fresh or 'x'}.size(0)`, not {last.size}"
        made = decision.op if decision is not None and decision.how == "created" else None
        written = size_expression(run.sources, made, dim, decision.tensor.rank) if made is not None and decision is not None else None
        span = made.span if made is not None else None
        bound = producer_of(run.sources, fresh, span.file, span.line) if span is not None else None
        is_known = span is not None and span.function == run.raised.function and bound is not None and bound.line < span.line
        if decision is None and fresh and (asked := next(iter(run.sources.arguments(run.raised)), None)) is not None:
            first = run.sources.node_at(asked.span)
            if not isinstance(first, (ast.Tuple, ast.List, ast.Constant)) or isinstance(first, ast.Constant) and first.value == last.size:
                return [Fix(title, edits.replace_text(asked.span, f"{fresh}.size(0)"), "unsafe")]
        if written is not None and fresh and is_known:
            return [Fix(title, edits.replace_text(written.span, f"{fresh}.size(0)"), "unsafe")]
        return [Fix(title)]

    def _leave_out(self, run: Reading, last: Remainder) -> list[Fix]:
        built = last.loader.built
        edit = edits.set_keyword(run.sources, built[0], "drop_last", "True") if built else ()
        return [
            Fix(
                "leave the smaller last batch out: `drop_last=True`",
                edit,
                "unsafe",
                changes=f"{plural(last.rows, 'sample')} of an epoch {'is' if last.rows == 1 else 'are'} not used",
            )
        ]

    def _account(self, last: Remainder) -> str:
        loader: LoaderFacts = last.loader
        built = f", built at {place(loader.built[0])}" if loader.built else ""
        number = f"batch {loader.batch_number}" if loader.batch_number is not None else "the last batch"
        samples = (
            f"{last.length} samples in batches of {last.size} leave {last.rows}"
            if last.length
            else f"batches of {last.size} leave {last.rows}"
        )
        return f"the loader of {code(loader.dataset)}{built} has drop_last={loader.drop_last}: {samples} for the last batch ({number})"

    examples = (
        Example(
            {
                "train.py": """\
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

net = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 1))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
data = TensorDataset(torch.randn(9, 5), torch.randn(9, 1))
loader = DataLoader(data, batch_size=4)  #~ cause
for features, price in loader:
    loss = nn.functional.mse_loss(net(features), price)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
            },
            says=("last batch", "1 sample", "9 samples", "batches of 4", "net.1", "drop_last"),
            becomes="loader = DataLoader(data, batch_size=4, drop_last=True)",
        ),
        Example(
            {
                "pairs.py": """\
import torch
from torch.utils.data import DataLoader
from views import ContrastiveLoss

loss = ContrastiveLoss(batch=4)
weight = torch.randn(3, 3, requires_grad=True)
for points in DataLoader(torch.randn(10, 3), batch_size=4):
    loss(points @ weight, points).backward()
""",
                "views.py": """\
import torch
from torch import nn


class ContrastiveLoss(nn.Module):
    def __init__(self, batch):
        super().__init__()
        self.own = torch.eye(batch, dtype=torch.bool)  #~ cause

    def forward(self, a, b):
        similar = a @ b.T
        return similar.masked_fill(self.own, 0).sum()
""",
            },
            says=("self.own", "10 samples", "batches of 4", "leave 2", "drop_last"),
        ),
    )
    near_misses = (
        NearMiss(
            {
                "ok.py": """\
import torch
from torch.utils.data import DataLoader
for x in DataLoader(torch.randn(7, 3), batch_size=4):
    print((x + torch.zeros(x.size(0), 3)).shape)
"""
            }
        ),
        NearMiss(
            {
                "first.py": """\
import torch
from torch.utils.data import DataLoader
for x in DataLoader(torch.randn(7, 3), batch_size=4):
    print(x + torch.zeros(5, 3))
"""
            },
            belongs_to="shape.broadcast",
        ),
    )


def _is_parameter(run: Reading, tensor: TensorFacts) -> bool:
    """Whether it is a layer's weight (a buffer may well be made for a batch)."""
    owner = run.history.owner_of.get(tensor.id)
    return owner is not None and any(a.name == owner[1] for a in owner[0].parameters)
