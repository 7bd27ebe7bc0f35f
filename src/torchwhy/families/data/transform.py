"""A transform is applied to the wrong thing, or in the wrong order.

Erroneous code (TW0605):

```python
{example}
```

Why: the steps of a pipeline hand on different things: pictures of PIL or NumPy (height, width, channels; 0 to 255) before
`ToTensor`, tensors (channels, height, width; 0 to 1) after it. A step before `ToTensor` that wants a tensor fails, one after it
that wants a picture too, and so does a second `ToTensor`. `Normalize` has one mean and one deviation for each channel: three of
them don't fit a picture in grey. A NumPy array that was turned around (`[::-1]`, `np.flip`) is a view with negative strides, which
PyTorch doesn't have. A crop can't be larger than the picture.

Fix: order the steps (picture steps, `ToTensor`, tensor steps); give `Normalize` as many values as there are channels, or convert
the pictures to that many (`convert("RGB")`); copy a turned array (`.copy()`) before `torch.from_numpy`.

Messages: `output with shape [1, 28, 28] doesn't match the broadcast shape [3, 28, 28]`; `pic should be PIL Image or ndarray. Got
<class 'torch.Tensor'>`; `expected np.ndarray (got Tensor)`; `Tensor is not a torch image`; `At least one stride in the given numpy
array is negative, and tensors with negative strides are not currently supported`; `can't convert np.ndarray of type numpy.object_`;
`random_ expects 'from' to be less than 'to'`.

Not to be confused with: `data.collate` (samples that differ from each other), `shape.conv-channels` (the model wants other
channels).
"""

from __future__ import annotations

import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, Label, TensorFacts
from ...reason import edits
from ...reason.channel_edits import per_channel
from ...reason.pipelines import failing_step, flips, is_in_data, went_well, whole
from ...reason.provenance import Size
from ...reason.reading import Cause, Reading, reading
from ...reason.wording import code, first_fitting, listed, place, plural, shape_text, tensor_text

_ARITHMETIC = ("sub", "sub_", "div", "div_", "mul", "mul_", "add", "add_", "rsub", "addcdiv", "batch_norm")


