"""A loader, its sampler and its dataset don't agree.

Erroneous code (TW0603):

```python
{example}
```

Why: a `DataLoader` takes its order from one place. `shuffle=True` makes a `RandomSampler`; with a `sampler` of one's own it must be
left out, and a `batch_sampler` replaces `batch_size`, `shuffle`, `sampler` and `drop_last` together. An `IterableDataset` gives its
samples in its own order and needs no length. A `RandomSampler` can't choose from an empty dataset (`num_samples=0`: mostly a folder
or a pattern that matches no file). A sampler must give indices below `len(dataset)`, and weights that are finite and not negative,
one for each sample.

Fix: leave out the option that is decided already; look for the reason why the dataset is empty; build the sampler from the dataset
that the loader gets.

Messages: `sampler option is mutually exclusive with shuffle`; `batch_sampler option is mutually exclusive with batch_size, shuffle,
sampler, and drop_last`; `num_samples should be a positive integer value, but got num_samples=0`; `DataLoader with IterableDataset:
expected unspecified shuffle option`; `object of type 'Stream' has no len()`; `invalid multinomial distribution (sum of
probabilities <= 0)`; `Sum of input lengths does not equal the length of the input dataset!`; `list index out of range`.

Not to be confused with: `data.worker`, `data.collate`; an `IndexError` of a dataset whose index is within its length is the
program's own.
"""

from __future__ import annotations

import ast
import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, LoaderFacts
from ...reason import edits
from ...reason.file_edits import other_endings
from ...reason.finding import Finding
from ...reason.loaders import (
    argument_cause,
    class_named,
    given_by,
    indices_cause,
    length_statement,
    numbers_of,
    only_call,
    passed_to,
    plain,
    values_of,
    written_argument,
)
from ...reason.reading import Cause, Reading, reading
from ...reason.samples import loader_of
from ...reason.structure import misspelled
from ...reason.wording import code, first_fitting, listed, place, tensor_text

_LOADER, _SAMPLER, _DATASET = "utils/data/dataloader.py", "utils/data/sampler.py", "utils/data/dataset.py"
_WEIGHTS = {
    "invalid": "sum to 0",
    "cannot": "are fewer than the samples asked for",
    "weights": "are no flat list",
    "categories": "are too many",
}


