"""Queries, keys, values, masks and heads of an attention do not fit one another.

Erroneous code (TW0108):

```python
{example}
```

Why: attention compares each query with each key: both need the same width (`embed_dim`, unless `kdim` and `vdim` say otherwise) and the
same batch, each key has one value, and the heads share the width equally. `nn.MultiheadAttention` and the transformer layers read `[time,
batch, width]` unless they are built with `batch_first=True`. `attn_mask` is `[queries, keys]`, `key_padding_mask` is `[batch, keys]`.

Fix: a number of heads that divides the width, `batch_first=True`, `kdim`/`vdim` for keys of another width, a mask made for the length of
this batch.

Messages: `embed_dim must be divisible by num_heads`; `was expecting embedding dimension of 64, but got 32`; `The shape of the 2D
attn_mask is torch.Size([4, 4]), but should be (3, 3).`; `Expected key_padded_mask.shape[0] to be 9, but got 5`; `key shape … does not
match value shape …`; `the batch number of src and tgt must be equal`; and inside of attention also `mat1 and mat2 …`, `shape … is invalid
for input of size …`.

Not to be confused with: `shape.matmul`, for attention that the program writes out itself.
"""

from __future__ import annotations

import re
from dataclasses import replace

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Edit, Evidence, Fix, ModuleFacts, Operand, TensorFacts, tensors_in
from ...reason import edits
from ...reason.accounts import setting_account, size_account
from ...reason.conflict import conflict
from ...reason.layer_edits import cut_mask
from ...reason.masks import grown_since, wrong_mask
from ...reason.misfits import Misfit, explain
from ...reason.reading import Cause, Reading, named, reading
from ...reason.sequences import axes, batch_first, turn_batch_first
from ...reason.sizes import size_expression
from ...reason.wording import code, listed, place, shape_text

_LAYERS = ("MultiheadAttention", "Transformer", "TransformerEncoderLayer", "TransformerDecoderLayer")
_OPS = ("multi_head_attention_forward", "scaled_dot_product_attention", *_LAYERS)
_PARTS = {
    "query": ("query", "src"),
    "key": ("key", "tgt"),
    "value": ("value",),
    "attn_mask": ("attn_mask",),
    "key_padding_mask": ("key_padding_mask",),
}
_KEYWORDS = {"key_padding_mask": "key_padding_mask", "attn_mask": "mask"}


