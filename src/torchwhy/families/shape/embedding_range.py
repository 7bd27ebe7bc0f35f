"""An embedding is asked for a row that it does not have.

Erroneous code (TW0116):

{example}

Why: `nn.Embedding(num_embeddings, dim)` has rows 0 to num_embeddings - 1. An index beyond that comes from a vocabulary that is larger
than the table (ids that begin at 1 need one row more), from special tokens added later, from sequences longer than the table of positions,
from columns in another order than the tables, or from a padding value such as -1 or -100.

Fix: make the table as large as the largest index needs, or mend what makes the indices. On CUDA the same fault is a device-side assert at
a later line.

Messages: `index out of range in self` (CPU) · `Index 2 of input takes value 12 which is not in the valid range [0, 10)` (EmbeddingBag) ·
`Padding_idx must be within num_embeddings`; before torch 1.5: `index out of range: Tried to access index 24 out of table with 19 rows`.

Not to be confused with: `shape.index-range`, an index of a tensor that is no embedding table.
"""

from __future__ import annotations

import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Diagnosis, Evidence, Fix, ModuleFacts
from ...reason import edits
from ...reason.accounts import setting_account
from ...reason.provenance import Size
from ...reason.ranges import Outlier, before_counting, beyond_told, counts, enlarged, maker, maker_told, outlier, position_told
from ...reason.reading import Cause, Reading, named, reading
from ...reason.shape_edits import callee
from ...reason.wording import code, first_fitting, place, tensor_text


