"""What a reason means is said once: the reference and the reports agree."""

from __future__ import annotations

import re
from pathlib import Path

from cmscert.reports.reasons import MEANINGS, meaning

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "reasons.md"


def sections() -> dict[str, str]:
    """Return the reasons of drift, with the first sentence of their sections."""
    text = PAGE.read_text(encoding="utf-8").split("\n## Drift\n")[1].split("\n## Material\n")[0]
    found = re.findall(r"^### `([^`]+)`\n\n(.*?)(?=\n\n|\Z)", text, re.MULTILINE | re.DOTALL)
    return {name: re.split(r"(?<=\.) ", " ".join(body.split()))[0].replace("`", "") for name, body in found}


def test_meanings_are_those_of_the_reference() -> None:
    """Every reason of drift has the sentence that its section begins with, and no other reason has one."""
    assert dict(MEANINGS) == sections()


def test_an_unknown_reason_stands_for_itself() -> None:
    """A report of a newer release can be shown."""
    assert meaning("moon-phase") == "moon-phase"
