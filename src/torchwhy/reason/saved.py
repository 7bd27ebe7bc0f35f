"""A saved state against the model that it is loaded into: the names and shapes of each side; and where a file was saved or loaded."""

from __future__ import annotations

import ast
import os
import re
from dataclasses import dataclass

from ..model import Frame, Items, ModuleFacts, Plain, Span
from .holdings import stored_anywhere
from .layers import setting_of
from .members import member
from .origins import argument, fold, origins
from .reading import Reading
from .source import Expression, Sources
from .structure import calls_of

_SIGNATURE = ("state_dict", "strict", "assign")
_SIZES = re.compile(
    r"size mismatch for ([^:\s]{1,300}): copying a param with shape torch\.Size\(\[([\d, ]*)\]\) from checkpoint, "
    r"the shape in current model is torch\.Size\(\[([\d, ]*)\]\)"
)
_OLD_SIZES = re.compile(
    r"size mismatch for ([^:\s]{1,300}): copying a param of torch\.Size\(\[([\d, ]*)\]\) from checkpoint, "
    r"where the shape is torch\.Size\(\[([\d, ]*)\]\) in current model"
)
_CONTAINERS = ("dict", "OrderedDict", "defaultdict")


@dataclass(frozen=True, slots=True)
class Misfit:
    """A parameter whose shape in the checkpoint is not the model's; `setting` of `layer` decided the model's size of dimension `dim`."""

    name: str
    saved: tuple[int, ...]
    own: tuple[int, ...]
    layer: ModuleFacts | None = None
    setting: str = ""
    dim: int = 0


@dataclass(frozen=True, slots=True)
class Loading:
    """A failed `model.load_state_dict(state)`."""

    module: ModuleFacts | None
    kind: str
    model: str
    state: Expression | None
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    sizes: tuple[Misfit, ...]
    nested: tuple[str, ...] = ()
    """Keys of the state that hold dictionaries themselves."""


def loading(run: Reading) -> Loading | None:
    """The reading of `Error(s) in loading state_dict for …`."""
    message = run.failure.message
    kind = re.search(r"loading state_dict for (\w+)", message)
    frame = _frame(run)
    module = run.history.module(frame.module) if frame is not None else None
    call, source = run.sources.call_at(run.raised), run.sources.file(run.raised.file)
    receiver = source.segment(call.func.value) if source is not None and call is not None and isinstance(call.func, ast.Attribute) else ""
    sizes = [_misfit(run, module, *found) for found in (*_SIZES.findall(message), *_OLD_SIZES.findall(message))]
    return Loading(
        module,
        kind[1] if kind else "",
        receiver or (module.fqn if module is not None else kind[1] if kind else "the model"),
        argument(run.sources, run.raised, "state_dict", _SIGNATURE),
        _names(message, "Missing"),
        _names(message, "Unexpected"),
        tuple(sizes),
        _nested(frame),
    )


def _frame(run: Reading) -> Frame | None:
    return next((f for f in reversed(run.failure.frames) if f.span.function.endswith("load_state_dict") and f.module is not None), None)


def _names(message: str, which: str) -> tuple[str, ...]:
    found = re.search(rf"{which} key\(s\) in state_dict: (.*?)\.\s*(?:\n|$)", message, re.DOTALL)
    return tuple(re.findall(r'"([^"]*)"', found[1])) if found else ()


def _nested(frame: Frame | None) -> tuple[str, ...]:
    """Which entries of the state that was passed are dictionaries (torch copies it, so the local is the copy)."""
    value = frame.local("state_dict") if frame is not None else None
    if not isinstance(value, Items):
        return ()
    return tuple(key for key, item in zip(value.keys, value.items) if isinstance(item, Items) and item.kind in _CONTAINERS)


