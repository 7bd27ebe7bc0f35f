"""A fix written to the files: all of them or none, only as they were in the run, with their encoding and line ends kept."""

from __future__ import annotations

import difflib
import io
import os
import re
import shutil
import sysconfig
import tempfile
import tokenize
from contextlib import suppress
from dataclasses import dataclass

from ..model import Evidence, Fix
from ..reason.diffs import patched
from ..reason.source import Sources, split_lines

_PACKAGES = re.compile(r"[\\/](?:site|dist)-packages[\\/]")


class Refused(Exception):
    """The fix was not written; the text is one clear line."""


@dataclass(frozen=True)
class _Written:
    """A file's new bytes."""

    path: str
    data: bytes


def write(fix: Fix, evidence: Evidence, allow_outside: bool = False) -> tuple[str, ...]:
    """Change the files; gives their names. Raises `Refused`, with nothing written, where that is not safe."""
    texts = patched(fix.edits, Sources(evidence))
    if not texts:
        raise Refused("the fix can't be made")
    made = [_made(file, evidence.source(file) or "", new, allow_outside) for file, new in texts.items()]
    waiting: list[tuple[str, str]] = []
    try:
        for written in made:
            waiting.append((_beside(written), written.path))
        for new, path in waiting:
            os.replace(new, path)
    except OSError as error:
        raise Refused(f"{error.filename or 'a file'}: {error.strerror}") from None
    finally:
        for new, _ in waiting:
            with suppress(FileNotFoundError):
                os.remove(new)
    return tuple(texts)


def _made(file: str, old: str, new: str, allow_outside: bool) -> _Written:
    path = os.path.realpath(file)
    if not allow_outside and is_outside(path):
        raise Refused(f"{file} belongs to an installed package (--allow-outside writes it all the same)")
    try:
        with open(path, "rb") as stream:
            data = stream.read()
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        raw = data.decode("utf-8" if encoding == "utf-8-sig" else encoding)
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise Refused(f"{file} can't be read: {error}") from None
    if _plain(raw) != _plain(old):
        raise Refused(f"{file} changed since the run")
    try:
        return _Written(path, _with_own_ends(raw, _plain(new)).encode("utf-8" if encoding == "utf-8-sig" else encoding))
    except UnicodeEncodeError:
        raise Refused(f"the fix can't be written in the encoding of {file}, {encoding}") from None


def is_outside(path: str) -> bool:
    """Whether a file is not the user's own: Python's, or an installed package's."""
    standard = [os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")]
    return bool(_PACKAGES.search(path)) or any(path.startswith(folder + os.sep) for folder in standard)


def _plain(text: str) -> str:
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _with_own_ends(raw: str, new: str) -> str:
    """The new text with the old one's byte order mark and line ends: each kept line its own, added lines the most usual one."""
    mark = "\ufeff" if raw.startswith("\ufeff") else ""
    lines = split_lines(raw.removeprefix("\ufeff"))
    ends = [line[len(line.rstrip("\r\n")) :] for line in lines]
    usual = max(("\n", "\r\n", "\r"), key=ends.count)
    after = split_lines(new)
    made: list[str] = []
    matcher = difflib.SequenceMatcher(None, [_plain(line) for line in lines], after, autojunk=False)
    for kind, first, last, start, end in matcher.get_opcodes():
        made += lines[first:last] if kind == "equal" else [line.replace("\n", usual) for line in after[start:end]]
    return mark + "".join(made)


def _beside(written: _Written) -> str:
    """The new text in a file next to the old one, with its rights."""
    handle, new = tempfile.mkstemp(prefix=".torchwhy-", dir=os.path.dirname(written.path))
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(written.data)
            stream.flush()
            os.fsync(stream.fileno())
        shutil.copymode(written.path, new)
    except OSError:
        os.remove(new)
        raise
    return new
