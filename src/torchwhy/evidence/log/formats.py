"""The shapes in which a traceback is printed: by Python, IPython, pytest and rich; each is read into frames and an error."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ...model import MESSAGE, Failure, Frame, Span
from .lines import Line
from .origins import origin_of

START = re.compile(r"(?P<before>.*?)(?:Exception Group )?Traceback \(most recent call last\):\s*$")
FRAME = re.compile(r'^(?P<indent>[ \t]*)(?:> )?File "(?P<file>[^"\n]{1,500})", line (?P<line>\d{1,9})(?:,? in (?P<function>.{1,200}))?$')
NAME = r"(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*"
ERROR = re.compile(rf"^(?P<type>{NAME})(?:: ?(?P<message>.*))?$")
TYPED = re.compile(
    r"^(?P<type>(?:[A-Za-z_]\w*\.)*(?:[A-Z]\w*(?:Error|Exception|Interrupt|Exit|Violation|Unsupported|Warning|Iteration|Group|Limit\w{0,20}|Timeout)|Unsupported|NotFound\w*|FailOnRecompileLimitHit)"
    r"|(?:[a-z_]\w*\.)+_?[A-Z]\w*(?=: )|_pickle\.\w+|(?:[a-z_]\w*\.)+(?:error|timeout)(?=: ))(?:: ?(?P<message>.*)|\s*)$"
)
CAUSE = "The above exception was the direct cause of the following exception:"
CONTEXT = "During handling of the above exception, another exception occurred:"
_MARKS = re.compile(r"^[ \t]*[~^][ ~^]*$")
_CELL = re.compile(
    r"^(?:(?:File )?(?P<file>Cell In ?\[\d*\]|Input In ?\[\d*\]|<ipython-input-\S+>|(?:~|/|[A-Za-z]:\\|\./|\.\./)[^\s:]*\.py)"
    r"(?P<rest>(?::(?P<line>\d+)|, line (?P<line2>\d+)|,? in ).*)?)$"
)
_CODE = re.compile(r"^\s*(?:(?P<arrow>-+> ?)\s*)?(?P<line>\d+)(?P<code>(?: .*)?)$")
_NOTEBOOK = re.compile(rf"^(?P<type>{NAME})\s{{2,}}Traceback \(most recent call last\)\s*$")
_RICH = re.compile(r"^\s*[╭┌+]─*\s*Traceback \(most recent call last\)[\s─]*(?:[╮┐+]\s*)?$")
_RICH_FRAME = re.compile(r"^(?P<file>\S.*?\.py|in <module>|<\w+>):(?P<line>\d+) in (?P<function>\S+)\s*$")
_BOX = re.compile(r"^\s*[│|] ?(?P<inside>.*)$")
_PYTEST_FRAME = re.compile(r"^(?P<file>[^\s:]+\.py):(?P<line>\d+): (?:in )?(?P<function>\S*)\s*$")
_GROUP = re.compile(r"^ +(?:[|] ?|\+ (?=Exception)|\+-[+-]-+ \d+ -+$)")
_RECORD = re.compile(
    r"^(?:\$ |PS [A-Z]:\\|[>#] |[^\s@:]{1,80}[@:]\S{0,200}[$#] |[A-Z]:\\[^>]*>|\[?\d{4}[-/]\d\d[-/]\d\d|\[?\d\d[:/]\d\d[:/]\d\d|\[?[EWIF]\d{3,4} \d\d:|INFO|WARNING|DEBUG|ERROR[: ]|Epoch|epoch|step|Step)"
    r"|\d%\||it/s[,\]]|^-{8,}$|^={8,}$|^terminate called|^Fatal Python|^```"
)
_GOES_ON = re.compile(
    r"^(?:from user code:|Check the documentation|Set TORCH|You can suppress|For debugging|Compile with|CUDA kernel errors|Original |In order to|If you |"
    r"While executing|Please |Hint|Note|Last error|ncclInternal|ncclSystem|ncclUnhandled|Details:|The |Expected|Exception raised from|frame #|"
    r"-- Process|Developer|Full error|Explanation|Detailed)"
)


@dataclass
class Block:
    """One printed traceback. `first` and `last` are places in the list of lines."""

    type: str
    message: str
    frames: tuple[Frame, ...]
    first: Line
    start: int
    end: int
    link: str = ""
    """How it follows from the block before it: `cause`, `context`, or not at all."""
    inner: list[Failure] = field(default_factory=list)

    def failure(self, caused_by: Failure | None = None) -> Failure:
        module, _, name = self.type.rpartition(".")
        return Failure(
            name, self.message, module or "builtins", self.frames, caused_by=caused_by, rank=self.first.rank, log_line=self.first.number
        )


def read_block(lines: Sequence[Line], at: int) -> Block | None:
    """The traceback that begins at this line, if one does."""
    text = lines[at].text
    if "Traceback (most" in text:
        if (notebook := _NOTEBOOK.match(text)) is not None:
            return _notebook(lines, at, at + 1, notebook["type"])
        if _RICH.match(text):
            return _rich(lines, at)
        if (start := START.match(text)) is not None:
            return _python(lines, at, at + 1, len(start["before"]) if not start["before"].strip() else 0)
    if FRAME.match(text):
        return _python(lines, at, at, 0)
    if text.startswith(("Cell In", "Input In", "<ipython-input-")) and _CELL.match(text):
        return _notebook(lines, at, at, "")
    if text.startswith("E   ") and (error := TYPED.match(text[1:].strip())) is not None:
        return _pytest(lines, at, error)
    if "Caught " in text and (error := TYPED.match(text)) is not None and _is_outer([error["message"] or ""]):
        message, end = _message(lines, at + 1, error["message"] or "", 0, False)
        return Block(error["type"], message, (), lines[at], at, end) if "\n" in message else None
    if text.startswith("Fatal Python error: "):
        return _fatal(lines, at)
    return None


def _python(lines: Sequence[Line], at: int, begin: int, indent: int) -> Block | None:
    frames: list[Frame] = []
    place = begin
    in_group = bool(_GROUP.match(lines[at].text))
    while place < len(lines):
        text = _dedented(lines[place].text, indent, in_group)
        found = FRAME.match(text)
        if found is not None:
            if not frames and not in_group:
                indent += max(0, len(found["indent"]) - 2)
                found = FRAME.match(_dedented(lines[place].text, indent, in_group)) or found
            below, place = _below(lines, place + 1, indent, in_group, len(found["indent"]))
            frame = _frame(found["file"], found["line"], found["function"] or "", below)
            if not frames or frames[-1] != frame:
                frames.append(frame)
            continue
        if not text.strip() and frames and place + 1 < len(lines) and FRAME.match(_dedented(lines[place + 1].text, indent, in_group)):
            place += 1
            continue
        if text[:1].isspace() and text.strip() and (text.strip().startswith("[Previous line repeated") or not frames):
            place += 1
            continue
        break
    error = ERROR.match(_dedented(lines[place].text, indent, in_group)) if place < len(lines) else None
    if error is None or not _is_error(error["type"], bool(frames)):
        return Block("", "", tuple(frames), lines[at], at, max(place, at + 1)) if frames else None
    message, end = _message(lines, place + 1, error["message"] or "", indent, in_group)
    return Block(error["type"], message, tuple(frames), lines[at], at, end)


def _is_error(type_: str, has_frames: bool) -> bool:
    return bool(TYPED.match(type_)) or has_frames and (type_.rpartition(".")[2][:1].isupper() or type_.endswith((".error", ".timeout")))


def _dedented(text: str, indent: int, in_group: bool) -> str:
    if in_group:
        text = _GROUP.sub("", text, count=1)
        return text
    return text[indent:] if indent and not text[:indent].strip() else text


def _below(lines: Sequence[Line], place: int, indent: int, in_group: bool, outer: int) -> tuple[str, int]:
    """The source lines that are printed below a frame."""
    code: list[str] = []
    while place < len(lines) and len(code) < 40:
        text = _dedented(lines[place].text, indent, in_group)
        bare = len(text) - len(text.lstrip())
        if not text.strip() or bare <= outer or FRAME.match(text) or text.strip().startswith("[Previous line"):
            break
        if not _MARKS.match(text) and not re.match(r"^\s+[│└]", text):
            code.append(text)
        place += 1
    shift = min((len(c) - len(c.lstrip()) for c in code), default=0)
    return "\n".join(c[shift:] for c in code).strip(), place


def _message(lines: Sequence[Line], place: int, first: str, indent: int, in_group: bool) -> tuple[str, int]:
    """The error's text, which may have many lines; it ends where something else is plainly said."""
    said = [first]
    size = len(first)
    while place < len(lines) and size < MESSAGE and len(said) < 600:
        text = _dedented(lines[place].text, indent, in_group)
        if in_group and lines[place].text.strip(" |+-").isdigit():
            break
        blank = not text.strip()
        if blank:
            after = next((n for n in range(place, min(place + 3, len(lines))) if lines[n].text.strip()), None)
            if after is None:
                break
            below = _dedented(lines[after].text, indent, in_group)
            if not (below[:1].isspace() or _GOES_ON.match(below)) or _starts(below) or not _tells_more(said, below):
                break
        elif (_starts(text) or _RECORD.search(text)) and not _is_quoted(text, said):
            break
        said.append(text)
        size += len(text) + 1
        place += 1
    while len(said) > 1 and not said[-1].strip():
        said.pop()
    return "\n".join(said), place


