"""The page for the next maintainer names what is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "explanation" / "onboarding.md").read_text(encoding="utf-8")


def test_the_reading_order_has_seven_files() -> None:
    """Seven files are to be read, in order, each once."""
    found = re.findall(r"^(\d)\. `([^`]+)`: ", TEXT, re.MULTILINE)

    assert [int(number) for number, _ in found] == list(range(1, 8))
    assert len({name for _, name in found}) == 7


def test_every_named_file_and_make_target_is_there() -> None:
    """No file or target of `make` that the page names has gone."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    files = re.findall(r"`([\w/]+\.py)`", TEXT)
    targets = re.findall(r"`make (\w+)`", TEXT)

    assert [name for name in files if not (ROOT / name).is_file()] == []
    assert [name for name in targets if f"\n{name}:" not in makefile] == []
    assert len(files) > 15
