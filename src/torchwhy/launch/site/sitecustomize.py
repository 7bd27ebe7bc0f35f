"""Imported by an interpreter that torchwhy has started for a program (see `torchwhy.launch.native`), before the program.

It takes every trace of itself away, and hands on to the `sitecustomize` of the environment, where there is one.
"""

import importlib
import os
import sys


def _begin() -> None:
    known, modules = set(sys.path_importer_cache), frozenset(sys.modules)
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if entry != here]
    sys.path_importer_cache.pop(here, None)
    given, path = os.environ.pop("TORCHWHY_START", None), os.environ.pop("TORCHWHY_PATH", None)
    del os.environ["PYTHONPATH"]
    if path is not None:
        os.environ["PYTHONPATH"] = path
    if given is None:
        return
    found = sys.path[:]
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(here))))
    try:
        from torchwhy.launch.native import forget_importers, prepare
    finally:
        sys.path[:] = found
    prepare(given, modules)
    forget_importers(known)


_begin()
del sys.modules["sitecustomize"]
try:
    importlib.import_module("sitecustomize")  # the environment's own
except ModuleNotFoundError as error:
    if error.name != "sitecustomize":
        raise
    raise ImportError("No module named 'sitecustomize'", name="sitecustomize") from None  # `site` expects this one
