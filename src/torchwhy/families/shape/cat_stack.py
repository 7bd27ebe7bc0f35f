"""Tensors are joined by `torch.cat` or `torch.stack`, and their shapes do not fit together.

Erroneous code (TW0112):

{example}

Why: `cat` joins along one dimension, all other dimensions must be equal; `stack` makes a new dimension, so the shapes must be equal
altogether. Sizes differ when one branch rounds an odd size down (27 pooled to 13 and doubled again is 26), when one picture of many has
another format, when the last batch is smaller, or when a token or a column has not been expanded to the batch.

Fix: change the side that came out with another size, name the dimension to join (`dim=1`), or give a tensor the missing dimension.

Messages: `Sizes of tensors must match except in dimension 1. Expected size 27 but got size 26 for tensor number 1 in the list.` · `stack
expects each tensor to be equal size, but got [3, 64, 64] at entry 0 and [1, 64, 64] at entry 2` · `Tensors must have same number of
dimensions: got 2 and 1` · `zero-dimensional tensor (at position 0) cannot be concatenated` · `expected a non-empty list of Tensors`.

Not to be confused with: `data.collate`, where the samples that a DataLoader puts into a batch differ.
"""

from __future__ import annotations

import re
from collections import Counter

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, Label, TensorFacts
from ...reason import edits
from ...reason.accounts import tensor_account
from ...reason.broadcasting import REDUCTIONS, lost_rank
from ...reason.conflict import conflict, first_size, rounded, size_fixes
from ...reason.history import number
from ...reason.layer_edits import resized_like
from ...reason.reading import Cause, Reading, reading
from ...reason.shape_edits import other_function
from ...reason.wording import code, first_fitting, place, plural, shape_text

Named = tuple[str, TensorFacts]


