"""Whose a file is, told by its path alone."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

Origin = Literal["user", "library", "torch"]
_TORCH = re.compile(
    r"(?:-packages|pytorch[\w.-]{0,80})/torch/|(?:^|[/.])torch/(?:nn|utils|_dynamo|_inductor|_functorch|distributed|autograd|optim|cuda|amp|_ops|_tensor"
    r"|serialization|functional|multiprocessing|fx|jit|export|_refs|_prims|_subclasses|_compile|_higher_order_ops)(?:/|\.py|$)"
)
_ELSEWHERE = re.compile(
    r"(?:site|dist)-packages[/-]|/lib/python\d|/lib64/python\d|/python3?\.?\d*/lib/|/(?:ana|mini)(?:conda|forge)\d?/(?:lib|bin)/|/usr/(?:local/)?bin/|/conda/bin/"
    r"|^<frozen |^<string>|^<__array_function__|/Lib/(?:multiprocessing|runpy|threading|asyncio|concurrent|pickle|json|importlib)|^/?lib/python|/\.?v?env[\w.-]*/bin/|/python3\.\d+/(?:\w+/)*\w+\.py",
    re.IGNORECASE,
)


@lru_cache(maxsize=4096)
def origin_of(file: str) -> Origin:
    """`torch`, another package or Python itself (`library`), or the program."""
    name = file.replace("\\", "/")
    if _TORCH.search(name):
        return "torch"
    return "library" if _ELSEWHERE.search(name) else "user"
