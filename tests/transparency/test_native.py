"""The program is the interpreter's own main module: nothing of ours lies below it, whichever way it is started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = '''\
"""Its text."""
from __future__ import annotations
import inspect, os, sys, traceback
sys.stderr.write("")
def room(n=0):
    try:
        return room(n + 1)
    except RecursionError:
        return n
print([f.function for f in inspect.stack(0)], sys._getframe().f_back, __doc__, __name__, __spec__, __file__)
print(type(__loader__).__name__, sorted(n for n in globals() if n.startswith("__")), sys.argv, sys.path[0])
print("runpy" in sys.modules, [k for k in os.environ if "TORCHWHY" in k or k == "PYTHONPATH"], len(sys.path_hooks))
print(room() > 990)
'''
ENDS = {
    "well": "",
    "exit": "sys.exit(3)",
    "exit with a text": "sys.exit('so')",
    "raised exit": "raise SystemExit(4)",
    "error": "1 / 0",
    "interrupt": "raise KeyboardInterrupt",
    "at once": "os._exit(5)",
}


def _run(folder: Path, *words: str, path: str | None = None) -> tuple[int, str, str]:
    given = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    if path is not None:
        given["PYTHONPATH"] = path
    done = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, env=given, timeout=60)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("end", ENDS)
def test_a_script(end: str, tmp_path: Path) -> None:
    (tmp_path / "prog.py").write_text(PROGRAM + ENDS[end] + "\n")
    assert _run(tmp_path, "-m", "torchwhy", "run", "prog.py", "a", "-b") == _run(tmp_path, "prog.py", "a", "-b")


@pytest.mark.parametrize("flags", [["-W", "error"], ["-O"], ["-B", "-u"], ["-X", "utf8"]])
def test_flags_of_the_interpreter_stay(flags: list[str], tmp_path: Path) -> None:
    (tmp_path / "prog.py").write_text(PROGRAM + "print(sys.flags, sys.warnoptions, sys._xoptions, sys.orig_argv)\n")
    assert _run(tmp_path, *flags, "-m", "torchwhy", "run", "prog.py") == _run(tmp_path, *flags, "prog.py")


def test_a_module_a_folder_and_texts_that_do_not_compile(tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__main__.py").write_text("import inspect\nprint([f.function for f in inspect.stack(0)])\nraise SystemExit(6)\n")
    (tmp_path / "wrong.py").write_text("x = (\n")
    assert _run(tmp_path, "-m", "torchwhy", "run", "-m", "pack") == _run(tmp_path, "-m", "pack")
    assert _run(tmp_path, "-m", "torchwhy", "run", "pack") == _run(tmp_path, "pack")
    assert _run(tmp_path, "-m", "torchwhy", "run", "wrong.py") == _run(tmp_path, "wrong.py")


def test_the_path_and_a_sitecustomize_of_the_users_own_stay(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "sitecustomize.py").write_text("print('customized')\n")
    (tmp_path / "prog.py").write_text("import os, sys\nprint(os.environ['PYTHONPATH'], sys.path[:2], 'sitecustomize' in sys.modules)\n")
    own = str(tmp_path / "own")
    code, out, err = _run(tmp_path, "-m", "torchwhy", "run", "prog.py", path=own)
    plain = _run(tmp_path, "prog.py", path=own)
    assert (code, out.removeprefix("customized\n"), err) == (plain[0], plain[1], plain[2])  # the command itself is customized too
