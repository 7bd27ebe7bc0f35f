"""A loader's worker process failed, could not be started, or was told to do what it can't.

Erroneous code (TW0602):

```python
{example}
```

Why: with `num_workers > 0` a `DataLoader` runs the dataset in other processes. What is raised there arrives as text ("Caught KeyError in DataLoader
worker process 0"); the line that counts is the last one of its "Original Traceback". Where workers are spawned (Windows, macOS, Python 3.14,
`multiprocessing_context="spawn"`) the dataset and its functions are pickled: lambdas, functions inside of functions, open files, locks
and connections can't be, and the script is imported again, so it needs `if __name__ == "__main__":`. Forked workers must not touch CUDA. Options such as
`prefetch_factor`, `persistent_workers` and `timeout` are for workers only.

Fix: run once with `num_workers=0` to see the failure where it happens; define functions at the top level of a file; open files and connections in
`__getitem__` at first use; move tensors to the GPU in the training loop; where workers are killed, use fewer of them or more shared memory.

Messages: `Caught IndexError in DataLoader worker process 1.`; `Can't pickle local object 'main.<locals>.<lambda>'`; `cannot pickle '_io.TextIOWrapper'
object`; `DataLoader worker (pid 71) is killed by signal: Killed.`; `DataLoader worker (pid(s) 71) exited unexpectedly`; `DataLoader timed out after 5
seconds`; `Too many open files. Communication with the workers is no longer possible`; `received 0 items of ancdata`; `Cannot re-initialize CUDA in forked
subprocess`; `prefetch_factor option could only be specified in multiprocessing`; `An attempt has been made to start a new process before …`.

Not to be confused with: `data.collate` (the samples themselves don't fit together, with workers or without).
"""

from __future__ import annotations

import re

from ...family import Example, Family, NearMiss, Trigger
from ...model import Confidence, Diagnosis, Evidence, Failure, Fix, Label, tensors_in
from ...reason import edits
from ...reason.reading import Cause, Reading, reading
from ...reason.samples import loader_of
from ...reason.wording import code, first_fitting, place, tensor_text
from ...reason.workers import BLOCKING, ENDING, calls_in_dataset, is_unguarded, start_method_set, unpicklable, values_on_line

_KINDS = {"lambda": "a lambda", "function": "a function defined inside of a function", "class": "of a class defined inside of a function"}


