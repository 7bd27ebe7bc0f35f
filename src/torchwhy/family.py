"""What a family file may say.

A family is one file below `families/` with one subclass of `Family`. Its slug is its place: `families/shape/linear.py` is `shape.linear`,
`families/shape/conv_rank.py` is `shape.conv-rank`.
The module's docstring is the page that `torchwhy explain CODE` prints.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from .model import Diagnosis, Evidence, Failure
from .model.patterns import search


@dataclass(frozen=True, slots=True)
class Trigger:
    """A cheap first test on the exception: any of the type names, and a pattern searched in the message (named groups reach `diagnose`).

    An empty `types` takes every type. `raised_in` narrows to failures whose innermost frame lies in a file that ends so (such as `nn/modules/rnn.py`).
    """

    pattern: str = ""
    types: tuple[str, ...] = ()
    raised_in: str = ""

    def match(self, failure: Failure) -> re.Match[str] | None:
        if self.types and failure.error_type not in self.types:
            return None
        if self.raised_in and not (failure.frames and failure.frames[-1].span.file.replace("\\", "/").endswith(self.raised_in)):
            return None
        return search(self.pattern, failure.message)


@dataclass(frozen=True, slots=True)
class Example:
    """A program that fails for this reason. `files` maps a name to its text; the first is the script.

    The line to blame ends in the comment `#~ cause`. `says`: facts that the diagnosis must state (case-insensitive substrings of its text).
    `becomes`: the text of the cause's line after the first fix ("" where the fix lies elsewhere or can't be a patch).
    """

    files: dict[str, str]
    says: tuple[str, ...] = ()
    becomes: str = ""


@dataclass(frozen=True, slots=True)
class NearMiss:
    """A look-alike that this family must leave alone: a program that runs, or that fails for the reason another family (`belongs_to`) names."""

    files: dict[str, str]
    belongs_to: str = ""


@dataclass(frozen=True, slots=True)
class LogExample:
    """A text that shows this failure, as it is printed: for what needs a GPU, a cluster or a broken installation.

    `cause`: `train.py:12`, the line that must be blamed, where the text has one. `says`: as for `Example`. As a near miss, `belongs_to` names
    the family that it belongs to (empty: none).
    """

    text: str
    says: tuple[str, ...] = ()
    cause: str = ""
    belongs_to: str = ""


class Family:
    """One kind of error. Subclasses set the class variables and write `diagnose`."""

    code: ClassVar[str] = ""
    title: ClassVar[str] = ""
    triggers: ClassVar[tuple[Trigger, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()
    """Names of dear evidence (`tried`: see evidence/trying.py), gathered only when a trigger matched."""
    rank: ClassVar[int] = 0
    """Order among families that answer the same failure: the higher is the more specific. A negative one is a last resort, asked where no other
    family answered."""
    examples: ClassVar[tuple[Example, ...]] = ()
    near_misses: ClassVar[tuple[NearMiss, ...]] = ()
    log_examples: ClassVar[tuple[LogExample, ...]] = ()
    log_near_misses: ClassVar[tuple[LogExample, ...]] = ()

    @property
    def slug(self) -> str:
        return re.sub(r"(?<=\w)_", "-", type(self).__module__.split(".families.", 1)[-1])

    @property
    def page(self) -> str:
        import sys

        return (sys.modules[type(self).__module__].__doc__ or "").strip()

    def diagnose(self, evidence: Evidence, match: re.Match[str]) -> Diagnosis | None:
        """The diagnosis, or None where the evidence says that it is not this."""
        raise NotImplementedError
