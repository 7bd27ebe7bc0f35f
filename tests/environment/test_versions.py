"""Versions, requirements and their markers, as packages write them."""

from __future__ import annotations

import pytest

from torchwhy.environment.versions import applies, minor, release, requirement, satisfies

LINUX = {"platform_system": "Linux", "platform_machine": "x86_64", "python_version": "3.12", "sys_platform": "linux", "extra": ""}


@pytest.mark.parametrize(
    ("version", "wanted", "answer"),
    [
        ("2.9.0+cu128", "==2.9.0", True),
        ("2.9.1", "==2.9.0", False),
        ("2.9.1", "==2.9.*", True),
        ("2.10.0", "==2.9.*", False),
        ("2.10", ">=2.9,<3", True),
        ("2.10", "==2.10.0", True),
        ("3.11.7", ">=3.10", True),
        ("3.9.2", ">=3.10.0", False),
        ("9.1.0.70", "==9.1.0.70", True),
        ("2.4.1", "~=2.4", True),
        ("3.0", "~=2.4", False),
        ("2.4.1", "!=2.4.1", False),
        ("2.11.0.dev20260101+cu130", ">=2.4", True),
        ("odd", "==1", None),
        ("1.0", "nonsense", None),
        ("1.0", "", True),
    ],
)
def test_a_version_is_one_of_those_wanted(version: str, wanted: str, answer: bool | None) -> None:
    assert satisfies(version, wanted) is answer


@pytest.mark.parametrize(
    ("text", "name", "wanted"),
    [
        ("nvidia-cudnn-cu12==9.1.0.70; platform_system == 'Linux'", "nvidia-cudnn-cu12", "==9.1.0.70"),
        ("torch (==2.9.0)", "torch", "==2.9.0"),
        ("Typing_Extensions>=4.10.0", "typing-extensions", ">=4.10.0"),
        ("optree[extra]>=0.13.0,<1 ; extra == 'optree'", "optree", ">=0.13.0,<1"),
        ("filelock", "filelock", ""),
    ],
)
def test_requirements_are_read(text: str, name: str, wanted: str) -> None:
    one = requirement(text)
    assert one is not None and (one.name, one.wanted) == (name, wanted)


def test_a_requirement_by_address_is_no_statement() -> None:
    assert requirement("torch @ https://example.org/torch.whl") is None
    assert requirement("") is None


@pytest.mark.parametrize(
    ("marker", "answer"),
    [
        ("", True),
        ('platform_system == "Linux" and platform_machine == "x86_64"', True),
        ('platform_system == "Windows" or (python_version < "3.13" and platform_machine != "aarch64")', True),
        ('python_version >= "3.13"', False),
        ('extra == "optree"', False),
        ("sys_platform not in 'win32 darwin'", True),
        ('python_version ==', None),
        ("(((", None),
    ],
)  # fmt: skip
def test_markers(marker: str, answer: bool | None) -> None:
    assert applies(marker, LINUX) is answer


def test_numbers() -> None:
    assert release("2.13.0+cpu") == (2, 13, 0) and release("") == ()
    assert minor("13.0") == (13, 0) and minor("13") is None
