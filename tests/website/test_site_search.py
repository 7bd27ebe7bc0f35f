"""Paste a message, and the code comes up: the search of the site, asked as the browser asks it."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import twin
from catalogue import catalogue
from patterns import Untranslatable, javascript

from torchwhy.catalogue import load
from torchwhy.page import page_of

FAMILIES = load().families
SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "website" / "static" / "search.js"
NODE = shutil.which("node")
PROGRAM = """
const search = require(process.argv[1]).search;
const [data, texts] = JSON.parse(require("fs").readFileSync(0, "utf-8"));
process.stdout.write(JSON.stringify(texts.map((text) => search(data, text).map((one) => one.slug))));
"""
TRACEBACK = """\
Traceback (most recent call last):
  File "/home/a/runs/train.py", line {line}, in <module>
    main()
  File "/home/a/env/lib/python3.12/site-packages/torch/nn/modules/module.py", line {line}, in _call_impl
    return forward_call(*args, **kwargs)
{message}
"""


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    """As the browser gets it."""
    made: dict[str, Any] = json.loads(json.dumps(catalogue(FAMILIES)))
    return made


def find(data: dict[str, Any], texts: list[str]) -> list[list[str]]:
    """By the site's own script where node is; else by its twin."""
    return by_node(data, texts) if NODE else [twin.search(data, text) for text in texts]


