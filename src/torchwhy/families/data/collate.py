"""Samples of a dataset can't be put together to a batch.

Erroneous code (TW0601):

```python
{example}
```

Why: a `DataLoader` takes `batch_size` samples and gives them to its `collate_fn`. The one it has by itself, `default_collate`,
stacks: tensors and arrays must have one shape, lists one length, dicts the keys of the first sample; it takes tensors, NumPy
arrays, numbers, strings, dicts, lists and tuples of these, and nothing else: no `None`, no pictures of PIL, no dates, no objects of
a class of the program.

Fix: give every sample the same form in the dataset (resize, crop, pad, convert), or pass a `collate_fn` that pads
(`torch.nn.utils.rnn.pad_sequence`) or keeps lists. A sample that can't be read should raise, or be dropped in the `collate_fn`.

Messages: `stack expects each tensor to be equal size, but got [3, 32, 32] at entry 0 and [3, 32, 40] at entry 1`; `default_collate:
batch must contain tensors, numpy arrays, numbers, dicts or lists; found <class 'NoneType'>`; `each element in list of batch should
be of equal size`; in a worker: `Trying to resize storage that is not resizable`; older: `Sizes of tensors must match except in
dimension 0`, `batch must contain tensors, numbers, dicts or lists`.

Not to be confused with: `shape.cat-stack` (a `torch.stack` of the program's own), `data.worker` (what a worker process itself may
not do).
"""

from __future__ import annotations

import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, Label, TensorFacts
from ...reason.collate_edits import converted, listing, other_loaders, padded_instead, padding, resized
from ...reason.collating import Batch, batch_of, collating_frame
from ...reason.reading import Cause, Reading, reading
from ...reason.samples import Clash, path_text
from ...reason.wording import code, first_fitting, shape_text, value_text

_FOUND = re.compile(r"found (?:<class '(?:[\w.]*\.)?(?P<kind>\w+)'>|(?P<dtype>\S+))")
_ENTRIES = re.compile(r"got \[(?P<one>[\d, ]*)\] at entry (?P<first>\d+) and \[(?P<other>[\d, ]*)\] at entry (?P<second>\d+)")


