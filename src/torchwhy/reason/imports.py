"""Imports that an edit needs: `with torch.no_grad():` in a file that knows only `nn`."""

from __future__ import annotations

import ast

from .diffs import patched
from .edits import Edits, add_import
from .source import UNREADABLE, Sources

_IMPORTS = {
    "torch": "import torch",
    "nn": "from torch import nn",
    "F": "import torch.nn.functional as F",
    "pad_sequence": "from torch.nn.utils.rnn import pad_sequence",
    "default_collate": "from torch.utils.data import default_collate",
    "os": "import os",
    "partial": "from functools import partial",
}


def with_imports(edits: Edits, sources: Sources) -> Edits:
    """The edits, and an import at the top of each file in which they use one of these names for the first time."""
    added: Edits = ()
    for file, text in (patched(edits, sources) or {}).items():
        old = _names(sources.evidence.source(file) or "")
        for name in sorted(_names(text) - old):
            if name in _IMPORTS:
                added += add_import(sources, file, _IMPORTS[name])
    return (*edits, *added)


def _names(text: str) -> set[str]:
    """Every name that the text reads, sets or imports."""
    try:
        tree = ast.parse(text.removeprefix("\ufeff"))
    except UNREADABLE:
        return set(_IMPORTS)
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} | {a.arg for a in ast.walk(tree) if isinstance(a, ast.arg)}
    imports = [n for n in ast.walk(tree) if isinstance(n, (ast.Import, ast.ImportFrom))]
    return names | {(alias.asname or alias.name).partition(".")[0] for n in imports for alias in n.names}
