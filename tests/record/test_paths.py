"""A function that runs for the first time while the recorder stands aside brings it back; one that ran before does not."""

from __future__ import annotations

import dataclasses
import sys

import pytest

from torchwhy.record.paths import Paths


def early() -> int:
    return 1


def late() -> int:
    return 2


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring came with Python 3.12")
def test_each_function_is_new_once() -> None:
    heard: list[str] = []
    paths = Paths(heard.append)
    paths.watch()
    try:
        early()
        before = len(heard)
        early()
        again = len(heard)
        late()
        after = len(heard)
    finally:
        paths.leave()
    assert before == again < after
    assert set(heard) == {"path"}
    assert all(sys.monitoring.get_tool(number) is None for number in (3, 4))  # type: ignore[attr-defined,unused-ignore]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring came with Python 3.12")
def test_generated_code_is_no_path() -> None:
    heard: list[str] = []
    paths = Paths(heard.append)
    paths.watch()
    try:
        made = dataclasses.make_dataclass("Made", ["x"])
        repr(made(1))
    finally:
        paths.leave()
    assert heard == []


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="without sys.monitoring")
def test_older_pythons_do_without() -> None:
    heard: list[str] = []
    paths = Paths(heard.append)
    paths.watch()
    late()
    paths.leave()
    assert heard == []