class Collate(Family):
    code = "TW0601"
    title = "samples can't be put together to a batch"
    triggers = (
        Trigger(raised_in="torch/utils/data/_utils/collate.py"),
        Trigger(r"^default_collate: |batch must contain tensors, (?:numpy arrays, )?numbers|each element in list of batch should be"),
        Trigger(
            r"stack expects each tensor|expected sequence of length|expected Tensor as element|converted to Python scalars|infer dtype of"
        ),
        Trigger(
            r"Sizes of tensors must match except in dimension|not resizable|doesn't match the broadcast shape|expanded size of the tensor"
        ),
    )
    rank = 3

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        frame = collating_frame(run.failure)
        if frame is None or "automatic differentiation" in run.failure.message:
            return None
        batch = batch_of(run, frame)
        if batch.clash is not None and not batch.is_beside(batch.clash):
            return getattr(self, f"_{batch.clash.kind}")(run, batch, batch.clash)  # type: ignore[no-any-return]
        found = _FOUND.search(run.failure.message)
        if found is not None:
            return self._unsupported(run, batch, found["kind"] or "ndarray", found["dtype"] or "")
        if batch.is_own:
            return None  # a fault of the function itself
        return self._by_text(run, batch)

    # ── what differs ──────────────────────────────────────────────────────────────────────────────────────────────────
    def _size(self, run: Reading, batch: Batch, clash: Clash) -> Diagnosis:
        name = batch.name(clash.odd, clash.path)
        one, other = batch.shape(clash.usual), batch.shape(clash.odd)
        a, b = sorted((clash.usual, clash.odd), key=lambda part: part.position)
        numbers = f"{batch.sample(a)} and {batch.sample(b)}"
        headline = first_fitting(
            f"{code(name)} is {shape_text(batch.shape(a))} in {batch.sample(a)} but {shape_text(batch.shape(b))} in {batch.sample(b)}",
            f"{code(name)} differs in size between {numbers}",
        )
        cause, because = batch.size_cause(clash)
        notes = [
            f"{batch.collator} stacks {code(name)}: all samples must have one size, here {shape_text(one)} and {shape_text(other)}",
            batch.whereabouts(clash),
            batch.spread(clash),
        ]
        if batch.is_own:
            told = f"pad {code(name)} to one size in {batch.collator} before it is stacked: `pad_sequence(..., batch_first=True)`"
            fixes = [Fix(told, padded_instead(run, batch.differing(clash)), changes="zeros stand behind the shorter ones")]
        elif batch.is_ragged(clash):
            padded = padding(run, batch.loader, clash.odd, clash.path, batch.differing(clash)[0])
            remedy = f"pass a `collate_fn` that pads {code(name)}, with `pad_sequence(..., batch_first=True)`"
            fixes = [
                *other_loaders(run, batch.loader),
                Fix(remedy, padded, changes="zeros stand behind the shorter ones"),
                Fix(f"or pass one that keeps a list of {code(name)}", listing(run, batch.loader, clash.odd, clash.path)),
            ]
        else:
            made = resized(run, clash.odd, clash.path, one)
            title = f"resize, crop or pad {code(name)} to one size in {code(batch.dataset)} before it is returned"
            fixes = [*other_loaders(run, batch.loader), Fix(title, made, changes="the picture is scaled" if made else "")]
            if not made and len(dims := batch.differing(clash)) == 1:
                padded = padding(run, batch.loader, clash.odd, clash.path, dims[0])
                fixes.append(Fix("or pad it in a `collate_fn`", padded, changes="zeros stand behind the shorter ones"))
        return self._answer(run, batch, clash, headline, cause, because, notes, fixes)

    def _none(self, run: Reading, batch: Batch, clash: Clash) -> Diagnosis:
        odd, whole = clash.odd, not clash.path
        what = "" if whole else f" for {code(path_text(clash.path)[1:-1] if len(clash.path) == 1 else path_text(clash.path))}"
        headline = first_fitting(
            f"{code(batch.dataset)} gives `None`{what} in {batch.sample(odd)}", f"the dataset gives `None` in {batch.sample(odd)}"
        )
        cause = batch.cause(odd, clash.path)
        count = sum(1 for part in clash.parts if getattr(part.value, "kind", "") == "NoneType")
        notes = [
            f"{batch.collator} can't put `None` into a batch"
            + (f"; {count} of the {len(clash.parts)} samples {'is' if count == 1 else 'are'} `None`" if whole else ""),
            batch.whereabouts(clash),
        ]
        fixes = [
            Fix(
                "raise an error there, or keep such samples out of the dataset",
                changes="a sample that can't be read is no longer passed over",
            )
        ]
        if whole and (edit := batch.dropping_edits("None")):
            title = "drop the samples that are `None` in a `collate_fn`"
            fixes.append(Fix(title, edit, "unsafe", changes="such batches are smaller, and one of `None` alone still fails"))
        return self._answer(run, batch, clash, headline, cause, "gives None", notes, fixes)

    def _keys(self, run: Reading, batch: Batch, clash: Clash) -> Diagnosis:
        key = code(repr(clash.key))
        odd, usual = batch.sample(clash.odd), batch.sample(clash.usual)
        headline = first_fitting(f"{odd} of {code(batch.dataset)} has no key {key}, {usual} has", f"{odd} has no key {key}, {usual} has")
        statement = batch.key_statement(clash)
        cause = Cause(statement) if statement is not None else batch.cause(clash.odd, clash.path)
        because = f"{key} is not set for every sample" if statement is not None else f"without {key}"
        notes = [
            f"{batch.collator} takes the keys of the batch's first sample and looks each up in all: {key} is missing in {odd}",
            batch.whereabouts(clash),
        ]
        return self._answer(
            run, batch, clash, headline, cause, because, notes, [Fix(f"give every sample the key {key}, with a value of one size")]
        )

    def _length(self, run: Reading, batch: Batch, clash: Clash) -> Diagnosis:
        name = batch.name(clash.usual, clash.path)
        one, other = batch.length(clash.usual), batch.length(clash.odd)
        headline = first_fitting(
            f"{code(name)} has {one} items in {batch.sample(clash.usual)} but {other} in {batch.sample(clash.odd)}",
            f"{batch.sample(clash.usual)} has {one} items but {batch.sample(clash.odd)} has {other}",
        )
        cause: Cause | None
        if batch.is_own:
            cause, because = Cause(run.raised), "pads nothing: the lengths differ"
        elif not clash.path or batch.loader is None:
            cause, because = batch.cause(clash.odd, clash.path), f"{other} items"
        else:
            cause, because = batch.loader_cause(), "no collate_fn: lists must have one length"
        notes = [f"{batch.collator} wants lists of one length, here {one} and {other}", batch.whereabouts(clash)]
        padded = padding(run, batch.loader, clash.odd, clash.path, 0, is_list=True)
        fixes = [
            *other_loaders(run, batch.loader),
            Fix(f"pass a `collate_fn` that pads {code(name)} to one length", padded, changes="zeros stand behind the shorter ones"),
            Fix("or pass one that keeps a list of them", listing(run, batch.loader, clash.odd, clash.path)),
        ]
        if batch.is_own:
            told = f"pad {code(name)} to one length in {batch.collator} before it becomes a tensor"
            fixes = [Fix(told, padded_instead(run, (0,)), changes="zeros stand behind the shorter ones")]
        return self._answer(run, batch, clash, headline, cause, because, notes, fixes)

    def _type(self, run: Reading, batch: Batch, clash: Clash) -> Diagnosis:
        name = batch.name(clash.odd, clash.path)
        one, other = value_text(clash.usual.value), value_text(clash.odd.value)
        headline = first_fitting(
            f"{code(name)} is {other} in {batch.sample(clash.odd)} but {one} in {batch.sample(clash.usual)}",
            f"{code(name)} has another type in {batch.sample(clash.odd)}",
        )
        notes = [f"{batch.collator} wants one type throughout a batch: {other} and {one}", batch.whereabouts(clash)]
        fixes = [Fix(f"return {code(name)} in one type for every sample of {code(batch.dataset)}")]
        return self._answer(run, batch, clash, headline, batch.cause(clash.odd, clash.path), other[:40], notes, fixes)

    def _unsupported(self, run: Reading, batch: Batch, kind: str, dtype: str) -> Diagnosis:
        part, path = batch.first_of(kind)
        name = batch.name(part, path) if part is not None else ""
        what = f"an array of {dtype}" if dtype else f"a {code(kind)}"
        headline = first_fitting(
            f"{code(name or batch.dataset)} in the samples of {code(batch.dataset)} is {what}, which can't be stacked",
            f"{code(name or batch.dataset)} is {what}, which can't be put into a batch",
            f"{what} can't be put into a batch",
        )
        if kind == "NoneType":
            headline = f"{code(name)} in the samples of {code(batch.dataset)} is `None`" if name else f"{code(batch.dataset)} gives `None`"
        cause = batch.cause(part, path) if part is not None else None
        notes = [
            f"{batch.collator} takes tensors, arrays, numbers, strings, and dicts, lists or tuples of them; not {what}",
            batch.origin_of(part, path) if part is not None else "",
        ]
        made = converted(run, part, path, kind) if part is not None else ()
        fixes = [
            Fix(f"convert {code(name) if name else 'it'} to a tensor, a number or a string in {code(batch.dataset)}, or keep it out", made),
        ]
        listed = listing(run, batch.loader, part, path) if part is not None else ()
        fixes.append(Fix("pass a `collate_fn` to the loader that keeps such values in a list", listed))
        trail = [Label(s.returned[0], "returned") for s in ([part.sample] if part is not None else []) if s.returned]
        return run.diagnosis(
            self,
            headline,
            cause,
            what.replace("`", ""),
            trail=[*trail, Label(run.raised, "raised here")],
            notes=notes,
            fixes=fixes,
            confidence=Confidence.CERTAIN if part is not None else Confidence.POSSIBLE,
        )

    def _by_text(self, run: Reading, batch: Batch) -> Diagnosis:
        """Where the samples themselves were not seen."""
        found = _ENTRIES.search(run.failure.message)
        message = run.failure.message.splitlines()[0]
        if found is None:
            return run.diagnosis(self, f"samples of {code(batch.dataset)} can't be put together to a batch", None, notes=(message,))
        sizes = f"[{found['one']}] and [{found['other']}]"
        cause = batch.loader_cause() if batch.loader is not None else None
        return run.diagnosis(
            self,
            f"samples {found['first']} and {found['second']} of a batch are {sizes}",
            cause,
            "stacks the samples",
            notes=(message, "every sample of a batch must have one size: resize, crop or pad, or pass a `collate_fn`"),
            fixes=[Fix("give every sample one size in the dataset, or pass a `collate_fn` that pads")],
            confidence=Confidence.POSSIBLE,
        )

    def _answer(
        self, run: Reading, batch: Batch, clash: Clash, headline: str, cause: Cause | None, because: str, notes: list[str], fixes: list[Fix]
    ) -> Diagnosis:
        parts = sorted({p.position: p for p in (clash.usual, clash.odd)}.values(), key=lambda p: p.position)
        labels = [Label(p.sample.returned[0], f"{batch.sample(p)}: {value_text(p.value)}") for p in parts if p.sample.returned]
        merged: list[Label] = []
        for label in labels:
            if merged and merged[-1].span == label.span:
                label = Label(label.span, f"{merged.pop().text}; {label.text}")
            merged.append(label)
        sure = all(p.sample.returned or isinstance(p.value, TensorFacts) for p in parts)
        return run.diagnosis(
            self,
            headline,
            cause,
            because,
            trail=[*merged, Label(run.raised, "raised here")],
            notes=notes,
            fixes=fixes,
            confidence=Confidence.CERTAIN if sure else Confidence.LIKELY,
        )

    examples = (
        Example(
            {
                "train.py": """\
import torch
from torch.utils.data import DataLoader, Dataset


class Recordings(Dataset):
    def __init__(self, seconds, rate=8):
        self.seconds, self.rate = seconds, rate

    def __len__(self):
        return len(self.seconds)

    def __getitem__(self, index):
        wave = torch.randn(self.seconds[index] * self.rate)
        return wave, index % 2


loader = DataLoader(Recordings([2, 2, 2, 3]), batch_size=2)  #~ cause
for wave, label in loader:
    print(wave.shape)
"""
            },
            says=("wave", "[16]", "[24]", "sample 3", "Recordings", "collate_fn", "pad_sequence"),
        ),
        Example(
            {
                "main.py": """\
from torch.utils.data import DataLoader
from corpus import Pages


def main():
    pages = Pages(["one two", "", "three"])
    for page in DataLoader(pages, batch_size=3, num_workers=2):
        print(page["words"])


if __name__ == "__main__":
    main()
""",
                "corpus.py": """\
import torch


class Pages:
    def __init__(self, texts):
        self.texts = texts

    def __len__(self):
        return len(self.texts)

    def __getitem__(self, index):
        return self.encode(self.texts[index])

    def encode(self, text):
        words = text.split()
        if not words:
            return None  #~ cause
        return {"words": torch.tensor(len(words))}
""",
            },
            says=("None", "sample 1", "Pages", "1 of the 3"),
        ),
        Example(
            {
                "fit.py": """\
import torch
from torch.utils.data import DataLoader


class Scans:
    def __init__(self, labelled):
        self.labelled = labelled

    def __len__(self):
        return 6

    def __getitem__(self, i):
        sample = {"scan": torch.zeros(1, 4, 4)}
        if i in self.labelled:
            sample["mask"] = torch.ones(4, 4)  #~ cause
        return sample


for batch in DataLoader(Scans({0, 1, 2, 4}), batch_size=2):
    print(sorted(batch))
"""
            },
            says=("mask", "sample 3", "Scans"),
        ),
    )
    near_misses = (
        NearMiss(
            {
                "ok.py": """\
import torch
from torch.utils.data import DataLoader
for x, name in DataLoader([(torch.ones(2), "a")] * 4, batch_size=2):
    print(x.shape, name)
"""
            }
        ),
        NearMiss({"own.py": "import torch\ntorch.stack([torch.ones(2), torch.ones(3)])\n"}, belongs_to="shape.cat-stack"),
    )
