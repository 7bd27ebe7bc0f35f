"""The same failures as other programs print them: encodings, line ends, and what launchers, schedulers and people put in front of each line."""

from __future__ import annotations

import html
import io
import json
from collections.abc import Callable

import pytest
from test_texts import TEXTS, Pasted

from torchwhy.evidence.log import BinaryText
from torchwhy.explain import explain

STEPS = "".join(f"step {i} loss {2.5 / (i + 1):.4f} lr 0.001\n" for i in range(300))


def _before(mark: str) -> Callable[[str], bytes]:
    return lambda text: "\n".join(mark + line for line in text.rstrip("\n").split("\n")).encode() + b"\n"


def _json_lines(text: str) -> bytes:
    return "\n".join(json.dumps({"log": line + "\n", "stream": "stderr"}) for line in text.rstrip("\n").split("\n")).encode()


FORMS: dict[str, Callable[[str], bytes]] = {
    "windows line ends": lambda text: text.replace("\n", "\r\n").encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16 without a mark": lambda text: text.encode("utf-16-le"),
    "UTF-16, big-endian, without a mark": lambda text: text.encode("utf-16-be", "replace"),
    "UTF-16 without a mark after another script": lambda text: ("训练开始了\n" * 40 + text).encode("utf-16-le", "replace"),
    "UTF-16 below UTF-8": lambda text: STEPS.encode() + text.encode("utf-16", "replace"),
    "UTF-8 with a mark": lambda text: text.encode("utf-8-sig"),
    "latin-1": lambda text: ("démarrage, époque 1\n" + text).encode("latin-1", "replace"),
    "torchrun": _before("[rank3]: "),
    "torchrun --tee": _before("[default3]:"),
    "logging": _before("2025-01-02 10:00:00,123 ERROR "),
    "ISO times": _before("2025-01-02T10:00:00.123456Z "),
    "kubernetes": _before("2025-01-02T10:00:00.123456789Z stderr F "),
    "host and rank": _before("node-2: 1: "),
    "compose": _before("trainer-1  | "),
    "SLURM": _before("3: "),
    "MPI": _before("[1,3]<stderr>:"),
    "Ray": _before("(RayTrainWorker pid=4123, ip=10.0.0.4) "),
    "syslog": _before("Nov 20 18:00:01 gpu12 python3[1712]: "),
    "CI": _before("2025-01-02T10:00:00.1234567Z ##[error]"),
    "quoted": _before("> "),
    "indented": _before("    "),
    "red": lambda text: "\n".join(f"\x1b[0;31m{line}\x1b[0m" for line in text.split("\n")).encode(),
    "fenced": lambda text: f"Please help:\n```\n{text}```\nThanks!\n".encode(),
    "a page": lambda text: f"<pre><code>{html.escape(text)}</code></pre>".encode(),
    "JSON lines": _json_lines,
    "a long run": lambda text: (STEPS + text + "cleaning up\n" * 60).encode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_form_does_not_matter(form: str) -> None:
    lost = [one.name for one in TEXTS[::5] if _family(FORMS[form](one.text)) not in one.families]
    assert len(lost) <= len(TEXTS[::5]) * 0.03, lost


def _family(data: bytes) -> str:
    report = explain(io.BytesIO(data))
    assert report.problems == ()
    return report.diagnoses[0].family if report.diagnoses else report.outcome


def test_numbers_of_sixteen_bits_are_no_text() -> None:
    data = b"".join(value.to_bytes(2, "little") for value in range(20_000))
    with pytest.raises(BinaryText):
        explain(io.BytesIO(b"\x01\0\x02\0\x03\0" * 5000 + data))


@pytest.mark.parametrize("one", [one for one in TEXTS if one.text.count("\n") > 6][::4], ids=lambda one: one.name)
def test_a_cut_head_leaves_the_family(one: Pasted) -> None:
    rest = one.text.split("\n", 2)[2]
    assert _family(rest.encode()) in (*one.families, "passed", "failed", "not-torch")
    assert not one.text.startswith("Traceback") or _family(rest.encode()) in one.families
