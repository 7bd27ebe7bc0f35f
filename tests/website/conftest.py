"""The programs of the site are no package: their folder is put on the path here."""

from __future__ import annotations

import sys
from pathlib import Path

WEBSITE = Path(__file__).resolve().parents[2] / "tools" / "website"
sys.path.insert(0, str(WEBSITE))
