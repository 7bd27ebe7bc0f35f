"""A tensor is given a shape that does not hold as many values as it has.

Erroneous code (TW0113):

{example}

Why: `view`, `reshape` and `unflatten` only regroup: the sizes of the new shape must multiply up to the number of values, and `-1` stands
for what is left, if that is a whole number. A number in the shape was computed for another picture size, another batch, or for a width
that the heads do not divide.

Fix: take the sizes from the tensor, `x.view(x.size(0), -1)` or `x.flatten(1)`, or mend the number.

Messages: `shape '[-1, 400]' is invalid for input of size 7680` · `unflatten: Provided sizes [3, 4] don't multiply up to the size of dim 1
(10) in the input tensor` · `pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor`; before
torch 0.4: `size '[-1 x 400]' is invalid for input with 7680 elements`.

Not to be confused with: `shape.view-stride`, where the numbers fit and the memory layout does not.
"""

from __future__ import annotations

import math
import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, OpRecord
from ...reason import edits
from ...reason.accounts import setting_account, size_account, tensor_account
from ...reason.batches import remainder_of
from ...reason.provenance import Size
from ...reason.reading import Cause, Reading, named, reading
from ...reason.regroup import Element, changed_dim, data_cause, doubtful, elements, fitting, nearest_divisor, uneven, wanted_shape
from ...reason.regroup_edits import layer_gives, whole_rows
from ...reason.wording import code, first_fitting, place, plural, shape_text


