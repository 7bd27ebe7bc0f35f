"""What the search box needs to know, made from the families: their triggers, and the words of the messages that lead to them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from patterns import javascript

from torchwhy.family import Family
from torchwhy.page import Page, page_of

WORD = re.compile(r"[a-z_]{3,}|torch/[\w/]+\.py")
"""Numbers, shapes and folders differ from run to run; the words and torch's own files stay."""


def catalogue(families: Sequence[Family]) -> dict[str, Any]:
    """Plain data, the same for the browser and for the tests."""
    pages = [page_of(family) for family in families]
    texts = [(number, words) for number, page in enumerate(pages) for words in _texts(page)]
    held = Counter(word for _, words in texts for word in words)
    known = sorted(held)
    place = {word: number for number, word in enumerate(known)}
    return {
        "families": [_entry(family, page) for family, page in zip(families, pages)],
        "words": known,
        "weights": [round(math.log(1 + len(texts) / held[word]), 3) for word in known],
        "texts": [[number, sorted(place[word] for word in words)] for number, words in texts],
    }


def words_of(text: str) -> frozenset[str]:
    return frozenset(WORD.findall(text.lower()))


def _entry(family: Family, page: Page) -> dict[str, Any]:
    return {
        "code": page.code,
        "slug": page.slug,
        "title": page.title,
        "rank": family.rank,
        "triggers": [_trigger(trigger.pattern, trigger.types, trigger.raised_in) for trigger in family.triggers],
        "raisedIn": list(page.raised_in),
    }


def _trigger(pattern: str, types: Sequence[str], raised_in: str) -> dict[str, Any]:
    source, flags = javascript(pattern)
    return {"pattern": source, "flags": flags, "types": list(types), "raisedIn": raised_in}


def _texts(page: Page) -> list[frozenset[str]]:
    """Each message by itself, and the title with the summary."""
    return [words for text in (*page.named, *page.seen, f"{page.title} {page.summary}") if len(words := words_of(text)) > 1]
