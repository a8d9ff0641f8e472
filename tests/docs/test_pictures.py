"""The pictures show what the commands print today."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

LARGEST = 200_000
TEXT = "{http://www.w3.org/2000/svg}text"


def _text(svg: str, cell: float) -> str:
    """Put the pieces of a picture back to where they stand on the terminal."""
    lines: dict[float, str] = defaultdict(str)
    for piece in ET.fromstring(svg).iter(TEXT):  # noqa: S314 - a file of this repository, or drawn just now
        if "clip-path" in piece.attrib:
            at, column = float(piece.attrib["y"]), round(float(piece.attrib["x"]) / cell)
            lines[at] = lines[at].ljust(column) + (piece.text or "").replace("\N{NO-BREAK SPACE}", " ")
    return "\n".join(lines[at].rstrip() for at in sorted(lines))


def test_pictures_load_nothing_from_elsewhere(root: Path) -> None:
    """A picture names no other address than that of its own language."""
    for picture in (root / "docs" / "pictures").glob("*.svg"):
        assert set(re.findall(r"https?://[^\"')\s]+", picture.read_text(encoding="utf-8"))) == {
            "http://www.w3.org/2000/svg"
        }


@pytest.mark.unwatched
@pytest.mark.slow
def test_the_plan_is_what_the_command_prints(
    root: Path, load: Callable[[str], ModuleType], mask: Callable[[str], list[str]]
) -> None:
    """Dates, hashes and days left apart, the picture of the plan is the plan of the lab."""
    pictures = load("pictures.py")
    kept = (root / "docs" / "pictures" / "plan.svg").read_text(encoding="utf-8")
    drawn = pictures.draw(pictures.plan_of_the_lab(), "plan", name="plan")

    message = "docs/pictures/plan.svg is old: make pictures"
    assert mask(_text(kept, pictures.CELL)) == mask(_text(drawn, pictures.CELL)), message


def test_photographs_are_small_and_shown(root: Path) -> None:
    """Each picture of a page is smaller than 200 kB, is one that `make pictures` takes, and stands on a page."""
    text = "".join(page.read_text(encoding="utf-8") for page in (root / "docs").rglob("*.md"))
    taken = (root / "tests" / "pictures.py").read_text(encoding="utf-8")
    found = sorted((root / "docs" / "pictures").glob("*.png"))

    assert found
    for picture in found:
        assert picture.stat().st_size < LARGEST, picture.name
        assert f'"{picture.name}"' in taken
        assert f"pictures/{picture.name})" in text
