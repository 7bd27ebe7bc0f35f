"""One message of torch's, and what it tells."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Saying:
    """`{name}` in a text stands for the pattern's group of that name; the last headline and the fix name none that may be missing."""

    family: str
    pattern: str
    headlines: tuple[str, ...]
    """The first that fits and whose groups were found is taken."""
    notes: tuple[str, ...] = ()
    fix: str = ""
    near: str = ""
    """Must be found in the program's lines of the traceback, or in the names of its files."""
    types: tuple[str, ...] = ()
    alone: bool = True
    """Whether it is a diagnosis by itself; else it only adds to its family's."""
    wins: bool = False
    """Whether it goes before what the families make of the text: where the message is one of torch's general ones, and the lines tell the rest."""
