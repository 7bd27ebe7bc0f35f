"""A loader's worker process failed, could not be started, or was told to do what it can't.

Erroneous code (TW0602):

```python
{example}
```

Why: with `num_workers > 0` a `DataLoader` runs the dataset in other processes. What is raised there arrives as text ("Caught
KeyError in DataLoader worker process 0"); the line that counts is the last one of its "Original Traceback". Where workers are
spawned (Windows, macOS, Python 3.14, `multiprocessing_context="spawn"`) the dataset and its functions are pickled: lambdas,
functions inside of functions, open files, locks and connections can't be, and the script is imported again, so it needs `if
__name__ == "__main__":`. Forked workers must not touch CUDA. Options such as `prefetch_factor`, `persistent_workers` and `timeout`
are for workers only.

Fix: run once with `num_workers=0` to see the failure where it happens; define functions at the top level of a file; open files and
connections in `__getitem__` at first use; move tensors to the GPU in the training loop; where workers are killed, use fewer of them
or more shared memory.

Messages: `Caught IndexError in DataLoader worker process 1.`; `Can't pickle local object 'main.<locals>.<lambda>'`; `cannot pickle
'_io.TextIOWrapper' object`; `DataLoader worker (pid 71) is killed by signal: Killed.`; `DataLoader worker (pid(s) 71) exited
unexpectedly`; `DataLoader timed out after 5 seconds`; `Too many open files. Communication with the workers is no longer possible`;
`received 0 items of ancdata`; `Cannot re-initialize CUDA in forked subprocess`; `prefetch_factor option could only be specified in
multiprocessing`; `An attempt has been made to start a new process before …`.

Not to be confused with: `data.collate` (the samples themselves don't fit together, with workers or without).
"""

from __future__ import annotations

import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Fix, Label, LoaderFacts, SampleFacts, tensors_in
from ...reason.edits import add_decorator
from ...reason.finding import Finding
from ...reason.foreign import speaks_of_torch
from ...reason.loaders import built_cause
from ...reason.reading import Reading, reading
from ...reason.samples import loader_of
from ...reason.starting import not_picklable, option_without_workers, starts_itself
from ...reason.wording import code, first_fitting, place, plural, tensor_text
from ...reason.workers import BLOCKING, ENDING, calls_in_dataset, is_unguarded, values_on_line

_OPTIONS = ("prefetch_factor", "persistent_workers", "timeout", "num_workers", "multiprocessing_context")
_SIGNALS = {"Bus error": "Bus error: the shared memory (/dev/shm) is full", "Killed": "Killed: mostly the system, for want of memory"}


