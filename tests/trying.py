"""Texts run as trials."""

from __future__ import annotations

from collections.abc import Mapping

from torchwhy.replay.pristine import Pristine
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
