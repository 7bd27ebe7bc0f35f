"""Lines of a log as they were printed: without colours, progress bars, timestamps, and the names of ranks and hosts in front of them."""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from .scan import Excerpt

LONGEST, LISTED = 2500, 20_000
_SAMPLE, _CANDIDATES = 1000, 12
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[()][A-Z0-9]|\[(?:\d{1,3}(?:;\d{1,3})*)m")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b\ufeff\u202a-\u202e\u2066-\u2069]")
_TAGS = re.compile(r"</?(?:span|pre|code|div|p|br|a|b|i|font|li|ul|td|tr|table|html|body|em|strong)\b[^<>]{0,300}>")
_TIME = (
    r"\[?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?\]?"
    r"|\[?\d\d/\d\d/(?:\d{4}|\d\d) \d\d:\d\d:\d\d\]?|\[?\d\d:\d\d:\d\d(?:[.,]\d+)?\]|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d"
)
_STAMP = re.compile(rf"(?:{_TIME})(?: |$)")
_RANK = re.compile(
    r"\[(?:rank|default|Rank |RANK |local_rank |worker|trainer)[ =]?(\d{1,9})(?:\|[^\]]{0,200})?\]:? ?"
    r"|\[\d+,(\d+)\]<std(?:err|out)>: ?|\((?:\w+ )?pid=(\d+)(?:, ip=[\d.]+)?\) ?"
)
_ANCHOR = re.compile(r"Traceback \(most recent call last\):|  File \"[^\"\n]+\", line \d+")
_NUMBERED = re.compile(r"(?:rank|default|worker|trainer)[-_ =:[]*(\d+)|(?<![\d.])(\d{1,4}): ?$", re.IGNORECASE)
_QUOTED = re.compile(r"^(?:> ?){1,40}(?=.*(?:Traceback|File \"|Error|    ))")
_QUOTE = re.compile(r"^(?:> ?)+")
_ERROR_LINE = re.compile(
    r"(?P<prefix>.{0,160}?)(?<![\w.])(?:[A-Za-z_]\w*\.)*(?:_?[A-Z]\w*(?:Error|Exception|Interrupt|Exit)|(?<=\.)_?[A-Z]\w+):(?: \S|$)"
)
_FIELDS = ("log", "message", "msg", "textPayload", "line", "text")
_LINK = re.compile(r"\[((?:[^\[\]\n]|\[\d{0,9}\]){1,300})\]\((?:https?|vscode[\w-]{0,20}|file|command):[^)\s]{0,600}\)")
_MARKUP = re.compile(r"&(?:quot|lt|gt|amp|nbsp|#x?[0-9a-fA-F]+);")


@dataclass(frozen=True, slots=True)
class Line:
    """One printed line. `stream` names who printed it (a rank, a host, a process); empty where the log does not say."""

    number: int
    text: str
    stream: str = ""
    rank: int | None = None


def lines_of(excerpts: Iterable[Excerpt]) -> list[Line]:
    """All lines of the excerpts, cleaned; an empty line stands where something between two excerpts was left out."""
    raw: list[tuple[int, str]] = []
    for excerpt in excerpts:
        if raw:
            raw.append((excerpt.line, ""))
        raw += _raw_lines(excerpt)
    if _mostly(_sample(raw), _QUOTE):
        raw = [(number, _QUOTE.sub("", text)) for number, text in raw]
    prefixes = _learned(text for _, text in raw) or _before_an_error(raw)
    return [_line(number, text, prefixes) for number, text in raw]


def _mostly(texts: Sequence[str], pattern: re.Pattern[str]) -> bool:
    """Whether nearly all lines begin so."""
    return bool(texts) and sum(pattern.match(text) is not None for text in texts) >= 0.8 * len(texts)


