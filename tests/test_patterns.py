"""No pattern of ours takes long: on the texts that are hardest for it, twice as much text takes about twice as long."""

from __future__ import annotations

import time

import pytest
from adversary import Asked, hard_texts, patterns

from torchwhy.model.patterns import search, words

_FIRST = 3000
_QUICK = 0.001
_SLOWER = 8
"""Of four times the text: 4 is linear, 16 the square; caches and the machine's load lie between."""
_NOTHING = 0.03
_TRIES = 5


def _seconds(asked: Asked, text: str) -> float:
    """CPU time: a busy machine takes nothing from it but its caches."""
    began = time.process_time()
    asked.ask(text)
    return time.process_time() - began


def _is_slow(asked: Asked, before: str, body: str, end: str) -> bool:
    """Whether every try says so: noise makes a try slow, and nothing makes a slow pattern quick.

    Most are told apart by the first.
    """

    def text(length: int) -> str:
        return before + body * max(1, length // len(body)) + end

    def is_above(most: float, length: int) -> bool:
        return all(_seconds(asked, text(length)) > most for _ in range(_TRIES))

    if is_above(_NOTHING, _FIRST // 8):
        return True  # before it takes for ever
    if not is_above(_QUICK, _FIRST):
        return False
    short = min(_seconds(asked, text(_FIRST)) for _ in range(2))
    return is_above(max(_NOTHING, _SLOWER * short), 4 * _FIRST)


def test_all_are_found() -> None:
    """The search for patterns would not miss a whole kind: calls, compiled ones, triggers, tables."""
    places = {asked.where.split(":")[0].split("/")[0] for asked in patterns()}
    assert {"environment", "evidence", "families", "reason", "render"} <= places
    assert len(patterns()) > 600
    assert any(asked.is_trigger for asked in patterns())


@pytest.mark.parametrize("part", range(8))
def test_time_grows_with_the_text(part: int) -> None:
    slow = [
        (asked.where, asked.pattern[:80], hard) for asked in patterns()[part::8] for hard in hard_texts(asked) if _is_slow(asked, *hard)
    ]
    assert slow == []


def test_the_generator_finds_what_is_slow() -> None:
    """Patterns of the kinds that were here before: it would have found them."""
    for pattern in (r"^\s*[|] ?(?P<inside>.*?)\s*[|]?\s*$", r"([\w.]+)\.grad\b", r"shape\W*x|[a-z_]+ ?\[", r"rank\s*:?\s*(\d+)"):
        asked = Asked(pattern, 0, "")
        assert any(_is_slow(asked, *hard) for hard in hard_texts(asked)), pattern


def test_words_of_a_pattern() -> None:
    assert words(r"(?P<a>\w+)size of (?:the )?tensor (\d+) must (match|fit)") == ("size of ", "tensor ", " must ")
    assert words(r"one|other") == ()
    assert words(r"(?i)any case") == ()
    assert search("size.*tensor", "tensor" + " " * 5000 + "size") is None
    assert search("size.*tensor", "size" + " " * 5000 + "tensor") is not None
