"""One early self for all tests here: it has torch loaded, and each trial is a child of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch  # noqa: F401
from trying import Trials, execute

from torchwhy.replay import fence
from torchwhy.replay.fence import missing
from torchwhy.replay.pristine import Start, keep_pristine


@pytest.fixture(scope="session")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trials]:
    if missing():
        pytest.skip("this platform has no fences")
    pristine = keep_pristine(execute, Start.now())
    assert pristine is not None
    yield Trials(pristine)
    pristine.close()


@pytest.fixture(scope="session")
def closed_trials() -> Iterator[Trials]:
    """Where a process can't have a network of its own."""
    if missing():
        pytest.skip("this platform has no fences")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fence, "private_spaces", lambda scratch: False)
        pristine = keep_pristine(execute, Start.now())
        assert pristine is not None
    yield Trials(pristine)
    pristine.close()


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder that no trial may touch, with a file in it."""
    (tmp_path / "kept.txt").write_text("kept")
    return tmp_path
