"""What the pages show is what happens: every console block is typed against a running lab."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

MOST_NOT_RUN = 8
WATCHED = "tutorial"  # which goes the whole way
ELSEWHERE = ("rebuild-the-database.md",)  # slow, so in a module of its own: workers take whole modules
ROOT = Path(__file__).parents[2]


def _with_examples() -> list[Any]:
    found = []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = page.read_text(encoding="utf-8")
        if "```console\n" in text and page.name not in ELSEWHERE:
            marks = [pytest.mark.judge("openssh-client")] if "$ ssh" in text or "$ sftp" in text else []
            if page.parent.name != WATCHED:
                marks.append(pytest.mark.unwatched)
            found.append(pytest.param(page, id=str(page.relative_to(ROOT)), marks=marks))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("page", _with_examples())
def test_a_page_shows_what_happens(
    page: Path,
    place: Any,  # noqa: ANN401 - tests cannot import the class of a fixture
    documents: dict[Path, list[Any]],
) -> None:
    """Every command of a page, typed in order in a folder of its own, answers what the page says."""
    wrong = place.follow(documents[page])

    assert not wrong, "\n".join(wrong)


def test_what_is_not_run_says_why(documents: dict[Path, list[Any]]) -> None:
    """Few console blocks are not run, and each gives its reason in a comment above it."""
    left = [block for each in documents.values() for block in each if block.language == "console" and block.skipped]

    assert len(left) <= MOST_NOT_RUN, [f"{block.page.name}:{block.line}" for block in left]
    assert all(len(block.skipped.split()) > 2 for block in left)


def test_every_command_stands_in_a_console_block(documents: dict[Path, list[Any]]) -> None:
    """No `$ cmscert` line hides in a block of another kind, where nothing would try it."""
    hidden = [
        f"{block.page.name}:{block.line}"
        for each in documents.values()
        for block in each
        if block.language != "console" and "$ cmscert" in block.body
    ]

    assert hidden == []
