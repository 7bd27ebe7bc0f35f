"""An index, or the number of a dimension, lies beyond what the tensor has.

Erroneous code (TW0115):

{example}

Why: a dimension of size n has the indices 0 to n - 1 (and -n to -1), a tensor of rank r the dimensions 0 to r - 1. A loop runs one too
far, indices were drawn for another tensor, labels begin at 1, `__len__` promises more samples than there are, or a `squeeze()` dropped
the batch dimension of a batch of one.

Fix: bound the index by the tensor that it indexes, `range(x.size(0) - 1)`, or keep the dimension: `squeeze(1)`, `keepdim=True`.

Messages: `index 10 is out of bounds for dimension 0 with size 10` · `Dimension out of range (expected to be in range of [-1, 0], but got
1)` · `too many indices for tensor of dimension 1` · `invalid index of a 0-dim tensor. Use tensor.item()` · `The shape of the mask [12] at
index 0 does not match the shape of the indexed tensor [10, 3] at index 0` · `selected index k out of range` · `Class values must be
smaller than num_classes.` · `permute(): duplicate dims are not allowed.`; before torch 0.4.1: `dimension out of range (expected to be in range of …`.

Not to be confused with: `shape.embedding-range`, the rows of an embedding; `shape.gather-scatter`, the index of a gather.
"""

from __future__ import annotations

import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Diagnosis, Evidence, Fix, Label, LoaderFacts, OpRecord, Span, TensorFacts, tensors_in
from ...reason import edits
from ...reason.accounts import size_account, tensor_account
from ...reason.conflict import conflict, size_fixes
from ...reason.dimensions import beyond_rank, index_too_long, named_twice
from ...reason.history import number
from ...reason.origins import origins
from ...reason.provenance import Size
from ...reason.ranges import (
    beyond_told,
    counted_from_zero,
    counted_out,
    enlarged,
    index_cause,
    maker,
    maker_told,
    outlier,
    position_told,
)
from ...reason.reading import Cause, Reading, reading
from ...reason.structure import length_return
from ...reason.wording import code, first_fitting, place, shape_text

_COUNTED = r"index (?P<value>-?\d+) (is|was)? ?out of (bounds|range) for (dimension (?P<dim>\d+) with size (?P<size>\d+)|tensor of size)"


