"""A tensor, its shape or a batch is unpacked into another number of names than it has parts.

Erroneous code (TW0109):

```python
{example}
```

Why: `b, c, h, w = x.shape` takes a tensor of exactly four dimensions; a grey picture without a channel dimension has three. A tensor
itself is unpacked along its first dimension, the batch. A GRU gives one state where an LSTM gives the pair `(h, c)`, a PackedSequence has
four fields, and a dataset decides how many parts a batch has.

Fix: give the tensor the missing dimension (`unsqueeze`), or take as many names as there are parts; `x.chunk(2, dim=1)` cuts a tensor in
two.

Messages: `not enough values to unpack (expected 4, got 3)`; `too many values to unpack (expected 2)`; `iteration over a 0-d tensor`.

Not to be confused with: the same errors over lists and tuples that are none of PyTorch's.
"""

from __future__ import annotations

import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Diagnosis, Edit, Evidence, Fix, Items, Span, TensorFacts
from ...reason import edits
from ...reason.accounts import size_account, tensor_account
from ...reason.history import number
from ...reason.layers import base_kind
from ...reason.misfits import MOVES, broken_at
from ...reason.partings import parted
from ...reason.provenance import Size
from ...reason.reading import Cause, Reading, named, reading
from ...reason.shape_edits import without_method
from ...reason.target_edits import parts_by_key
from ...reason.unpacking import Unpacking, unpacking
from ...reason.wording import code, place, shape_text, tensor_text


