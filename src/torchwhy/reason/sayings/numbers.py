"""What numbers tell by themselves: grids of patches, halves that do not come out even, the shape that has so many bytes."""

from __future__ import annotations

import re
from math import isqrt, prod

from ...model import Fix
from ..memory import memory_numbers

_TWO_SIZES = re.compile(
    r"tensor a \((?P<a>\d+)\) must match the size of tensor b \((?P<b>\d+)\)|Expected size (?P<a2>\d+) but got size (?P<b2>\d+)"
)
_SHAPE = re.compile(r"(?:Size\(|shape\W{0,3}|[a-z_] ?)[\[(]{1,3}((?:\d{1,12}, ?){0,12}\d{1,12}),?[\])]")
_BYTES = (("float32", 4), ("float16", 2), ("float64", 8), ("uint8", 1))
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


def of_that_size(message: str, text: str) -> tuple[str, Fix | None] | None:
    """Which shape of the text, or which two of them broadcast, is as large as the memory that was asked for."""
    memory = memory_numbers(message)
    wanted = memory.tried if memory is not None else None
    if not wanted:
        return None
    shapes = list(dict.fromkeys(tuple(int(n) for n in re.findall(r"\d+", m[1])) for m in _SHAPE.finditer(text)))[:40]
    for shape in shapes:
        if (dtype := _dtype_of(shape, wanted)) is not None:
            return f"a tensor of {_text(shape)} in {dtype} is exactly that large", None
    for a in shapes:
        for b in shapes:
            both = _broadcast(a, b)
            if both is not None and both not in (a, b) and (dtype := _dtype_of(both, wanted)) is not None:
                return (
                    f"{_text(a)} with {_text(b)} broadcasts to {_text(both)}: that is the size in {dtype}",
                    Fix("give both the same shape first: `squeeze`, `unsqueeze` or `view` one of them", (), "display-only"),
                )
    return None


def _dtype_of(shape: tuple[int, ...], wanted: float) -> str | None:
    """The dtype in which the shape takes that much, within the message's two decimals and the allocator's steps of 2 MiB."""
    near = 2.1 * 2**20 + (0.0051 * 2**30 if wanted >= 2**30 else 0)
    sizes = ((name, prod(shape) * size) for name, size in _BYTES)
    return next((name for name, size in sizes if size > 2**24 and abs(size - wanted) <= near), None)


def _broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...] | None:
    length = max(len(a), len(b))
    pairs = list(zip((1,) * (length - len(a)) + a, (1,) * (length - len(b)) + b))
    return tuple(max(x, y) for x, y in pairs) if all(x == y or 1 in (x, y) for x, y in pairs) else None


def _text(shape: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"