class Sampler(Family):
    code = "TW0603"
    title = "a loader, its sampler and its dataset don't agree"
    rank = 2
    triggers = (
        Trigger(r"(?P<one>sampler) option is mutually exclusive with (?P<options>shuffle)"),
        Trigger(r"(?P<one>batch_sampler) option is mutually exclusive\s+with (?P<options>batch_size, shuffle, sampler, and\s+drop_last)"),
        Trigger(r"(?P<one>batch_size)=None option disables auto-batching\s+and is mutually exclusive with (?P<options>[\w, ]*drop_last)"),
        Trigger(r"DataLoader with IterableDataset: expected unspecified (?P<iterable>shuffle|sampler|batch_sampler) option"),
        Trigger(r"num_samples should be a positive integer\s+value, but got num_samples=(?P<empty>0)"),
        Trigger(r"(?P<number>batch_size|num_samples) should be a positive integer\s+value, but got \w+=(?P<value>\S+)"),
        Trigger(r"object of type '(?P<lengthless>\w+)' has no len\(\)"),
        Trigger(r"(?P<weights>invalid multinomial|probability tensor|cannot sample n_sample|weights should be a 1d|categories cannot)"),
        Trigger(r"(?P<sum>Sum of input lengths does not equal)"),
        Trigger(r"Subclasses of Dataset should implement (?P<method>__getitem__)"),
        Trigger(r"^(?P<beyond>.*)$", types=("IndexError", "KeyError")),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        kind = next(name for name, text in match.groupdict().items() if text is not None)
        found: Finding | None = getattr(self, f"_{kind}")(run, loader_of(evidence, run.failure), match)
        return found.by(self, run) if found is not None else None

    def _one(self, run: Reading, loader: LoaderFacts | None, match: re.Match[str]) -> Finding:
        """Two options that decide the same."""
        one, given = match["one"], passed_to(run, _LOADER, "__init__")
        named = [n for n in re.findall(r"[a-z_]+", match["options"]) if n not in ("and", one)]
        names = [n for n in named if _is_given(given.get(n)) and not (n == "batch_size" and plain(given.get(n)) == 1)] or named[:1]
        causes = {name: argument_cause(run, name, value=plain(given.get(name))) for name in names}
        first = next((c for c in causes.values() if c is not None), None)
        mine, kind = written_argument(run, one), getattr(given.get(one), "kind", "")
        others = listed([code(n) for n in names])
        notes = [f"{code(one)} is {code(mine.text)}{f', a {kind}' if kind not in ('', 'NoneType') else ''}" if mine is not None else ""]
        notes.append(f"{code(one)} decides the order by itself, {others} must be left out: they are mutually exclusive")
        notes += [f"{code(name)} is {_value(given.get(name))}, from {place(cause.span)}" for name, cause in causes.items() if cause]
        removed = tuple(e for name in names for e in edits.remove_keyword(run.sources, run.raised, name))
        if not removed and first is not None and first.text == "True":
            removed = edits.set_value(run.sources, first.span, "False")
        fixes = [Fix(f"leave out {others}", removed, "safe")]
        if one == "sampler":
            without = edits.remove_keyword(run.sources, run.raised, "sampler")
            fixes.append(Fix("leave out `sampler`, and let the loader shuffle", without, changes="the order is no longer the sampler's"))
        shown = listed([code(f"{n}={_value(given.get(n))}" if plain(given.get(n)) is not None else n) for n in names])
        headline = first_fitting(f"{code(one)} and {shown} are both given", f"{code(one)} and {code(names[0])} are both given")
        cause = first or Cause(run.raised)
        return Finding(headline, cause, f"{names[0]} is given too", tuple(notes), tuple(fixes), confidence=Confidence.CERTAIN)

    def _iterable(self, run: Reading, loader: LoaderFacts | None, match: re.Match[str]) -> Finding:
        option, given = match["iterable"], passed_to(run, _LOADER, "__init__")
        kind = code(
            loader.dataset if loader is not None and loader.dataset != "NoneType" else getattr(given.get("dataset"), "kind", "the dataset")
        )
        cause = argument_cause(run, option, value=plain(given.get(option))) or Cause(run.raised)
        notes = (
            f"{kind} is an `IterableDataset`: it gives its samples in its own order, {code(option)} can't choose them",
            f"{code(option)} is {_value(given.get(option))}, from {place(cause.span)}",
        )
        without = edits.remove_keyword(run.sources, run.raised, option)
        fixes = (
            Fix(f"leave out {code(option)}", without, changes="the samples come in the dataset's order"),
            Fix(f"shuffle inside of {kind}, in its `__iter__`"),
        )
        headline = f"{code(option)} is given for {kind}, an `IterableDataset`"
        return Finding(headline, cause, f"{option} for an iterable dataset", notes, fixes, confidence=Confidence.CERTAIN)

    def _empty(self, run: Reading, loader: LoaderFacts | None, match: re.Match[str]) -> Finding:
        kind = loader.dataset if loader is not None and loader.dataset != "NoneType" else ""
        dataset = written_argument(run, "dataset", 0)
        name = code(dataset.text if dataset is not None else kind or "the dataset")
        counted = given_by(run, kind, "__len__")
        cause = counted or indices_cause(run, argument_cause(run, "dataset", 0))
        notes = [f"the loader shuffles, and {name} ({kind}) has a length of 0: there is nothing to choose from (`num_samples=0`)"]
        if (statement := length_statement(run, kind)) is not None:
            notes.append(f"its `__len__` at {place(statement)} counts {code(run.sources.segment(statement).removeprefix('return '))}")
        what = code(run.sources.segment(cause.span)) if cause is not None else "the dataset"
        if counted is not None:
            notes.append(f"that is {what}, empty since {place(counted.span)}")
        fixes = (*other_endings(run, cause), Fix(f"look why it is empty: the folder, the pattern or the filter of {what}"))
        return Finding(f"{name} is empty: the sampler has 0 samples to choose from", cause, "finds nothing", tuple(notes), fixes)

    def _number(self, run: Reading, loader: LoaderFacts | None, match: re.Match[str]) -> Finding:
        name, value = match["number"], match["value"]
        cause = argument_cause(run, name, value=int(value) if re.fullmatch(r"-?\d+", value) else None)
        source = f", from {code(cause.text)} at {place(cause.span)}" if cause is not None and cause.text else ""
        notes = (f"{code(name)} is {value}{source}", "it must be an integer above 0")
        headline = f"{code(name)} is {value}, which is no positive integer"
        return Finding(headline, cause or Cause(run.raised), f"{name} is {value}", notes, confidence=Confidence.CERTAIN)

    def _lengthless(self, run: Reading, loader: LoaderFacts | None, match: re.Match[str]) -> Finding | None:
        kind = match["lengthless"]
        if not any(f.origin == "torch" and "/utils/data/" in f.span.file.replace("\\", "/") for f in run.failure.frames):
            return None
        found = class_named(run, kind)
        is_stream = found is not None and any("Iterable" in found[0].segment(base) for base in found[1].bases)
        if is_stream or loader is not None and loader.sampler == "_InfiniteConstantSampler":
            notes = (f"{code(kind)} is an `IterableDataset` without a `__len__`: how many batches it gives is known only at its end",)
            fixes = (Fix(f"do without the length, or give {code(kind)} a `__len__`"),)
            headline = f"the loader's length is asked for, but {code(kind)} has none"
            return Finding(headline, Cause(run.raised), "asks for the length", notes, fixes, confidence=Confidence.CERTAIN)
        lack = f"{code(kind)} has no `__len__`, which the loader's sampler needs"
        fixes = (Fix(f"give {code(kind)} a `__len__` that returns the number of its samples"),)
        return self._lacks(run, kind, "__len__", lack, "the sampler asks for `len()` of the dataset", fixes)

    def _method(self, run: Reading, loader: LoaderFacts | None, match: re.Match[str]) -> Finding:
        kind = loader.dataset if loader is not None else "the dataset"
        fixes = (Fix(f"give {code(kind)} a `__getitem__(self, index)`"),)
        asks = f"the loader asks {code(kind)} for a sample by `__getitem__`"
        return self._lacks(run, kind, "__getitem__", f"{code(kind)} has no `__getitem__`", asks, fixes)

    def _lacks(self, run: Reading, kind: str, method: str, headline: str, note: str, fixes: tuple[Fix, ...]) -> Finding:
        """A method that the dataset's class lacks, or has under another name."""
        found = class_named(run, kind)
        wrong = next(iter(misspelled(run.sources, found[0].file, found[1], (method,))), None) if found is not None else None
        cause = (
            Cause(wrong[0] if wrong is not None else found[0].span(found[1])) if found is not None else argument_cause(run, "dataset", 0)
        )
        notes = (note, f"{code(wrong[1])} is not {code(wrong[2])}" if wrong is not None else "")
        return Finding(headline, cause, f"no `{method}`", notes, fixes, confidence=Confidence.CERTAIN)

    def _weights(self, run: Reading, loader: LoaderFacts | None, match: re.Match[str]) -> Finding | None:
        if not any(f.span.file.replace("\\", "/").endswith(_SAMPLER) for f in run.failure.frames):
            return None
        call = only_call(run, "WeightedRandomSampler")
        weights = next((e for e in run.sources.arguments(call) if e.keyword in ("weights", None)), None) if call is not None else None
        cause = run.expression_origins(weights.span) if weights is not None else None
        tensor, notes = run.tensor("input"), [run.failure.message.splitlines()[0]]
        if weights is not None and cause is not None:
            notes.append(f"the weights are {code(weights.text)}{f', {tensor_text(tensor)}' if tensor is not None else ''}")
            notes.append(f"they come from {code(run.sources.segment(cause.span))} at {place(cause.span)}")
        what = _WEIGHTS.get(match["weights"].split()[0], "hold inf, nan or a negative number")
        fix = "give each sample a finite weight of 0 or more, with a sum above 0: a class without samples makes 1 / 0"
        if what.startswith("are fewer"):
            fix = "sample with `replacement=True`, or ask for no more samples than there are weights"
        return Finding(f"the sampler's weights {what}", cause, f"the weights {what}", tuple(notes), (Fix(fix),))

    def _sum(self, run: Reading, loader: LoaderFacts | None, match: re.Match[str]) -> Finding:
        lengths = numbers_of(passed_to(run, _DATASET, "random_split").get("lengths"))
        expression, dataset = written_argument(run, "lengths", 1), written_argument(run, "dataset", 0)
        text = f"{' + '.join(map(str, lengths))} = {sum(lengths)}" if lengths else "not known"
        notes = (
            f"the parts asked for are {code(expression.text)}: {text}" if expression is not None else text,
            f"they must add up to the length of {code(dataset.text)}" if dataset is not None else "",
        )
        node = run.sources.node_at(expression.span) if expression is not None else None
        parts = node.elts if isinstance(node, (ast.List, ast.Tuple)) else []
        rest = "".join(f" - {run.sources.segment(run.sources.span_of(expression.span.file, p))}" for p in parts[:-1]) if expression else ""
        last = run.sources.span_of(expression.span.file, parts[-1]) if expression is not None and parts else None
        made = edits.set_value(run.sources, last, f"len({dataset.text}){rest}") if last is not None and dataset is not None else ()
        fixes = (Fix("take the last part as what is left over, or pass fractions that sum to 1 (`[0.8, 0.2]`)", made, "safe"),)
        headline = f"the parts of `random_split` add up to {sum(lengths)}, not to the dataset's length"
        cause = argument_cause(run, "lengths", 1)
        return Finding(headline if lengths else "the parts of `random_split` don't add up", cause, "the parts", notes, fixes)

    def _beyond(self, run: Reading, loader: LoaderFacts | None, match: re.Match[str]) -> Finding | None:
        """An index that the dataset never promised."""
        sample = next(iter(run.evidence.samples), None)
        if loader is None or sample is not None and sample.value is not None or loader.length is None:
            return None
        length, dataset = loader.length, code(loader.dataset)
        index = next((i for i in loader.indices or () if not -length <= i < length), None)
        if index is None:
            return None
        call = only_call(run, loader.sampler)
        argument = next(iter(run.sources.arguments(call)), None) if call is not None else None
        order = given_by(run, loader.sampler, "__iter__")
        if order is None and argument is not None and loader.sampler != "WeightedRandomSampler":  # that one is given weights, no indices
            order = values_of(run, run.expression_origins(argument.span))
        built = call or (loader.built[0] if loader.built else None)
        notes = [f"{code(loader.sampler)} gave the index {index}, and {dataset} has {length} samples: 0 to {length - 1}"]
        if built is not None:
            notes.append(f"it is built at {place(built)}{f' from {code(argument.text)}' if argument is not None else ''}")
        notes.append("a sampler made for a whole dataset does not fit a part of it (a subset, a train split)")
        fixes = (Fix(f"build the sampler from the dataset that the loader gets: indices below `len(dataset)`, here {length}"),)
        headline = f"the sampler asks for sample {index}, but {dataset} has {length}"
        return Finding(headline, order or built, "gives indices beyond the dataset", tuple(notes), fixes)

    examples = (
        Example(
            {
                "train.py": """\
import torch
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler
from settings import LOADER

labels = torch.tensor([0, 0, 0, 1])
data = TensorDataset(torch.randn(4, 3), labels)
sampler = WeightedRandomSampler([1.0, 1.0, 1.0, 3.0], num_samples=4)
loader = DataLoader(data, sampler=sampler, **LOADER)
print(len(loader))
""",
                "settings.py": """\
LOADER = {
    "batch_size": 2,
    "shuffle": True,  #~ cause
}
""",
            },
            says=("sampler", "shuffle", "settings.py"),
        ),
        Example(
            {
                "fit.py": """\
import glob
import os

import torch
from torch.utils.data import DataLoader, Dataset


class Slides(Dataset):
    def __init__(self, root, ending):
        self.paths = sorted(glob.glob(os.path.join(root, "*" + ending)))  #~ cause

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return torch.zeros(3)


def main():
    slides = Slides("slides", ".tif")
    loader = DataLoader(slides, batch_size=4, shuffle=True)
    print(len(loader))


main()
"""
            },
            says=("slides", "empty", "num_samples=0", "self.paths", "glob"),
        ),
        Example(
            {
                "split.py": """\
import torch
from torch.utils.data import DataLoader, SubsetRandomSampler

rows = torch.arange(10.0)
train, held_out = rows[:7], rows[7:]
torch.manual_seed(0)
order = torch.arange(10).flip(0).tolist()  #~ cause
for batch in DataLoader(train, batch_size=10, sampler=SubsetRandomSampler(order)):
    print(batch)
"""
            },
            says=("SubsetRandomSampler", "7"),
        ),
    )
    near_misses = (
        NearMiss({"ok.py": "from torch.utils.data import DataLoader\nprint(len(DataLoader(range(7), shuffle=True, drop_last=True)))\n"}),
        NearMiss({"own.py": "import torch\nrows = [torch.ones(1)]\nprint(rows[3])\n"}),
    )


def _is_given(value: object) -> bool:
    return value is not None and getattr(value, "kind", "") != "NoneType" and getattr(value, "value", None) is not False


def _value(value: object) -> str:
    return str(getattr(value, "text", "given"))