class Unpack(Family):
    code = "TW0109"
    title = "a tensor or batch is unpacked into another number of names than it has parts"
    triggers = (
        Trigger(
            r"(?:not enough|too many) values to unpack \(expected (?:at least )?(?P<wants>\d+)(?:, got (?P<gets>\d+))?\)",
            types=("ValueError",),
        ),
        Trigger(r"iteration over a 0-d tensor", types=("TypeError",)),
    )
    rank = 1

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        found = unpacking(run)
        if found is None:
            return self._told(run, match)
        told = {
            "shape": self._shape,
            "tensor": self._tensor,
            "scalar": self._scalar,
            "batch": self._batch,
            "packed": self._packed,
            "pieces": self._pieces,
        }
        return told[found.kind](run, found)

    def _told(self, run: Reading, match: re.Match[str]) -> Diagnosis | None:
        """From the text alone: a line that takes a `.shape` or `.size()` apart."""
        text = (run.frame.code if run.frame is not None else "") or run.sources.line_text(run.raised.file, run.raised.line).strip()
        asked = re.fullmatch(r"(?P<names>[\w, ()*]{1,400}?)\s{0,20}=\s{0,20}(?P<tensor>[\w.]{1,200})\.(?:shape|size\(\))", text)
        numbers = match.groupdict()
        if asked is None or not numbers.get("wants") or run.failure.frames and run.frame is not None and run.frame.locals:
            return None
        has = f"has {numbers['gets']} dimensions" if numbers.get("gets") else "has more dimensions"
        headline = f"{code(asked['tensor'])} {has} but {numbers['wants']} names take its shape"
        return run.diagnosis(self, headline, None, notes=[f"{code(asked['names'])} takes {numbers['wants']} dimensions"])

    def _shape(self, run: Reading, found: Unpacking) -> Diagnosis | None:
        x = found.tensor
        if x is None or x.shape is None or x.rank == found.names:
            return None
        name, names = code(found.tensor_name), code(found.targets.text)
        headline = f"{name} has {x.rank} dimensions, {shape_text(x.shape)}, but {found.names} names take them"
        if len(headline) > 80:
            headline = f"{shape_text(x.shape)} has {x.rank} dimensions but {found.names} names take them"
        notes = [f"{tensor_account(run, x, found.tensor_name)}: {x.rank} dimensions for {names}, {found.names} names"]
        cause, because, told, fixes = self._blame(run, found, x)
        return run.diagnosis(self, headline, cause, because, trail=run.trail(x, "rank"), notes=[*notes, told], fixes=fixes)

    def _pieces(self, run: Reading, found: Unpacking) -> Diagnosis | None:
        """`split` and `chunk`: the size that is divided decides how many pieces there are."""
        op, x = found.op, found.tensor
        if op is None or x is None or not x.shape:
            return None
        given = number(op.argument("dim"))
        dim = (given if given is not None else 0) % x.rank
        pieces, size = [(t.shape or ())[dim : dim + 1] for t in op.outputs], x.shape[dim]
        decision = run.decided(x, Size(dim))
        cause = run.cause(decision, size)
        notes = [
            f"{code(op.name)} divides dimension {dim} of a {tensor_text(x)} into {', '.join(str(p[0]) for p in pieces if p)}",
            f"{found.names} names of the first piece's size would need {found.names * pieces[0][0]}" if pieces and pieces[0] else "",
            size_account(run, x, dim, decision),
        ]
        headline = f"{code(op.name)} of {size} gives {len(op.outputs)} pieces, but {found.names} names take them"
        return run.diagnosis(self, headline, cause, f"makes it {size}", trail=run.trail(x, Size(dim)), notes=notes)

    def _blame(self, run: Reading, found: Unpacking, x: TensorFacts) -> tuple[Cause | Span, str, str, list[Fix]]:
        """What came with as many dimensions before; the step that took or gave one; else this line."""
        missing = found.names - x.rank
        lines = edits.insert_before(
            run.sources, run.raised.file, run.raised.line, f"{found.tensor_name} = {found.tensor_name}.unsqueeze(1)"
        )
        fixes = (
            [Fix(f"give {code(found.tensor_name)} a dimension of size 1", lines)]
            if missing == 1 and found.tensor_name.isidentifier()
            else []
        )
        if missing < 0 and found.names > 1:
            take = Edit(found.targets.span, f"{found.targets.text.strip('()')}, *_")
            fixes = [Fix("take the first dimensions, leave the others", (take,), hides="the other dimensions of the tensor")]
        earlier = self._earlier(run, found)
        if earlier is not None:
            told = f"in earlier calls {code(found.tensor_name)} was {shape_text(earlier.shape)}"
            return parted(run, x, earlier) or run.raised, f"gives {shape_text(x.shape)}", told, fixes
        broken = broken_at(run, x, lambda shape: len(shape) == found.names, 0, MOVES | {"flatten"})
        if broken is not None and broken[0].span is not None:
            span, before = broken[0].span, broken[1]
            removed = without_method(run.sources, span, broken[0].name)
            told = f"before {code(run.sources.segment(span))} at {place(span)} it was {shape_text(before.shape)}"
            left_out = [Fix(f"leave out {code('.' + broken[0].name)}", removed)] if removed else []
            return span, f"makes {x.rank} dimensions of {before.rank}", told, [*left_out, *fixes]
        return run.raised, f"takes {found.names} dimensions", "", fixes

    def _earlier(self, run: Reading, found: Unpacking) -> TensorFacts | None:
        """The tensor of this name with the right number of dimensions in an earlier run of this function."""
        function = run.sources.function_at(run.raised.file, run.raised.line)
        for op in reversed(run.evidence.ops):
            span = op.span
            if (
                function is None
                or span is None
                or span.file != run.raised.file
                or run.sources.function_at(span.file, span.line) is not function
            ):
                continue
            written = run.sources.operands(span, op.name)
            if written and written[0].text == found.tensor_name and op.inputs and op.inputs[0].rank == found.names:
                return op.inputs[0]
        return None

    def _tensor(self, run: Reading, found: Unpacking) -> Diagnosis:
        x, names = found.tensor, code(found.targets.text)
        assert x is not None and x.shape
        layer = run.history.module(found.op.module) if found.op is not None else None
        fixes: list[Fix] = []
        if found.is_inner and layer is not None and base_kind(layer) in ("GRU", "RNN"):
            headline = f"{named(run, layer)} ({layer.kind}) gives one state, {names} takes a pair"
            first = found.targets.text.strip("()[] ").split(",")[0]
            fixes = [Fix(f"take the one state: {code(first)}", (Edit(found.targets.span, first),))]
            notes = [
                f"the state is {shape_text(x.shape)}; unpacked along its first dimension it has {x.shape[0]}",
                "only an LSTM gives (h, c)",
            ]
            kind = run.kind(layer)
            notes.append(f"{named(run, layer)} is built at {place(kind.span)} as a {layer.kind}")
            return run.diagnosis(self, headline, run.raised, "takes a pair (h, c)", trail=run.trail(x, "rank"), notes=notes, fixes=fixes)
        name = code(found.tensor_name) if found.tensor_name else "what is unpacked"
        headline = f"{name} is one tensor {shape_text(x.shape)}, {names} takes {found.names} parts"
        if len(headline) > 80:
            headline = f"one tensor {shape_text(x.shape)} is unpacked into {found.names} names"
        notes = [f"{name} is {x.dtype} {shape_text(x.shape)}; a tensor is unpacked along its first dimension, here in {x.shape[0]}"]
        notes.append(f"{named(run, layer)} ({layer.kind}) gives one tensor" if layer is not None and layer.defined is None else "")
        if x.rank > 1 and x.shape[-1] % found.names == 0 and not found.is_inner:
            text = f".chunk({found.names}, dim=-1)"
            part = f"{found.names} parts of {x.shape[-1] // found.names}"
            fixes = [Fix(f"cut the last dimension in {part}", edits.append_method(run.sources, found.value.span, text))]
        return run.diagnosis(self, headline, run.raised, f"takes {found.names} parts", trail=run.trail(x, "rank"), notes=notes, fixes=fixes)

    def _scalar(self, run: Reading, found: Unpacking) -> Diagnosis:
        name, names = code(found.tensor_name or found.value.text), code(found.targets.text)
        headline = f"{name} is one number, a 0-d tensor; {names} takes {found.names}"
        fixes, notes = [], [f"{name} gives one value over the whole tensor"]
        op = found.op
        if op is not None and op.name in ("max", "min", "median", "mode") and op.argument("dim") is None:
            notes.append(f"with a dim, `{op.name}` gives the pair (values, indices)")
            edit = edits.set_keyword(run.sources, found.value.span, "dim", "-1", ("input", "dim"))
            fixes = [Fix(f"take `{op.name}` along a dimension", edit)]
        return run.diagnosis(self, headline, run.raised, "takes a 0-d tensor apart", notes=notes, fixes=fixes)

    def _batch(self, run: Reading, found: Unpacking) -> Diagnosis:
        op = found.op
        batch = op.arguments[0].value if op is not None and op.arguments else None
        parts = batch.length if isinstance(batch, Items) else None
        loader = next((o for o in run.evidence.loaders if o.batch_number is not None), None)
        dataset = code(loader.dataset) if loader is not None else "the dataset"
        names = code(found.targets.text)
        headline = (
            f"a batch has {parts} {'part' if parts == 1 else 'parts'} but {names} takes {found.names}"
            if parts is not None
            else f"a batch does not fit {names}"
        )
        told = ", ".join(shape_text(t.shape) for t in (batch.items if isinstance(batch, Items) else ()) if isinstance(t, TensorFacts))
        notes = [f"{dataset} gives samples of {parts} {'part' if parts == 1 else 'parts'}" + (f"; the batch is {told}" if told else "")]
        if loader is not None and loader.dataset_defined is not None:
            notes.append(f"{dataset} is defined at {place(loader.dataset_defined)}")
        fixes = []
        if isinstance(batch, Items) and batch.keys:
            keys = ", ".join(repr(key) for key in batch.keys)
            notes.append(f"the batch is a dict with the keys {keys}; unpacking it gives the keys, not the tensors")
            made = parts_by_key(run.sources, found.targets.span, batch.keys)
            fixes = [Fix(f"take the batch as one name and its parts by key: {code(f'batch[{batch.keys[0]!r}]')}", made)]
        if parts == 1:
            first = found.targets.text.strip("()[] ").split(",")[0]
            fixes = [Fix(f"take the one part: {code(f'({first},)')}", (Edit(found.targets.span, f"({first},)"),))]
        return run.diagnosis(self, headline, found.targets.span, f"takes {found.names}", notes=notes, fixes=fixes)

    def _packed(self, run: Reading, found: Unpacking) -> Diagnosis:
        names = code(found.targets.text)
        headline = f"a PackedSequence has 4 fields but {names} takes {found.names}"
        notes = ["its fields are data, batch_sizes, sorted_indices and unsorted_indices; `.data` has the values"]
        first = found.targets.text.strip("()[] ").split(",")[0]
        fixes = [Fix("take the data, leave the other fields", (Edit(found.targets.span, f"{first}, *_"),))]
        return run.diagnosis(self, headline, run.raised, f"takes {found.names} of 4 fields", notes=notes, fixes=fixes)

    examples = (
        Example(
            {
                "train.py": """\
import torch
from torch import nn


class Patches(nn.Module):
    def forward(self, pictures):
        b, c, h, w = pictures.shape  #~ cause
        return pictures.reshape(b, c * h * w)


print(Patches()(torch.rand(6, 16, 16)).shape)
"""
            },
            says=("`pictures`", "3 dimensions", "[6, 16, 16]", "4 names"),
        ),
        Example(
            {
                "main.py": """\
import torch
from heads import Policy

policy = Policy(8)
for state in torch.rand(12, 8).split(4):
    policy.act(state)
""",
                "heads.py": """\
from torch import nn


class Policy(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.head = nn.Linear(width, 6)

    def act(self, state):
        mean, spread = self.head(state)  #~ cause
        return mean + spread
""",
            },
            says=("self.head(state)", "[4, 6]", "2 parts", "chunk"),
            becomes="mean, spread = self.head(state).chunk(2, dim=-1)",
        ),
    )
    near_misses = (
        NearMiss({"train.py": "import torch\nb, c = torch.rand(2, 3).shape\nmean, spread = torch.rand(2, 3)\nprint(b, c, mean.shape)\n"}),
        NearMiss({"train.py": "import torch\nfirst, second = (torch.rand(2), 1, 2)\n"}),
    )
