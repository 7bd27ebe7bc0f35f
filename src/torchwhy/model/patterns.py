"""What a pattern must find, told without searching: so a long text that lacks it costs no search at all."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

try:
    from re import _parser as parser  # type: ignore[attr-defined]  # Python 3.11 and later
except ImportError:  # pragma: no cover
    import sre_parse as parser  # type: ignore[no-redef]

_SHORT = 2000
"""Up to here a search is quick in any case."""
_WORD = 3


def search(pattern: str, text: str) -> re.Match[str] | None:
    """`re.search`, where a dot is any character; of a long text only where all words of the pattern are in it, in their order.

    Else a text of nothing but the pattern's first word has the rest of the text looked through from each of them.
    """
    if len(text) > _SHORT and not _has_in_order(text, words(pattern)):
        return None
    return re.search(pattern, text, re.DOTALL)


def _has_in_order(text: str, wanted: Iterable[str]) -> bool:
    place = 0
    for word in wanted:
        place = text.find(word, place)
        if place < 0:
            return False
        place += len(word)
    return True


@lru_cache(maxsize=2048)
def words(pattern: str) -> tuple[str, ...]:
    """The words that each match of the pattern has, in their order."""
    tree = parser.parse(pattern, re.DOTALL)
    found: list[str] = []
    if tree.state.flags & re.IGNORECASE:
        return ()
    return tuple(word for word in found if len(word) >= _WORD) if _collect(tree, found) else ()


def _collect(tree: Iterable[tuple[Any, Any]], found: list[str]) -> bool:
    """Gather the words; False where letters may be of either case."""
    found.append("")
    for operation, argument in tree:
        name = str(operation)
        if name == "LITERAL":
            found[-1] += chr(argument)
            continue
        inner = argument[3] if name == "SUBPATTERN" else argument[2] if name in ("MAX_REPEAT", "MIN_REPEAT") and argument[0] else ()
        if name == "SUBPATTERN" and argument[1] or not _collect(inner, found):
            return False
        found.append("")
    return True
