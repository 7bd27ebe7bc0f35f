"""Programs that do odd things, each by python and by torchwhy: output, exit code, files and processes must be the same.

    python bench/odd_programs.py [--groups starts …] [--match WORDS] [--jobs 2] [--show]

Of stderr, what torchwhy adds after python's own text is taken off. Numbers that differ from run to run (addresses, process ids) are
made equal. A row is printed for each program that differs, with what does; the last line counts. Linux only.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from odd import GROUPS, Odd

LIMIT_S = 240
_CHANGING = re.compile(r"0x[0-9a-f]{6,}|(?<=pid )\d+|(?<=bash: line 1: )\s*\d+|(?<=bash: line 1: )\s*\d+|(?<=started )\d+")
_RANDOM = re.compile(r"(?<=pymp-)\w+|(?<=listener-)\w+")
_ALONE = 'mount -t tmpfs none /dev/shm && bash -c "$ODD_LINE"; code=$?; ls -A /dev/shm > "$ODD_SHM"; exit $code'
"""With shared memory of its own, where that can be had; else what other programs of the machine make there could not be told apart."""


@dataclass(frozen=True)
class Result:
    """What one run left."""

    code: int
    stdout: str
    stderr: str
    files: tuple[tuple[str, str], ...]
    left: tuple[str, ...]


def run(odd: Odd, why: str, folder: Path) -> Result:
    """The program in a fresh folder; the same path each time, since it is printed."""
    shutil.rmtree(folder, ignore_errors=True)
    work, scratch = folder / "work", folder / "tmp"
    for each in (work, scratch, folder / "home"):
        each.mkdir(parents=True)
    encoding = "latin-1" if "latin-1" in odd.text else "utf-8"
    for name, text in {"prog.py": odd.text, **odd.files}.items():
        (work / name).write_bytes(text.encode(encoding))
    tag = f"{os.getpid()}-{time.monotonic_ns()}"
    known = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    own = {"PY": sys.executable, "WHY": why, "TMPDIR": str(scratch), "HOME": str(folder / "home"), "ODD_TAG": tag}
    env = {**known, **own, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    env |= {"ODD_LINE": odd.shell, "ODD_SHM": str(folder / "shm")}
    command = ["unshare", "--mount", "bash", "-c", _ALONE] if _can_be_alone() else ["bash", "-c", odd.shell]
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        started = subprocess.Popen(command, cwd=work, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True)
        try:
            code = started.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            code = -999
    shared = (folder / "shm").read_text().split() if (folder / "shm").exists() else []
    left = [*_processes(tag), *(f"/dev/shm/{_RANDOM.sub('…', name)}" for name in shared)]
    texts = [(folder / name).read_bytes().decode("utf-8", "backslashreplace") for name in ("out", "err")]
    return Result(code, _steady(texts[0], tag), _steady(texts[1], tag), tuple(_tree(work) + _tree(scratch)), tuple(left))


def _steady(text: str, tag: str) -> str:
    return _CHANGING.sub("…", text.replace(tag, "TAG"))


@cache
def _can_be_alone() -> bool:
    line = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/dev/shm"]
    return bool(shutil.which("unshare")) and subprocess.run(line, capture_output=True).returncode == 0


def _processes(tag: str) -> list[str]:
    """Processes of this run that are still there after a second."""
    time.sleep(0.2)
    found = _tagged(tag)
    if found:
        time.sleep(1)
        found = _tagged(tag)
    for pid, _ in found:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return [f"process {command}" for _, command in found]


def _tagged(tag: str) -> list[tuple[int, str]]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if f"ODD_TAG={tag}".encode() in (entry / "environ").read_bytes():
                    found.append((int(entry.name), (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:80]))
            except OSError:
                continue
    return found


def _tree(root: Path) -> list[tuple[str, str]]:
    """Every name below the folder with its rights and a sum of its content; of compiled files, which hold times, the name."""
    rows = []
    for path in sorted(root.rglob("*")):
        mode = path.lstat().st_mode
        is_plain = stat.S_ISREG(mode) and path.suffix not in (".pyc", ".pyz", ".pt")
        content = hashlib.sha256(path.read_bytes()).hexdigest()[:12] if is_plain else ""
        if path.name in ("out", "err", "out.txt"):
            content = ""
        rows.append((_RANDOM.sub("…", os.fsencode(path.relative_to(root)).decode("utf-8", "backslashreplace")), f"{oct(mode)} {content}"))
    return rows


def compare(odd: Odd, plain: Result, ours: Result) -> list[str]:
    """In what the two differ, in a line each."""
    said = []
    if plain.code != ours.code:
        said.append(f"exit code {ours.code} instead of {plain.code}")
    one, other = plain.stdout, ours.stdout
    if odd.racing:
        one, other = "\n".join(sorted(one.splitlines())), "\n".join(sorted(other.splitlines()))
    if one != other:
        said.append(f"stdout: {_first_change(one, other)}")
    if not _continues(plain.stderr, ours.stderr):
        said.append(f"stderr: {_first_change(plain.stderr, ours.stderr)}")
    if plain.files != ours.files:
        said.append(f"files: {sorted(set(plain.files) ^ set(ours.files))[:4]}")
    if plain.left != ours.left:
        said.append(f"left behind: {[*ours.left]} (by python: {[*plain.left]})")
    return said


def _continues(plain: str, ours: str) -> bool:
    """Whether python's lines all stand in ours, in order, and what is between and after them is a diagnosis of torchwhy's."""
    if ours.startswith(plain):
        added = ours[len(plain) :]
        return not added.strip() or _is_told(added)
    matcher = difflib.SequenceMatcher(None, plain.splitlines(), ours.splitlines(), autojunk=False)
    added = [op for op in matcher.get_opcodes() if op[0] != "equal"]
    return all(kind == "insert" and _is_told("\n".join(ours.splitlines()[first:last])) for kind, _, _, first, last in added)


def _is_told(text: str) -> bool:
    return bool(re.match(r"\s*(TW\d{4} |torchwhy: )", text)) and "Traceback" not in text


def _first_change(plain: str, ours: str) -> str:
    rows = [
        row
        for row in difflib.unified_diff(plain.splitlines(), ours.splitlines(), lineterm="", n=0)
        if not row.startswith(("---", "+++", "@@"))
    ]
    removed = [row for row in rows if row[0] == "-"]
    return " | ".join(row[:160] for row in (removed[:2] + [r for r in rows if r[0] == "+"][:2])) or "only line ends"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--match", default="", help="only programs whose name matches")
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--given", default="", metavar="OPTIONS", help="of torchwhy: --given=--no-verify is quicker")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--show", action="store_true", help="all that torchwhy's runs print")
    options = parser.parse_args()
    why = f"{Path(sys.executable).parent / 'torchwhy'} run {options.given}".rstrip()
    chosen = [odd for group in options.groups for odd in GROUPS[group] if re.search(options.match, odd.name)]

    def both(odd: Odd) -> tuple[list[str], Result]:
        with tempfile.TemporaryDirectory(prefix="odd-", dir="/tmp", ignore_cleanup_errors=True) as name:
            plain = run(odd, "", Path(name) / "run")
            ours = run(odd, why, Path(name) / "run")
        return compare(odd, plain, ours), ours

    differing = told = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for odd, (said, ours) in zip(chosen, pool.map(both, chosen)):
            differing += bool(said)
            told += bool(re.search(r"^TW\d{4} ", ours.stderr, re.MULTILINE))
            for line in said:
                print(f"{odd.name:32} {line}", flush=True)
            if options.show:
                print(f"== {odd.name}: {ours.code}\n{ours.stdout}--\n{ours.stderr}", flush=True)
    print(f"{len(chosen)} programs, {len(chosen) - differing} the same, {differing} differ; {told} diagnosed")
    return int(differing > 0)


if __name__ == "__main__":
    sys.exit(main())