def _is_quoted(text: str, said: Sequence[str]) -> bool:
    """Whether the line is part of another traceback that the message holds."""
    return text.lstrip().startswith('File "') and _in_quoted_trace(said) or "Traceback (most" in text and _is_outer(said)


def _starts(text: str) -> bool:
    return "Traceback (most recent call last)" in text or bool(FRAME.match(text)) or text in (CAUSE, CONTEXT)


def _in_quoted_trace(said: Sequence[str]) -> bool:
    return any(s.startswith(("from user code:", "Original ", "-- Process")) or "Traceback (most" in s for s in said[1:])


def _is_outer(said: Sequence[str]) -> bool:
    """An exception whose text holds another's traceback: a worker's, a child process's."""
    return bool(re.search(r"^Caught \w|terminated with the following error", "\n".join(s for s in said[-3:] if s.strip()), re.MULTILINE))


def _tells_more(said: Sequence[str], below: str) -> bool:
    """After a blank line an indented text belongs to the message only where torch writes such messages (a compiler's, a loader's)."""
    return (
        bool(_GOES_ON.match(below))
        or not said[0].strip()
        or any(s.startswith(("  Explanation:", "from user code", "  Hint")) for s in said)
    )


def _frame(file: str, line: str, function: str, code: str) -> Frame:
    number = int(line)
    name = "" if function.strip() in ("<module>", "?") else function.strip()
    return Frame(Span(file, number, 0, number, 0, name), origin_of(file), code)


