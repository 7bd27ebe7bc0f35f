"""What keeps a loader's workers from starting: objects that can't be pickled, options without workers, a script that starts itself."""

from __future__ import annotations

import re
from dataclasses import replace

from ..model import Confidence, Fix, Label, LoaderFacts
from . import edits
from .finding import Finding
from .loaders import argument_cause, built_cause, passed_to, plain
from .reading import Reading
from .wording import code, first_fitting, place
from .worker_edits import in_this_process, picklable
from .workers import Unpicklable, start_method_set, unpicklable

_KINDS = {"lambda": "a lambda", "function": "a function defined inside of a function", "class": "of a class defined inside of a function"}
_GUARD = 'if __name__ == "__main__":'


def not_picklable(run: Reading, loader: LoaderFacts | None) -> Finding:
    """Spawned workers get the dataset and its functions pickled, and one of them can't be."""
    found, asked = unpicklable(run.evidence, run.sources), start_method_set(run.sources, loader)
    method = loader.start_method if loader is not None and loader.start_method else "spawn"
    where = f" (asked for at {place(asked)})" if asked is not None else ""
    if any("win32" in frame.span.file for frame in run.failure.frames):
        where = " (the one way on Windows)"
    notes = (run.failure.message.splitlines()[0], f"workers are started by {method}{where}: all that they need is pickled")
    if found is None:
        return _by_name(run, loader, notes)
    what = _KINDS.get(found.what, f"a {code(found.name)}")
    path = code(found.path)
    fixes = [replace(_mended(found), edits=picklable(run, found), applicability="safe")]
    if asked is not None and method == "spawn":
        by_fork = edits.set_value(run.sources, asked, '"fork"')
        fixes.append(Fix("start the workers by fork, where the system has it", by_fork, hides="it fails again where workers are spawned"))
    alone = in_this_process(run, loader)
    fixes.append(Fix("load in this process: `num_workers=0`", alone, hides="that it can't be pickled", changes="no workers load ahead"))
    return Finding(
        first_fitting(f"{path} is {what}, which can't be pickled for a worker", f"{path} can't be pickled for a worker"),
        found.place or run.raised,
        f"{what.replace('`', '')}: can't be pickled",
        notes,
        tuple(fixes),
        (Label(loader.built[0], f"starts workers by {method}"),) if loader is not None and loader.built else (),
        Confidence.CERTAIN if found.place is not None else Confidence.LIKELY,
    )


def _by_name(run: Reading, loader: LoaderFacts | None, notes: tuple[str, ...]) -> Finding:
    """The object itself was not seen: what its name tells, as `main.<locals>.<lambda>`."""
    found = re.search(r"'([\w.<>]*<locals>[\w.<>]*)'|'([\w.]+)' object|<function ([\w.<>]+)", run.failure.message)
    name = next((text for text in found.groups() if text), "") if found is not None else ""
    if not name:
        headline = "the dataset can't be sent to the workers: it can't be pickled"
        return Finding(headline, built_cause(loader), "starts workers", notes, confidence=Confidence.POSSIBLE)
    function, _, inner = name.rpartition(".<locals>.")
    what = "lambda" if inner == "<lambda>" else "function"
    where = f"a {what} made inside of {code(function + '()')} can't be found by its name in another process" if function else ""
    fixes = [_mended(Unpicklable(name, "", what if function else "object", name, None, "it", "the dataset"))] if function else []
    fixes.append(Fix("load in this process: `num_workers=0`", hides="workers can't be used"))
    headline = first_fitting(f"{code(name)} can't be pickled, so it can't be sent to a worker", "an object can't be pickled for a worker")
    return Finding(headline, built_cause(loader), "starts workers", (*notes, where), tuple(fixes), confidence=Confidence.POSSIBLE)


def _mended(found: Unpicklable) -> Fix:
    if found.what in ("lambda", "function", "class"):
        kind = "class" if found.what == "class" else "function"
        return Fix(f"define it at the top level of a file: a {kind} with a name can be pickled")
    if found.what == "tensor":
        return Fix(f"detach {code(found.path)}: a tensor with a graph can't be sent to another process")
    attribute, holder = code(f"self.{found.attribute}"), code(found.holder or "the dataset")
    return Fix(f"make it in each worker: keep {attribute} None in {holder} and make it at first use in `__getitem__`")


def option_without_workers(run: Reading, option: str) -> Finding:
    """An option that is for worker processes, where `num_workers` is 0."""
    given = argument_cause(run, option, value=plain(passed_to(run, "utils/data/dataloader.py", "__init__").get(option)))
    if "non-negative" in run.failure.message:
        return Finding(f"{code(option)} is negative", given, f"{option} is {given.text if given else 'negative'}", (run.failure.message,))
    workers = argument_cause(run, "num_workers", value=0)
    zero = f"`num_workers` is 0, from {place(workers.span)}" if workers is not None else "`num_workers` is not given: it is 0 by default"
    notes = (
        f"{code(option)} is for worker processes, and there are none with `num_workers=0`",
        zero,
        f"{code(option)} is given at {place(given.span)}" if given is not None else "",
    )
    return Finding(
        f"{code(option)} is given but `num_workers` is 0",
        workers or given,
        "num_workers is 0" if workers else "for workers only",
        notes,
        (*_only_with_workers(run, option), Fix(f"set `num_workers` to 1 or more, or leave {code(option)} out")),
        confidence=Confidence.CERTAIN,
    )


def _only_with_workers(run: Reading, option: str) -> tuple[Fix, ...]:
    """The option made to hang on the number of workers, where the call has an expression for that; else taken out."""
    passed = run.sources.arguments(run.raised)
    given = next((e for e in passed if e.keyword == option), None)
    count = next((e.text for e in passed if e.keyword == "num_workers"), "")
    if given is None:
        unpacked = [e for e in passed if e.keyword == "**"]
        off = "False" if option == "persistent_workers" else "None"
        made = edits.replace_text(unpacked[0].span, f'{{**{unpacked[0].text}, "{option}": {off}}}') if len(unpacked) == 1 else ()
        return (Fix(f"leave {code(option)} out here", made),) if made else ()
    if not count or count.isdigit():
        return (Fix(f"leave {code(option)} out", edits.remove_keyword(run.sources, run.raised, option), "safe"),)
    off = "False" if option == "persistent_workers" else "None"
    text = f"{count} > 0" if given.text == "True" else f"{given.text} if {count} > 0 else {off}"
    return (Fix(f"give {code(option)} only where there are workers", edits.replace_text(given.span, text), "safe"),)


def starts_itself(run: Reading) -> Finding:
    """A spawned worker imports the script, whose top level starts workers."""
    place_ = run.failure.user_frames[0].span if run.failure.user_frames else run.raised
    script = code(place_.file) if run.failure.user_frames else "the script"
    return Finding(
        first_fitting(f"each worker imports {script} and starts workers of its own", "each worker imports the script and starts its own"),
        place_,
        "runs in the workers too",
        (f"a spawned worker imports {script}: what stands at its top level runs there too", f"it needs `{_GUARD}`"),
        (Fix(f"put what starts workers under `{_GUARD}`", edits.wrap_with(run.sources, place_, _GUARD), "safe"),),
    )
