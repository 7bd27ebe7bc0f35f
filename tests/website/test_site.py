"""The site: every link leads somewhere, nothing comes from a network, and all text is escaped."""

from __future__ import annotations

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from publish import publish

from torchwhy.catalogue import load
from torchwhy.family import Example, Family, Trigger
from torchwhy.page import page_of
from torchwhy.render.pages import page_lines
from torchwhy.render.text import plain

FAMILIES = load().families
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Reader(HTMLParser):
    """The tags of a page; `open` is empty in the end where they nest."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all_of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    assert publish(folder, FAMILIES) < 1_500_000
    return folder


def test_every_code_has_its_page_and_every_link_leads_somewhere(site: Path) -> None:
    assert {file.name for file in site.glob("TW*.html")} == {f"{family.code}.html" for family in FAMILIES}
    for file in site.glob("*.html"):
        page = read(file.read_text(encoding="utf-8"))
        for attributes in (*page.all_of("a"), *page.all_of("link"), *page.all_of("script")):
            target = attributes.get("href") or attributes.get("src") or ""
            assert target.startswith("#") or (site / target).is_file(), (file.name, target)


def test_nothing_comes_from_a_network(site: Path) -> None:
    for file in site.iterdir():
        text = file.read_text(encoding="utf-8")
        assert file.suffix in (".html", ".js", ".css")
        if file.suffix != ".html":
            assert "fetch(" not in text and "XMLHttpRequest" not in text and "@import" not in text and "innerHTML" not in text
        else:
            assert not [tag for tag, attributes in read(text).tags if any(name.startswith("on") for name in attributes)]


def test_the_index_can_be_used_without_a_mouse(site: Path) -> None:
    page = read((site / "index.html").read_text(encoding="utf-8"))
    labels = {attributes.get("for") for attributes in page.all_of("label")}
    assert {attributes.get("id") for attributes in page.all_of("textarea")} <= labels
    assert page.all_of("html")[0]["lang"] == "en" and [a for _, a in page.tags if a.get("role") == "status"]
    assert {f"{family.code}.html" for family in FAMILIES} <= {attributes.get("href") for attributes in page.all_of("a")}
    assert "prefers-color-scheme: dark" in (site / "style.css").read_text(encoding="utf-8")


def _luminance(colour: str) -> float:
    digits = colour.strip("# ;")
    digits = "".join(2 * c for c in digits) if len(digits) == 3 else digits
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_colours_have_contrast(site: Path) -> None:
    style = (site / "style.css").read_text(encoding="utf-8")
    roots = [line for line in style.splitlines() if ":root {" in line]
    assert len(roots) == 2
    for root in roots:
        colours = dict(part.strip().split(": ") for part in root.partition("{")[2].rpartition("}")[0].split(";") if ":" in part)
        for front in ("--text", "--soft", "--link", "--cause"):
            for back in ("--back", "--panel"):
                light, dark = sorted((_luminance(colours[front]), _luminance(colours[back])), reverse=True)
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (root[:20], front, back)


class Hostile(Family):
    """A page <script>alert(1)</script> & more."""

    code = "TW9901"
    title = "<b>bold</b> \x1b[31m title"
    triggers = (Trigger("</script><script>alert(2)</script>"),)
    examples = (Example({"<x>.py": 'print("<img src=x onerror=alert(3)>")  #~ cause\n'}),)

    @property
    def slug(self) -> str:
        return "hostile.page"

    @property
    def page(self) -> str:
        return "One <i>sentence</i>.\n\nErroneous code:\n\n{example}\n\nWhy: `<u>` and & and \x07.\n\nMessages: `a</samp><script>b`.\n"


def test_hostile_text_is_escaped(tmp_path: Path) -> None:
    publish(tmp_path, (Hostile(),))
    page = read((tmp_path / "TW9901.html").read_text(encoding="utf-8"))
    assert not page.all_of("img") and not page.all_of("script") and not page.all_of("i") and not page.all_of("b") and not page.all_of("u")
    for text in ("<i>sentence</i>", "onerror=alert(3)", "<u>", "a</samp><script>b", "\\x07", "<x>.py"):
        assert text in page.text, text
    assert "\x1b" not in page.text and "\x07" not in page.text
    script = (tmp_path / "catalogue.js").read_text(encoding="utf-8")
    assert "<" not in script and json.loads(script.partition(" = ")[2].rstrip(";\n"))["families"][0]["code"] == "TW9901"


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.slug)
def test_terminal_and_site_say_the_same(family: Family, site: Path) -> None:
    page = page_of(family)
    html = " ".join(read((site / f"{family.code}.html").read_text(encoding="utf-8")).text.split()).lower()
    terminal = " ".join(plain(page_lines(page, 4000)).split()).lower()
    for text in (page.title, *page.named):
        bare = " ".join(text.split()).lower()
        assert bare in html, text
        assert bare in terminal, text
    for line in (line.text.strip().lower() for program in page.programs for line in program.lines):
        assert " ".join(line.split()) in html and " ".join(line.split()) in terminal
    assert {"Why", "Fix"} <= {block.heading for block in page.blocks} and page.programs
    assert "{example}" not in html and "```" not in html


def test_every_page_names_messages() -> None:
    for family in FAMILIES:
        page = page_of(family)
        assert page.named or page.seen, f"{family.slug}: its page has no `Messages:` (make docs records those of its examples)"


def test_a_saved_template_is_a_page_too() -> None:
    from torchwhy.families._template import TensorOfTensors

    page = page_of(TensorOfTensors())
    assert [block.heading for block in page.blocks] == ["Erroneous code", "Why", "Fix", "Not to be confused with"]


def test_the_program_builds_where_it_is_told(tmp_path: Path) -> None:
    program = Path(__file__).resolve().parents[2] / "tools" / "website" / "publish.py"
    done = subprocess.run([sys.executable, str(program), str(tmp_path / "deep" / "site")], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and (tmp_path / "deep" / "site" / "index.html").is_file(), done.stderr