class ViewNumel(Family):
    code = "TW0113"
    title = "a shape that does not hold as many values as the tensor has"
    triggers = (
        Trigger(r"shape '\[(?P<shape>[-\d, ]*)\]' is invalid for input of size (?P<numel>\d+)"),
        Trigger(r"size '\[(?P<shape>[-\dx ]*)\]' is invalid for input (of|with) (?P<numel>\d+) elements"),
        Trigger(r"unflatten: Provided sizes \[(?P<shape>[-\d, ]*)\] don't multiply up to the size of dim (?P<dim>\d+) \((?P<numel>\d+)\)"),
        Trigger(r"pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor"),
        Trigger(r"cannot reshape tensor of 0 elements into shape \[(?P<shape>[-\d, ]*)\]"),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        if match[0].startswith("pixel"):
            return self._shuffle(run)
        groups = match.groupdict()
        shape = tuple(int(n) for n in re.findall(r"-?\d+", groups["shape"]))
        numel = int(groups.get("numel") or 0)
        op = run.op
        name = run.name("input", "self") if run.operands else self._written(run)
        fixed = math.prod(size for size in shape if size != -1)
        what = f"a multiple of {fixed}" if -1 in shape else f"{fixed} values"
        headline = first_fitting(
            f"{code(name)} has {numel} values, shape {shape_text(shape)} takes {what}",
            f"{numel} values do not fit shape {shape_text(shape)}",
        )
        if op is None or not op.inputs:
            return run.diagnosis(self, headline, None, f"{fixed} does not divide {numel}" if -1 in shape else f"{fixed} are not {numel}")
        x = op.inputs[0]
        notes = [tensor_account(run, x, name)]
        found = elements(run, op, wanted_shape(op) or shape)
        trail = run.trail(x, Size(max(0, x.rank - 1)))
        if (batch := self._stored_batch(run, op, found, headline, notes)) is not None:
            return batch
        if (news := changed_dim(run, op)) is not None and news[0] > 0 and (cause := data_cause(run, op, news[0])) is not None:
            size = (x.shape or ())[news[0]]
            notes.append(f"in earlier calls dimension {news[0]} was {news[1]}, now it is {size}; {size_account(run, x, news[0])}")
            return run.diagnosis(
                self,
                headline,
                cause,
                f"{size} where {news[1]} came before",
                trail=trail,
                notes=notes,
                fixes=self._fixes(run, op, found, None),
            )
        wrong = doubtful(x.shape or (), shape, found)
        notes += [n for n in (self._told(e) for e in found if not e.asked and e.size not in (-1, 1)) if n]
        notes += [n for d in range(1, x.rank) if (n := size_account(run, x, d))][:2]
        layer = run.layer
        if layer is not None and layer.built:
            notes.append(f"{named(run, layer)} ({layer.kind}) is built at {place(layer.built[0])}")
            return run.diagnosis(self, headline, Cause(layer.built[0]), f"{shape_text(shape)} of {numel}", trail=trail, notes=notes,
                                 fixes=[Fix(f"give {named(run, layer)} sizes that multiply up to {numel}")])  # fmt: skip
        if (answer := self._remainder(run, found, headline, notes)) is not None:
            return answer
        cause = self._cause(run, op, found, wrong)
        fixes = self._fixes(run, op, found, wrong)
        because = f"{fixed} does not {'divide' if -1 in shape else 'equal'} {numel}"
        if wrong is not None:
            because = f"{wrong.name} is {wrong.size}" if wrong.name != str(wrong.size) else f"{wrong.size} in dimension {wrong.place}"
        return run.diagnosis(self, headline, cause, because[:60], trail=trail, notes=notes, fixes=fixes, confidence=Confidence.LIKELY)

    def _cause(self, run: Reading, op: OpRecord, found: tuple[Element, ...], wrong: Element | None) -> Cause:
        """What decided the size that can't be right; with several, the place they share, else the call itself."""
        if wrong is not None and wrong.cause is not None:
            return wrong.cause
        places = {e.cause.span: e.cause for e in found if e.cause is not None and not e.asked and e.size not in (-1, 1)}
        lines = {(s.file, s.line) for s in places}
        here = op.span or run.raised
        return next(iter(places.values())) if len(lines) == 1 and lines != {(here.file, here.line)} else Cause(here)

    def _remainder(self, run: Reading, found: tuple[Element, ...], headline: str, notes: list[str]) -> Diagnosis | None:
        """A width that the heads (or groups) do not divide."""
        if run.op is not None and (split := uneven(run, run.op, found)) is not None:
            size, by, cause = split
            notes.append(f"{size} // {by} is {size // by}, and {by} · {size // by} is {size - size % by}: {by} does not divide {size}")
            fix = Fix(f"make the {size} a multiple of {by}, such as {size - size % by}")
            trail = run.trail(run.op.inputs[0], "rank")
            return run.diagnosis(self, headline, cause, f"{size} is no multiple of {by}", trail=trail, notes=notes, fixes=[fix])
        one = next((e for e in found if e.quotient is not None and e.cause is not None), None)
        if one is None or one.quotient is None or one.cause is None:
            return None
        dividend, by = one.quotient
        notes.append(f"{dividend} // {by} is {one.size}, and {by} · {one.size} is {by * one.size}: {by} does not divide {dividend}")
        last, near = one.cause.origins[-1] if one.cause.origins else None, nearest_divisor(dividend, by)
        exact = last is not None and last.form == "literal" and last.value == by
        fix = Fix(
            f"make {code(one.name)} a divisor of {dividend}, such as {near}",
            edits.set_value(run.sources, one.cause.span, str(near)) if exact else (),
        )
        trail = run.trail(run.op.inputs[0], "rank") if run.op is not None else ()
        return run.diagnosis(self, headline, one.cause, f"{by} does not divide {dividend}", trail=trail, notes=notes, fixes=[fix])

    def _told(self, element: Element) -> str:
        if element.expression is None or element.cause is None:
            return ""
        origin = element.cause.origins[-1] if element.cause.origins else None
        way = f", from {code(element.name)} at {place(origin.span)}" if origin is not None and len(element.cause.origins) > 1 else ""
        return f"{element.size} is {code(element.expression.text)}{way}" if way or not element.expression.text.isdigit() else ""

    def _stored_batch(self, run: Reading, op: OpRecord, found: tuple[Element, ...], headline: str, notes: list[str]) -> Diagnosis | None:
        """A stored batch size meets the smaller last batch, also where rows and steps are flattened together."""
        last = remainder_of(run.evidence)
        one = next((e for e in found if last is not None and e.size == last.size and not e.asked and e.expression is not None), None)
        if last is None or one is None or one.expression is None or op.inputs[0].numel % last.rows:
            return None
        built = last.loader.built[0] if last.loader.built else None
        notes.append(
            f"{code(one.expression.text)} is {one.size}, but the last batch has {last.rows} rows: the loader built at {place(built)} gives"
            f" {plural(last.length or 0, 'sample')} by {last.size}, without drop_last"
        )
        given = run.sources.operands(op.span, op.name)[:1] if op.span is not None else ()
        told = f"{given[0].text}.size(0)" if given and one.place == 0 and (op.inputs[0].shape or ())[:1] == (last.rows,) else ""
        asked = edits.set_value(run.sources, one.expression.span, told) if told and "(" not in given[0].text else ()
        fixes = [Fix("take the batch size from the tensor that came, as `x.size(0)`, not a stored one", asked, "safe")]
        if built is not None:
            made = edits.set_keyword(run.sources, built, "drop_last", "True")
            fixes.append(
                Fix("leave the smaller last batch out: drop_last=True", made, changes=f"{plural(last.rows, 'sample')} of an epoch not used")
            )
        because = f"{one.name} is {one.size}, the last batch has {last.rows}"[:60]
        return run.diagnosis(self, headline, op.span, because, trail=run.trail(op.inputs[0], Size(0)), notes=notes, fixes=fixes)

    def _fixes(self, run: Reading, op: OpRecord, found: tuple[Element, ...], wrong: Element | None) -> list[Fix]:
        x, shape = op.inputs[0], wanted_shape(op) or ()
        rows = (x.shape or (0,))[0]
        right = fitting(shape, wrong.place, x.numel) if wrong is not None else None
        fixes = []
        if len(shape) == 2 and x.rank > 2 and shape[0] in (-1, rows):
            each = x.numel // max(1, rows)
            made = (
                edits.set_value(run.sources, op.span, f"{run.name('input')}.flatten(1)")
                if op.span is not None and op.name in ("view", "reshape") and run.name("input")
                else ()
            )
            fixes.append(
                Fix(
                    "flatten all but the batch: flatten(1)",
                    made,
                    changes=f"each sample has {each} features then; the layer that takes them needs in_features={each}",
                )
            )
        if wrong is not None and right is not None and wrong.cause is not None and wrong.cause.origins:
            last = wrong.cause.origins[-1]
            made = edits.set_value(run.sources, last.span, str(right)) if last.form == "literal" and last.value == wrong.size else ()
            fixes.append(
                Fix(
                    f"make {code(wrong.name)} {right}" if wrong.name != str(wrong.size) else f"ask for {right} in dimension {wrong.place}",
                    made,
                )
            )
        fixes += [fix for fix in (whole_rows(run, op, shape), layer_gives(run, op, shape)) if fix is not None]
        return fixes or [Fix(f"regroup to a shape that holds {plural(x.numel, 'value')}, as {shape_text(x.shape)} does")]

    def _shuffle(self, run: Reading) -> Diagnosis:
        x, layer = run.tensor("input", "self"), run.layer
        factor = layer.number("upscale_factor") if layer is not None else None
        if x is None or x.rank < 3 or factor is None or layer is None:
            return run.diagnosis(
                self, "the channels are not divisible by the squared upscale factor", None, "the channels are regrouped here"
            )
        channels = (x.shape or ())[-3]
        headline = f"{named(run, layer)} needs channels divisible by {factor * factor}, gets {channels}"
        decision = run.decided(x, Size(-3))
        cause = run.cause(decision, channels)
        notes = [
            tensor_account(run, x, ""), size_account(run, x, -3, decision), setting_account(run, layer, "upscale_factor"),
            f"pixel shuffle puts upscale_factor² = {factor}² = {factor * factor} channels into one",
        ]  # fmt: skip
        right = factor * factor * max(1, round(channels / (factor * factor)))
        fixes = [
            Fix(f"make the channels a multiple of {factor * factor}, such as {right}", edits.set_value(run.sources, cause.span, str(right)))
        ]
        return run.diagnosis(
            self,
            headline,
            cause,
            f"{channels} channels, not a multiple of {factor * factor}",
            trail=run.trail(x, Size(-3)),
            notes=notes,
            fixes=fixes,
        )

    def _written(self, run: Reading) -> str:
        written = run.sources.operands(run.raised)
        return written[0].text if written else "the tensor"

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
        self.c1 = nn.Conv2d(1, 6, 5)
        self.c2 = nn.Conv2d(6, 16, 3)
        self.fc = nn.Linear(16 * 4 * 4, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.c1(x)), 2)
        x = F.max_pool2d(F.relu(self.c2(x)), 2)
        x = x.view(8, 16 * 4 * 4)  #~ cause
        return self.fc(x)


