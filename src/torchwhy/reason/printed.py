"""Texts as families read them: the message with the lines around it, and the call on the failing line."""

from __future__ import annotations

import ast
import builtins
import re

from ..model import Evidence
from .reading import Reading
from .source import UNREADABLE


def around(evidence: Evidence) -> str:
    """The message and, of a text, the lines around the failure."""
    failure = evidence.failure
    said = []
    while failure is not None:
        said.append(failure.message)
        failure = failure.caused_by
    return "\n".join([*said, *evidence.context])


def find(pattern: str, text: str, group: int | str = 0) -> str:
    """The first match's text; empty where there is none."""
    found = re.search(pattern, text, re.IGNORECASE | re.DOTALL)
    return (found[group] or "") if found is not None else ""


def in_container(evidence: Evidence) -> bool:
    """Whether the program ran in a container, by what the text shows of it."""
    files = " ".join(f.span.file for f in evidence.failure.frames) if evidence.failure is not None else ""
    told = "\n".join(evidence.context)
    return bool(
        re.search(r"\bdocker\b|podman|kubectl|container|singularity|apptainer|/\.dockerenv", told, re.I)
        or re.search(r"/(?:app|workspace)/", files)
    )


def failing_code(run: Reading) -> str:
    """The source of the program's failing line, as its file or the traceback has it."""
    return run.frame.code if run.frame is not None else ""


def written_call(code: str) -> tuple[str, tuple[str, ...]]:
    """The outermost call of the last statement and its arguments, as written: (`torch.cat`, (`[a, b]`, `dim=1`)); empty where there is none."""
    node = _last_statement(code)
    calls = [n for n in ast.walk(node) if isinstance(n, ast.Call)] if node is not None else []
    if not calls:
        return "", ()
    call = calls[0]
    given = (
        *(ast.unparse(a) for a in call.args),
        *(f"{k.arg}={ast.unparse(k.value)}" if k.arg else f"**{ast.unparse(k.value)}" for k in call.keywords),
    )
    return ast.unparse(call.func), given


def arguments_in(code: str) -> tuple[str, ...]:
    """The arguments of all calls of the last statement, as written, except those of Python's own functions; the shortest way in first."""
    node = _last_statement(code)
    calls = [n for n in ast.walk(node) if isinstance(n, ast.Call)] if node is not None else []
    own = [c for c in calls if not (isinstance(c.func, ast.Name) and c.func.id in dir(builtins))]
    return tuple(ast.unparse(a) for c in own for a in (*c.args, *(k.value for k in c.keywords)))


def _last_statement(code: str) -> ast.AST | None:
    text = code.strip()
    for candidate in (
        text,
        text.splitlines()[-1] if text else "",
        text.rstrip(":") and text.rstrip() + " pass",
        "def _():\n " + text.replace("\n", "\n "),
    ):
        try:
            body = ast.parse(candidate.strip()).body
        except UNREADABLE:
            continue
        if body:
            return body[-1]
    return None