class CatStack(Family):
    code = "TW0112"
    title = "tensors that do not fit together in cat or stack"
    triggers = (
        Trigger(r"Sizes of tensors must match except in dimension|stack expects each tensor to be equal size"),
        Trigger(r"Tensors must have same number of dimensions: got|zero-dimensional tensor \(at position \d+\) cannot be concatenated"),
        Trigger(r"(expected a|expects a) non-empty (list of Tensors|TensorList)|invalid argument 0: Sizes of tensors must match"),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        if run.op is not None and run.op.phase == "data" and any("collate" in f.span.file for f in run.failure.frames):
            return None
        name = run.op.name if run.op is not None else "stack" if match[0].startswith("stack") else "cat"
        joined = list(run.tensors)
        if "non-empty" in match[0]:
            return self._empty(run, name)
        if len(joined) < 2 and not (joined and joined[0][1].rank == 0):
            return run.diagnosis(self, f"{code(name)} gets tensors of sizes that do not fit together", None, "the tensors are joined here")
        if name == "stack" and (answer := self._last_batch(run, joined)) is not None:
            return answer
        odd = self._odd(joined, name, self._dim(run, joined))
        if odd is None:
            return None
        one, other = odd
        headline = first_fitting(
            f"{code(one[0])} is {shape_text(one[1].shape)}, {code(other[0])} {shape_text(other[1].shape)}: {name} can't join them",
            f"{name} gets {shape_text(one[1].shape)} among {shape_text(other[1].shape)}",
        )
        if one[1].rank != other[1].rank or one[1].rank == 0:
            return self._ranks(run, headline, name, one, other)
        return self._sizes(run, headline, name, joined, one, other)

    def _dim(self, run: Reading, joined: list[Named]) -> int | None:
        """The dimension along which cat joins, from the left; None for stack."""
        if run.op is None or "stack" in run.op.name:
            return None
        return (number(run.op.argument("dim") or run.op.argument("axis")) or 0) % max(1, joined[0][1].rank)

    def _odd(self, joined: list[Named], name: str, dim: int | None) -> tuple[Named, Named] | None:
        """The tensor that does not fit and one that stands for the others: the commonest shape, for two the first."""

        def key(tensor: TensorFacts) -> tuple[int, ...]:
            shape = tensor.shape or ()
            return tuple(size for d, size in enumerate(shape) if d != dim) if len(shape) > 1 or dim is None else shape[:0]

        ranks, keys = Counter(t.rank for _, t in joined), Counter(key(t) for _, t in joined)
        usual_rank, usual = ranks.most_common(1)[0][0], keys.most_common(1)[0][0]
        if len(ranks) > 1:
            other = next(n for n in joined if n[1].rank == (usual_rank if len(joined) > 2 else max(ranks)))
            return next(n for n in joined if n[1].rank != other[1].rank), other
        if usual_rank == 0:
            return joined[0], joined[-1]
        other = next(n for n in joined if key(n[1]) == usual)
        return next(((n, other) for n in joined if key(n[1]) != usual), None)

    def _ranks(self, run: Reading, headline: str, name: str, one: Named, other: Named) -> Diagnosis:
        notes = [tensor_account(run, other[1], other[0]), tensor_account(run, one[1], one[0])]
        if one[1].rank == 0:
            notes.append("cat joins along a dimension that is there; a scalar has none; `torch.stack` makes one")
            made = other_function(run.sources, run.raised, "stack")
            return run.diagnosis(self, headline, run.raised, f"{name} of scalars", notes=notes, fixes=[Fix("stack the scalars", made)])
        op = lost_rank(run.evidence, one[1], run.before)
        operand = next((e for e in run.sources.operands(run.raised) if e.text == one[0]), None)
        cause = op.span if op is not None and op.span is not None else operand.span if operand is not None else run.raised
        fixes = []
        if op is not None and op.span is not None:
            notes.append(
                f"{code(run.sources.segment(op.span))} ({place(op.span)}) made {shape_text(op.outputs[0].shape)}"
                f" of {shape_text(op.inputs[0].shape)}"
            )
            if op.name in REDUCTIONS:
                fixes.append(Fix("keep the reduced dimension as 1", edits.set_keyword(run.sources, op.span, "keepdim", "True")))
        at = self._missing_dim(run, one[1], other[1])
        if at is not None:
            notes.append(
                f"with `unsqueeze({at})` {code(one[0])} is {shape_text((*(one[1].shape or ())[:at], 1, *(one[1].shape or ())[at:]))}"
            )
            made = edits.append_method(run.sources, operand.span, f".unsqueeze({at})") if operand is not None else ()
            fixes.append(Fix(f"give {code(one[0])} dimension {at}: unsqueeze({at})", made))
            if (made := self._in_rows(run, one, other)) and operand is not None:
                fixes.append(Fix(f"give {code(one[0])} one row for each of {code(other[0])}", made, "safe"))
        return run.diagnosis(
            self, headline, cause, f"{plural(one[1].rank, 'dimension')}, {other[1].rank} in the others", notes=notes, fixes=fixes
        )

    def _in_rows(self, run: Reading, one: Named, other: Named) -> edits.Edits:
        """`x.reshape(y.size(0), -1)`: right also where another caller passes it with its second dimension."""
        operand = next((e for e in run.sources.operands(run.raised) if e.text == one[0]), None)
        if operand is None or (one[1].rank, other[1].rank) != (1, 2) or not other[0].replace(".", "").isidentifier():
            return ()
        return edits.append_method(run.sources, operand.span, f".reshape({other[0]}.size(0), -1)")

    def _missing_dim(self, run: Reading, small: TensorFacts, large: TensorFacts) -> int | None:
        """Where a dimension of size 1 makes all but the joined dimension agree."""
        shape, wanted, dim = small.shape or (), large.shape or (), self._dim(run, [("", large)])
        places: list[int] = [dim if dim is not None else -1, *range(len(shape) + 1)]
        for at in places:
            made = (*shape[:at], 1, *shape[at:]) if at >= 0 else ()
            if len(made) == len(wanted) and all(a == b for d, (a, b) in enumerate(zip(made, wanted)) if d != dim):
                return at
        return None

    def _sizes(self, run: Reading, headline: str, name: str, joined: list[Named], one: Named, other: Named) -> Diagnosis:
        dim = self._dim(run, joined)
        differ = [d for d, (a, b) in enumerate(zip(one[1].shape or (), other[1].shape or ())) if a != b and d != dim]
        at = differ[0]
        sizes = {(one[1].shape or ())[at], (other[1].shape or ())[at]}
        if 1 in sizes and dim is not None:
            small = one if (one[1].shape or ())[at] == 1 else other
            return self._expand(run, headline, small, other if small is one else one, at)
        passed = run.op is not None and any(a.name in ("dim", "axis") for a in run.op.arguments)
        if len(differ) == 1 and dim == 0 and not passed:
            note = f"without `dim` {name} joins dimension 0; in all but dimension {at} the shapes agree"
            notes = [*(tensor_account(run, t, n) for n, t in (one, other)), note]
            fix = Fix(f"join along dimension {at}", edits.set_keyword(run.sources, run.raised, "dim", str(at)))
            return run.diagnosis(self, headline, run.raised, f"joins dimension 0, not {at}", notes=notes, fixes=[fix])
        sides = [(n, t, at) for n, t in ((one, other) if len(joined) == 2 else joined[:8] if one in joined[:8] else (other, one))]
        found = conflict(run, sides)
        notes = [*found.notes[:3]]
        fixes = size_fixes(run, found)
        cause, because = found.cause, found.because
        if (half := rounded(run, found.side.tensor, at)) is not None:
            notes.insert(0, half.told(run))
            first = first_size(run, found.side.tensor, at)
            origin = run.cause(first, size := (first.tensor.shape or ())[first.dim or 0]) if first.how == "created" else None
            if origin is not None and origin.origins and origin.origins[-1].form == "literal":
                cause, because = origin, f"{size} does not halve evenly"
                notes.append(f"{size} is given at {place(cause.span)}; its halves come to {half.large}, which is odd")
            elif half.layer is not None and half.layer.built:
                cause, because = Cause(half.layer.built[0]), f"halves {half.large}, an odd size"
            told = f"feed sizes that halve evenly, or pad or crop {code(found.side.name)} to the other's size before {name}"
            fixes = [fix for fix in fixes if fix.edits] or [Fix(told)]
        fixes = [*fixes, *self._like_the_other(run, found.side.name, (one, other))]
        return run.diagnosis(self, headline, cause, because, trail=found.trail, notes=notes, fixes=fixes)

    def _like_the_other(self, run: Reading, name: str, both: tuple[Named, Named]) -> list[Fix]:
        """The blamed side's maps scaled to the other's height and width."""
        written, names = run.sources.operands(run.raised), [n for n, _ in run.tensors]
        first, second = both if both[0][0] == name else both[::-1]
        places = [names.index(side[0]) if side[0] in names else len(written) for side in (first, second)]
        if max(places) >= min(len(written), len(names)) or set((first[1].shape or ())[2:]) == {1}:
            return []
        pairs = list(zip(first[1].shape or (), second[1].shape or ()))
        if pairs[0][0] != pairs[0][1] or any(abs(a - b) > max(2, a // 8) for a, b in pairs[2:]):
            return []  # another batch, or no mere rest of a halving
        made = resized_like(run, written[places[0]].span, written[places[1]].span, first[1].rank)
        title = f"bring {code(first[0])} to the other's size: `F.interpolate(…, size=…)`"
        return [Fix(title, made, changes="the maps are scaled by a pixel or more")] if made else []

    def _expand(self, run: Reading, headline: str, small: Named, large: Named, at: int) -> Diagnosis:
        size, rank = (large[1].shape or ())[at], small[1].rank
        operand = next(
            (e for e in run.sources.operands(run.raised) if e.text == small[0] or small[0].endswith(e.text.removeprefix("self"))), None
        )
        spread = (
            ", ".join(f"{large[0]}.size({at})" if d == at else "-1" for d in range(rank))
            if large[0].replace(".", "").isidentifier()
            else ""
        )
        made = edits.append_method(run.sources, operand.span, f".expand({spread})") if operand is not None and spread else ()
        notes = [
            f"{tensor_account(run, small[1], small[0])}: 1 in dimension {at}, where {code(large[0])} has {size}; cat does not broadcast",
            f"expanded to {size} in dimension {at} it fits",
        ]
        span = operand.span if operand is not None else run.raised
        return run.diagnosis(
            self,
            headline,
            span,
            f"1 in dimension {at}, not expanded to {size}",
            notes=notes,
            fixes=[Fix(f"expand {code(small[0])} to {size}", made)],
        )

    def _last_batch(self, run: Reading, joined: list[Named]) -> Diagnosis | None:
        """Equal results of all batches but the last, stacked: the last batch is smaller."""
        shapes = [t.shape or () for _, t in joined]
        first, last = shapes[0], shapes[-1]
        whole = number_of_items(run) == len(joined)
        if (
            len(shapes) < 2
            or not whole
            or any(s != first for s in shapes[:-1])
            or not first
            or last[1:] != first[1:]
            or not 0 < last[0] < first[0]
        ):
            return None
        lists = run.operands[0].expression
        headline = f"the last of {len(shapes)} tensors in {code(lists or 'the list')} has {last[0]} rows, the others {first[0]}"
        notes = [
            f"each is {shape_text(first)}, the last {shape_text(last)}: a last batch is smaller where the number of samples is not a"
            f" multiple of {first[0]}",
            "stack needs equal shapes; `torch.cat` joins them along the batch dimension",
        ]
        loader = next((m for m in run.evidence.loaders if m.batch_size == first[0]), None)
        if loader is not None:
            notes.append(
                f"the loader built at {place(loader.built[0] if loader.built else None)} gives {loader.length} samples"
                f" by {loader.batch_size}, without drop_last"
            )
        fix = Fix(
            "join the batches with torch.cat",
            other_function(run.sources, run.raised, "cat"),
            changes="the result has one dimension less: all rows in one",
        )
        return run.diagnosis(
            self, headline[:80], run.raised, "stack of batches of different size", notes=notes, fixes=[fix], confidence=Confidence.LIKELY
        )

    def _empty(self, run: Reading, name: str) -> Diagnosis:
        written = next(iter(run.sources.operands(run.raised)), None)
        listed = written.text if written is not None else "the list"
        cause = run.expression_origins(written.span, run.calls) if written is not None else None
        notes = [f"{code(listed)} is empty when {name} is called; {name} can't tell shape and dtype of a result from nothing"]
        because = "stays empty" if cause is not None and cause.span.line != run.raised.line else "an empty list"
        trail = [*([Label(cause.span, f"{listed}: 0 tensors")] if cause is not None else []), Label(run.raised, "raised here")]
        return run.diagnosis(
            self,
            f"{name} gets an empty list: {code(listed)} has no tensors",
            cause,
            because,
            trail=trail,
            notes=notes,
            fixes=[Fix(f"return early, or with zeros, where {code(listed)} is empty")],
        )

    examples = (
        Example(
            {
                "train.py": """\
import torch
from torch import nn


class ViT(nn.Module):
    def __init__(self, dim=32):
        super().__init__()
        self.patch = nn.Conv2d(3, dim, 8, stride=8)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))

    def forward(self, x):
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        return torch.cat([self.cls_token, tokens], dim=1)  #~ cause


print(ViT()(torch.rand(8, 3, 32, 32)).shape)
""",
            },
            says=(
                "self.cls_token",
                "tokens",
                "expand",
            ),
            becomes="return torch.cat([self.cls_token.expand(tokens.size(0), -1, -1), tokens], dim=1)",
        ),
        Example(
            {
                "train.py": """\
import torch
from encoder import TwoStreams

net = TwoStreams()
print(net(torch.rand(3, 1, 40), torch.rand(3, 2, 40)).shape)
""",
                "encoder.py": """\
import torch
from torch import nn


class TwoStreams(nn.Module):
    def __init__(self):
        super().__init__()
        self.audio = nn.Conv1d(1, 4, 5, padding=2)
        self.motion = nn.Conv1d(2, 4, 5)  #~ cause

    def forward(self, audio, motion):
        return torch.cat([self.audio(audio), self.motion(motion)], dim=1)
""",
            },
            says=(
                "net.motion",
                "36",
                "40",
                "padding",
            ),
            becomes="self.motion = nn.Conv1d(2, 4, 5, padding=2)",
        ),
    )
    near_misses = (
        NearMiss(
            {
                "train.py": """\
import torch

print(torch.cat([torch.rand(2, 3), torch.rand(4, 3)]).shape, torch.stack([torch.rand(2)] * 3).shape)
"""
            }
        ),
        NearMiss(
            {
                "train.py": """\
import torch
from torch.utils.data import DataLoader

for batch in DataLoader([torch.rand(3), torch.rand(3), torch.rand(5), torch.rand(3)], batch_size=2):
    print(batch.shape)
"""
            },
            belongs_to="data.collate",
        ),
    )


def number_of_items(run: Reading) -> int:
    value = run.operands[0].value if run.operands else None
    return getattr(value, "length", 0)
