"""Odd ways to start, and programs that take away what we need at the end: nothing that they print tells us from python."""

from __future__ import annotations

import os
import py_compile
import subprocess
import sys
import zipapp
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the program runs below our frames there")
COMMAND = "import sys\nfrom torchwhy.cli import main\nif __name__ == '__main__':\n    sys.exit(main())\n"
SHOW = """\
import sys, os, __main__
print(sys.argv, sys.path, os.environ.get("PYTHONPATH"), "runpy" in sys.modules)
print(sorted(globals()), __name__, __file__, __loader__.__class__)
1 / 0
"""
CACHE = "import sys\nprint([path for path in sys.path_importer_cache if 'torchwhy' not in path])\n"
BLOCKS = "".join(" " * level + f"for a{level} in [1]:\n" for level in range(20)) + " " * 20 + "print(missing)\n"
FAULTS = {
    "the hook is deleted": "import sys\ndel sys.excepthook\n1 / 0\n",
    "the hook raises": "import sys\ndef hook(*told):\n    raise KeyError\nsys.excepthook = hook\n1 / 0\n",
    "the hook counts frames": "import inspect, sys\nsys.excepthook = lambda *told: print(len(inspect.stack()))\n1 / 0\n",
    "no finder is left": "import sys\nsys.meta_path.clear()\nsys.path_hooks.clear()\nsys.path.clear()\n1 / 0\n",
    "nothing can be imported": "import builtins\nbuiltins.__import__ = None\n1 / 0\n",
    "builtins are gone": "import builtins\nfor n in ('open', 'len', 'isinstance'):\n    delattr(builtins, n)\n1 / 0\n",
    "names at exit": "import atexit\natexit.register(lambda: print(sorted(globals())))\n1 / 0\n",
    "names at a good exit": "import atexit\natexit.register(lambda: print(sorted(globals())))\n",
    "a warning of the compiler": "x = 1\nprint(x is 1)\n",
    "blocks to the limit": BLOCKS,
}


def _agree(line: str, folder: Path, **more: str) -> None:
    command = folder / "bin" / "torchwhy"
    command.parent.mkdir()
    command.write_text(COMMAND)
    env = dict(os.environ, PYTHONHASHSEED="0", PYTHONDONTWRITEBYTECODE="1", NO_COLOR="1", PY=sys.executable, **more)
    found = []
    for why in ("", f"{command} run"):
        done = subprocess.run(["sh", "-c", line], cwd=folder, env=env | {"WHY": why}, capture_output=True, text=True)
        found.append((done.returncode, done.stdout, done.stderr))
    assert found[1] == found[0]


@pytest.mark.parametrize("text", FAULTS.values(), ids=FAULTS)
def test_a_program(text: str, tmp_path: Path) -> None:
    (tmp_path / "prog.py").write_text(text)
    _agree('"$PY" $WHY prog.py', tmp_path)


@pytest.mark.parametrize("name", ["prog.py", "types.py", "ctypes.py", "dataclasses.py", "runpy.py"])
def test_a_script_of_any_name(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(CACHE + SHOW)
    _agree(f'"$PY" $WHY {name} a', tmp_path)


def test_a_module_named_like_one_of_ours(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text(SHOW)
    _agree('"$PY" $WHY -m json a', tmp_path)


@pytest.mark.parametrize("path", ["", ":", "/nowhere"])
def test_the_path_of_the_environment(path: str, tmp_path: Path) -> None:
    (tmp_path / "prog.py").write_text(SHOW)
    _agree('"$PY" $WHY prog.py', tmp_path, PYTHONPATH=path)


def test_what_is_no_text(tmp_path: Path) -> None:
    source = tmp_path / "app" / "__main__.py"
    source.parent.mkdir()
    source.write_text("print(__name__)\n")
    zipapp.create_archive(source.parent, tmp_path / "bare", interpreter="/bin/python")
    py_compile.compile(str(source), str(tmp_path / "prog.pyc"))
    _agree('"$PY" $WHY bare; "$PY" $WHY app; "$PY" $WHY prog.pyc; cat app/__main__.py | "$PY" $WHY /dev/stdin', tmp_path)
