"""Plays cases in a row."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cmscert.testing.service_campaign.play import play


@pytest.fixture
def hold_cases() -> Callable[[int, int, int], None]:
    """Play cases (file, first, how many) and hold that each ends as promised."""

    def hold(file: int, first: int, cases: int) -> None:
        wrong = [str(played) for seed in range(first, first + cases) if (played := play(file * 500 + seed)).wrong]

        assert not wrong, "\n\n".join(wrong)

    return hold
