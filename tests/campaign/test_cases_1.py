"""A quarter of the cases of the fault campaign: a file of its own, so that workers share them out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

CHUNK, WATCHED = 25, 50
FIRSTS = [
    pytest.param(first, marks=[pytest.mark.unwatched] if first >= WATCHED else []) for first in range(0, 500, CHUNK)
]


@pytest.mark.slow
@pytest.mark.parametrize("first", FIRSTS)
def test_every_case_ends_as_promised(hold_cases: Callable[[int, int, int], None], first: int) -> None:
    """Whatever breaks, the next starts finish it or say by name why not, and every promise is kept on the way."""
    hold_cases(1, first, CHUNK)
