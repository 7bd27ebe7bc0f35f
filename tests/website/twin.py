"""The matching of `tools/website/static/search.js` once more, over the same data, for machines without node.

Its patterns are the translated ones, so a translation that went wrong shows here too. `test_site_search.py` compares the two where node is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from catalogue import words_of

RAISED = re.compile(r"[ \t]*(?:[A-Za-z_]\w*\.)*([A-Z]\w*)(?:: ?(.*))?$", re.A)
TYPE = re.compile(r"(?:Error|Exception|Warning|Interrupt|Exit|Unsupported|Failed|Hit|Exceeded|Mismatch|Violation)\w*$", re.A)
FILE = re.compile(r'[ \t]*File "([^"\n]+)", line \d+')
NOTICE = ("Traceback (most recent call last)", "During handling of the above", "The above exception was")


def search(catalogue: dict[str, Any], text: str, most: int = 5) -> list[str]:
    """The slugs of the families for a text, best first. Colours and prefixes are not taken off here."""
    scores: dict[int, float] = {}
    for order, failure in enumerate(failures(text)):
        alike = _similarities(catalogue, failure)
        for number, family in enumerate(catalogue["families"]):
            said = max([0.0, *(_covered(trigger, failure) for trigger in family["triggers"])])
            file = next((one for one in family["raisedIn"] if failure[2].endswith(one)), None) if said else None
            sharing = sum(file in other["raisedIn"] for other in catalogue["families"]) if file else 1
            score = round(2 * said + alike[number] + (0.4 / sharing if file else 0) - 0.1 * min(order, 3), 4)
            if score > (0 if said > 0.1 else 0.3):
                scores[number] = max(score, scores.get(number, 0))
    return [catalogue["families"][number]["slug"] for number in sorted(scores, key=lambda n: (-scores[n], n))[:most]]


def failures(text: str) -> list[tuple[str, str, str]]:
    """Type, message and file of each exception in the text."""
    found: list[tuple[str, list[str], str]] = []
    file, is_open = "", False
    for line in text.splitlines():
        match, place = RAISED.match(line), FILE.match(line)
        if line.startswith(NOTICE):
            is_open, file = False, "" if line.startswith("Traceback") else file
        elif match and TYPE.search(match[1]) and not (is_open and line[:1].isspace()):
            found.append((match[1], [match[2] or ""], file))
            is_open = True
        elif is_open:
            found[-1][1].append(line)
        file = place[1].replace("\\", "/") if place else file
    told = [(kind, "\n".join(lines).strip()[:4000], where) for kind, lines, where in found[:40]]
    return told or [("", text.strip()[:20000], "")]


def _covered(trigger: dict[str, Any], failure: tuple[str, str, str]) -> float:
    kind, message, file = failure
    if (trigger["types"] and kind and kind not in trigger["types"]) or (trigger["raisedIn"] and not file.endswith(trigger["raisedIn"])):
        return 0
    flags = re.DOTALL | (re.IGNORECASE if "i" in trigger["flags"] else 0)
    match = re.search(trigger["pattern"], message, flags)
    if match is None:
        return 0
    typed = 0.05 if trigger["types"] and kind else 0
    if trigger["worth"]:
        return 0 if trigger["worth"] > 0.1 and not typed else trigger["worth"] + (0.3 if trigger["raisedIn"] else 0)
    letters = min(100, len(re.sub("[^A-Za-z]", "", match[0])))
    return letters / (letters + 12) + typed + (0.1 if trigger["raisedIn"] else 0)


def _similarities(catalogue: dict[str, Any], failure: tuple[str, str, str]) -> Sequence[float]:
    place = {word: number for number, word in enumerate(catalogue["words"])}
    mine = words_of(f"{failure[0]} {failure[1][:600]}")
    known = {place[word] for word in mine if word in place}
    weights = catalogue["weights"]
    whole = sum(weights[place[word]] if word in place else 1 for word in mine)
    count = len(catalogue["families"])
    best, near, texts = [0.0] * count, [0] * count, [0] * count
    for family, numbers in catalogue["texts"]:
        shared = sum(weights[number] for number in numbers if number in known)
        alike = shared / math.sqrt(whole * sum(weights[number] for number in numbers)) if shared else 0.0
        best[family], near[family], texts[family] = max(best[family], alike), near[family] + (alike > 0.8), texts[family] + 1
    return [alike + 0.1 * near[family] / max(1, texts[family]) for family, alike in enumerate(best)]