def _sample(raw: Sequence[tuple[int, str]]) -> list[str]:
    """Lines that say something, from all over the text."""
    said = [text for _, text in raw if text.strip()]
    return said[:: max(1, len(said) // _SAMPLE)]


def _before_an_error(raw: Sequence[tuple[int, str]]) -> list[re.Pattern[str]]:
    """What stands in front of all lines of a text without a traceback, told by the line of an error: times, hosts, or the margin of a quotation."""
    bare = [_without_marks(text)[0] for text in _sample(raw)]
    asked: set[str] = set()
    for _, text in raw[:_SAMPLE]:
        found = _ERROR_LINE.match(_without_marks(text)[0]) if ":" in text else None
        prefix = found["prefix"] if found is not None else ""
        told = re.sub(r"\d+", r"\\d+", re.escape(prefix.rstrip()))
        if not prefix or told in asked:
            continue
        asked.add(told)
        pattern = re.compile(told + "(?: |$)" if prefix[-1] == " " and prefix.strip() else told or prefix)
        if not prefix.strip() or _mostly(bare, pattern):
            return [pattern]
        if len(asked) > _CANDIDATES:
            break
    return []


def _raw_lines(excerpt: Excerpt) -> Iterator[tuple[int, str]]:
    for offset, data in enumerate(excerpt.data.split(b"\n")):
        for piece in data.rstrip(b"\r").split(b"\r"):
            text = _decoded(piece if len(piece) <= LONGEST else _shortened(piece))
            if text.startswith("{") and text.endswith("}") and (said := _field(text)) is not None:
                yield from ((excerpt.line + offset, part) for part in said.rstrip("\n").split("\n"))
            elif "Traceback (most recent call last):\\n" in text:  # a traceback inside of JSON or a repr
                for part in text.replace('\\"', '"').replace("\\\\n", "\\n").split("\\n"):
                    yield excerpt.line + offset, part
            else:
                yield excerpt.line + offset, text


def _field(text: str) -> str | None:
    """What a line of a structured log says: the text in its `log`, `message` or the like."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):  # no JSON, or cut
        return None
    return next((record[name] for name in _FIELDS if isinstance(record.get(name), str)), None) if isinstance(record, dict) else None


def _shortened(piece: bytes) -> bytes:
    """A line that is too long to be printed by a person is cut, except the keys of a checkpoint and a traceback in JSON."""
    if b"key(s) in state_dict" in piece[:400] or b"Traceback (most recent call last):\\n" in piece[:LISTED]:
        return piece[:LISTED]
    return piece[: LONGEST - 500] + b" ... " + piece[-500:]


def _decoded(data: bytes) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")
    if "\x1b" in text or "m" in text:
        text = _COLOUR.sub("", text)
    if not text.isprintable():
        text = _CONTROL.sub("", text)
    if "](" in text:
        text = _LINK.sub(r"\1", text)
    if "<" in text or "&" in text:
        tagged = "</" in text or text.lstrip().startswith("<")
        text = html.unescape(_TAGS.sub("", text)) if _MARKUP.search(text) else _TAGS.sub("", text) if tagged else text
    return text.rstrip()


def _learned(texts: Iterable[str]) -> list[re.Pattern[str]]:
    """What stands in front of the lines of tracebacks, digits left open: `node-2: 1: `, `Nov 20 18:00:01 host python[17]: `."""
    seen: Counter[str] = Counter()
    for text in texts:
        text = _without_marks(text)[0]
        anchor = _ANCHOR.search(text)
        if anchor is not None and 0 < anchor.start() <= 160:
            prefix = text[: anchor.start()]
            if prefix.strip():
                seen[re.sub(r"\d+", r"\\d+", re.escape(prefix))] += 1
    return [re.compile(pattern) for pattern, count in seen.most_common(40) if count > 1]


def _line(number: int, text: str, prefixes: list[re.Pattern[str]]) -> Line:
    text, known, rank = _without_marks(text)
    for prefix in prefixes:
        mark = prefix.match(text)
        if mark is not None:
            bare = _STAMP.sub("", mark[0]).strip(" :|")
            found = _NUMBERED.search(mark[0].rstrip())
            if rank is None and found is not None:
                rank = int((found[1] or found[2])[:6])
            known.append(re.sub(rf"{_TIME}", "", bare).strip())
            text = text[mark.end() :]
            break
    return Line(number, text, " ".join(filter(None, known)), rank)


def _without_marks(text: str) -> tuple[str, list[str], int | None]:
    """The line without the times and ranks in front of it; the marks that name its printer, and the rank."""
    known: list[str] = []
    rank: int | None = None
    text = _QUOTED.sub("", text)
    for _ in range(5):
        stamp = _STAMP.match(text)
        if stamp is not None and not _is_record(text[stamp.end() :]):
            text = text[stamp.end() :]
            continue
        mark = _RANK.match(text)
        if mark is None:
            break
        digits = mark[1] or mark[2]
        rank = int(digits[:6]) if digits and rank is None else rank
        known.append(mark[0].strip(" :"))
        text = text[mark.end() :]
    return text, known, rank


def _is_record(rest: str) -> bool:
    """The rest of a logging record: its time is left in place, so that it is not taken for the text of an error."""
    return bool(re.match(r"(?:- |\| )?\[?(?:\S+ - )?(?:INFO|DEBUG|WARNING|ERROR|CRITICAL)\b|- \w", rest))
