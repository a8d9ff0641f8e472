"""Links between pages lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

LINK = re.compile(r"!?\[[^\]]*\]\((?P<to>[^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (?P<text>.+)$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
MACHINE = re.compile(r"(?<![\w.~])/(?:home|root|work|tmp|usr|opt|Users)/")


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in HEADING.finditer(FENCE.sub("", page.read_text(encoding="utf-8"))):
        slug = re.sub(r"[^\w\- ]", "", heading["text"].replace("`", "").lower()).replace(" ", "-")
        number = 0
        while (anchor := f"{slug}-{number}" if number else slug) in found:
            number += 1
        found.add(anchor)
    return found


def test_links_lead_somewhere(documents: dict[Path, list[Any]], root: Path) -> None:
    """Every relative link names a file of the repository, and an anchor that is there."""
    dead = []
    for page in documents:
        for link in LINK.finditer(FENCE.sub("", page.read_text(encoding="utf-8"))):
            to, _, anchor = link["to"].partition("#")
            if "://" in to:
                continue
            file = (page.parent / to).resolve() if to else page
            if not file.exists() or not file.is_relative_to(root):
                dead.append(f"{page.name}: {link['to']}")
            elif anchor and anchor not in anchors(file):
                dead.append(f"{page.name}: no heading #{anchor} in {file.name}")

    assert dead == []


def test_every_page_is_on_the_map(documents: dict[Path, list[Any]], root: Path) -> None:
    """The map of the documentation links to every page."""
    front = root / "docs" / "index.md"
    linked = {
        (front.parent / link["to"].partition("#")[0]).resolve()
        for link in LINK.finditer(front.read_text(encoding="utf-8"))
    }
    missing = [page.name for page in documents if page not in {front, root / "README.md"} and page not in linked]

    assert missing == []


def test_no_page_names_a_folder_of_one_machine(documents: dict[Path, list[Any]]) -> None:
    """No page holds an absolute path of the machine it was written on."""
    found = [page.name for page in documents if MACHINE.search(page.read_text(encoding="utf-8"))]

    assert found == []
