"""What the compiler says of the program: the user's lines in its messages, the value or the condition that it stumbled over."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from ..model import Evidence, Failure, Frame, Span
from .reading import Reading
from .source import Sources

_STACK = re.compile(r"(?:from user code|User stack(?: trace)?|Real stack|code)[^\n]{0,300}:[ \t]*\n", re.IGNORECASE)
_FRAME = re.compile(
    r'^[ \t]*File "(?P<file>[^"\n]{1,500})", line (?P<line>\d{1,9}), in (?P<function>[^\n]{1,300})\n(?P<code>[^\n]*)', re.MULTILINE
)
_INSIDE = re.compile(
    r"(?:FX node with fake tensors|Failed running |making fake tensor call).{0,2000}?(?:\bgot |: )(?P<type>[A-Z]\w+(?:Error|Exception))\((?P<quote>['\"])(?P<message>.{0,2000}?)(?P=quote)\)",
    re.DOTALL,
)
_TORCH = re.compile(r"-packages[/\\]|[/\\]torch[/\\](?:nn|_dynamo|fx|utils|_inductor)|[/\\]lib[/\\]python\d")


def user_stack(run: Reading) -> tuple[Frame, ...]:
    """The program's lines that a compiler's message (or, of a text, the lines around it) names, outermost first."""
    failure: Failure | None = run.failure
    texts: list[str] = []
    while failure is not None:
        texts.append(failure.message)
        failure = failure.caused_by
    texts += ["\n".join(re.sub(r"^[WEI]\d{4} .*?\] (?:\[[\d/_]+\] )?", "", line) for line in run.evidence.context)]
    for text in texts:
        start = _STACK.search(text)
        found = [_frame(run, m) for m in _FRAME.finditer(text, start.end() if start else 0) if not _TORCH.search(m["file"])]
        if found and (start or 'File "' in text):
            return tuple(found)
    return ()


def frames_in(run: Reading, head: str) -> tuple[Frame, ...]:
    """The program's frames of a traceback that is printed below such a line, in the text around the error."""
    _, found, text = "\n".join(run.evidence.context).partition(head)
    text = text.partition("Triggered internally")[0]
    return tuple(_frame(run, m) for m in _FRAME.finditer(text) if not _TORCH.search(m["file"])) if found else ()


def inside(evidence: Evidence, failure: Failure) -> Failure | None:
    """The op's own error that the compiler met when it ran the program's op on tensors without data, at the program's line."""
    said = _INSIDE.search(failure.message) if failure.error_type in ("TorchRuntimeError", "Unsupported", "BackendCompilerFailed") else None
    if said is None:
        return None
    start = _STACK.search(failure.message)
    run = Reading(evidence, failure)
    frames = [
        replace(frame, origin="torch" if _TORCH.search(m["file"]) else "user")
        for m in _FRAME.finditer(failure.message, start.end() if start is not None else len(failure.message))
        for frame in [_frame(run, m)]
    ]
    message = said["message"].replace("\\n", "\n").replace("\\'", "'")
    return Failure(said["type"], message, "builtins", (*failure.user_frames, *frames), rank=failure.rank, log_line=failure.log_line)


def _frame(run: Reading, match: re.Match[str]) -> Frame:
    file, line, code = _known(run, match["file"]), int(match["line"]), match["code"].strip()
    text = run.sources.line_text(file, line)
    first = len(text) - len(text.lstrip())
    span = (
        Span(file, line, first, line, len(text.rstrip()), match["function"].strip())
        if text.strip()
        else Span(file, line, 0, line, 0, match["function"].strip())
    )
    return Frame(span, "user", code)


def _known(run: Reading, file: str) -> str:
    """The file as the rest of the evidence names it."""
    plain = file.replace("\\", "/")
    names = [name for name, _ in run.evidence.sources] + [f.span.file for f in run.failure.user_frames]
    return next(
        (n for n in sorted(names, key=len, reverse=True) if plain.endswith("/" + n.replace("\\", "/").removeprefix("./")) or plain == n),
        file,
    )


def decides_branch(guard: str, stack: Sequence[Frame]) -> bool:
    """Whether the data decides a branch of the program: `if x.sum() > 3:`, of which the compiler asks whether it is 1."""
    return bool(re.search(r"Eq\(u\d+, 1\)", guard) and stack and re.match(r"(?:el)?if\b|while\b|assert\b", stack[-1].code))


def literal_lines(sources: Sources, value: str) -> tuple[Span, ...]:
    """Where the program has this number as a literal: `BATCH = 32`."""
    import ast

    found = []
    for source in sources.files():
        for node in source.nodes:
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, int)
                and not isinstance(node.value, bool)
                and str(node.value) == value
            ):
                found.append(source.span(node))
    return tuple(found)
