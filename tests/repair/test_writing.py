"""A fix is written whole or not at all, and nothing else in the file changes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from torchwhy.model import Edit, Evidence, Fix, Span
from torchwhy.repair.writing import Refused, is_outside, write

TEXT = "# one\nx = 1\ny = 2\n"


def _fix(file: Path, line: int = 2, new: str = "10") -> Fix:
    return Fix("x", (Edit(Span(str(file), line, 4, line, 5), new),))


def _evidence(*files: Path) -> Evidence:
    return Evidence(sources=tuple((str(file), TEXT) for file in files))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "a.py"
    made.write_bytes(TEXT.encode())
    return made


def test_it_is_written_and_nothing_is_left(file: Path) -> None:
    file.chmod(0o755)
    assert write(_fix(file), _evidence(file)) == (str(file),)
    assert file.read_bytes() == b"# one\nx = 10\ny = 2\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o755
    assert [f.name for f in file.parent.iterdir()] == ["a.py"]


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_line_ends_are_kept(file: Path, end: str) -> None:
    file.write_bytes(TEXT.replace("\n", end).encode())
    write(_fix(file, new="(\n10)"), _evidence(file))
    assert file.read_bytes() == "# one\nx = (\n10)\ny = 2\n".replace("\n", end).encode()


def test_mixed_line_ends_stay_mixed(file: Path) -> None:
    file.write_bytes(b"# one\r\nx = 1\r\ny = 2\n")
    write(_fix(file), _evidence(file))
    assert file.read_bytes() == b"# one\r\nx = 10\r\ny = 2\n"


def test_the_encoding_is_kept(file: Path) -> None:
    text = "# coding: latin-1\nx = 1\ny = 'é'\n"
    file.write_bytes(text.encode("latin-1"))
    evidence = Evidence(sources=((str(file), text),))
    write(_fix(file), evidence)
    assert file.read_bytes() == text.replace("x = 1", "x = 10").encode("latin-1")
    with pytest.raises(Refused, match="encoding"):
        write(_fix(file, new="'→'"), Evidence(sources=((str(file), text.replace("x = 1", "x = 10")),)))


def test_the_byte_order_mark_is_kept(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    write(_fix(file), _evidence(file))
    assert file.read_bytes() == b"\xef\xbb\xbf" + TEXT.replace("x = 1", "x = 10").encode()


def test_a_changed_file_is_left_alone(file: Path) -> None:
    file.write_text(TEXT + "z = 3\n")
    with pytest.raises(Refused, match="changed since the run"):
        write(_fix(file), _evidence(file))
    assert file.read_text() == TEXT + "z = 3\n"


def test_all_files_or_none(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "gone.py"
    both = Fix("x", (*_fix(file).edits, *_fix(other).edits))
    with pytest.raises(Refused, match="can't be read"):
        write(both, _evidence(file, other))
    assert file.read_text() == TEXT


def test_installed_packages_are_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "lib" / "site-packages" / "thing"
    folder.mkdir(parents=True)
    file = folder / "a.py"
    file.write_bytes(TEXT.encode())
    with pytest.raises(Refused, match="installed package"):
        write(_fix(file), _evidence(file))
    assert write(_fix(file), _evidence(file), allow_outside=True)
    assert is_outside(os.path.realpath(os.__file__)) and not is_outside(str(tmp_path / "a.py"))


def test_a_link_stays_a_link(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.py"
    link.symlink_to(file)
    write(_fix(link), _evidence(link))
    assert link.is_symlink() and "x = 10" in file.read_text()
