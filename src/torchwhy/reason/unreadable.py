"""Files that `torch.load` can't read: what they are instead, from the first byte or the archive's fault that torch tells."""

from __future__ import annotations

import re

from ..model import Fix, Label, Span
from .origins import argument
from .reading import Reading
from .saved import file_name, save_calls
from .told import Told
from .wording import code, first_fitting, place

_FAULTS = (
    (
        r"central directory|truncated|unexpected EOF",
        "is cut short or corrupted: the end of the archive is missing",
        "the copy, download or save did not end",
    ),
    ("subdirectory", "is a zip file of something else, no checkpoint", "such as `.npz`, or a zipped folder"),
    ("magic number", "is no file that `torch.save` wrote", "another program or `pickle.dump` wrote it"),
)
_FIRST = {
    "<": (
        "is a web page, no checkpoint",
        "it begins with `<`: the download gave HTML, such as an error or login page, in the place of the file",
    ),
    "v": ("is no checkpoint: a Git LFS pointer", "it begins with `v`, as `version https://git-lfs…` does: `git lfs pull` gets the file"),
}


def _called(run: Reading) -> str:
    name = file_name(run)
    return code(name) if name else "the file"


def unreadable(run: Reading, load: Span) -> Told:
    """The reading of a file that is no checkpoint, or only a part of one."""
    message, name = run.failure.message, _called(run)
    key, operand = re.search(r"invalid load key, '(.)'", message), re.search(r"Unsupported operand (\d+)", message)
    first = key[1] if key is not None else chr(int(operand[1])) if operand is not None else ""
    if run.failure.error_type == "EOFError" or "Ran out of input" in message:
        what, more = (
            "is empty: nothing was saved in it",
            "a file of 0 bytes is left when saving was interrupted, or it was opened for writing",
        )
    elif first:
        what, more = _FIRST.get(first, _FAULTS[-1][1:])
    else:
        unknown = "can't be read: part of the archive is missing", message.partition(".")[0]
        what, more = next(((what, more) for pattern, what, more in _FAULTS if re.search(pattern, message)), unknown)
    path = argument(run.sources, load, "f", ("f",))
    cause = run.expression_origins(path.span, run.calls) if path is not None else None
    saves = save_calls(run, load)
    notes = (
        more,
        f"the program writes it at {place(saves[0])}" if len(saves) == 1 else "",
        f"the path comes from {place(cause.span)}" if cause is not None and cause.span.line != load.line else "",
    )
    fixes = (Fix("get the file again, and compare its size", (), "display-only"),)
    return Told(f"{name} {what}", load if load.line else None, "reads it", notes, fixes, (Label(load, "raised here"),) if load.line else ())


def without_class(run: Reading, load: Span, kind: str, module: str) -> Told:
    """A whole model was saved, and its class is not where it was."""
    name, what = _called(run), f"the class {code(kind)}" if kind else f"the module {code(module)}"
    fix = f"make {code(kind or module)} importable as it was, or save `model.state_dict()` and load that into a new model"
    return Told(
        first_fitting(f"{name} holds a whole model: it needs {what}, which is not here", f"a whole model was saved: it needs {what}"),
        load,
        "needs its class",
        ("`torch.save(model)` stores where its class is, not the class itself",),
        (Fix(fix, (), "display-only"),),
    )
