"""How long a text may be: what a program says is cut before it is looked at, its head and its tail kept."""

from __future__ import annotations

MESSAGE = 24_000
"""Characters of an error's message. The longest that torch makes, a list of a checkpoint's keys, keeps some hundred of them."""


def shortened(text: str, most: int) -> str:
    """The text with its middle left out, and how much that is; never longer than `most`."""
    if len(text) <= most:
        return text
    mark = f"\n… {len(text) - most:,} characters left out …\n"
    kept = most - len(mark)
    return text[: kept - kept // 4] + mark + text[len(text) - kept // 4 :]
