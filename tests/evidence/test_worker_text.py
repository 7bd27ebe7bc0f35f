"""Printed tracebacks, and what a worker's text says."""

from __future__ import annotations

import pytest
import torch
from torch._utils import ExceptionWrapper

from torchwhy.evidence.worker_text import caught, origin_by_name, read_traceback


def _raised_again(error: Exception, where: str) -> Exception:
    """As torch raises a worker's exception in the main process."""
    try:
        try:
            raise error
        except Exception:
            ExceptionWrapper(where=where).reraise()
    except Exception as again:
        return again
    raise AssertionError("nothing was raised")


class Odd(Exception):
    """Can't be made from a text."""

    def __init__(self, code: int, name: str) -> None:
        super().__init__(f"{code} {name}")


@pytest.mark.parametrize(
    "error", [KeyError("mask"), ValueError("two\nlines"), RuntimeError(""), Odd(3, "x"), torch.OutOfMemoryError("no room")]
)
def test_the_true_exception_is_found(error: Exception) -> None:
    again = _raised_again(error, "in DataLoader worker process 3")
    told = caught(str(again))
    assert told is not None and told.worker == 3 and told.error_type == type(error).__name__
    failure = read_traceback(told.traceback)
    assert failure is not None
    assert (failure.error_type, failure.message) == (type(error).__name__, str(error))
    assert failure.frames[-1].span.file.endswith("test_worker_text.py")
    assert failure.frames[-1].code == "raise error"


def test_other_threads_tell_in_the_same_way() -> None:
    told = caught(str(_raised_again(TypeError("x"), "in pin memory thread for device 0")))
    assert told is not None and told.worker is None and told.where == "in pin memory thread for device 0"


def test_an_exception_raised_from_another_keeps_it() -> None:
    text = """\
Traceback (most recent call last):
  File "store.py", line 4, in load
    return TABLE[name]
           ~~~~~^^^^^^
KeyError: 'a'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/x/site-packages/torch/utils/data/_utils/fetch.py", line 54, in fetch
    data = [self.dataset[idx] for idx in possibly_batched_index]
  File "store.py", line 9, in __getitem__
    raise LookupError(f"no {name}") from None
my.errors.LookupError: no a
"""
    failure = read_traceback(text)
    assert failure is not None and failure.caused_by is not None
    assert (failure.error_module, failure.error_type, failure.message) == ("my.errors", "LookupError", "no a")
    assert [f.origin for f in failure.frames] == ["torch", "user"]
    assert failure.caused_by.error_type == "KeyError"


def test_marks_become_columns_where_the_file_is_at_hand() -> None:
    text = 'Traceback (most recent call last):\n  File "a.py", line 2, in f\n    return x[i] + 1\n           ~^^^\nIndexError: no\n'
    failure = read_traceback(text, line_of=lambda file, line: "        return x[i] + 1\n")
    assert failure is not None
    span = failure.frames[0].span
    assert "        return x[i] + 1"[span.column : span.end_column] == "x[i]"


@pytest.mark.parametrize(
    "text", ["", "no traceback here", "Traceback (most recent call last):\n", 'Traceback (most recent call last):\n  File "a", line 1\n']
)
def test_what_is_no_traceback_is_none(text: str) -> None:
    assert read_traceback(text) is None


@pytest.mark.parametrize(
    ("file", "origin"),
    [
        ("/env/lib/python3.11/site-packages/torch/_utils.py", "torch"),
        (r"C:\env\Lib\site-packages\torch\nn\modules\linear.py", "torch"),
        ("/env/lib/python3.11/site-packages/numpy/core.py", "library"),
        ("/usr/lib/python3.12/multiprocessing/process.py", "library"),
        ("/home/me/project/torch/train.py", "user"),
    ],
)
def test_whose_file_it_is(file: str, origin: str) -> None:
    assert origin_by_name(file) == origin
