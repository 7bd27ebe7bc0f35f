"""Finds where a log speaks of failures, however large it is: chunks of bytes are searched for a few words, and only what lies around a find is kept.

Kept are the file's head and tail, and the lines around each find, at most so many bytes of the first ones and of the last ones.
"""

from __future__ import annotations

import codecs
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

CHUNK = 8 << 20
OVERLAP = 256 << 10
BEFORE, AFTER = 24 << 10, 96 << 10
FIRST, LAST = 3 << 20, 2 << 20
EDGE = 48 << 10
_WORDS = (b"raceback", b"rror", b"xception", b"ssertion `", b"illed", b"atchdog", b"SIG", b"exitcode", b"terminate called", b"fault (core")
_TELLING = re.compile(
    rb"Traceback \(most recent|\b[A-Z]\w*(?:Error|Exception|Exit|Interrupt|Violation|Unsupported)\b(?:\x1b\[[\d;]*m)*(?::| {8,}Traceback|\s*$)"
    rb"|CUDA error|NCCL (?:error|WARN)|Assertion `|Out of memory: Kill|oom[-_]kill|\bKilled\b|[Ww]atchdog|SIG(?:KILL|TERM|SEGV|ABRT|BUS)\b|exitcode"
    rb"|terminate called|[Ff]ault \(core|Fatal Python error|[Bb]us error|Unsupported: |Error (?:occurred|executing job)|[Ee]rrors? (?:have|in) "
)
_VAIN = 100_000
_NO_TEXT = re.compile("[\x00-\x06\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffd\uffff]")
"""What a text has none of: many of these mean that the bytes are no UTF-16."""


