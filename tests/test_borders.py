"""The borders of the house: who may import whom, and which doors open without torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src" / "torchwhy"
ALLOWED: dict[str, set[str]] = {
    "model": set(),
    "family": {"model"},
    "record": {"model", "arrival"},
    "simulate": {"model", "record"},
    "evidence": {"", "model", "record", "replay"},
    "reason": {"model", "family"},
    "families": {"model", "family", "reason"},
    "replay": {"model", "record"},
    "repair": {"model", "reason", "replay"},
    "incident": {"model"},
    "page": {"family"},
    "catalogue": {"families", "family"},
    "diagnose": {"model", "family", "catalogue", "reason"},
    "limited": {"model", "catalogue", "diagnose", "incident", "replay"},
    "environment": set(),
    "render": {"model", "family", "page", "incident", "reason", "environment"},
    "program": set(),
    "arrival": set(),
    "trace": {"", "model", "program", "arrival", "record"},
    "processes": {"", "model", "record", "replay", "evidence", "reason", "diagnose", "incident", "program", "arrival", "trace"},
    "launch": {"processes", "program", "record", "session"},
    "child": {"", "arrival", "processes", "program", "record", "session"},
    "session": {
        "launch",
        "",
        "model",
        "program",
        "arrival",
        "trace",
        "processes",
        "record",
        "evidence",
        "diagnose",
        "incident",
        "limited",
        "output",
        "render",
        "replay",
        "repair",
        "simulate",
    },
    "explain": {"", "model", "family", "program", "evidence", "catalogue", "diagnose", "reason"},
    "output": {"render"},
    "fix": {"model", "output", "session", "render", "repair"},
    "cli": {
        "limited",
        "",
        "model",
        "output",
        "launch",
        "program",
        "session",
        "fix",
        "explain",
        "environment",
        "catalogue",
        "diagnose",
        "incident",
        "render",
    },
    "__main__": {"cli"},
    "": set(),
}
"""A part of the package, and the other parts that it may import; `reason` is used by `render` for words only."""
WITH_TORCH = {"record", "simulate", "evidence", "replay"}
PROGRAMS_WITH_TORCH = {"environment/ask_torch.py"}
"""Run in a process of their own, imported by nobody."""
FILES = sorted(SOURCE.rglob("*.py"))


def _part(file: Path) -> str:
    parts = file.relative_to(SOURCE).with_suffix("").parts
    return "" if parts == ("__init__",) else parts[0]


def _is_part(name: str) -> bool:
    return (SOURCE / name).exists() or (SOURCE / f"{name}.py").exists()


def _imports(file: Path) -> Iterator[tuple[str, bool]]:
    """Dotted names, and whether each is one of ours."""
    package = ("torchwhy", *file.relative_to(SOURCE).parts[:-1])
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, alias.name.startswith("torchwhy")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            names = [".".join((*base, *filter(None, [node.module])))]
            if names == ["torchwhy"]:
                names = [f"torchwhy.{alias.name}" if _is_part(alias.name) else "torchwhy" for alias in node.names]
            yield from ((name, name.startswith("torchwhy")) for name in names)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_imports_keep_to_the_borders(file: Path) -> None:
    part = _part(file)
    if part == "integrations":
        pytest.skip("an integration may import everything; nobody imports it")
    allowed = ALLOWED[part] | {part}
    for name, ours in _imports(file):
        if ours:
            other = (name.split(".") + [""])[1]
            assert other in allowed, f"{part} imports {name}"
        else:
            with_torch = part in WITH_TORCH or file.relative_to(SOURCE).as_posix() in PROGRAMS_WITH_TORCH
            assert name.split(".")[0] != "torch" or with_torch, f"{part} imports {name}"


DOORS = (
    "import torchwhy",
    "import torchwhy.cli",
    "import torchwhy.session",
    "from torchwhy.catalogue import load; assert not load().problems",
    "import torchwhy.diagnose, torchwhy.incident",
    "import torchwhy.explain, torchwhy.evidence.log",
    "import torchwhy.environment.gather, torchwhy.environment.judge, torchwhy.render.environment",
    "import torchwhy.render.json, torchwhy.render.terminal, torchwhy.render.pages",
)


@pytest.mark.parametrize("door", DOORS)
def test_a_door_opens_without_torch_and_rich(door: str) -> None:
    code = f"import sys; {door}; print([m for m in ('torch', 'numpy', 'rich') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
