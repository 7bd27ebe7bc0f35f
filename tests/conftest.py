from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from laboratory import Laboratory  # noqa: E402


@pytest.fixture(scope="session")
def laboratory() -> Iterator[Laboratory]:
    """The process that runs programs; one for all tests."""
    made = Laboratory()
    yield made
    made.close()
