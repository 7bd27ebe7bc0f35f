"""What the search box needs to know, made from the families: their triggers, and the words of the messages that lead to them."""

from __future__ import annotations

import builtins
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

ANYTHING = ("", "zzyx", "'zzyx'", "Zzyx qwv 7")
"""Texts that mean nothing: a pattern that matches one of them is no statement about the text."""


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
        "triggers": [_trigger(trigger.pattern, trigger.types, trigger.raised_in) for trigger in family.triggers],
        "raisedIn": list(page.raised_in),
    }


def _trigger(pattern: str, types: Sequence[str], raised_in: str) -> dict[str, Any]:
    source, flags = javascript(pattern)
    return {"pattern": source, "flags": flags, "types": list(types), "raisedIn": raised_in, "worth": _worth(pattern, types)}


def _worth(pattern: str, types: Sequence[str]) -> float:
    """How much a match says, where the pattern takes nearly any text and only the type or the family's own reasoning tells: else 0."""
    if not any(re.search(pattern, text, re.DOTALL) for text in ANYTHING):
        return 0
    return 0.5 if types and not any(hasattr(builtins, name) for name in types) else 0.02


def _texts(page: Page) -> list[frozenset[str]]:
    """Each message by itself, and the title with the summary."""
    return [words for text in (*page.named, *page.seen, f"{page.title} {page.summary}") if len(words := words_of(text)) > 1]