class Worker(Family):
    code = "TW0602"
    title = "a loader's worker process can't do its work"
    rank = 4
    triggers = (
        Trigger(r"\ACaught (?P<caught>[\w.]+) in DataLoader worker process (?P<number>\d+)"),
        Trigger(r"(?P<pickle>[Cc]an't pickle|[Cc]annot pickle|Can't get local object|cannot serialize|objects cannot be pickled|owardly refusing)"),
        Trigger(r"(?P<option>prefetch_factor|persistent_workers|timeout|num_workers|multiprocessing_context) (?:option )?(?:could only|needs|can only|should)"),
        Trigger(r"DataLoader worker \(pid(?:\(s\))? [\d, ]+\) (?P<ended>is killed by signal: [\w ]+|exited unexpectedly)"),
        Trigger(r"DataLoader timed out after (?P<seconds>[\d.]+) seconds"),
        Trigger(r"(?P<files>Too many open files|received 0 items of ancdata|unable to (?:open|mmap|resize) (?:shared memory|file)|bus error)"),
        Trigger(r"(?P<cuda>Cannot re-initialize CUDA in forked subprocess)"),
        Trigger(r"(?P<graph>out=\.\.\. arguments don't support automatic differentiation)", raised_in="torch/utils/data/_utils/collate.py"),
        Trigger(r"(?P<again>start a new process before the\s+current process has finished its bootstrapping phase)"),
    )

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        run = reading(evidence)
        kind = next(name for name, text in match.groupdict().items() if text is not None)
        if kind in ("pickle", "files") and run.failure.loader is None and not evidence.from_text:
            return None
        if not run.failure.user_frames and not evidence.from_text:
            return None  # the exception that came out of it has the program's lines
        answer: Diagnosis | None = getattr(self, f"_{kind}")(run, match)
        return answer

    def _caught(self, run: Reading, match: re.Match[str]) -> Diagnosis | None:
        true = _innermost(run.failure)
        where = true.raised_at
        outer = {frame.span for frame in run.failure.user_frames}
        inside = [f for f in true.user_frames if f.span not in outer]
        loader = loader_of(run.evidence, run.failure)
        sample = next((s.index for s in run.evidence.samples if s.value is None), None)
        which = f" for sample {sample}" if sample is not None else ""
        text = first_fitting(f"{true.error_type}: {true.message}".splitlines()[0], true.error_type, limit=44)
        headline = first_fitting(f"worker {match['number']} raised {code(text)}{which}", f"worker {match['number']} raised {code(true.error_type)}{which}")
        frame = inside[-1] if inside else None
        call = f" in {code(frame.span.function)}" if frame is not None and frame.span.function else ""
        notes = [
            f"the true exception is {code(f'{true.error_type}: {true.message}')}, raised at {place(where)}{call}",
            values_on_line(frame) if frame is not None else "",
            f"{code(loader.dataset)} says that it has {loader.length} samples" if loader is not None and loader.length is not None and true.error_type == "IndexError" else "",
        ]
        trail = [Label(f.span, f.span.function) for f in inside[-3:-1]]
        return run.diagnosis(
            self, headline, Cause(frame.span) if frame is not None else None, f"raises {true.error_type} in the worker",
            trail=[*trail, Label(run.raised, "raised here, from the worker's text")], notes=notes,
            confidence=Confidence.CERTAIN if run.evidence.recording.replayed else Confidence.LIKELY,
        )  # fmt: skip

    def _pickle(self, run: Reading, match: re.Match[str]) -> Diagnosis:
        loader, found = loader_of(run.evidence, run.failure), unpicklable(run.evidence, run.sources)
        asked = start_method_set(run.sources, loader)
        method = loader.start_method if loader is not None and loader.start_method else "spawn"
        notes = [f"workers are started by {method}{f' (asked for at {place(asked)})' if asked is not None else ''}: all that they need is pickled"]
        if found is None:
            cause = Cause(loader.built[0]) if loader is not None and loader.built else None
            return run.diagnosis(self, "the dataset can't be sent to the workers: it can't be pickled", cause, "starts workers",
                                 notes=[run.failure.message.splitlines()[0], *notes], confidence=Confidence.POSSIBLE)  # fmt: skip
        what = _KINDS.get(found.what, f"a {code(found.name)}")
        headline = first_fitting(f"{code(found.path)} is {what}, which can't be pickled for a worker", f"{code(found.path)} can't be pickled for a worker")
        notes.insert(0, run.failure.message.splitlines()[0])
        if found.what in ("lambda", "function", "class"):
            fixes = [Fix(f"define it at the top level of a file: a {'class' if found.what == 'class' else 'function'} with a name can be pickled")]
        elif found.what == "tensor":
            fixes = [Fix(f"detach {code(found.path)}: a tensor with a graph can't be sent to another process")]
        else:
            holder = code(found.holder or "the dataset")
            fixes = [Fix(f"make it in each worker: keep {code(f'self.{found.attribute}')} None in {holder} and make it at first use in `__getitem__`")]
        if asked is not None and method == "spawn":
            fixes.append(Fix("start the workers by fork, where the system has it", hides="it fails again where workers are spawned"))
        where = found.place
        built = loader.built[0] if loader is not None and loader.built else run.raised
        start = [Label(built, f"starts workers by {method}")] if (built.file, built.line) != (run.raised.file, run.raised.line) else []
        return run.diagnosis(self, headline, Cause(where or run.raised), f"{what.replace('`', '')}: can't be pickled",
                             trail=[*start, Label(run.raised, "raised here")], notes=notes, fixes=fixes, confidence=Confidence.CERTAIN if where else Confidence.LIKELY)  # fmt: skip

    def _option(self, run: Reading, match: re.Match[str]) -> Diagnosis:
        option = match["option"]
        workers, given = run.argument_origins(run.calls, "num_workers", value=0), run.argument_origins(run.calls, option)
        passed = run.sources.arguments(run.raised)
        if option in ("num_workers", "timeout") and "non-negative" in run.failure.message:
            return run.diagnosis(self, f"{code(option)} is negative", given, f"{option} is {given.text if given else 'negative'}", notes=[run.failure.message])
        text = next((e.text for e in passed if e.keyword == option), "")
        decided = workers or given
        notes = [f"{code(option)} is for worker processes, and there are none with `num_workers=0`"]
        notes += [f"`num_workers` is 0, from {place(workers.span)}" if workers is not None else "`num_workers` is not given: it is 0 by default"]
        notes += [f"{code(option)} is given at {place(given.span)}" if given is not None else ""]
        count = next((e.text for e in passed if e.keyword == "num_workers"), "")
        fixes = [Fix(f"set {code('num_workers')} to 1 or more, or leave {code(option)} out")]
        if text and count and not count.isdigit():
            off = "False" if option == "persistent_workers" else "None"
            span = next(e.span for e in passed if e.keyword == option)
            new = f"{count} > 0" if text == "True" else f"{text} if {count} > 0 else {off}"
            fixes.insert(0, Fix(f"give {code(option)} only where there are workers", edits.replace_text(span, new), "safe"))
        elif text:
            fixes.insert(0, Fix(f"leave {code(option)} out", edits.remove_keyword(run.sources, run.raised, option), "safe"))
        return run.diagnosis(self, f"{code(option)} is given but `num_workers` is 0", decided, "num_workers is 0" if workers else "for workers only",
                             notes=notes, fixes=fixes, confidence=Confidence.CERTAIN)  # fmt: skip

    def _ended(self, run: Reading, match: re.Match[str]) -> Diagnosis:
        loader, frame = loader_of(run.evidence, run.failure), run.failure.user_frames[0] if run.failure.user_frames else None
        if frame is not None and loader is not None and loader.start_method in ("spawn", "forkserver") and is_unguarded(run.sources, frame):
            return self._unguarded(run)
        calls = calls_in_dataset(run.sources, loader, ENDING)
        signal = match["ended"].partition("signal: ")[2].strip()
        count = loader.num_workers if loader is not None else 0
        headline = f"a worker was killed by the signal {code(signal)}" if signal else "a worker ended without a word"
        notes = [run.failure.message.splitlines()[0], f"{count} workers of {code(loader.dataset)}, built at {place(loader.built[0])}" if loader is not None and loader.built else ""]
        if signal in ("Bus error", "Killed"):
            notes.append("Bus error: the shared memory (/dev/shm) is full" if signal == "Bus error" else "Killed: mostly the system, for want of memory")
        cause = Cause(calls[0]) if len(calls) == 1 else Cause(loader.built[0]) if loader is not None and loader.built else None
        text = f"{run.sources.segment(calls[0])[:40]} ends the worker" if len(calls) == 1 else "starts the workers"
        fixes = [Fix("run with `num_workers=0` to see what ends it")]
        if signal in ("Bus error", "Killed"):
            fixes.insert(0, Fix("use fewer workers or smaller batches, or give the machine more shared memory (`--shm-size` of a container)"))
        return run.diagnosis(self, headline, cause, text, notes=notes, fixes=fixes, confidence=Confidence.LIKELY if len(calls) == 1 else Confidence.POSSIBLE)

    def _unguarded(self, run: Reading) -> Diagnosis:
        frame = run.failure.user_frames[0]
        script = code(frame.span.file)
        statement = edits.wrap_with(run.sources, frame.span, 'if __name__ == "__main__":')
        notes = [f"a spawned worker imports {script}: what stands at its top level runs there too, this loop among it", 'it needs `if __name__ == "__main__":`']
        fixes = [Fix('put what starts workers under `if __name__ == "__main__":`', statement, "safe")]
        return run.diagnosis(self, f"each worker imports {script} and starts workers of its own", Cause(frame.span), "runs in the workers too",
                             notes=notes, fixes=fixes, confidence=Confidence.LIKELY)  # fmt: skip

    def _graph(self, run: Reading, match: re.Match[str]) -> Diagnosis:
        loader, sample = loader_of(run.evidence, run.failure), next(iter(run.evidence.samples), None)
        tensor = next((t for t in tensors_in(sample.value) if t.requires_grad), None) if sample is not None and sample.value is not None else None
        decision = run.decided(tensor, "grad") if tensor is not None else None
        cause = Cause(sample.returned[-1]) if sample is not None and sample.returned else None
        dataset = code(loader.dataset if loader is not None else "the dataset")
        notes = ["a worker stacks samples straight into shared memory, and a tensor with a graph can't cross to another process",
                 f"{tensor_text(tensor)} of sample {sample.index} requires grad" if tensor is not None and sample is not None else "",
                 f"it comes from a parameter, by {code(run.sources.segment(decision.span))}" if decision is not None and decision.how == "op" and decision.span else ""]  # fmt: skip
        fixes = [Fix(f"compute it under `torch.no_grad()` in {dataset}, or return it with `.detach()`")]
        return run.diagnosis(self, f"{dataset} gives tensors that require grad, in a worker", cause, "requires grad", notes=notes, fixes=fixes)

    def _again(self, run: Reading, match: re.Match[str]) -> Diagnosis:
        return self._unguarded(run)

    def _seconds(self, run: Reading, match: re.Match[str]) -> Diagnosis:
        loader = loader_of(run.evidence, run.failure)
        calls = calls_in_dataset(run.sources, loader, BLOCKING)
        limit = run.argument_origins(loader.built, "timeout") if loader is not None else None
        cause = Cause(calls[0]) if len(calls) == 1 else limit or (Cause(loader.built[0]) if loader is not None and loader.built else None)
        notes = [f"`timeout={match['seconds']}` of the loader{f', from {place(limit.span)}' if limit else ''}: no batch came from a worker for so long"]
        if len(calls) == 1:
            notes.append(f"{code(run.sources.segment(calls[0]))} in {code(loader.dataset if loader else '')} waits, at {place(calls[0])}")
        fixes = [Fix("give the loader a longer `timeout`, or none (0)"), Fix("use more workers, or make a sample faster to load")]
        return run.diagnosis(self, f"no batch came from the workers within {match['seconds']} seconds", cause, "waits in the worker" if len(calls) == 1 else "the limit",
                             notes=notes, fixes=fixes, confidence=Confidence.LIKELY if len(calls) == 1 else Confidence.POSSIBLE)  # fmt: skip

    def _files(self, run: Reading, match: re.Match[str]) -> Diagnosis:
        loader = loader_of(run.evidence, run.failure)
        fixes = [Fix("call `torch.multiprocessing.set_sharing_strategy('file_system')` at the start, or raise the limit (`ulimit -n`)"),
                 Fix("do not keep batches as they come: copy what is kept (`x.clone()`), so that its shared memory is closed")]  # fmt: skip
        cause = Cause(loader.built[0]) if loader is not None and loader.built else None
        notes = [run.failure.message.splitlines()[0], "each tensor that a worker sends is an open file until it is freed"]
        return run.diagnosis(self, "the workers' tensors hold more open files than the system allows", cause, "sends tensors from workers",
                             notes=notes, fixes=fixes, confidence=Confidence.POSSIBLE)  # fmt: skip

    def _cuda(self, run: Reading, match: re.Match[str]) -> Diagnosis:
        where = run.failure.user_frames[-1] if run.failure.user_frames else None
        notes = ["a forked process can't use CUDA once its parent has", f"{code(where.code)} at {place(where.span)} does" if where is not None else ""]
        fixes = [Fix("return CPU tensors from the dataset and move the batch to the GPU in the training loop"),
                 Fix('start the workers by spawn: `multiprocessing_context="spawn"`')]  # fmt: skip
        return run.diagnosis(self, "a forked worker uses CUDA", Cause(where.span) if where is not None else None, "CUDA in a forked worker",
                             notes=notes, fixes=fixes, confidence=Confidence.LIKELY)  # fmt: skip

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
        NearMiss({"ok.py": "from torch.utils.data import DataLoader\nprint(sum(x.sum().item() for x in DataLoader(range(8), num_workers=2)))\n"}),
        NearMiss({"plain.py": "import pickle\nimport torch\npickle.dumps(lambda: torch.ones(1))\n"}),
    )


def _innermost(failure: Failure) -> Failure:
    """The worker's own exception."""
    return failure.caused_by if failure.caused_by is not None else failure
