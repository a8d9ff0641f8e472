"""Plays cases in a row; only a part of them is watched by coverage, as watching takes longer than playing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from coverage import Coverage

from cmscert.testing.service_campaign.play import play

COVERED = 50
"""Cases of a file that coverage watches."""


@pytest.fixture
def hold_cases() -> Callable[[int, int, int], None]:
    """Play cases (file, first, how many) and hold that each ends as promised."""

    def hold(file: int, first: int, cases: int) -> None:
        watching = _watching() if first >= COVERED else None
        if watching is not None:
            watching.stop()
        try:
            wrong = [str(played) for seed in range(first, first + cases) if (played := play(_seed(file, seed))).wrong]
        finally:
            if watching is not None:
                watching.start()
        assert not wrong, "\n\n".join(wrong)

    return hold


def _seed(file: int, number: int) -> int:
    return file * 500 + number


def _watching() -> Coverage | None:
    return Coverage.current()
