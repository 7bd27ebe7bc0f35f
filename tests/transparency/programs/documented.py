"""A text."""

from __future__ import annotations

print(__doc__)
x: int = 3
print(__annotations__)
