"""Writes docs/families.md from the catalogue. `--check` says whether it is up to date."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from torchwhy.catalogue import load  # noqa: E402

TARGET = ROOT / "docs" / "families.md"
HEAD = (
    "# The families\n\nOne file each below `src/torchwhy/families/`; `torchwhy explain CODE` prints its page. Written by `make docs`.\n\n"
)


def table() -> str:
    rows = [f"| {family.code} | `{family.slug}` | {family.title} |" for family in load().families]
    return HEAD + "\n".join(["| code | family | what it says |", "| --- | --- | --- |", *rows]) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(TARGET.read_text(encoding="utf-8") != table())
    TARGET.write_text(table(), encoding="utf-8")