class Transform(Family):
    code = "TW0605"
    title = "a transform does not fit what it is given"
    rank = 4
    triggers = (
        Trigger(r"(?P<stats>doesn't match the broadcast shape|must match the size of tensor b)"),
        Trigger(r"(?P<stride>stride in the given numpy array is negative|strides? of the given numpy array is negative|negative strides)"),
        Trigger(r"can't convert np\.ndarray of type (?P<objects>numpy\.object_|numpy\.str_|object)"),
        Trigger(r"(?:pic|img|image|[Ii]nput) should be (?P<picture>.*?)\.? ?(?:Got|got|$)"),
        Trigger(r"(?P<twice>expected np\.ndarray \(got (?P<got>\w+)\))"),
        Trigger(r"'?(?P<tensor>Tensor)'? (?:object has no attribute '(?P<attribute>\w+)'|is not a torch image)"),
        Trigger(r"(?P<crop>random_ expects 'from' to be less than 'to', but got from=-?\d+ >= to=-?\d+|crop size .{0,400} larger than)"),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        kind = next(name for name, text in match.groupdict().items() if text is not None)
        if not is_in_data(run.failure) and kind not in ("stride", "picture"):
            return None
        answer: Diagnosis | None = getattr(self, f"_{kind}")(run, match)
        return answer

    def _stats(self, run: Reading, match: re.Match[str]) -> Diagnosis | None:
        """One value for each channel, for another number of channels."""
        tensors = [(n, t) for n, t in run.tensors if t.shape]
        if len(tensors) != 2 or run.op is None or run.op.name not in _ARITHMETIC:
            return None
        stats = next(((n, t) for n, t in tensors if _is_per_channel(t)), None)
        image = next(((n, t) for n, t in tensors if stats is not None and t is not stats[1] and t.rank >= 3), None)
        if stats is None or image is None:
            return None
        (name, values), (pictured, picture) = stats, image
        count, channels = values.numel, (picture.shape or (0,))[-3]
        if count == channels:
            return None
        step = failing_step(run)
        passed = went_well(run) or any(
            count in (t.shape or ())[:-2] for past in run.history.earlier_calls(run.op) for t in past.inputs if t.rank == picture.rank
        )
        made = run.decided(values, Size(values.shape.index(count) if values.shape else 0))
        built = run.decided(picture, Size(picture.rank - 3))
        cause = (
            run.cause(built, channels)
            if passed
            else self._values(run, made, count) or (Cause(step.call) if step is not None and step.call else run.cause(made, count))
        )
        what = code(step.name) if step is not None else "the transform"
        headline = first_fitting(
            f"{what} has {count} values for its channels, {code(pictured)} has {channels}",
            f"{count} channel values meet a picture of {channels}",
        )
        notes = [
            f"{code(pictured)} is {tensor_text(picture)}: {_channels(channels)}",
            f"{code(name)} is {tensor_text(values)}, one value for each channel",
        ]
        if step is not None and step.call is not None:
            notes.append(f"{what} is built at {place(step.call)}: {code(run.sources.segment(step.call))}")
        if passed:
            notes.append(f"samples before it had {count} channels")
        source = built.span
        notes.append(
            f"the picture is made at {place(source)} by {code(run.sources.segment(source))}"
            if source is not None and built.how in ("op", "created")
            else ""
        )
        colour = ' (`convert("RGB")`)' if count == 3 else ""
        fixes = [
            Fix(
                f"give {what} {plural(channels, 'value')} for mean and deviation, one for each channel",
                per_channel(run.sources, step.call, count, channels) if step is not None and step.call is not None else (),
            ),
            Fix(f"convert the pictures to {count} channels where they are loaded{colour}"),
        ]
        return run.diagnosis(
            self,
            headline,
            cause,
            f"{count} values, for {count} channels" if not passed else _channels(channels),
            trail=run.trail(picture, Size(picture.rank - 3)),
            notes=notes,
            fixes=fixes[::-1] if passed else fixes,
            confidence=Confidence.LIKELY,
        )

    def _values(self, run: Reading, decision: object, count: int) -> Cause | None:
        """Behind `torch.tensor(mean)` in a transform's constructor, the list that was passed."""
        op = getattr(decision, "op", None)
        if op is None or op.span is None or getattr(decision, "how", "") != "created":
            return None
        given = next(iter(run.sources.arguments(op.span)), None)
        found = run.expression_origins(given.span, op.where) if given is not None else None
        return found if found is not None and found.origins and found.origins[-1].form != "name" else None

    def _stride(self, run: Reading, match: re.Match[str]) -> Diagnosis:
        given = next(iter(run.sources.arguments(run.raised)), None)
        chain = run.expression_origins(given.span, run.calls).origins if given is not None else ()
        turned = flips(run)
        inside = [s for s in turned if any(_holds(o.span, s) for o in chain)]
        found = inside[-1] if inside else turned[0] if len(turned) == 1 else None
        name = code(given.text) if given is not None else "the array"
        notes = [
            f"{name} is a NumPy view that runs backwards (a negative stride); PyTorch's tensors have none, so `from_numpy` can't share it"
        ]
        if found is not None:
            notes.append(f"{code(run.sources.segment(found))} at {place(found)} turns it around without a copy")
        elif turned:
            notes.append(
                f"it is turned around by one of {listed([f'{code(run.sources.segment(s))} ({place(s)})' for s in turned[:3]], 'or')}"
            )
        copied = (
            edits.append_method(run.sources, found, ".copy()")
            if found is not None
            else edits.append_method(run.sources, given.span, ".copy()")
            if given is not None
            else ()
        )
        fixes = [Fix("copy the turned array: `.copy()`", copied, "safe")]
        headline = first_fitting(
            f"{name} has a negative stride: a NumPy view that was turned around",
            "the NumPy array has a negative stride: it was turned around",
        )
        return run.diagnosis(
            self,
            headline,
            Cause(found) if found is not None else Cause(turned[0]) if turned else None,
            "a view, turned around: no copy",
            notes=notes,
            fixes=fixes,
            confidence=Confidence.CERTAIN if inside else Confidence.LIKELY if found else Confidence.POSSIBLE,
        )

    def _objects(self, run: Reading, match: re.Match[str]) -> Diagnosis:
        given = next(iter(run.sources.arguments(run.raised)), None)
        cause = run.expression_origins(whole(run, given.span), run.calls) if given is not None else None
        name = code(given.text) if given is not None else "the array"
        kind = match["objects"].removeprefix("numpy.").rstrip("_")
        why = "rows of different lengths, None or mixed types make it so" if kind == "object" else "text can't be put into a tensor"
        notes = [f"{name} is a NumPy array of dtype {kind}: {why}"]
        notes += [f"it is made at {place(cause.span)} by {code(run.sources.segment(cause.span))}" if cause is not None else ""]
        fixes = [Fix(f"give {name} one numeric dtype: convert its columns (`.astype(np.float32)`), pad rows of different lengths")]
        return run.diagnosis(
            self, f"{name} is a NumPy array of dtype {kind}, which no tensor can hold", cause, f"dtype {kind}", notes=notes, fixes=fixes
        )

    def _picture(self, run: Reading, match: re.Match[str]) -> Diagnosis | None:
        return self._misplaced(
            run, f"wants {match['picture'].strip()}", run.failure.message.partition("ot ")[2].strip(" .<>") or "another type"
        )

    def _twice(self, run: Reading, match: re.Match[str]) -> Diagnosis | None:
        return self._misplaced(run, "wants a NumPy array", f"a {match['got']}")

    def _tensor(self, run: Reading, match: re.Match[str]) -> Diagnosis | None:
        wanted = match.groupdict().get("attribute")
        return self._misplaced(run, f"asks for `.{wanted}`" if wanted else "wants a picture as a tensor", "a tensor")

    def _misplaced(self, run: Reading, wants: str, got: str) -> Diagnosis | None:
        step = failing_step(run)
        if step is None:
            return None
        cause = Cause(step.call) if step.call is not None else None
        before = step.names[: step.position] if step.position is not None else ()
        got = got.replace("class 'torch.Tensor'", "a tensor").replace("class ", "")
        notes = [f"{code(step.name)} {wants}, and it gets {got}"]
        if before:
            notes.append(f"it comes after {listed([code(n) for n in before])} in the pipeline at {place(step.call)}")
        converting = next((n for n in before if "tensor" in n.lower()), "")
        if converting:
            notes.append(f"{code(converting)} has made a tensor of the picture by then")
        twice = step.names.count(step.name) > 1 or converting == step.name
        after = code(converting or (before or ("the step before",))[-1])
        fix = f"put {code(step.name)} before {after}" if converting else f"put {code(step.name)} where its input fits: not after {after}"
        fixes = [Fix(f"take the second {code(step.name)} out" if twice else fix)]
        headline = first_fitting(
            f"{code(step.name)} {wants} but gets {got}",
            f"{code(step.name)} gets {got}, which it can't take",
            f"{code(step.name)} gets what it can't take",
        )
        return run.diagnosis(self, headline, cause, "a second time" if twice else f"gets {got}"[:60], notes=notes, fixes=fixes)

    def _crop(self, run: Reading, match: re.Match[str]) -> Diagnosis | None:
        step = failing_step(run)
        picture = next(
            (a for f in reversed(run.failure.user_frames) for a in f.locals if isinstance(a.value, TensorFacts) and a.value.rank >= 2), None
        )
        name = code(step.name if step is not None else "the crop")
        size = f" {shape_text(picture.value.shape)}" if picture is not None and isinstance(picture.value, TensorFacts) else ""
        notes = [
            f"{code(picture.name)} is {tensor_text(picture.value)}"
            if picture is not None and isinstance(picture.value, TensorFacts)
            else "",
            run.failure.message.splitlines()[0],
        ]
        notes.append(
            f"{name} is built at {place(step.call)}: {code(run.sources.segment(step.call))}"
            if step is not None and step.call is not None
            else ""
        )
        fixes = [Fix("resize or pad the picture before it is cropped, or crop less")]
        cause = Cause(step.call) if step is not None and step.call is not None else Cause(run.raised)
        return run.diagnosis(
            self,
            f"{name} is larger than the picture{size}",
            cause,
            "larger than the picture",
            notes=notes,
            fixes=fixes,
            trail=[Label(run.raised, "raised here: no place is left for the crop")],
        )

    examples = (
        Example(
            {
                "train.py": """\
import torch
from torch.utils.data import DataLoader
from steps import Compose, Scale, Standardize


class Scans:
    def __init__(self, count, transform):
        self.count, self.transform = count, transform

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        scan = torch.full((1, 6, 6), index, dtype=torch.uint8)
        return self.transform(scan)


pipeline = Compose([
    Scale(255),
    Standardize(mean=[0.48, 0.46, 0.41], deviation=[0.23, 0.22, 0.23]),  #~ cause
])
for batch in DataLoader(Scans(8, pipeline), batch_size=4):
    print(batch.shape)
""",
                "steps.py": """\
import torch


class Compose:
    def __init__(self, steps):
        self.steps = steps

    def __call__(self, image):
        for step in self.steps:
            image = step(image)
        return image


class Scale:
    def __init__(self, top):
        self.top = top

    def __call__(self, image):
        return image.float() / self.top


class Standardize:
    def __init__(self, mean, deviation):
        self.mean = torch.tensor(mean).view(-1, 1, 1)
        self.deviation = torch.tensor(deviation).view(-1, 1, 1)

    def __call__(self, image):
        return image.sub_(self.mean).div_(self.deviation)
""",
            },
            says=("Standardize", "3 values", "[1, 6, 6]", "image", "self.mean"),
        ),
        Example(
            {
                "augment.py": """\
import numpy as np
import torch


def mirrored(picture):
    return picture[:, ::-1]  #~ cause


def to_tensor(picture):
    return torch.from_numpy(picture).permute(2, 0, 1)


photo = np.zeros((4, 5, 3), dtype=np.float32)
print(to_tensor(mirrored(photo)).shape)
"""
            },
            says=("negative stride", "picture[:, ::-1]", "copy"),
            becomes="    return picture[:, ::-1].copy()",
        ),
    )
    near_misses = (
        NearMiss({"ok.py": "import numpy as np\nimport torch\nprint(torch.from_numpy(np.zeros((2, 3))[:, ::-1].copy()).shape)\n"}),
        NearMiss({"late.py": "import torch\nx = torch.ones(1, 4, 4)\nx.sub_(torch.ones(3, 1, 1))\n"}, belongs_to="shape.broadcast"),
    )


def _is_per_channel(tensor: TensorFacts) -> bool:
    shape = tensor.shape or ()
    return tensor.rank >= 3 and shape[-1] == shape[-2] == 1 and tensor.numel > 1 or tensor.rank == 1 and tensor.numel in (1, 2, 3, 4)


def _channels(count: int) -> str:
    return {1: "1 channel (grey)", 3: "3 channels", 4: "4 channels (with transparency)"}.get(count, f"{count} channels")


def _holds(outer: object, inner: object) -> bool:
    first, last = (outer.line, outer.column), (outer.end_line, outer.end_column)  # type: ignore[attr-defined]
    return outer.file == inner.file and first <= (inner.line, inner.column) and (inner.end_line, inner.end_column) <= last  # type: ignore[attr-defined]