Net()(torch.rand(8, 1, 28, 28))
""",
            },
            says=(
                "3200",
                "[8, 256]",
                "[8, 16, 5, 5]",
                "flatten(1)",
            ),
        ),
        Example(
            {
                "train.py": """\
import torch
from config import MODEL
from attention import SelfAttention

print(SelfAttention(**MODEL)(torch.rand(2, 7, MODEL["dim"])).shape)
""",
                "config.py": """\
MODEL = dict(
    dim=100,
    heads=3,  #~ cause
)
""",
                "attention.py": """\
import torch
from torch import nn


class SelfAttention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.head_dim = dim // heads
        self.q = nn.Linear(dim, dim)

    def forward(self, x):
        b, t, _ = x.shape
        q = self.q(x).view(b, t, self.heads, self.head_dim).transpose(1, 2)
        return q @ q.transpose(-1, -2)
""",
            },
            says=(
                "1400",
                "`heads`",
                "3 does not divide 100",
            ),
            becomes="heads=4,",
        ),
    )
    near_misses = (
        NearMiss(
            {
                "train.py": """\
import torch

x = torch.rand(4, 3, 2)
print(x.view(4, -1).shape, x.reshape(3, 8).shape)
"""
            }
        ),
        NearMiss(
            {
                "train.py": """\
import torch

print(torch.rand(4, 3).t().view(2, 6))
"""
            },
            belongs_to="shape.view-stride",
        ),
    )