class EmbeddingRange(Family):
    code = "TW0116"
    title = "an index beyond the rows of an embedding"
    triggers = (
        Trigger(r"index out of range in self"),
        Trigger(r"Tried to access index (?P<value>-?\d+) out of table with (?P<last>\d+) rows"),
        Trigger(r"takes value (?P<value>-?\d+) which is not in the valid range \[0, (?P<limit>\d+)\)"),
        Trigger(r"[Pp]adding_idx must be within num_embeddings"),
    )
    rank = 1

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        if "adding_idx" in match[0]:
            return self._padding(run)
        if run.op is not None and not run.op.name.startswith("embedding"):
            return None
        ids, weight, name = run.tensor("input", "indices"), run.tensor("weight"), run.name("input", "indices")
        if run.op is None or ids is None or weight is None or not weight.shape:
            return self._from_text(run, match)
        rows = weight.shape[0]
        layer = run.layer
        found = outlier(ids, rows)
        table = named(run, layer) if layer is not None else code(run.name("weight"))
        if found is None:
            headline = f"an index reaches beyond the {rows} rows of {table}"
            return run.diagnosis(self, headline, None, f"{rows} rows", notes=[f"{code(name)} is {tensor_text(ids)}"])
        headline = first_fitting(
            f"{table} has {rows} rows, index {found.value} in {code(name)} is out of range",
            f"{table} has {rows} rows, gets index {found.value}",
        )
        larger = self._larger(run, layer, found)
        low, high = (ids.values.low, ids.values.high) if ids.values is not None else (None, None)
        notes = [
            position_told(run, found, name),
            f"the indices in {code(name)} run from {low} to {high}; rows 0 to {rows - 1} exist",
            maker_told(run, found, name),
            beyond_told(found),
            setting_account(run, layer, "num_embeddings") if layer is not None else "",
            f"{named(run, larger)} has {larger.number('num_embeddings')} rows and would hold it"
            if larger is not None and not found.is_negative
            else "",
        ]
        trail = run.trail(ids, "values")
        if found.is_negative:
            return self._negative(run, headline, found, name, notes)
        if self._is_swapped(layer, larger, name):
            span = run.span_of("input") or run.raised
            table_name = callee(run.sources, run.raised)
            other = edits.replace_text(table_name, larger.fqn.rpartition(".")[2]) if table_name is not None and larger is not None else ()
            fix = Fix(f"give {code(name)} to {named(run, larger)}, whose rows it indexes", other)
            return run.diagnosis(self, headline, span, "indices of another table", trail=trail, notes=notes, fixes=[fix])
        cause = counted = before_counting(run.cause(run.decided(weight, Size(0)), rows))
        made = maker(run, found)
        if len(cause.origins) > 1 and (cause.origins[-1].form in ("name", "call") or made is not None and made[1].span == cause.span):
            # the number was counted, or the index was made from it: it is the table that needs another
            reckoned = next((n for n, o in enumerate(cause.walk) if o.form == "expression" and counts(o)), None)
            chain = cause.walk[: reckoned + 1] if reckoned is not None else cause.origins[:1]
            cause = Cause(chain[-1].span, chain)
        fixes = self._fixes(run, counted if made is None or made[1].span != counted.span else cause, found, layer, low)
        return run.diagnosis(self, headline, cause, f"num_embeddings is {rows}", trail=trail, notes=notes, fixes=fixes)

    def _negative(self, run: Reading, headline: str, found: Outlier, name: str, notes: list[str]) -> Diagnosis:
        made = maker(run, found)
        cause = (
            Cause(made[0].span) if made is not None and made[0].span is not None else Cause(run.span_of("input", "indices") or run.raised)
        )
        notes.append(f"an embedding has no row {found.value}: padding needs a row of its own (padding_idx), no negative index")
        given = run.span_of("input", "indices")
        padded = edits.append_method(run.sources, given, ".clamp(min=0)") if given is not None else ()
        changes = "row 0 is looked up for it" if padded else ""
        fixes = [Fix(f"pad with an index that has a row, and name it as padding_idx, instead of {found.value}", padded, changes=changes)]
        return run.diagnosis(
            self, headline, cause, f"gives {found.value}", trail=run.trail(found.tensor, "values"), notes=notes, fixes=fixes
        )

    def _fixes(self, run: Reading, cause: Cause, found: Outlier, layer: ModuleFacts | None, low: object) -> list[Fix]:
        need, last = found.value + 1, cause.origins[-1] if cause.origins else None
        why = f"index {found.value} needs {need} rows" + (
            f"; the indices begin at {low}, not at 0" if isinstance(low, int) and low > 0 else ""
        )
        if last is not None and last.form == "literal" and isinstance(last.value, int):
            made = edits.set_value(run.sources, last.span, str(need))
        elif last is not None and need == found.limit + 1:
            made = edits.wrap(run.sources, last.span, "", " + 1") if last.form == "call" else ()
            made = made or edits.set_value(run.sources, last.span, f"{last.text} + 1")
        else:
            made = enlarged(run, cause, found.limit, need)
        table = named(run, layer) if layer is not None else "the table"
        more = f" ({code(last.text + ' + 1')})" if last is not None and last.form != "literal" and need == found.limit + 1 else ""
        return [Fix(f"give {table} {need} rows{more}", made, changes=f"{why}; the table's weight has another size")]

    def _larger(self, run: Reading, layer: ModuleFacts | None, found: Outlier) -> ModuleFacts | None:
        """A table beside this one that would hold the index."""
        if layer is None:
            return None
        others = (m for m in run.evidence.modules if m.kind == layer.kind and m.id != layer.id)
        beside = (m for m in others if m.fqn.rpartition(".")[0] == layer.fqn.rpartition(".")[0])
        return next((m for m in beside if (m.number("num_embeddings") or 0) > found.value), None)

    def _is_swapped(self, layer: ModuleFacts | None, larger: ModuleFacts | None, name: str) -> bool:
        """Whether the indices bear the other table's name, and not this one's."""
        if layer is None or larger is None:
            return False
        here, there, given = (_words(text.rpartition(".")[2] if text is not name else text) for text in (layer.fqn, larger.fqn, name))
        return any(_alike(w, t) for w in given for t in there - here) and not any(_alike(w, t) for w in given for t in here - there)

    def _padding(self, run: Reading) -> Diagnosis:
        written = {e.keyword: e for e in run.sources.arguments(run.raised)}
        plain = [e for e in run.sources.arguments(run.raised) if e.keyword is None]
        given, rows = written.get("padding_idx"), written.get("num_embeddings") or (plain[0] if plain else None)
        frame = run.failure.frames[-1] if run.failure.frames else None
        values = [getattr(frame.local(n), "value", None) if frame is not None else None for n in ("padding_idx", "num_embeddings")]
        headline = f"padding_idx {values[0]} is not one of {values[1]} rows" if None not in values else "padding_idx is not one of the rows"
        cause = run.expression_origins(given.span, run.calls) if given is not None else Cause(run.raised)
        notes = [
            f"rows 0 to {values[1] - 1} exist" if isinstance(values[1], int) else "",
            f"num_embeddings is {code(rows.text)} at {place(run.raised)}" if rows is not None else "",
        ]
        beyond = rows is not None and values[0] == values[1]
        more = edits.set_value(run.sources, rows.span, f"{rows.text} + 1") if beyond and rows is not None else ()
        need = f"one row more, {values[0] + 1}" if isinstance(values[0], int) else "a row for padding"
        return run.diagnosis(
            self,
            headline,
            cause,
            f"padding_idx is {values[0]}",
            notes=notes,
            fixes=[Fix(f"give the table {need}, or pad with a row that exists", more)],
        )

    def _from_text(self, run: Reading, match: re.Match[str]) -> Diagnosis | None:
        groups = match.groupdict()
        told = " ".join(f"{f.code} {f.span.function} {f.span.file}" for f in run.failure.frames).lower()
        if not groups.get("value") and ("emb" not in told and "sparse.py" not in told and told or "index_select" in told):
            return None
        limit = groups.get("limit") or (str(int(groups["last"]) + 1) if groups.get("last") else "")
        headline = (
            f"an embedding with {limit} rows gets index {groups['value']}"
            if limit
            else "an embedding is asked for a row that it does not have"
        )
        written = [code(e.text) for e in run.sources.arguments(run.raised)][:1]
        return run.diagnosis(
            self, headline, None, "the index is looked up here", notes=[f"the indices are {written[0]}" if written else ""]
        )

    examples = (
        Example(
            {
                "train.py": """\
import torch
from torch import nn

corpus = "the cat sat on a mat the end".split()
word2id = {w: i + 1 for i, w in enumerate(dict.fromkeys(corpus))}
emb = nn.Embedding(len(word2id), 4)  #~ cause
ids = torch.tensor([word2id[w] for w in corpus])
print(emb(ids).shape)
""",
            },
            says=(
                "`emb`",
                "7 rows",
                "index 7",
                "word2id",
                "begin at 1",
            ),
            becomes="emb = nn.Embedding(len(word2id) + 1, 4)",
        ),
        Example(
            {
                "train.py": """\
import torch
from data import encode, loader
from model import Bag

torch.manual_seed(0)
model = Bag(vocab_size=20)  #~ cause
for ids, y in loader(["a b c", "d e f", "x y z", "c b a"]):
    model(ids).sum().backward()
""",
                "data.py": """\
import torch
from torch.utils.data import DataLoader, TensorDataset


def encode(text):
    return [ord(c) - ord("a") for c in text.split()]


def loader(texts):
    ids = torch.tensor([encode(t) for t in texts])
    return DataLoader(TensorDataset(ids, torch.zeros(len(ids))), batch_size=2)
""",
                "model.py": """\
from torch import nn


class Bag(nn.Module):
    def __init__(self, vocab_size, dim=8):
        super().__init__()
        self.tok = nn.Embedding(vocab_size, dim)
        self.out = nn.Linear(dim, 1)

    def forward(self, ids):
        return self.out(self.tok(ids).mean(1))
""",
            },
            says=(
                "model.tok",
                "20",
                "25",
                "vocab_size",
                "sample 2",
            ),
            becomes="model = Bag(vocab_size=26)",
        ),
    )
    near_misses = (
        NearMiss(
            {
                "train.py": """\
import torch
from torch import nn

print(nn.Embedding(5, 2, padding_idx=0)(torch.arange(5)).shape)
"""
            }
        ),
        NearMiss(
            {
                "train.py": """\
import torch

print(torch.rand(6, 4).index_select(0, torch.tensor([0, 7])))
"""
            },
            belongs_to="shape.index-range",
        ),
    )


def _words(name: str) -> set[str]:
    return {w for w in re.split(r"[^a-z]+", name.lower()) if w} - {
        "self",
        "emb",
        "embed",
        "embedding",
        "embeddings",
        "id",
        "ids",
        "idx",
        "x",
    }


def _alike(one: str, other: str) -> bool:
    return other.startswith(one) or one.startswith(other)
