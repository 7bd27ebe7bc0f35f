"""How facts are put into words: the same everywhere."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from ..model import Items, ModuleFacts, Plain, Span, TensorFacts, Value

_TORCH_NAMES = {
    "Float": "float32",
    "Double": "float64",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Long": "int64",
    "Int": "int32",
    "Short": "int16",
    "Char": "int8",
    "Byte": "uint8",
    "Bool": "bool",
    "ComplexFloat": "complex64",
    "ComplexDouble": "complex128",
    "c10::Half": "float16",
    "c10::BFloat16": "bfloat16",
    "float": "float32",
    "double": "float64",
    "long": "int64",
    "long int": "int64",
    "int": "int32",
    "bool": "bool",
    "signed char": "int8",
    "unsigned char": "uint8",
    "short": "int16",
}


def dtype_name(text: str) -> str:
    """torch's C++ name of a dtype (`Float`, `c10::Half`, `long int`) as its Python name; other text unchanged."""
    return _TORCH_NAMES.get(text, text.removeprefix("torch."))


def shape_text(shape: Sequence[int] | None) -> str:
    """`[32, 3136]`; `[]` for a scalar."""
    return "[?]" if shape is None else "[" + ", ".join(map(str, shape)) + "]"


def tensor_text(tensor: TensorFacts) -> str:
    """`float32 [32, 3136]`, with the device when it is not the CPU."""
    place = "" if tensor.device == "cpu" else f" {tensor.device}"
    return f"{tensor.dtype} {shape_text(tensor.shape)}{place}"


def value_text(value: Value | None) -> str:
    """One value in a few words."""
    if isinstance(value, TensorFacts):
        return tensor_text(value)
    if isinstance(value, Items):
        inside = ", ".join(value_text(item) for item in value.items[:4])
        return f"{value.kind} of {value.length}" + (f": {inside}{', …' if value.length > 4 else ''}" if inside else "")
    return value.text if isinstance(value, Plain) else "?"


def code(text: str) -> str:
    """Text as inline code; backticks and line ends in it can't break out, long text is cut in the middle."""
    flat = " ".join(text.replace("`", "'").split())
    return f"`{flat if len(flat) <= 60 else flat[:36] + ' … ' + flat[-20:]}`"


def place(span: Span | None) -> str:
    """`train.py:18`, for use inside a sentence."""
    return f"{os.path.basename(span.file)}:{span.line}" if span is not None else "?"


def listed(words: Sequence[str], last: str = "and") -> str:
    """`a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}" if words else ""


def plural(count: int, word: str, several: str = "") -> str:
    return f"{count} {word if count == 1 else several or word + 's'}"


def layer_text(module: ModuleFacts, *settings: str) -> str:
    """`Linear(in_features=1024, out_features=128)` with the named settings that are known."""
    shown = [f"{a.name}={value_text(a.value)}" for name in settings for a in module.settings if a.name == name]
    return f"{module.kind}({', '.join(dict.fromkeys(shown))})"


def ordinal(number: int) -> str:
    """`1st`, `2nd`, `3rd`, `11th`."""
    suffix = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def grouped(expression: str) -> str:
    """The expression, in parentheses where a method or an index behind it would bind to a part of it only."""
    return expression if re.fullmatch(r"[\w.]+(\([^()]*\)|\[[^][]*\])?", expression) else f"({expression})"


def first_fitting(*texts: str, limit: int = 80) -> str:
    """The first text that is no longer than a headline may be; the last one, cut, where none is."""
    return next((text for text in texts if len(text) <= limit), texts[-1][:limit])


def bytes_text(count: float) -> str:
    """`74.5 GiB`; binary units, as PyTorch's own messages use."""
    size = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if size < 1024 or unit == "PiB":
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}" if size < 100 else f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.0f} EiB"


def fitting(*headlines: str, room: int = 80) -> str:
    """The first that is short enough for a headline; the last where none is."""
    return next((text for text in headlines if len(text) <= room), headlines[-1])