def _misfit(run: Reading, module: ModuleFacts | None, name: str, saved: str, own: str) -> Misfit:
    sides = tuple(tuple(int(n) for n in text.split(",") if n.strip()) for text in (saved, own))
    layer = member(run, module, name) if module is not None else None
    parameter = name.rpartition(".")[2]
    differing = [d for d, (a, b) in enumerate(zip(*sides)) if a != b]
    for dim in differing if layer is not None else ():
        if layer is not None and (setting := setting_of(layer, parameter, dim)) and layer.number(setting) is not None:
            return Misfit(name, sides[0], sides[1], layer, setting, dim)
    return Misfit(name, sides[0], sides[1], layer, "", differing[0] if differing else 0)


@dataclass(frozen=True, slots=True)
class Prefix:
    """`text` stands before every name on one side only."""

    text: str
    in_file: bool


def prefix(found: Loading) -> Prefix | None:
    """A prefix that makes the unexpected names the missing ones: `module.` of DataParallel, `_orig_mod.` of torch.compile, or any other."""
    missing, unexpected = set(found.missing), set(found.unexpected)
    for long, short, in_file in ((unexpected, missing, True), (missing, unexpected, False)):
        for name in sorted(long):
            parts = name.split(".")
            for cut in range(1, len(parts)):
                text = ".".join(parts[:cut]) + "."
                bare = {n.removeprefix(text) for n in long if n.startswith(text)}
                if len(bare) == len(long) and bare and len(bare & short) * 2 > len(short):
                    return Prefix(text, in_file)
    return None


# ── files ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
def load_call(run: Reading, span: Span) -> Span | None:
    """The `torch.load(…)` call that an expression leads to."""
    for origin in reversed(origins(run.sources, span, run.calls)):
        node = run.sources.node_at(origin.span)
        for inner in ast.walk(node) if node is not None else ():
            if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute) and inner.func.attr == "load":
                source = run.sources.file(origin.span.file)
                return source.span(inner) if source is not None else None
    return None


def failing_load(run: Reading) -> Span | None:
    """The program's `torch.load(…)` call that raised; a place without a line where only the message of such a call is known."""
    inside = any(f.span.function == "load" and "torch/" in f.span.file.replace("\\", "/") for f in run.failure.frames)
    told = not run.failure.frames and re.search("Weights only load failed|PytorchStreamReader|TorchScript archives", run.failure.message)
    return run.raised if inside or told else None


def file_name(run: Reading) -> str:
    """The path that `torch.load` or `torch.save` was given, as it was at run time."""
    for frame in run.failure.frames:
        value = frame.local("f") or frame.local("name")
        if frame.origin == "torch" and isinstance(value, Plain) and isinstance(value.value, str):
            return os.path.basename(value.value) or value.value
    return ""


def written_path(run: Reading, call: Span) -> Expression | None:
    return argument(run.sources, call, "f", ("f", "map_location")) if run.sources.call_at(call) is not None else None


def save_calls(run: Reading, load: Span) -> list[Span]:
    """The program's `torch.save(…)` calls that write to the path that the call reads; all of them where the text shows none that does."""
    path = written_path(run, load)
    wanted = fold(run.sources, path.span) if path is not None else None
    calls = [c for c in calls_of(run.sources, "save") if argument(run.sources, c, "obj", ("obj", "f")) is not None]
    same = []
    for call in calls:
        target = argument(run.sources, call, "f", ("obj", "f"))
        if (
            target is not None
            and path is not None
            and (target.text == path.text or wanted is not None and fold(run.sources, target.span) == wanted)
        ):
            same.append(call)
    return same or calls


def saved_object(run: Reading, save: Span) -> Expression | None:
    return argument(run.sources, save, "obj", ("obj", "f"))


def registered_late(sources: Sources, name: str) -> Span | None:
    """The one place that gives a module a buffer or parameter of this name, where that lies outside of a constructor."""
    stored = stored_anywhere(sources, name)
    function = stored[0].source.function(stored[0].statement) if len(stored) == 1 else None
    return stored[0].source.span(stored[0].statement) if function is not None and function.name != "__init__" else None