def _notebook(lines: Sequence[Line], at: int, place: int, kind: str) -> Block | None:
    frames: list[Frame] = []
    head: re.Match[str] | None = None
    while place < len(lines):
        text = lines[place].text
        found = _CELL.match(text) if text and not text.startswith(" ") else None
        if found is not None:
            if head is not None and _stated(head):
                frames.append(_cell_frame(head, 0, ""))
            head = found
            place += 1
            continue
        code = _CODE.match(text)
        if code is not None and head is not None:
            if code["arrow"]:
                frames.append(_cell_frame(head, int(code["line"]), code["code"].strip()))
                head = None
            place += 1
            continue
        if code is not None or not text.strip() or text.startswith((" ", "(...)", "...")):
            place += 1
            if place - at > 800:
                break
            continue
        error = ERROR.match(text)
        if error is not None and (error["type"].rpartition(".")[2] == kind.rpartition(".")[2] if kind else TYPED.match(text)):
            message, end = _message(lines, place + 1, error["message"] or "", 0, False)
            return Block(error["type"] if "." in error["type"] else kind or error["type"], message, tuple(frames), lines[at], at, end)
        break
    return Block(kind, "", tuple(frames), lines[at], at, max(place, at + 1)) if frames else None


def _stated(head: re.Match[str]) -> bool:
    return bool(head["line"] or head["line2"])


