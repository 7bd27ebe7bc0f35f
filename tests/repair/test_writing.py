"""A fix is written whole or not at all, and nothing else in the file changes."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from torchwhy.model import Edit, Evidence, Fix, Span
from torchwhy.repair import writing
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


def test_a_last_line_without_an_end_stays_so(file: Path) -> None:
    text = "x = 0\nx = 1"
    file.write_bytes(text.encode())
    write(_fix(file), Evidence(sources=((str(file), text),)))
    assert file.read_bytes() == b"x = 0\nx = 10"


@pytest.mark.skipif(not hasattr(os, "chown") or os.geteuid() != 0, reason="only root gives files away")
def test_owner_group_and_rights_are_kept(file: Path) -> None:
    os.chown(file, 1234, 2345)
    file.chmod(0o6755)
    write(_fix(file), _evidence(file))
    known = file.stat()
    assert (known.st_uid, known.st_gid, stat.S_IMODE(known.st_mode)) == (1234, 2345, 0o6755)


@pytest.mark.skipif(not hasattr(os, "chown"), reason="no owners here")
def test_an_owner_that_cannot_be_kept_is_a_reason(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = os.stat(file)
    other = os.stat_result([*known[:4], known.st_uid + 1, *known[5:]])
    monkeypatch.setattr(writing.os, "stat", lambda path: other if str(path) == str(file) else known)
    monkeypatch.setattr(writing.os, "chown", lambda *told: None)
    with pytest.raises(Refused, match="the owner of .* can't be kept"):
        write(_fix(file), _evidence(file))
    monkeypatch.undo()
    assert file.read_text() == TEXT and [f.name for f in file.parent.iterdir()] == ["a.py"]


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="the system lists no attributes")
def test_extended_attributes_are_kept(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        os.setxattr(file, "user.note", b"kept")
    except OSError as error:
        pytest.skip(f"not on this filesystem: {error}")
    write(_fix(file), _evidence(file))
    assert os.getxattr(file, "user.note") == b"kept"
    monkeypatch.setattr(writing.os, "setxattr", lambda *told: None)
    with pytest.raises(Refused, match="extended attributes of .* can't be kept"):
        write(_fix(file, new="100"), Evidence(sources=((str(file), TEXT.replace("x = 1", "x = 10")),)))
    assert "x = 10\n" in file.read_text()


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_file_of_two_names_is_left_alone(file: Path, tmp_path: Path) -> None:
    os.link(file, tmp_path / "b.py")
    with pytest.raises(Refused, match="2 names"):
        write(_fix(file), _evidence(file))
    assert file.read_text() == (tmp_path / "b.py").read_text() == TEXT


def test_a_read_only_file_is_left_alone(file: Path) -> None:
    file.chmod(0o444)
    with pytest.raises(Refused, match="is read-only"):
        write(_fix(file), _evidence(file))
    assert file.read_text() == TEXT


def test_a_folder_that_takes_no_file_is_a_reason(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> tuple[int, str]:
        raise PermissionError(errno.EACCES, "Permission denied", "/somewhere/.torchwhy-x")

    monkeypatch.setattr(writing.tempfile, "mkstemp", refuse)
    with pytest.raises(Refused, match="no file can be made in the folder of .*a.py: Permission denied"):
        write(_fix(file), _evidence(file))


LIMITED = """
import resource, sys
from torchwhy.model import Edit, Evidence, Fix, Span
from torchwhy.repair.writing import Refused, write
file = sys.argv[1]
text = open(file).read()
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write(Fix("x", (Edit(Span(file, 2, 4, 2, 5), "10"),)), Evidence(sources=((file, text),)))
except Refused as refused:
    print(refused)
"""


@pytest.mark.skipif(os.name == "nt", reason="no limits there")
def test_no_room_is_a_reason_and_nothing_changes(file: Path) -> None:
    text = TEXT + "# long\n" * 1000
    file.write_text(text)
    done = subprocess.run([sys.executable, "-c", LIMITED, str(file)], capture_output=True, text=True, timeout=60)
    assert "a.py can't be written: File too large" in done.stdout and not done.stderr
    assert file.read_text() == text and [f.name for f in file.parent.iterdir()] == ["a.py"]


def test_where_the_second_file_cannot_be_replaced_the_first_gets_its_text_back(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "b.py"
    other.write_text(TEXT)
    real = os.replace

    def replace(source: str, target: str) -> None:
        if str(target).endswith("b.py"):
            raise OSError(errno.EBUSY, "Device or resource busy")
        real(source, target)

    monkeypatch.setattr(writing.os, "replace", replace)
    both = Fix("x", (*_fix(file).edits, *_fix(other).edits))
    with pytest.raises(Refused, match="b.py can't be written: Device or resource busy"):
        write(both, _evidence(file, other))
    assert file.read_text() == other.read_text() == TEXT
    assert sorted(f.name for f in tmp_path.iterdir()) == ["a.py", "b.py"]
