"""What the text alone tells of a failing layer, where no run was recorded: its name in the failing line, and the call that built it."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from ..model import Fix
from .edits import set_value
from .places import Place
from .reading import Cause, Reading
from .signatures import called
from .source import UNREADABLE, SourceFile
from .walk import Walk
from .wording import code

_NOT_LAYERS = (
    "relu",
    "tanh",
    "sigmoid",
    "softmax",
    "flatten",
    "view",
    "reshape",
    "cat",
    "print",
    "dropout",
    "forward",
    "float",
    "to",
    "squeeze",
    "transpose",
)


def called_in_line(run: Reading) -> str:
    """What the failing line calls, as inline code: `self.fc1` of `x = torch.relu(self.fc1(x))`; empty where that is not one thing."""
    found = {text for text in _callees(run) if text.startswith("self.") or "." not in text}
    return code(found.pop()) if len(found) == 1 else ""


def _callees(run: Reading) -> list[str]:
    line = (run.frame.code if run.frame is not None else "") or run.sources.line_text(run.raised.file, run.raised.line)
    for text in (line.strip(), line.strip() + "\n    pass", line.strip().rstrip(":,")):
        try:
            tree = ast.parse(text)
        except UNREADABLE:
            continue
        calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call)]
        return [ast.unparse(n.func) for n in calls if called(n) not in _NOT_LAYERS and isinstance(n.func, (ast.Name, ast.Attribute))]
    return []


def built_in_text(run: Reading, kinds: Sequence[str], parameter: str, position: int, value: int) -> Cause | None:
    """The argument of the only call in the text that builds such a layer with this value; of several, that of the failing line's name."""
    found: list[tuple[SourceFile, ast.expr, str]] = []
    walk = Walk(run.sources)
    for source in run.sources.files():
        for node in source.nodes:
            if not isinstance(node, ast.Call) or called(node) not in kinds:
                continue
            given = next((k.value for k in node.keywords if k.arg == parameter), node.args[position] if len(node.args) > position else None)
            if given is not None and walk.fold(Place(source, given)) == value:
                parent = source.parents.get(node)
                target = parent.targets[0] if isinstance(parent, ast.Assign) else None
                found.append((source, given, ast.unparse(target) if target is not None else ""))
    names = set(_callees(run))
    chosen = [one for one in found if one[2] in names] or found
    return run.expression_origins(chosen[0][0].span(chosen[0][1]), value=value) if len(chosen) == 1 else None


def rebuilt(run: Reading, cause: Cause | None, who: str, setting: str, size: int) -> Fix:
    """The layer built with another number, as a patch where its call is known."""
    last = cause.origins[-1] if cause is not None and cause.origins else None
    edit = set_value(run.sources, cause.span, str(size)) if cause is not None and last is not None and last.form == "literal" else ()
    return Fix(f"build {who} with {setting}={size}", edit, changes="its weight has another size")
