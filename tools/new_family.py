"""Copies the template of a family to its place, with a free code: `python tools/new_family.py shape.linear`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from torchwhy.catalogue import GROUPS, free_code  # noqa: E402


def main(arguments: list[str]) -> int:
    name = arguments[0] if len(arguments) == 1 else ""
    if not re.fullmatch(r"[a-z]+\.[a-z][a-z0-9-]*", name) or name.partition(".")[0] not in GROUPS:
        print(f"usage: make family NAME=group.name, with one of the groups {', '.join(GROUPS)}", file=sys.stderr)
        return 2
    group, _, own = name.partition(".")
    folder = ROOT / "src" / "torchwhy" / "families"
    target = folder / group / f"{own.replace('-', '_')}.py"
    if target.exists():
        print(f"{target.relative_to(ROOT)} exists", file=sys.stderr)
        return 2
    code = free_code(group)
    text = (folder / "_template.py").read_text(encoding="utf-8").replace("TW0000", code).replace("from ..", "from ...")
    target.parent.mkdir(exist_ok=True)
    if not (target.parent / "__init__.py").exists():
        (target.parent / "__init__.py").write_text("", encoding="utf-8")
    target.write_text(text.replace("class TensorOfTensors", f"class {''.join(part.title() for part in own.split('-'))}"), encoding="utf-8")
    print(f"{target.relative_to(ROOT)} has the code {code}; try it: {sys.executable} tools/try_family.py {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