def _cell_frame(head: re.Match[str], line: int, code: str) -> Frame:
    function = re.search(r"in ([\w.<>]+)", head["rest"] or "")
    name = function[1] if function and not function[1].startswith("<") else ""
    return _frame(head["file"], str(line or head["line"] or head["line2"] or 0), name, code)


def _rich(lines: Sequence[Line], at: int) -> Block | None:
    frames: list[Frame] = []
    place = at + 1
    head: re.Match[str] | None = None
    while place < len(lines) and place - at < 1200:
        text = lines[place].text
        if re.match(r"^\s*[╰└+]─", text):
            place += 1
            break
        box = _BOX.match(text)
        if box is None:
            break
        inside = re.sub(r"[│|]$", "", box["inside"].rstrip()).strip()
        if (found := _RICH_FRAME.match(inside)) is not None:
            head = found
        elif head is not None and (arrow := re.match(r"^[❱>] *\d+ *[│|]? ?(.*)$", inside)) is not None:
            frames.append(_frame(head["file"], head["line"], head["function"], arrow[1].strip(" │")))
            head = None
        place += 1
    error = ERROR.match(lines[place].text) if place < len(lines) else None
    if error is None or not _is_error(error["type"], True):
        return Block("", "", tuple(frames), lines[at], at, place) if frames else None
    message, end = _message(lines, place + 1, error["message"] or "", 0, False)
    return Block(error["type"], message, tuple(frames), lines[at], at, end)


def _pytest(lines: Sequence[Line], at: int, error: re.Match[str]) -> Block:
    frames: list[Frame] = []
    for place in range(max(0, at - 200), at):
        found = _PYTEST_FRAME.match(lines[place].text)
        if found is not None:
            code = lines[place + 1].text.strip() if found["function"] and place + 1 < at else ""
            frames.append(_frame(found["file"], found["line"], found["function"], code))
    message = [error["message"] or ""]
    place = at + 1
    while place < len(lines) and lines[place].text.startswith("E  "):
        message.append(lines[place].text[1:].removeprefix("   "))
        place += 1
    while place < min(len(lines), at + 12) and not frames:
        found = re.match(r"^([^\s:]+\.py):(\d+): \w+$", lines[place].text)
        if found is not None:
            marked = next((lines[n].text[1:].strip() for n in range(at - 1, max(0, at - 60), -1) if lines[n].text.startswith(">")), "")
            frames.append(_frame(found[1], found[2], "", marked))
        place += 1
    return Block(error["type"], "\n".join(message), tuple(frames), lines[at], at, max(place, at + 1))


def _fatal(lines: Sequence[Line], at: int) -> Block:
    frames: list[Frame] = []
    place = at + 1
    while place < min(len(lines), at + 200):
        text = lines[place].text
        found = FRAME.match(text)
        if found is not None:
            frames.insert(0, _frame(found["file"], found["line"], found["function"] or "", ""))
        elif text.strip() and not re.match(r"^(?:Current thread|Thread 0x|Python runtime|Extension modules)", text):
            break
        place += 1
    return Block("FatalError", lines[at].text.partition(": ")[2], tuple(frames), lines[at], at, place)