class Worker(Family):
    code = "TW0602"
    title = "a loader's worker process can't do its work"
    rank = 4
    triggers = (
        Trigger(r"\ACaught [\w.]+ in DataLoader worker process (?P<number>\d+)"),
        Trigger(r"(?P<pickle>[Cc]an(?:'t|not) pickle|Can't get local object|cannot serialize|cannot be pickled|owardly refusing)"),
        Trigger(rf"(?P<option>{'|'.join(_OPTIONS)}) (?:option )?(?:could only|needs|can only|should)"),
        Trigger(r"DataLoader worker \(pid(?:\(s\))? [\d, ]+\) (?P<ended>is killed by signal: [\w ]+|exited unexpectedly)"),
        Trigger(r"DataLoader timed out after (?P<seconds>[\d.]+) seconds"),
        Trigger(r"(?P<files>Too many open files|received 0 items of ancdata|unable to (?:open|mmap|resize) (?:shared memory|file))"),
        Trigger(r"(?P<cuda>Cannot re-initialize CUDA in forked subprocess)"),
        Trigger(r"(?P<graph>out=\.\.\. arguments don't support automatic diff)", raised_in="torch/utils/data/_utils/collate.py"),
        Trigger(r"(?P<again>start a new process before the\s+current process has finished its bootstrapping phase)"),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        kind = next(name for name, text in match.groupdict().items() if text is not None)
        if kind in ("pickle", "files") and run.failure.loader is None and not evidence.from_text:
            return None
        if kind in ("pickle", "files") and evidence.from_text and not speaks_of_torch(evidence, r"torch|DataLoader|num_workers|ancdata"):
            return None
        if not run.failure.user_frames and not evidence.from_text:
            return None  # the exception that came out of it has the program's lines
        loader = loader_of(evidence, run.failure)
        if kind == "pickle":
            found = not_picklable(run, loader)
        elif kind == "option":
            found = option_without_workers(run, match["option"])
        elif kind == "again":
            found = starts_itself(run)
        else:
            found = getattr(self, f"_{kind}")(run, loader, match[kind])
        return found.by(self, run)

    def _number(self, run: Reading, loader: LoaderFacts | None, number: str) -> Finding:
        """An exception of the program's own, of which the main process has the text."""
        true = run.failure.caused_by or run.failure
        outer = {frame.span for frame in run.failure.user_frames}
        inside = [f for f in true.user_frames if f.span not in outer]
        frame = inside[-1] if inside else None
        sample = next((s.index for s in run.evidence.samples if s.value is None), None)
        which = f" for sample {sample}" if sample is not None else ""
        whole = f"{true.error_type}: {true.message}".splitlines()[0]
        call = f" in {code(frame.span.function)}" if frame is not None and frame.span.function else ""
        notes = [f"the true exception is {code(whole)}, raised at {place(true.raised_at)}{call}", values_on_line(frame) if frame else ""]
        if loader is not None and loader.length is not None and true.error_type == "IndexError":
            notes.append(f"{code(loader.dataset)} says that it has {loader.length} samples")
        return Finding(
            f"worker {number} raised {code(first_fitting(whole, true.error_type, limit=44))}{which}",
            frame.span if frame is not None else None,
            f"raises {true.error_type} in the worker",
            tuple(notes),
            lead=tuple(Label(f.span, f.span.function) for f in inside[-3:-1]),
            confidence=Confidence.CERTAIN if run.evidence.recording.replayed else Confidence.LIKELY,
            raised="raised here, from the worker's text",
        )

    def _ended(self, run: Reading, loader: LoaderFacts | None, how: str) -> Finding:
        spawned = loader is not None and loader.start_method in ("spawn", "forkserver")
        if spawned and run.failure.user_frames and is_unguarded(run.sources, run.failure.user_frames[0]):
            return starts_itself(run)
        calls = calls_in_dataset(run.sources, loader, ENDING)
        signal = how.partition("signal: ")[2].strip()
        notes = [run.failure.message.splitlines()[0]]
        if loader is not None and loader.built:
            notes.append(f"{plural(loader.num_workers, 'worker')} of {code(loader.dataset)}, built at {place(loader.built[0])}")
        fixes = [Fix("run with `num_workers=0` to see what ends it")]
        if signal in _SIGNALS:
            notes.append(_SIGNALS[signal])
            fixes.insert(
                0, Fix("use fewer workers or smaller batches, or give the machine more shared memory (`--shm-size` of a container)")
            )
        headline = f"a worker was killed by the signal {code(signal)}" if signal else "a worker ended without a word"
        if len(calls) == 1:
            return Finding(headline, calls[0], f"{run.sources.segment(calls[0])[:40]} ends the worker", tuple(notes), tuple(fixes))
        built = built_cause(loader)
        because = "starts the workers" if built is not None else "where the end of the worker was noticed"
        return Finding(headline, built, because, tuple(notes), tuple(fixes), confidence=Confidence.POSSIBLE)

    def _seconds(self, run: Reading, loader: LoaderFacts | None, seconds: str) -> Finding:
        calls = calls_in_dataset(run.sources, loader, BLOCKING)
        limit = run.argument_origins(loader.built, "timeout") if loader is not None else None
        where = f", from {place(limit.span)}" if limit is not None else ""
        notes = [f"`timeout={seconds}` of the loader{where}: no batch came from a worker for so long"]
        fixes = (Fix("give the loader a longer `timeout`, or none (0)"), Fix("use more workers, or make a sample faster to load"))
        headline = f"no batch came from the workers within {seconds} seconds"
        if len(calls) == 1 and loader is not None:
            notes.append(f"{code(run.sources.segment(calls[0]))} in {code(loader.dataset)} waits, at {place(calls[0])}")
            return Finding(headline, calls[0], "waits in the worker", tuple(notes), fixes)
        return Finding(headline, limit or built_cause(loader), "the limit", tuple(notes), fixes, confidence=Confidence.POSSIBLE)

    def _files(self, run: Reading, loader: LoaderFacts | None, _: str) -> Finding:
        notes = (run.failure.message.splitlines()[0], "each tensor that a worker sends is an open file until it is freed")
        fixes = (
            Fix("call `torch.multiprocessing.set_sharing_strategy('file_system')` at the start, or raise the limit (`ulimit -n`)"),
            Fix("do not keep batches as they come: copy what is kept (`x.clone()`), so that its shared memory is closed"),
        )
        headline = "the workers' tensors hold more open files than the system allows"
        return Finding(headline, built_cause(loader), "sends tensors from workers", notes, fixes, confidence=Confidence.POSSIBLE)

    def _cuda(self, run: Reading, loader: LoaderFacts | None, _: str) -> Finding:
        where = run.frame
        does = f"{code(where.code)} at {place(where.span)} does" if where is not None else ""
        fixes = (
            Fix("return CPU tensors from the dataset and move the batch to the GPU in the training loop"),
            Fix('start the workers by spawn: `multiprocessing_context="spawn"`'),
        )
        notes = ("a forked process can't use CUDA once its parent has", does)
        return Finding("a forked worker uses CUDA", where.span if where is not None else None, "CUDA in a forked worker", notes, fixes)

    def _graph(self, run: Reading, loader: LoaderFacts | None, _: str) -> Finding:
        sample, dataset = next(iter(run.evidence.samples), SampleFacts()), code(loader.dataset if loader is not None else "the dataset")
        tensor = next((t for t in tensors_in(sample.value) if t.requires_grad), None) if sample.value is not None else None
        notes = (
            "a worker stacks samples straight into shared memory, and a tensor with a graph can't cross to another process",
            f"{tensor_text(tensor)} of sample {sample.index} requires grad" if tensor is not None else "",
        )
        cause = sample.returned[-1] if sample.returned else None
        made = add_decorator(run.sources, cause.file, cause.line, "@torch.no_grad()") if cause is not None else ()
        fixes = (Fix(f"compute it under `torch.no_grad()` in {dataset}, or return it with `.detach()`", made, "safe"),)
        return Finding(f"{dataset} gives tensors that require grad, in a worker", cause, "requires grad", notes, fixes)

    examples = (
        Example(
            {
                "train.py": """\
from torch.utils.data import DataLoader
from store import Images

loader = DataLoader(Images(["a", "b", "c", "d"]), batch_size=2, num_workers=2)
for image in loader:
    print(image.shape)
""",
                "store.py": """\
import torch

SIZES = {"a": 2, "b": 2, "d": 2}


class Images:
    def __init__(self, names):
        self.names = names

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        name = self.names[index]
        return self.load(name)

    def load(self, name):
        size = SIZES[name]  #~ cause
        return torch.zeros(3, size, size)
""",
            },
            says=("KeyError", "'c'", "sample 2", "worker 1", "`name`"),
        ),
        Example(
            {
                "fit.py": """\
import torch
from torch.utils.data import DataLoader, Dataset


class Rows(Dataset):
    def __init__(self, path):
        self.path = path
        self.file = open(path)  #~ cause

    def __len__(self):
        return 4

    def __getitem__(self, i):
        self.file.seek(i)
        return torch.tensor(len(self.file.read(1)))


def main():
    rows = Rows(__file__)
    for row in DataLoader(rows, num_workers=1, multiprocessing_context="spawn"):
        print(row)


if __name__ == "__main__":
    main()
"""
            },
            says=("rows.file", "spawn", "pickled", "__getitem__"),
        ),
        Example(
            {
                "run.py": """\
import argparse
from torch.utils.data import DataLoader

parser = argparse.ArgumentParser()
parser.add_argument("--workers", type=int, default=0)  #~ cause
args = parser.parse_args([])
loader = DataLoader(range(8), batch_size=2, num_workers=args.workers, persistent_workers=True)
print(len(loader))
"""
            },
            says=("persistent_workers", "num_workers", "args.workers"),
        ),
    )
    near_misses = (
        NearMiss(
            {"ok.py": "from torch.utils.data import DataLoader\nprint(sum(x.sum().item() for x in DataLoader(range(8), num_workers=2)))\n"}
        ),
        NearMiss({"plain.py": "import pickle\nimport torch\npickle.dumps(lambda: torch.ones(1))\n"}),
    )