class Attention(Family):
    code = "TW0108"
    title = "queries, keys, masks or heads of an attention do not fit one another"
    triggers = (
        Trigger(r"embed_dim must be divisible by num_heads"),
        Trigger(r"was expecting embedding dimension of (?P<wants>\d+), but got (?:torch\.Size\(.*, )?(?P<gets>\d+)"),
        Trigger(r"passed-in embed_dim (?P<wants>\d+) didn't match last dim of query (?P<gets>\d+)"),
        Trigger(r"the feature number of src and tgt must be equal to d_model|the batch number of src and tgt must be equal"),
        Trigger(
            r"attn_mask is torch\.Size|shape of the 3D attn_mask|key_padd(?:ing|ed)_mask|attn_mask.*but found|mask shape should be|key's sequence and batch dims"
        ),
        Trigger(
            r"key shape .{0,400} does not match value shape|[Ff]or (?:un)?batched \(\d-D\) `query`|query should be unbatched 2D or batched 3D"
        ),
        Trigger(r"expecting key_padding_mask shape|The size of the \dD attn_mask is not correct"),
        Trigger(
            r"is invalid for input of size|mat1 and mat2 shapes|first two dimensions of batch2"
            r"|must match the size of tensor|expanded size of the tensor"
        ),
    )
    rank = 3

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        if match[0].startswith("embed_dim"):
            return self._heads(run)
        module = run.module
        op = run.op.name if run.op is not None else ""
        if op not in _OPS and (module is None or module.kind not in _LAYERS):
            return (
                None
                if self.triggers[-1].match(run.failure)
                else run.diagnosis(self, "an attention gets parts that do not fit one another", None)
            )
        layer = module if module is not None and module.kind in _LAYERS else None
        parts = {name: part for name, words in _PARTS.items() if (part := self._part(run, layer, words)) is not None}
        return self._judge(run, layer, parts, match)

    def _part(self, run: Reading, layer: ModuleFacts | None, words: tuple[str, ...]) -> tuple[Operand, TensorFacts] | None:
        for word in words:
            operand = (run.given(word) if layer is not None else None) or run.operand(word)
            inside = tensors_in(operand.value) if operand is not None else ()
            if operand is not None and len(inside) == 1 and inside[0].shape is not None:
                written = next((e for e in run.sources.arguments(run.raised) if (e.keyword or "").endswith(_KEYWORDS.get(word, "?"))), None)
                if written is not None and not operand.expression:  # torch made another mask of it on the way
                    operand = replace(operand, expression=written.text, span=written.span)
                return operand, inside[0]
        return None

    def _judge(
        self, run: Reading, layer: ModuleFacts | None, parts: dict[str, tuple[Operand, TensorFacts]], match: re.Match[str]
    ) -> Diagnosis | None:
        """The first of the rules of attention that is broken."""
        who = named(run, layer) if layer is not None else "`scaled_dot_product_attention`"
        notes = [f"the {name} {code(o.expression) + ' ' if o.expression else ''}is {shape_text(t.shape)}" for name, (o, t) in parts.items()]
        width = layer.number("embed_dim") or layer.number("d_model") if layer is not None else None
        query, key, value = (parts[n][1] if n in parts else None for n in ("query", "key", "value"))
        if query is None or not query.shape:
            return run.diagnosis(self, f"{who} gets parts that do not fit one another", None, notes=notes)
        if layer is not None and width is not None:
            notes.append(f"{layer.kind} reads {axes(layer)}" if layer.setting("batch_first") is not None else "")
            for name, setting in (("query", "embed_dim"), ("key", "kdim"), ("value", "vdim")):
                part = parts[name][1] if name in parts else None
                wanted = layer.number(setting) or width
                if part is not None and part.shape and part.shape[-1] != wanted:
                    return self._width(run, layer, name, setting, part, wanted, notes, parts[name][0].parameter)
        if key is None or not key.shape:
            return run.diagnosis(self, f"{who} gets parts that do not fit one another", None, notes=notes)
        if (
            {query.rank, key.rank, *((value.rank,) if value else ())} - {2, 3, 4}
            or layer is not None
            and (query.rank not in (2, 3) or query.rank != key.rank)
        ):
            return self._ranks(run, who, query, key, notes)
        time, batch = (query.rank - 2, 0) if layer is None else (1, 0) if batch_first(layer) else (0, 1)
        sides = [("query", query), ("key", key)]
        if layer is None and query.shape[-1] != key.shape[-1]:
            return self._two(run, who, parts, sides, -1, -1, "features", notes)
        if (
            value is not None
            and value.shape
            and key.shape[time if layer is not None else -2] != value.shape[time if layer is not None else -2]
        ):
            return self._two(run, who, parts, [("key", key), ("value", value)], time, time, "keys and values", notes)
        if query.rank >= 3 and key.rank >= 3 and query.shape[batch] != key.shape[batch] and 1 not in (query.shape[batch], key.shape[batch]):
            return self._batches(run, layer, who, parts, sides, batch, notes)
        return self._masks(run, layer, who, parts, query, key, time, batch, notes)

    # ── widths ────────────────────────────────────────────────────────────────────────────────────────────────────────
    def _width(
        self, run: Reading, layer: ModuleFacts, name: str, setting: str, part: TensorFacts, wanted: int, notes: list[str], operand: str
    ) -> Diagnosis:
        assert part.shape is not None
        outer = run.builder(layer)
        real = "embed_dim" if outer.number("d_model") is None else "d_model"
        what = "" if name == "query" else f"{name}s of "
        headline = (
            f"{named(run, outer)} is built for {what}{real if setting == 'embed_dim' else 'width'} {wanted} but gets {part.shape[-1]}"
        )
        found = explain(run, Misfit(outer, real, wanted, part, part.rank - 1, parameter=operand))
        if name != "query" and layer.number(setting) is None and outer is layer and layer.built and found.why in ("layer", "giver"):
            edit = (*edits.set_keyword(run.sources, layer.built[0], "kdim", str(part.shape[-1]), layer.signature),)
            more = edits.set_keyword(run.sources, layer.built[0], "vdim", str(part.shape[-1]), layer.signature)
            joined = (
                (Edit(edit[0].span, edit[0].text + more[0].text),) if edit and more and edit[0].span == more[0].span else (*edit, *more)
            )
            fix = Fix(
                f"build {named(run, layer)} for keys of {part.shape[-1]}: kdim and vdim", joined, changes="it gets weights of another size"
            )
            return run.diagnosis(
                self,
                headline,
                layer.built[0],
                f"has no kdim: keys are {wanted} wide",
                trail=found.trail,
                notes=[*notes, *found.notes],
                fixes=[fix],
            )
        return run.diagnosis(self, headline, found.cause, found.because, trail=found.trail, notes=[*found.notes, *notes], fixes=found.fixes)

    def _heads(self, run: Reading) -> Diagnosis | None:
        """The constructor refuses: the width can't be dealt out to the heads."""
        layer = run.constructing
        width, heads = (layer.number("embed_dim"), layer.number("num_heads")) if layer is not None else (None, None)
        if layer is None or not width or not heads:
            return (
                None
                if run.failure.frames and run.failure.frames[-1].origin == "user"
                else run.diagnosis(self, "the width is no multiple of the heads", None)
            )
        outer = next(
            (m for f in run.failure.frames if f.origin == "torch" and (m := run.history.module(f.module)) is not None and m.built), layer
        )
        names = ("d_model", "nhead") if outer.number("nhead") is not None else ("embed_dim", "num_heads")
        cause, other = run.setting(outer, names[1], heads), run.setting(outer, names[0], width)
        fits = min((n for n in range(1, width + 1) if width % n == 0), key=lambda n: (abs(n - heads), n))
        headline = f"{names[0]}={width} is no multiple of {names[1]}={heads}"
        notes = [
            f"each of the {heads} heads takes an equal share of the width; {width} leaves {width % heads}",
            setting_account(run, outer, names[1]),
            f"{names[0]}={width} comes from {place(other.span)}",
        ]
        divisors = [n for n in range(1, width + 1) if width % n == 0 and n <= 4 * heads]
        notes.append(f"{width} can have {listed([str(n) for n in divisors[-6:]], 'or')} heads")
        last = cause.origins[-1] if cause.origins else None
        edit = edits.set_value(run.sources, cause.span, str(fits)) if last is not None and last.form == "literal" else ()
        fix = Fix(f"take {fits} heads", edit, changes="each head has another width")
        return run.diagnosis(self, headline, cause, f"{names[1]} is {heads}", notes=notes, fixes=[fix], confidence=Confidence.CERTAIN)

    # ── two parts ─────────────────────────────────────────────────────────────────────────────────────────────────────
    def _two(
        self,
        run: Reading,
        who: str,
        parts: dict[str, tuple[Operand, TensorFacts]],
        sides: list[tuple[str, TensorFacts]],
        one: int,
        other: int,
        what: str,
        notes: list[str],
    ) -> Diagnosis:
        (name, a), (second, b) = sides
        words = [parts[n][0].expression or n for n in (name, second)]
        found = conflict(run, [(words[0], a, one % a.rank), (words[1], b, other % b.rank)])
        headline = f"the {name} has {(a.shape or ())[one]} {what}, the {second} has {(b.shape or ())[other]}"
        if what == "keys and values":
            headline = f"there are {(a.shape or ())[one]} keys but {(b.shape or ())[other]} values"
        return run.diagnosis(self, headline, found.cause, found.because, trail=found.trail, notes=[*notes, *found.notes, f"in {who}"])

    def _made(self, run: Reading, mask: TensorFacts, dim: int) -> Cause | None:
        """The size that the mask was made with, in the call that made it or in the one that handed it over."""
        tensor, before, seen = mask, run.before, 0
        while (op := run.history.producer(tensor, before)) is not None and seen < 20:
            if not op.inputs:
                out = op.outputs[0] if op.outputs else tensor
                written = size_expression(run.sources, op, min(dim, out.rank - 1), out.rank)
                return run.expression_origins(written.span, op.where, (mask.shape or ())[dim]) if written is not None else None
            tensor, before, seen = op.inputs[0], op.index, seen + 1
        return None

    def _ranks(self, run: Reading, who: str, query: TensorFacts, key: TensorFacts, notes: list[str]) -> Diagnosis:
        headline = f"{who} gets a query of {query.rank} dimensions and a key of {key.rank}"
        odd = query if query.rank != 3 else key
        decision = run.decided(odd, "rank")
        return run.diagnosis(
            self,
            headline,
            run.cause(decision) if decision.how == "op" else run.raised,
            f"is {shape_text(odd.shape)}",
            trail=run.trail(odd, "rank"),
            notes=notes,
        )

    def _batches(
        self,
        run: Reading,
        layer: ModuleFacts | None,
        who: str,
        parts: dict[str, tuple[Operand, TensorFacts]],
        sides: list[tuple[str, TensorFacts]],
        batch: int,
        notes: list[str],
    ) -> Diagnosis:
        (_, query), (_, key) = sides
        assert query.shape and key.shape
        headline = f"the query has a batch of {query.shape[batch]}, the key of {key.shape[batch]}"
        if layer is not None and query.rank == 3 and query.shape[1 - batch] == key.shape[1 - batch]:
            return self._batch_axis(run, layer, headline, query, notes)
        other = next(
            (
                (p, t)
                for p, t in (parts["query"], parts["key"])
                if t.rank == 3 and t.shape and t.shape[1 - batch] in (query.shape[batch], key.shape[batch])
            ),
            None,
        )
        if other is not None and other[0].span is not None:
            fix = Fix(f"transpose {code(other[0].expression)}", edits.append_method(run.sources, other[0].span, ".transpose(0, 1)"))
            return run.diagnosis(
                self, headline, other[0].span, f"is {shape_text(other[1].shape)}", notes=[*notes, f"in {who}"], fixes=[fix]
            )
        return self._two(run, who, parts, sides, batch, batch, "in its batch", notes)

    def _batch_axis(self, run: Reading, layer: ModuleFacts, headline: str, x: TensorFacts, notes: list[str]) -> Diagnosis:
        """The batch is read along the wrong dimension: `batch_first` says which."""
        outer, first = run.builder(layer), batch_first(layer)
        title = f"build {named(run, outer)} with batch_first={not first}"
        fix = Fix(title, turn_batch_first(run, layer), changes="dimensions 0 and 1 of its input change their meaning")
        notes = [*notes, f"{named(run, outer)} is built at {place(outer.built[0])} with batch_first={first}" if outer.built else ""]
        return run.diagnosis(self, headline, outer.built[0] if outer.built else None, f"batch_first is {first}", notes=notes, fixes=[fix])

    # ── masks ─────────────────────────────────────────────────────────────────────────────────────────────────────────
    def _masks(
        self,
        run: Reading,
        layer: ModuleFacts | None,
        who: str,
        parts: dict[str, tuple[Operand, TensorFacts]],
        query: TensorFacts,
        key: TensorFacts,
        time: int,
        batch: int,
        notes: list[str],
    ) -> Diagnosis | None:
        assert query.shape and key.shape
        given = {name: parts[name] for name in ("key_padding_mask", "attn_mask") if name in parts}
        found = wrong_mask(layer, given, query, key, time, batch)
        if found is None:
            return None
        operand, mask = parts[found.name]
        word = operand.expression or run.written(mask) or found.name
        headline = f"the {found.name} is {shape_text(mask.shape)} where {shape_text(found.wanted)} is taken"
        each = "each query and key" if found.name == "attn_mask" else "each sample and key"
        notes = [*notes, f"{code(word)} says for {each} whether it counts"]
        if found.flipped and layer is not None:
            return self._batch_axis(run, layer, headline, query, notes)
        if found.heads and operand.span is not None:
            notes.append(f"a mask of 3 dimensions has one page for each head of each sample: batch * num_heads = {found.wanted[0]}")
            repeated = edits.append_method(run.sources, operand.span, f".repeat_interleave({found.heads}, dim=0)")
            fix = Fix(f"give each of the {found.heads} heads its page of {code(word)}", repeated)
            return run.diagnosis(self, headline, operand.span, f"is {shape_text(mask.shape)}", notes=[*notes, f"in {who}"], fixes=[fix])
        against = time if layer is not None else query.rank - 2
        meets = against if found.name == "attn_mask" or found.dim else batch
        clash = conflict(run, [(word, mask, found.dim), (parts["query"][0].expression or "query", query, meets)])
        notes.append(size_account(run, query, against))
        made = self._made(run, mask, found.dim) if clash.blame.reason not in ("news", "odd") or clash.side.tensor.id != mask.id else None
        if (grown := grown_since(run, query, against, mask, found.dim)) is not None:
            notes.append(f"{code(word)} was made at {place(grown)}, for what the rows are without the joined part")
            clash = replace(
                clash, cause=Cause(grown), because=f"{(mask.shape or ())[found.dim]}, without what is joined to the queries"[:60]
            )
        elif made is not None:
            size = (mask.shape or ())[found.dim]
            notes.append(f"{code(word)} is made for {size} at {place(made.span)}: {code(run.sources.segment(made.span))}")
            because = f"{size}, where {(query.shape or ())[against]} queries come"
            clash = replace(clash, cause=made, because=because if len(because) <= 60 else "the mask's size")
        cut = cut_mask(run, operand, parts["query"][0], against, found.wanted) if found.name == "attn_mask" else ()
        last = clash.cause.origins[-1] if clash.cause.origins else None
        if not cut and last is not None and last.form == "literal" and last.value == (mask.shape or ())[found.dim]:
            cut = edits.set_value(run.sources, last.span, str((query.shape or ())[meets]))
        fix = Fix(f"make {code(word)} {shape_text(found.wanted)}", cut)
        return run.diagnosis(
            self, headline, clash.cause, clash.because, trail=clash.trail, notes=[*notes, *clash.notes, f"in {who}"], fixes=[fix]
        )

    examples = (
        Example(
            {
                "train.py": """\
import torch
from torch import nn


class Memory(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.attend = nn.MultiheadAttention(width, num_heads=5, batch_first=True)  #~ cause

    def forward(self, x):
        return self.attend(x, x, x)[0]


Memory()(torch.rand(2, 6, 24)).sum().backward()
"""
            },
            says=("embed_dim=24", "num_heads=5", "4"),
            becomes="self.attend = nn.MultiheadAttention(width, num_heads=4, batch_first=True)",
        ),
        Example(
            {
                "main.py": """\
import torch
from encoder import SetEncoder

model = SetEncoder(12)
points, missing = torch.rand(3, 7, 12), torch.zeros(3, 7, dtype=torch.bool)
model(points, missing).sum().backward()
""",
                "encoder.py": """\
from torch import nn


class SetEncoder(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(width, nhead=3, dim_feedforward=16)  #~ cause

    def forward(self, points, missing):
        return self.layer(points, src_key_padding_mask=missing)
""",
            },
            says=("key_padding_mask", "[3, 7]", "batch_first", "model.layer"),
            becomes="self.layer = nn.TransformerEncoderLayer(width, nhead=3, dim_feedforward=16, batch_first=True)",
        ),
    )
    near_misses = (
        NearMiss({"train.py": "import torch\nx = torch.rand(2, 3, 8)\nprint(torch.nn.MultiheadAttention(8, 2)(x, x, x)[0].shape)\n"}),
        NearMiss({"train.py": "import torch\ntorch.rand(2, 3) @ torch.rand(4, 5)\n"}, belongs_to="shape.matmul"),
    )
