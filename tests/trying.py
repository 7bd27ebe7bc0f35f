"""Texts run as trials."""

from __future__ import annotations

import os
from collections.abc import Mapping

from torchwhy.replay.pristine import Pristine
from torchwhy.replay.spaces import private_spaces
from torchwhy.replay.trial import Outcome, Trial


class Trials:
    """Runs texts."""

    def __init__(self, pristine: Pristine) -> None:
        self.pristine = pristine

    def run(self, text: str, **asked: object) -> Outcome:
        return self.run_all([text], **asked)[0]

    def run_all(self, texts: list[str], **asked: object) -> list[Outcome]:
        return self.pristine.run([Trial(files=(("/program.py", text),), **asked) for text in texts])  # type: ignore[arg-type]


def execute(texts: Mapping[str, bytes], show: object) -> None:
    exec(compile(texts["/program.py"], "/program.py", "exec"), {"__name__": "__main__"})


def in_own_spaces() -> int:
    """A process that ends with 0 where it could have namespaces of its own."""
    child = os.fork()
    if child == 0:
        os._exit(0 if private_spaces(None) else 1)
    return child
