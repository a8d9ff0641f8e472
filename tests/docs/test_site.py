"""The documentation builds as a site without a warning, and every link and anchor on it leads somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "docs" / "mkdocs" / "mkdocs.yml"
LEFT_OVER = re.compile(r"```|^\s*(?:[-*]|\d+\.) |\]\(|\*\*|^#{1,6} |^\|", re.MULTILINE)
LOADING = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "object": "data"}
FOREIGN = re.compile(r"^(?:https?:)?//")


@dataclass
class Read(HTMLParser):
    """What one built page links to, loads and can be linked at, and the text of its paragraphs and lists."""

    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    text: str = ""
    code: int = 0
    prose: int = 0
    article: int = 0

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take links, anchors and what a browser would load."""
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        self.code += tag in {"code", "pre", "script", "style"}
        self.article += tag == "article"
        self.prose += tag in {"p", "li", "td"}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if values.get("rel") not in {"canonical", "next", "prev"} and LOADING.get(tag) in values:
            self.loads.append(values[LOADING[tag]])

    def handle_endtag(self, tag: str) -> None:
        """Leave code, paragraphs and lists."""
        self.code -= tag in {"code", "pre", "script", "style"}
        self.article -= tag == "article"
        self.prose -= tag in {"p", "li", "td"}

    def handle_data(self, data: str) -> None:
        """Keep the text that a reader sees as prose."""
        if self.article and self.prose and not self.code:
            self.text += data


def read(page: Path) -> Read:
    """Read one built page."""
    found = Read()
    found.feed(page.read_text(encoding="utf-8"))
    return found


def pages_of(nav: Any) -> Iterator[str]:  # noqa: ANN401 - nested lists and mappings of YAML
    """Yield the pages that a navigation names."""
    if isinstance(nav, str):
        yield nav
    for part in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from pages_of(part)


@pytest.fixture(scope="module", name="site")
def site_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site as `make docs` does, into a folder of its own."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--config-file", CONFIGURATION, "--site-dir", folder],
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder


def test_every_page_is_in_the_navigation(load: Callable[[str], ModuleType]) -> None:
    """The navigation of the site, which is the map in index.md, names every page once; warnings end the build."""
    nav = list(pages_of(load("../docs/mkdocs/hooks.py").navigation()))
    docs = ROOT / "docs"

    assert sorted(nav) == sorted(["readme.md", *(str(page.relative_to(docs)) for page in docs.rglob("*.md"))])
    assert "\nstrict: true\n" in CONFIGURATION.read_text(encoding="utf-8")


@pytest.mark.slow
def test_links_of_the_site_lead_somewhere(site: Path) -> None:
    """Every link within the site names a file that was built, and an anchor that is on it."""
    found = {page: read(page) for page in sorted(site.rglob("*.html"))}
    dead = []
    for page, what in found.items():
        if page.name == "404.html":  # served for any address, so its links start at the root of a server
            continue
        for link in what.links:
            if urlsplit(link).scheme:
                continue
            path, _, anchor = link.partition("#")
            file = (page.parent / unquote(path)).resolve() if path else page
            file = file / "index.html" if file.is_dir() else file
            if not file.is_file() or (anchor and unquote(anchor) not in found[file].anchors):
                dead.append(f"{page.relative_to(site)}: {link}")

    assert len(found) > 30
    assert dead == []


@pytest.mark.slow
def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    """No page and no style sheet makes a browser ask another machine."""
    foreign = [
        f"{page.relative_to(site)}: {address}"
        for page in site.rglob("*.html")
        for address in read(page).loads
        if FOREIGN.match(address)
    ]
    foreign += [
        f"{sheet.relative_to(site)}: {address}"
        for sheet in site.rglob("*.css")
        for address in re.findall(r"url\(['\"]?((?:https?:)?//[^)]*)", sheet.read_text(encoding="utf-8"))
    ]

    assert foreign == []


@pytest.mark.slow
def test_no_markdown_is_left_over(site: Path) -> None:
    """Lists, tables, fences and links that GitHub draws are drawn on the site as well."""
    left = [
        f"{page.relative_to(site)}: {found[0]!r} in {text.text[max(0, found.start() - 30) : found.end() + 40]!r}"
        for page in site.rglob("*.html")
        for text in [read(page)]
        for found in LEFT_OVER.finditer(text.text)
    ]

    assert left == []
