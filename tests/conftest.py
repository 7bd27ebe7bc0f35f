from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE.parent / "src"), os.environ.get("PYTHONPATH")]))

from laboratory import Laboratory  # noqa: E402


@pytest.fixture(scope="session")
def laboratory() -> Iterator[Laboratory]:
    """The process that runs programs; one for all tests."""
    made = Laboratory()
    yield made
    made.close()