def by_node(data: dict[str, Any], texts: list[str]) -> list[list[str]]:
    assert NODE is not None
    done = subprocess.run([NODE, "-e", PROGRAM, str(SCRIPT)], input=json.dumps([data, texts]), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found: list[list[str]] = json.loads(done.stdout)
    return found


def messages() -> list[tuple[str, str]]:
    """Every family with every message that its examples end with."""
    return [(family.slug, text) for family in FAMILIES for text in page_of(family).seen]


def jumbled(text: str, seed: int = 7) -> str:
    """The text with other numbers, shapes and folders."""
    chance = random.Random(seed)
    moved = text.replace("/home/a/runs/", "C:\\runs\\b\\").replace("…/", "/data/x/")
    return re.sub(r"(?<![\w.:])\d+(?![\w.])", lambda _: str(chance.randint(2, 4096)), moved)


def test_every_pattern_is_translated() -> None:
    for family in FAMILIES:
        for trigger in family.triggers:
            source, flags = javascript(trigger.pattern)
            assert "(?P" not in source and "s" in flags and re.compile(source)


@pytest.mark.parametrize(
    ("pattern", "made"),
    [
        (r"\Aa(?P<x>\d+)b\Z", (r"^a(\d+)b$", "s")),
        (r"(?i)(?P<q>['\"])a(?P=q)", (r"(['\"])a\1", "is")),
        (r"[]a](?=b)(?<!c)(?:d){,3}[^]e]", (r"[\]a](?=b)(?<!c)(?:d){0,3}[^\]e]", "s")),
        (r"a(?i:b)", (r"a(?:b)", "is")),
        (r"(a)\((?P<x>b)(?P=x)", (r"(a)\((b)\2", "s")),
        (r"[(?P<x>]\[", (r"[(?P<x>]\[", "s")),
    ],
)
def test_a_pattern_in_the_words_of_javascript(pattern: str, made: tuple[str, str]) -> None:
    assert javascript(pattern) == made


@pytest.mark.parametrize("pattern", [r"(?x)a b", r"a(?-i:b)", r"(?#note)a", r"(a)?(?(1)b|c)"])
def test_what_javascript_lacks_is_refused(pattern: str) -> None:
    with pytest.raises(Untranslatable):
        javascript(pattern)


@pytest.mark.parametrize("shape", ["bare", "typed", "traceback", "jumbled", "log"])
def test_the_messages_of_the_examples_find_their_code(shape: str, data: dict[str, Any]) -> None:
    asked = messages()
    texts = {
        "bare": [text.partition(": ")[2] or text for _, text in asked],
        "typed": [text for _, text in asked],
        "traceback": [TRACEBACK.format(line=12, message=text) for _, text in asked],
        "jumbled": [jumbled(TRACEBACK.format(line=77, message=text)) for _, text in asked],
        "log": [f"epoch 3: 100%|##| loss=0.3\nINFO saving\n{TRACEBACK.format(line=5, message=text)}" for _, text in asked],
    }[shape]
    found = find(data, texts)
    missing = [(slug, text, got) for (slug, text), got in zip(asked, found) if slug not in got]
    assert len(missing) <= 0.02 * len(asked), missing
    same = {
        text.partition(": ")[2]: {slug for slug, other in asked if other.partition(": ")[2] == text.partition(": ")[2]} for _, text in asked
    }
    first = sum(got[:1] != [] and (got[0] == slug or got[0] in same[text.partition(": ")[2]]) for (slug, text), got in zip(asked, found))
    assert first >= 0.8 * len(asked), f"{first} of {len(asked)}"


def test_printed_examples_find_their_code(data: dict[str, Any]) -> None:
    asked = [(family.slug, example.text) for family in FAMILIES for example in family.log_examples]
    for (slug, text), got in zip(asked, find(data, [text for _, text in asked])):
        assert slug in got[:2], (text, got)


@pytest.mark.parametrize(
    "text", ["", "  \n", "hello world, how are you", "KeyError: 'a'\n", "ModuleNotFoundError: No module named 'flask'\n"]
)
def test_a_text_that_says_nothing_finds_little(text: str, data: dict[str, Any]) -> None:
    assert len(find(data, [text])[0]) <= 2


PREFIXED = [
    "[rank3]: RuntimeError: mat1 and mat2 shapes cannot be multiplied (8x12 and 9x3)",
    "\x1b[31mRuntimeError\x1b[0m: mat1 and mat2 shapes cannot be multiplied (8x12 and 9x3)\r\n",
    "[default0]:[rank0]: RuntimeError: mat1 and mat2 shapes cannot be multiplied (8x12 and 9x3)",
    "E   RuntimeError: mat1 and mat2 shapes cannot be multiplied (8x12 and 9x3)",
    "  | RuntimeError: mat1 and mat2 shapes cannot be multiplied (8x12 and 9x3)\n  +------",
    "node-2: RuntimeError: mat1 and mat2 shapes cannot be multiplied (8x12 and 9x3)",
]


@pytest.mark.skipif(NODE is None, reason="node is not installed")
class TestInNode:
    """What only the script itself can show."""

    def test_the_twin_says_the_same(self, data: dict[str, Any]) -> None:
        texts = [TRACEBACK.format(line=3, message=text) for _, text in messages()]
        for text, got in zip(texts, by_node(data, texts)):
            assert twin.search(data, text) == got, text

    @pytest.mark.parametrize("text", PREFIXED)
    def test_prefixes_and_colours_do_not_matter(self, text: str, data: dict[str, Any]) -> None:
        assert "shape.linear" in by_node(data, [text])[0][:2]

    def test_the_page_shows_what_is_found(self, data: dict[str, Any]) -> None:
        program = """
        const [script, box] = [process.argv[1], { value: "", form: {}, on: {} }];
        box.addEventListener = (name, call) => { box.on[name] = call; };
        box.form.addEventListener = (name, call) => { box.on[name] = call; };
        const make = () => ({ parts: [], append(...more) { this.parts.push(...more); }, replaceChildren(...all) { this.parts = all; } });
        const places = { pasted: box, found: make(), note: make() };
        global.document = { getElementById: (name) => places[name], createElement: make, addEventListener: box.addEventListener };
        global.window = { CATALOGUE: JSON.parse(require("fs").readFileSync(0, "utf-8")) };
        require(script);
        const answers = ["mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)", "", "qq"].map((text) => {
          box.value = text;
          box.on.submit({ preventDefault() {} });
          return [places.note.textContent, places.found.parts.map((item) => item.parts[0].href)];
        });
        box.on.paste({ target: null, clipboardData: { getData: () => "RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB." } });
        answers.push(places.found.parts[0].parts[0].href);
        process.stdout.write(JSON.stringify(answers));
        """
        assert NODE is not None
        done = subprocess.run([NODE, "-e", program, str(SCRIPT)], input=json.dumps(data), capture_output=True, text=True, timeout=60)
        found, nothing, unknown, pasted = json.loads(done.stdout)
        assert found[0].endswith("the best first.") and set(found[1][:2]) == {"TW0101.html", "TW0102.html"}
        assert pasted == "TW0502.html"
        assert nothing == ["", []] and unknown == ["No page fits this text.", []]

    def test_hostile_and_long_texts_take_no_time(self, data: dict[str, Any]) -> None:
        texts = [
            "(" * 20000,
            "a" * 200_000,
            "Error: " * 20000,
            "\x1b[" * 9999,
            "<script>alert(1)</script>",
            "[rank0]: " * 9999 + "x",
            "1: " * 20000,
        ]
        texts += [f"RuntimeError: {'[1, ' * 5000}", "\n".join(["ValueError: size"] * 5000), "must match " * 3000, "batch " * 9000]
        assert len(by_node(data, texts)) == len(texts)
