"""Styled lines, and how they reach a stream: untrusted text made visible, widths of characters, colour only where it is wanted."""

from __future__ import annotations

import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from typing import TextIO

Piece = tuple[str, str]
"""Text and the name of its style."""
Line = tuple[Piece, ...]

WIDTH = 100
"""Where no terminal says how wide it is."""
STYLES = {
    "code": "bold red",
    "headline": "bold",
    "inline": "bold cyan",
    "place": "dim",
    "cause": "bold red",
    "mark": "red",
    "facts": "cyan",
    "heading": "bold",
    "minus": "red",
    "plus": "green",
    "dim": "dim",
}
_PLAIN = str.maketrans({"◀": "<", "…": "~", "·": "*", "─": "-", "→": ">"})
_UNSAFE = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f"  # control characters, among them the escape that starts a terminal's commands
    "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0"  # takes no ink
    "\u2028-\u202e"  # line ends and changes of direction
    "\ud800-\udfff\ufdd0-\ufdef\ufff0-\ufffb\ufffe\uffff"  # halves, and what is no character
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"  # marks of music and shorthand, tags, variants
)


def visible(text: str) -> str:
    """Text of a program or a log, fit to be shown: tabs as spaces; what can't be seen, or changes what is, as escapes."""
    return _UNSAFE.sub(lambda m: m[0].encode("unicode_escape", "surrogatepass").decode("ascii"), text.expandtabs(4))


def cells(text: str) -> int:
    """How many columns the text takes."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, width: int) -> str:
    """At most so many columns of the text, with an ellipsis where some are missing."""
    if cells(text) <= width:
        return text
    kept = text
    while kept and cells(kept) > width - 1:
        kept = kept[:-1]
    return kept.rstrip() + "…"


def cut_front(text: str, width: int) -> str:
    """The text without its first characters that take at least so many columns."""
    while text and width > 0:
        width -= cells(text[0])
        text = text[1:]
    return text


def wrap(text: str, width: int, first: str = "", rest: str = "") -> Iterator[tuple[str, str]]:
    """Lines of at most `width` columns as (indent, words); inline code is broken only where it is wider than a line."""
    indent, line = first, ""
    for word in re.findall(r"(?:`[^`]*`|\S)+", text):
        if line and cells(indent) + cells(line) + 1 + cells(word) > width:
            yield indent, line
            indent, line = rest, word
        else:
            line = f"{line} {word}" if line else word
    yield indent, line


def styled(text: str, style: str = "") -> Line:
    """Inline code in a style of its own."""
    parts = re.split(r"(`[^`]+`)", text)
    return tuple((part, "inline" if number % 2 else style) for number, part in enumerate(parts) if part)


def plain(lines: Iterable[Line]) -> str:
    return "".join("".join(text for text, _ in line).rstrip() + "\n" for line in lines)


def width_of(stream: TextIO) -> int:
    if os.environ.get("COLUMNS", "").isdigit() or not stream.isatty():
        return max(60, shutil.get_terminal_size((WIDTH, 24)).columns) if os.environ.get("COLUMNS", "").isdigit() else WIDTH
    return max(60, min(140, os.get_terminal_size(stream.fileno()).columns))


def put(lines: Iterable[Line], stream: TextIO, color: str = "auto") -> None:
    """Write the lines; rich is loaded only for colour."""
    stream.write(encodable(coloured(lines) if wants_color(stream, color) else plain(lines), stream))
    stream.flush()


def encodable(text: str, stream: TextIO) -> str:
    """The text as the stream can encode it."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_PLAIN).encode(encoding, "backslashreplace").decode(encoding)
    return text


def wants_color(stream: TextIO, color: str) -> bool:
    if color != "auto":
        return color == "always"
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def coloured(lines: Iterable[Line]) -> str:
    from rich.console import Console
    from rich.text import Text

    console = Console(file=sys.stderr, force_terminal=True, width=10_000, legacy_windows=False, color_system="standard")
    with console.capture() as capture:
        for line in lines:
            text = Text(no_wrap=True)
            for piece, style in line:
                text.append(piece, STYLES.get(style, ""))
            console.print(text, highlight=False, markup=False, crop=False)
    return capture.get()
