"""A module is met however the program comes to import it, and nothing of ours is left to see."""

from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from torchwhy.arrival import Arrival

NAME = "heavy_package"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / NAME
    folder.mkdir()
    (folder / "__init__.py").write_text("from . import part, late\nREADY = True\n")
    (folder / "part.py").write_text("")
    (folder / "late.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == NAME]:
        del sys.modules[name]


def _spec() -> ModuleSpec:
    spec = importlib.util.find_spec(NAME)
    assert spec is not None and spec.loader is not None
    return spec


class _OtherTool:
    """A finder in front of everyone's that wraps the loader, or finds past the others."""

    def __init__(self, wraps: bool) -> None:
        self.wraps, self.busy = wraps, False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != NAME or self.busy:
            return None
        if not self.wraps:
            return PathFinder.find_spec(name, path, target)
        self.busy = True
        spec = _spec()
        self.busy = False
        spec.loader = _Wrapped(spec.loader)
        return spec


class _Wrapped:
    __slots__ = ("loader",)

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> Any:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)


def plainly() -> None:
    __import__(NAME)


def by_name() -> None:
    importlib.import_module(f"{NAME}.part")


def after_questions() -> None:
    assert vars(_spec().loader) == vars(_spec().loader)
    assert "exec_module" not in vars(_spec().loader)
    __import__(NAME)


def in_a_thread() -> None:
    thread = threading.Thread(target=__import__, args=(NAME,))
    thread.start()
    thread.join()


def after_it_was_barred() -> None:
    sys.modules[NAME] = None  # type: ignore[assignment]
    with pytest.raises(ImportError):
        __import__(NAME)
    del sys.modules[NAME]
    __import__(NAME)


def after_it_failed() -> None:
    sys.modules[f"{NAME}.late"] = None  # type: ignore[assignment]
    with pytest.raises(ImportError):
        __import__(NAME)
    del sys.modules[f"{NAME}.late"]
    __import__(NAME)


def by_a_wrapped_loader() -> None:
    _under(_OtherTool(wraps=True))


def by_another_finder() -> None:
    _under(_OtherTool(wraps=False))


def _under(tool: _OtherTool) -> None:
    sys.meta_path.insert(0, tool)
    try:
        __import__(NAME)
    finally:
        sys.meta_path.remove(tool)


def lazily() -> None:
    spec = _spec()
    assert spec.loader is not None
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = module
    spec.loader.exec_module(module)
    assert module.READY


def by_hand() -> None:
    spec = _spec()
    module = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = module
    assert spec.loader is not None
    spec.loader.exec_module(module)


WAYS = [
    plainly,
    by_name,
    after_questions,
    in_a_thread,
    after_it_was_barred,
    after_it_failed,
    by_a_wrapped_loader,
    by_another_finder,
    lazily,
    by_hand,
]


@pytest.mark.parametrize("come", WAYS, ids=lambda way: way.__name__)
def test_it_is_met_once_and_whole(package: Path, come: Callable[[], None]) -> None:
    finders = list(sys.meta_path)
    met: list[bool] = []
    arrival = Arrival(NAME, lambda: met.append(hasattr(sys.modules[NAME], "READY")))
    arrival.await_it()
    try:
        come()
    finally:
        arrival.give_up()
    assert met == [True]
    assert sys.meta_path == finders
    module = sys.modules[NAME]
    assert module.__spec__ is not None
    assert "exec_module" not in getattr(module.__spec__.loader, "__dict__", ())
    assert "exec_module" not in getattr(module.__loader__, "__dict__", ())


def test_one_that_is_there_is_met_at_once(package: Path) -> None:
    __import__(NAME)
    met: list[str] = []
    Arrival(NAME, lambda: met.append("now")).await_it()
    assert met == ["now"]


def test_a_lazy_one_is_not_loaded_for_us(package: Path) -> None:
    spec = _spec()
    assert spec.loader is not None
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = module
    spec.loader.exec_module(module)
    met: list[str] = []
    arrival = Arrival(NAME, lambda: met.append("later"))
    arrival.await_it()
    assert met == [] and f"{NAME}.part" not in sys.modules
    assert module.READY
    assert met == ["later"]


def test_each_finder_is_asked_as_often_as_without_us(package: Path) -> None:
    asked: list[str] = []

    class Counting:
        @staticmethod
        def find_spec(name: str, path: Any = None, target: Any = None) -> None:
            asked.append(name)

    counting: Any = Counting
    sys.meta_path.insert(0, counting)
    sys.meta_path.insert(2, counting)
    arrival = Arrival(NAME, lambda: None)
    sys.meta_path.insert(1, arrival)
    try:
        __import__(NAME)
    finally:
        while counting in sys.meta_path:
            sys.meta_path.remove(counting)
    assert asked.count(NAME) == 2


BLIND = """\
import sys

sys.meta_path[:] = [finder for finder in sys.meta_path if not hasattr(finder, "await_it")]
import torch

{}["missing"]
"""
ASKED = """\
import importlib.util

importlib.util.find_spec("torch")
import torch

short = torch.ones(3, 4)
long = torch.ones(5, 6)
short @ long
"""


def _report(program: str, folder: Path) -> tuple[dict[str, Any], str]:
    (folder / "prog.py").write_text(program)
    words = ["-m", "torchwhy", "run", "--no-verify", "--report", "report.json", "prog.py"]
    done = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True)
    return json.loads((folder / "report.json").read_text()), done.stderr


def test_a_question_before_the_import_costs_nothing(tmp_path: Path) -> None:
    report, _ = _report(ASKED, tmp_path)
    assert report["problems"] == []
    assert report["diagnoses"][0]["cause"]["line"] == 7


def test_where_nothing_was_recorded_this_is_said(tmp_path: Path) -> None:
    report, printed = _report(BLIND, tmp_path)
    said = "nothing was recorded: torch was loaded in a way that was not seen"
    assert report["outcome"] == "failed"
    assert report["problems"] == [said]
    assert f"torchwhy: {said}\n" in printed
