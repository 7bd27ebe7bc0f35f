"""What is torchwhy's own among the frames of a program."""

from __future__ import annotations

import os
from types import CodeType

OWN = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
HIDDEN = "<importlib._bootstrap>"
"""Ends the file name of hook code: `warnings.warn` steps over frames whose file name holds both words, so warnings keep their place."""


def is_own_code(code: CodeType) -> bool:
    """Whether the frame of this code is torchwhy's, also where it bears the user's file name (see `mode.call_as`)."""
    return code.co_name == "__torchwhy__" or code.co_filename.startswith(OWN)
