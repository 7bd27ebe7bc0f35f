"""What two sizes tell by themselves: grids of patches, and halves that do not come out even."""

from __future__ import annotations

import re
from math import isqrt

from ...model import Fix

_TWO_SIZES = re.compile(
    r"tensor a \((?P<a>\d+)\) must match the size of tensor b \((?P<b>\d+)\)|Expected size (?P<a2>\d+) but got size (?P<b2>\d+)"
)
_PICTURE = re.compile(r"\b(?P<name>height|width|img_size|image_size|size|resolution)\s*[=:]\s*(?P<value>\d{2,5})\b")


def of_two_sizes(message: str, text: str) -> tuple[str, Fix] | None:
    """A note and a remedy for the two sizes of a message that do not fit; `text`: the code and the lines around."""
    found = _TWO_SIZES.search(message)
    if found is None:
        return None
    a, b = (int(next(n for n in pair if n)) for pair in ((found["a"], found["a2"]), (found["b"], found["b2"])))
    for extra, token in ((1, " and a class token"), (0, "")):
        sides = [isqrt(max(0, n - extra)) for n in (a, b)]
        if a != b and min(sides) >= 4 and [side * side + extra for side in sides] == [a, b]:
            parts = " and ".join(f"{n} is {side}·{side}{' + 1' if extra else ''}" for n, side in zip((a, b), sides))
            return (
                f"{parts}: patches of pictures of two sizes{token}, where the table of positions was made for one of them",
                Fix(
                    "resize the pictures to the size that the model was made for, or interpolate its position embedding", (), "display-only"
                ),
            )
    odd = next((m for m in _PICTURE.finditer(text) if int(m["value"]) % 64 and int(m["value"]) > 64), None)
    if "Expected size" in message and abs(a - b) == 1 and odd is not None:
        name, value = odd["name"], int(odd["value"])
        return (
            f"{name} is {value}, no multiple of 64: where maps are halved on the way down and doubled on the way up, an odd size comes back one "
            "larger or smaller than the skip connection that it is joined with",
            Fix(f"take a {name} that is a multiple of 64 ({value // 64 * 64} or {value // 64 * 64 + 64})", (), "display-only"),
        )
    return None