class IndexRange(Family):
    code = "TW0115"
    title = "an index or a dimension beyond what the tensor has"
    triggers = (
        Trigger(_COUNTED),
        Trigger(
            r"index out of range in self|out of DATA bounds|index (?P<value>-?\d+) is out of range", types=("IndexError", "RuntimeError")
        ),
        Trigger(r"index is out of bounds for dimension with size 0"),
        Trigger(r"[Dd]imension out of range \(expected to be in range of \[(?P<low>-?\d+), (?P<high>-?\d+)\], but got (?P<got>-?\d+)\)"),
        Trigger(r"too many indices for tensor of dimension (?P<rank>\d+)|invalid index of a 0-dim tensor"),
        Trigger(r"The shape of the mask (?P<mask>\[.*?\]) at index (?P<at>\d+) does not match the shape of the indexed tensor"),
        Trigger(r"selected (index|number) k out of range|k not in range for dimension"),
        Trigger(r"start \((?P<start>\d+)\) \+ length \((?P<length>\d+)\) exceeds dimension size \((?P<size>\d+)\)"),
        Trigger(r"(?P<twice>duplicate dims are not allowed|repeated dim in permute|dim \d+ appears multiple times)"),
        Trigger(r"Class values must be (smaller than num_classes|non-negative)"),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        op, text, groups = run.op, match[0], match.groupdict()
        if op is not None and (
            op.name.startswith(("gather", "scatter", "embedding", "cross_entropy", "nll_loss", "index_add", "index_copy"))
        ):
            return None
        if op is None and run.failure.frames and run.failure.frames[-1].span.file.replace("\\", "/").endswith("nn/modules/container.py"):
            return None  # a list of modules, no tensor
        x = op.inputs[0] if op is not None and op.inputs else None
        if groups.get("twice"):
            return named_twice(self, run, op)
        if "imension out of range" in text:
            return beyond_rank(self, run, op, x, int(groups["got"]), int(groups["high"]))
        if "too many indices" in text or "0-dim" in text:
            return index_too_long(self, run, x, int(groups.get("rank") or 0))
        if op is None or x is None:
            return self._from_text(run, match)
        if "of the mask" in text:
            return self._mask(run, x, int(groups["at"]))
        if "Class values" in text:
            limit = number(op.argument("num_classes")) or 0
            return self._values(run, op, x, run.name("input"), limit, None)
        if "k out of range" in text or "k not in range" in text:
            return self._count(run, op, x)
        dim = int(groups.get("dim") or number(op.argument("dim")) or 0)
        size = (x.shape or (0,))[dim] if dim < x.rank else 0
        indices = next((o for o in run.operands if o.parameter == "index" or o.parameter.startswith("ind")), None)
        inside = [t for t in tensors_in(indices.value) if t.dtype != "bool"] if indices is not None else []
        wrong = next(((t, f) for t in inside if (f := outlier(t, size, -size)) is not None), None)
        if wrong is not None:
            name = run.history.names.get(wrong[0].id) or (indices.expression if indices is not None and len(inside) == 1 else "") or "index"
            return self._values(run, op, wrong[0], name, size, dim)
        return self._number(run, op, x, dim, size, groups.get("value"))

    # ── one number ────────────────────────────────────────────────────────────────────────────────────────────────────
    def _number(self, run: Reading, op: OpRecord, x: TensorFacts, dim: int, size: int, value: str | None) -> Diagnosis:
        name = run.name("input", "self")
        headline = first_fitting(f"{code(name)} has {size} in dimension {dim}, index {value} is beyond its end", f"index {value} of {size}")
        notes = [tensor_account(run, x, name), size_account(run, x, dim)]
        if size:
            notes.append(f"the indices of a dimension of {size} are 0 to {size - 1}")
        if (op.phase == "data" or run.failure.worker is not None) and (loader := self._promised(run, size)) is not None:
            return self._length(run, headline, loader, size, notes, name)
        if size == 0:
            decision = run.decided(x, Size(dim))
            notes.append(f"{code(name)} is empty there, so it has no index {value or 0}")
            return run.diagnosis(self, headline, run.cause(decision), "makes an empty tensor", trail=run.trail(x, Size(dim)), notes=notes,
                                 fixes=[Fix(f"treat the case that {code(name)} is empty")])  # fmt: skip
        written = run.sources.operands(run.raised, op.name)[1:]
        expression = written[dim] if dim < len(written) else written[0] if written else None
        if expression is not None and (short := counted_out(run, expression, x, dim)) is not None:
            made = edits.set_value(run.sources, short.span, str(size + 1)) if short.text == str(size) else ()
            fixes = [Fix(f"make {code(name)} {size + 1} in dimension {dim}", made)]
            notes.append(f"the indices before {code(expression.text)} are taken here too, so {size + 1} are expected")
            return run.diagnosis(self, headline, short, f"{size} in dimension {dim}", trail=run.trail(x, Size(dim)), notes=notes,
                                 fixes=fixes)  # fmt: skip
        cause = self._counted(run, expression.span, int(value) if value else None) if expression is not None else Cause(run.raised)
        last = cause.origins[-1] if cause.origins else None
        fixes = [Fix(f"bound the index by {code(f'{name}.size({dim})')}: at most {size - 1}")]
        if expression is not None:
            notes.append(
                f"{code(expression.text)} is {value} here"
                + (f", from {code(last.text)} ({place(last.span)})" if last and len(cause.origins) > 1 else "")
            )
        if last is not None and last.kind == "loop" and value == str(size) and last.text.startswith("range("):
            bound = run.sources.arguments(last.span)
            if len(bound) == 3 and bound[2].text.startswith("-"):
                made = tuple(e for b in bound[:2] for e in edits.set_value(run.sources, b.span, "-1" if b.text == "0" else f"{b.text} - 1"))
                fixes.insert(0, Fix(f"start the loop at {size - 1}, and go on to 0", made))
            elif bound:
                made = edits.set_value(
                    run.sources, bound[-1 if len(bound) < 3 else 1].span, f"{bound[-1 if len(bound) < 3 else 1].text} - 1"
                )
                fixes.insert(0, Fix("end the loop one step earlier", made))
        because = (
            f"{expression.text} is {value}"
            if expression is not None and not expression.text.lstrip("-").isdigit()
            else f"index {value} of {size}"
        )
        return run.diagnosis(self, headline, cause, because[:60], trail=run.trail(x, Size(dim)), notes=notes, fixes=fixes)

    def _counted(self, run: Reading, span: Span, value: int | None) -> Cause:
        """What decides an index: the loop that counts it, also where something is added to the count."""
        chain = origins(run.sources, span, run.calls)
        loop = next((n for n, o in enumerate(chain) if o.kind == "loop"), None)
        return Cause(chain[loop].span, chain[: loop + 1]) if loop is not None else run.expression_origins(span, run.calls, value)

    def _promised(self, run: Reading, size: int) -> LoaderFacts | None:
        """A loader over a dataset of the program that tells more samples than the tensor has."""
        own = (m for m in run.evidence.loaders if m.dataset_defined is not None and m.length is not None)
        return next((m for m in own if (m.length or 0) > size and m.sampler in ("SequentialSampler", "RandomSampler")), None)

    def _length(self, run: Reading, headline: str, loader: LoaderFacts, size: int, notes: list[str], name: str) -> Diagnosis:
        assert loader.dataset_defined is not None
        given = length_return(run.sources, loader.dataset_defined, loader.dataset)
        notes.append(
            f"{code(loader.dataset + '.__len__')} tells {loader.length} samples, `__getitem__` finds {size}; the loader asked for more"
        )
        own = name.startswith("self.") and given is not None
        made = edits.replace_text(given, f"return len({name})") if own and given is not None else ()
        fix = Fix(f"let `__len__` return {size}, the number of samples that there are", made, "safe")
        span = given or loader.dataset_defined
        trail = [Label(span, f"{loader.length} samples"), Label(run.raised, "raised here")]
        because = f"promises {loader.length} samples, there are {size}"
        return run.diagnosis(self, headline, span, because, trail=trail, notes=notes, fixes=[fix])

    def _count(self, run: Reading, op: OpRecord, x: TensorFacts) -> Diagnosis | None:
        k, dim = number(op.argument("k")) or 0, number(op.argument("dim"))
        dim = (dim if dim is not None else -1) % max(1, x.rank)
        if not x.shape or not -x.rank <= dim < x.rank:
            return None
        size, name = x.shape[dim], run.name("input", "self")
        plain = [e for e in run.sources.arguments(run.raised) if e.keyword in (None, "k") and e.text != name]
        cause = run.expression_origins(plain[0].span, run.calls, k) if plain else Cause(run.raised)
        headline = first_fitting(
            f"{op.name} asks for {k} of {size} values in dimension {dim} of {code(name)}", f"{op.name} asks for {k} of {size}"
        )
        notes = [tensor_account(run, x, name), size_account(run, x, dim)]
        fix = Fix(f"ask for at most {size}", edits.set_value(run.sources, cause.span, str(size)))
        return run.diagnosis(self, headline, cause, f"k is {k}", trail=run.trail(x, Size(dim)), notes=notes, fixes=[fix])

    # ── many numbers ──────────────────────────────────────────────────────────────────────────────────────────────────
    def _values(self, run: Reading, op: OpRecord, index: TensorFacts, name: str, size: int, dim: int | None) -> Diagnosis:
        """An index tensor (or labels, for one_hot) with a value out of range."""
        found = outlier(index, size, -size if dim is not None else 0)
        x, table = op.inputs[0], run.name("input", "self")
        what = f"{code(table)} has {size} in dimension {dim}" if dim is not None else f"{op.name} gets {size} classes"
        value = found.value if found is not None else "an index"
        headline = first_fitting(f"{what}, {value} in {code(name)} is out of range", f"{value} is out of range for {size}")
        low, high = (index.values.low, index.values.high) if index.values is not None else (None, None)
        notes = [
            position_told(run, found, name) if found is not None else "",
            f"{code(name)} runs from {low} to {high}; 0 to {size - 1} exist",
            maker_told(run, found or index, name),
            beyond_told(found) if found is not None else "",
        ]
        made = maker(run, index)
        classes = [e for e in run.sources.arguments(run.raised) if e.text != name]
        if dim is None:
            origin = run.expression_origins(classes[0].span, run.calls, size) if classes else Cause(run.raised)
            ones = made is not None and isinstance(low, int) and low >= 1 and high == size
            cause = made[1] if made is not None and (ones or found is not None and found.is_negative) else origin
            notes.append(f"num_classes is {size} ({place(origin.span)})")
            more = edits.set_value(run.sources, classes[0].span, str(high + 1)) if classes and isinstance(high, int) else ()
            fixes = [
                (counted_from_zero(run, index, name, size) if ones else None)
                or Fix(f"give num_classes={high + 1}" if isinstance(high, int) else "give more classes", more)
            ]
            because = f"values {low} to {high}" if cause is not origin else f"num_classes is {size}"
            return run.diagnosis(self, headline, cause, because, trail=run.trail(index, "values"), notes=notes, fixes=fixes)
        notes += [tensor_account(run, x, table), size_account(run, x, dim)]
        cause, because = index_cause(run, table, x, dim, index)
        fixes = [
            counted_from_zero(run, index, name, size) or Fix(f"make the indices for {code(table)}: below {size}"),
            Fix(
                f"give {code(table)} {int(high) + 1 if high is not None else 'more'} in dimension {dim}",
                enlarged(run, cause, size, int(high) + 1) if high is not None else (),
            ),
        ]
        return run.diagnosis(self, headline, cause, because, trail=run.trail(index, "values"), notes=notes, fixes=fixes)

    def _mask(self, run: Reading, x: TensorFacts, at: int) -> Diagnosis | None:
        named_masks = [(n, t) for n, t in run.tensors[1:] if t.dtype in ("bool", "uint8") and t.rank > at]
        name = run.tensors[0][0]
        if not named_masks or x.rank <= at:
            return None
        mask, tensor = named_masks[0]
        a, b = (tensor.shape or ())[at], (x.shape or ())[at]
        headline = first_fitting(
            f"the mask {code(mask)} is {shape_text(tensor.shape)}, {code(name)} {shape_text(x.shape)}: {a} is not {b}",
            f"the mask is {shape_text(tensor.shape)}, the tensor {shape_text(x.shape)}",
        )
        found = conflict(run, [(mask, tensor, at), (name, x, at)])
        return run.diagnosis(self, headline, found.cause, found.because, trail=found.trail, notes=found.notes, fixes=size_fixes(run, found))

    def _from_text(self, run: Reading, match: re.Match[str]) -> Diagnosis | None:
        groups = match.groupdict()
        line = f"{run.sources.segment(run.raised)} {run.failure.frames[-1].code if run.failure.frames else ''}"
        if groups.get("value") is None and "index out of range in self" in match[0] and "index_select" not in line:
            return None
        size, value = groups.get("size"), groups.get("value")
        written = [code(e.text) for e in run.sources.operands(run.raised)][:2]
        headline = f"index {value} of a dimension of size {size}" if size and value else "an index is out of range"
        return run.diagnosis(
            self, headline, None, "the index is used here", notes=[f"the operands are {' and '.join(written)}" if written else ""]
        )

    examples = (
        Example(
            {
                "train.py": """\
import torch

series = torch.sin(torch.arange(10.0))
diffs = []
for i in range(len(series)):  #~ cause
    diffs.append(series[i + 1] - series[i])
print(torch.stack(diffs))
""",
            },
            says=(
                "`series`",
                "index 10",
                "range(len(series))",
            ),
            becomes="for i in range(len(series) - 1):",
        ),
        Example(
            {
                "train.py": """\
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(5, 6)

    def forward(self, x):
        return self.body(x).squeeze()  #~ cause


net = Net()
for (x,) in DataLoader(TensorDataset(torch.rand(9, 5)), batch_size=4):
    probs = torch.softmax(net(x), dim=1)
    print(probs.shape)
""",
            },
            says=(
                "squeeze",
                "[1, 6]",
                "dimension 1",
                "[4, 6]",
            ),
            becomes="return self.body(x)",
        ),
    )
    near_misses = (
        NearMiss(
            {
                "train.py": """\
import torch

x = torch.rand(4, 3)
print(x[torch.tensor([3, 0])], x[:, -1], x.sum(1))
"""
            }
        ),
        NearMiss(
            {
                "train.py": """\
import torch
from torch import nn

print(nn.Embedding(5, 2)(torch.tensor([1, 5])))
"""
            },
            belongs_to="shape.embedding-range",
        ),
    )
