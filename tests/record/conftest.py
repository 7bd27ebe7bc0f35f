"""A running recorder for each test, which must end without a problem of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

torch = pytest.importorskip("torch")

from torchwhy.record.recorder import Recorder  # noqa: E402


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder("full")
    recorder.start()
    try:
        yield recorder
    finally:
        recorder.stop()
    assert recorder.problems == []