class Binary(ValueError):
    """The bytes are no text."""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A run of whole lines; `line` is the number of the first, 1-based."""

    line: int
    data: bytes


@dataclass(frozen=True, slots=True)
class _Window:
    start: int
    end: int


def excerpts(stream: BinaryIO) -> list[Excerpt]:
    """The parts of a log that are worth reading, in order. Raises `Binary`."""
    keeper = _Keeper()
    line = 1
    held = b""
    vain = dict.fromkeys(_WORDS, 0)
    for chunk in _chunks(stream):
        data = held + chunk
        final = len(chunk) == 0
        # what lies near the chunk's end is searched again with the next one, so that no window is cut there
        limit = len(data) if final else max(0, len(data) - OVERLAP)
        limit = limit if final else data.rfind(b"\n", 0, limit) + 1 or limit
        if not final and len(data) <= OVERLAP:
            held = data
            continue
        keeper.take(data, limit, line, _windows(data, limit, vain, not keeper.any))
        line += data.count(b"\n", 0, limit)
        held = data[limit:]
    return keeper.kept()


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    """UTF-8 or any one-byte encoding as it is, UTF-16 and UTF-32 turned into UTF-8; an empty chunk comes last.

    What a shell appended in UTF-16 to another text is read without its zero bytes and its mark.
    """
    first = stream.read(CHUNK)
    encoding = _wide(first)
    if encoding is None:
        if _is_binary(first):
            raise Binary("it is no text")
        while first:
            if kept := _narrow(first):
                yield kept
            first = stream.read(CHUNK)
    else:
        decoder = codecs.getincrementaldecoder(encoding)("replace")
        while first:
            if text := decoder.decode(first):
                yield text.encode("utf-8", "replace")
            first = stream.read(CHUNK)
    yield b""


def _narrow(data: bytes) -> bytes:
    return data.replace(b"\xff\xfe", b"").replace(b"\0", b"") if b"\0" in data else data


def _wide(data: bytes) -> str | None:
    """The encoding of a text of 16 or 32 bits a character: by its byte-order mark, else by where its zero bytes stand."""
    if data.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "utf-32"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    head = data[:65536]
    head = head[: len(head) & ~1]
    even, odd = head[::2].count(0), head[1::2].count(0)
    encoding = "utf-16-le" if odd > even else "utf-16-be"
    if len(head) < 16 or max(even, odd) * 20 < len(head) // 2:
        return None
    text = codecs.getincrementaldecoder(encoding)("replace").decode(head)
    plain = sum(" " <= character <= "~" or character in "\t\r\n" for character in text)
    return encoding if plain * 10 >= len(text) and len(_NO_TEXT.findall(text)) * 50 < len(text) else None


def _is_binary(data: bytes) -> bool:
    head = data[:65536]
    if head.startswith((b"\x7fELF", b"PK\x03\x04", b"\x89PNG", b"\x1f\x8b", b"\xff\xd8\xff", b"%PDF", b"\x80\x02", b"BZh", b"MZ\x90")):
        return True
    strange = sum(head.count(bytes([code])) for code in range(32) if code not in (7, 8, 9, 10, 12, 13, 27))
    return strange > len(head) * 0.07 and not any(word in head for word in _WORDS[:3])


def _windows(data: bytes, limit: int, vain: dict[bytes, int], first: bool) -> list[_Window]:
    """Byte ranges around the telling lines below `limit`, merged, in order."""
    hits: list[int] = []
    seen = -1
    for word in _WORDS:
        place = data.find(word, 0, limit) if vain[word] < _VAIN else -1
        while place >= 0:
            # a carriage return ends a line too: a progress bar may be one line of many megabytes
            start = max(data.rfind(b"\n", max(0, place - 500), place) + 1, data.rfind(b"\r", max(0, place - 500), place) + 1, place - 500)
            end = min(
                e if e >= 0 else min(len(data), place + 1000)
                for e in (data.find(b"\n", place, place + 1000), data.find(b"\r", place, place + 1000))
            )
            if start != seen:
                if _TELLING.search(data, start, end):
                    hits.append(start)
                else:
                    vain[word] += 1
                    if vain[word] >= _VAIN:
                        break
            seen = start
            place = data.find(word, end, limit)
    windows: list[_Window] = []
    for hit in sorted(set(hits)):
        start = data.rfind(b"\n", 0, max(0, hit - BEFORE)) + 1 if hit > BEFORE else 0
        end = data.find(b"\n", hit + AFTER)
        end = end + 1 if end >= 0 else len(data)
        start, end = max(start, hit - 2 * BEFORE), min(end, hit + 2 * AFTER)
        if windows and start <= windows[-1].end:
            windows[-1] = _Window(windows[-1].start, end)
        else:
            windows.append(_Window(start, end))
    return windows


class _Keeper:
    """The excerpts kept so far: the first ones, and of the later ones the last."""

    def __init__(self) -> None:
        self.head: list[tuple[int, Excerpt]] = []
        self.tail: deque[tuple[int, Excerpt]] = deque()
        self.head_bytes = self.tail_bytes = 0
        self.offset = 0
        self.end = 0
        self.last: tuple[int, Excerpt] | None = None
        self.any = False

    def take(self, data: bytes, limit: int, line: int, windows: list[_Window]) -> None:
        if not self.any:
            edge = data.find(b"\n", EDGE)
            windows = [_Window(0, min(edge + 1 if edge >= 0 else len(data), 2 * EDGE)), *windows]
        self.any = True
        counted, number = 0, line
        for window in windows:
            start, end = max(window.start, self.end - self.offset, 0), window.end
            while start < end:
                stop = min(end, start + FIRST // 2)
                number += data.count(b"\n", counted, start)
                counted = start
                self._keep(self.offset + start, Excerpt(number, data[start:stop]))
                start = stop
            self.end = max(self.end, self.offset + end)
        edge = max(0, len(data) - EDGE)
        edge = data.find(b"\n", edge) + 1 or edge
        self.last = (self.offset + edge, Excerpt(line + data.count(b"\n", 0, edge), data[edge:]))
        self.offset += limit

    def _keep(self, offset: int, excerpt: Excerpt) -> None:
        size = len(excerpt.data)
        if self.head_bytes + size <= FIRST and not self.tail:
            self.head.append((offset, excerpt))
            self.head_bytes += size
            return
        self.tail.append((offset, excerpt))
        self.tail_bytes += size
        while self.tail_bytes > LAST and len(self.tail) > 1:
            self.tail_bytes -= len(self.tail.popleft()[1].data)

    def kept(self) -> list[Excerpt]:
        found = [*self.head, *self.tail]
        if self.last is not None:
            offset, excerpt = self.last
            if offset >= self.end:
                found.append(self.last)
            elif offset + len(excerpt.data) > self.end:
                rest = excerpt.data[self.end - offset :]
                found.append((self.end, Excerpt(excerpt.line + excerpt.data.count(b"\n", 0, self.end - offset), rest)))
        joined: list[tuple[int, Excerpt]] = []
        for offset, excerpt in found:
            if joined and joined[-1][0] + len(joined[-1][1].data) == offset:
                before = joined.pop()
                joined.append((before[0], Excerpt(before[1].line, before[1].data + excerpt.data)))
            else:
                joined.append((offset, excerpt))
        return [excerpt for _, excerpt in joined]
