"""Writes the static site of all codes to build/site (or the folder given): a page each, an index, and the search that works offline.

The pages are those of `torchwhy explain`, from the same parser. Jinja2 escapes all text; what is inline code is marked up here.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(ROOT / "src")]

from catalogue import catalogue  # noqa: E402
from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: E402
from markupsafe import Markup, escape  # noqa: E402

from torchwhy import __version__  # noqa: E402
from torchwhy.catalogue import load  # noqa: E402
from torchwhy.family import Family  # noqa: E402
from torchwhy.page import Page, page_of, pieces, recorded, recorded_with  # noqa: E402
from torchwhy.render.text import visible  # noqa: E402

STATIC = ("style.css", "search.js")


def publish(target: Path, families: tuple[Family, ...]) -> int:
    """Write the site; how many bytes it has."""
    pages = [page_of(family) for family in families]
    texts = {f"{page.code}.html": html for page, html in zip(pages, _pages(pages))}
    texts["index.html"] = _index(pages)
    texts["catalogue.js"] = _script(catalogue(families))
    target.mkdir(parents=True, exist_ok=True)
    for old in target.glob("TW*.html"):
        old.unlink()
    for name, text in texts.items():
        (target / name).write_text(text, encoding="utf-8")
    for name in STATIC:
        shutil.copyfile(HERE / "static" / name, target / name)
    return sum(file.stat().st_size for file in target.iterdir())


def _pages(pages: list[Page]) -> list[str]:
    template = _environment({page.slug: page.code for page in pages}).get_template("page.html")
    around = [None, *pages, None]
    return [
        template.render(page=page, before=before, after=after, torch=_printed_by(page))
        for before, page, after in zip(around, pages, around[2:])
    ]


def _printed_by(page: Page) -> str:
    """The version of PyTorch that printed the page's messages, where they all come from runs of its examples."""
    return recorded_with() if page.seen and set(page.seen) == set(recorded().get(page.slug, ())) else ""


def _index(pages: list[Page]) -> str:
    groups: dict[str, list[Page]] = {}
    for page in pages:
        groups.setdefault(page.group, []).append(page)
    return _environment({}).get_template("index.html").render(groups=groups.items())


def _environment(codes: dict[str, str]) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, finalize=_shown
    )
    environment.globals["version"] = __version__
    environment.filters["lines"] = lambda text: Markup("\n").join(map(visible, text.splitlines()))
    environment.filters["sentence"] = lambda text: text[:1].upper() + text[1:]
    environment.filters["inline"] = lambda text: Markup("").join(_inline(text, codes))
    return environment


def _shown(value: object) -> object:
    """No control character reaches a page."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _inline(text: str, codes: dict[str, str]) -> list[Markup]:
    """Inline code as such; the name of a family leads to its page."""
    made = []
    for piece, is_code in pieces(visible(text)):
        html = Markup("<code>{}</code>").format(piece) if is_code else escape(piece)
        code = codes.get(piece) if is_code else None
        made.append(Markup('<a href="{}.html">{}</a>').format(code, html) if code else html)
    return made


def _script(data: dict[str, Any]) -> str:
    """The data as a script, since a page opened from a disk may not fetch a file."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")
    return f"window.CATALOGUE = {text};\n"


if __name__ == "__main__":
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "site"
    size = publish(place, load().families)
    print(f"{place / 'index.html'}: {len(load().families)} codes, {size / 1000:.0f} kB")
