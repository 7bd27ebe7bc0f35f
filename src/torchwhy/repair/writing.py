"""A fix written to the files: all of them or none, only as they were in the run, with all that belongs to them kept.

Each file is replaced by a new one that was made beside it, so that nobody ever reads a half one. What belongs to the old one (owner, group,
rights, flags, and where the system lists them extended attributes, of which access lists are some) is given to the new one and then compared;
where a part of it can't be kept, nothing is written. macOS and Windows do not list attributes to Python: there, the folder's apply.
"""

from __future__ import annotations

import difflib
import errno
import io
import os
import re
import stat
import sys
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
class _Change:
    """A file as it is and as it will be; `name` is what the program calls it."""

    name: str
    path: str
    before: bytes
    after: bytes


def write(fix: Fix, evidence: Evidence, allow_outside: bool = False) -> tuple[str, ...]:
    """Change the files; gives their names. Raises `Refused`, with nothing written, where that is not safe."""
    texts = patched(fix.edits, Sources(evidence))
    if not texts:
        raise Refused("the fix can't be made")
    changes = [_change(file, evidence.source(file) or "", new, allow_outside) for file, new in texts.items()]
    made: list[str] = []
    try:
        new = [_beside(change, change.after, made) for change in changes]
        old = [_beside(change, change.before, made) for change in changes[:-1]]
        _replace(changes, new, old)
    finally:
        for left in made:
            with suppress(FileNotFoundError):
                os.remove(left)
    return tuple(texts)


def _replace(changes: list[_Change], new: list[str], old: list[str]) -> None:
    """Put each new file in its place; where one can't be, those before it get their old text back."""
    for number, change in enumerate(changes):
        try:
            if _read(change) != change.before:
                raise Refused(f"{change.name} changed since the run")
            os.replace(new[number], change.path)
        except (OSError, Refused) as error:
            for former, known in zip(changes[:number], old):
                os.replace(known, former.path)
            raise error if isinstance(error, Refused) else _refusal(change, error) from None


def _change(file: str, old: str, new: str, allow_outside: bool) -> _Change:
    path = os.path.realpath(file)
    if not allow_outside and is_outside(path):
        raise Refused(f"{file} belongs to an installed package (--allow-outside writes it all the same)")
    try:
        _require_plain(file, os.stat(path))
        with open(path, "rb") as stream:
            data = stream.read()
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        raw = data.decode("utf-8" if encoding == "utf-8-sig" else encoding)
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise Refused(f"{file} can't be read: {error}") from None
    if _plain(raw) != _plain(old):
        raise Refused(f"{file} changed since the run")
    try:
        after = _with_own_ends(raw, _plain(new)).encode("utf-8" if encoding == "utf-8-sig" else encoding)
    except UnicodeEncodeError:
        raise Refused(f"the fix can't be written in the encoding of {file}, {encoding}") from None
    return _Change(file, path, data, after)


def _require_plain(file: str, known: os.stat_result) -> None:
    """Refuse what a new file can't take the place of."""
    if not stat.S_ISREG(known.st_mode):
        raise Refused(f"{file} is not a plain file")
    if known.st_nlink > 1:
        raise Refused(f"{file} has {known.st_nlink} names (hard links): the others would keep the old text")
    if not known.st_mode & 0o222 or not os.access(file, os.W_OK):
        raise Refused(f"{file} is read-only")


def _read(change: _Change) -> bytes:
    with open(change.path, "rb") as stream:
        return stream.read()


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


def _beside(change: _Change, data: bytes, made: list[str]) -> str:
    """The bytes in a file next to the old one, with all that belongs to that; its name is noted in `made` as soon as it is there."""
    try:
        handle, new = tempfile.mkstemp(prefix=".torchwhy-", dir=os.path.dirname(change.path))
    except OSError as error:
        raise Refused(f"no file can be made in the folder of {change.name}: {error.strerror}") from None
    made.append(new)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        lost = _hand_over(change.path, new)
    except OSError as error:
        raise _refusal(change, error) from None
    if lost:
        raise Refused(f"{lost} of {change.name} can't be kept")
    return new


def _refusal(change: _Change, error: OSError) -> Refused:
    return Refused(f"{change.name} can't be written: {error.strerror}")


def _hand_over(path: str, new: str) -> str:
    """Give the new file what belongs to the old one; says what of it could not be given."""
    known = os.stat(path)
    fresh = os.stat(new)
    if hasattr(os, "chown") and (known.st_uid, known.st_gid) != (fresh.st_uid, fresh.st_gid):
        with suppress(PermissionError):
            os.chown(new, known.st_uid, known.st_gid)
    os.chmod(new, stat.S_IMODE(known.st_mode))
    if sys.platform == "darwin" and known.st_flags != fresh.st_flags:
        os.chflags(new, known.st_flags)
    wanted = _attributes(path)
    for name in _attributes(new).keys() - wanted.keys():
        with suppress(OSError):
            os.removexattr(new, name)
    for name, value in wanted.items():
        with suppress(OSError):
            os.setxattr(new, name, value)
    now = os.stat(new)
    kept = {
        "the owner": known.st_uid == now.st_uid,
        "the group": known.st_gid == now.st_gid,
        "the rights": stat.S_IMODE(known.st_mode) == stat.S_IMODE(now.st_mode),
        "the access list or extended attributes": wanted == _attributes(new),
    }
    return next((name for name, is_kept in kept.items() if not is_kept), "")


def _attributes(path: str) -> dict[str, bytes]:
    """The extended attributes that the system lists; none where the filesystem knows none."""
    if not hasattr(os, "listxattr"):
        return {}
    try:
        return {name: os.getxattr(path, name) for name in os.listxattr(path)}
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return {}
        raise
