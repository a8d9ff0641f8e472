"""The page about rebuilding a database cluster shows what happens; it takes as long as all other pages together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.mark.unwatched
@pytest.mark.slow
@pytest.mark.judge("openssh-client")
def test_a_cluster_is_rebuilt_as_the_page_says(
    place: Any,  # noqa: ANN401 - tests cannot import the class of a fixture
    documents: dict[Path, list[Any]],
    root: Path,
) -> None:
    """A rebuild, one that is killed and continued, one to finish by hand: each command answers what the page says."""
    wrong = place.follow(documents[root / "docs" / "how-to" / "rebuild-the-database.md"])

    assert not wrong, "\n".join(wrong)
