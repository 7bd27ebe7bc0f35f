"""Writes src/torchwhy/messages.json: what the program of every example raises, as PyTorch prints it. Run by `make docs`."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from laboratory import Laboratory  # noqa: E402

from torchwhy.catalogue import load  # noqa: E402
from torchwhy.page import RECORDED  # noqa: E402

LONGEST = 400
"""Characters kept of a message: the rest is a list of shapes or a traceback inside of it."""


def main() -> int:
    laboratory, version = Laboratory(), ""
    found: dict[str, list[str]] = {}
    places: dict[str, list[str]] = {}
    for family in load().families:
        reports = [laboratory.run(example.files).report for example in family.examples]
        texts = dict.fromkeys(text for report in reports if report is not None and (text := _text(report)))
        version = next((report["environment"]["torch"] for report in reports if report is not None), version)
        if texts:
            found[family.slug] = list(texts)
        if files := dict.fromkeys(file for report in reports if report is not None and (file := _place(report))):
            places[family.slug] = list(files)
    told = {"torch": version.partition("+")[0], "messages": found, "raised_in": places}
    RECORDED.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


def _text(report: dict[str, Any]) -> str:
    """`RuntimeError: …`, without the folders of this machine; of a traceback inside of it the last line."""
    failure = report["failure"]
    if failure is None or failure["error_type"] == "ProcessRaisedException":
        return ""  # nothing raised, or one of several processes: which of them is first differs from run to run
    text, inner, rest = re.sub(r"(?<![\w.:/])(?:[A-Za-z]:)?/(?:[\w.+-]+/)+", "…/", failure["message"]).partition(
        "Traceback (most recent call last)"
    )
    if inner:
        text = f"{text.removesuffix('Original ').rstrip()} … {rest.strip().splitlines()[-1]}"
    text = text.strip()
    text = text[:LONGEST].rstrip() + " …" if len(text) > LONGEST else text
    return f"{failure['error_type']}: {text}" if text else failure["error_type"]


def _place(report: dict[str, Any]) -> str:
    """The file of torch that raised, such as `torch/nn/modules/linear.py`; empty where the program's own line did."""
    failure = report["incident"]["evidence"]["failure"]
    file = failure["frames"][-1]["span"]["file"].replace("\\", "/") if failure and failure["frames"] else ""
    match = re.search(r"/(torch/.+\.py)$", file)
    return match[1] if match else ""


if __name__ == "__main__":
    sys.exit(main())
