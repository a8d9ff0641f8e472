from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmscert.issue.backoff import LONGEST, next_attempt

LAST = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.mark.parametrize(("count", "minutes"), [(1, 15), (2, 30), (3, 60), (5, 240), (6, 360), (60, 360)])
def test_later_each_time(count: int, minutes: int) -> None:
    """15 minutes, then twice as long each time, six hours at most."""
    assert next_attempt(count, LAST) == LAST + timedelta(minutes=minutes)


def test_an_issuer_that_asks_for_peace_gets_it() -> None:
    """What the issuer asks for wins where it is longer, even than the longest pause."""
    assert next_attempt(1, LAST, wait=timedelta(days=7)) == LAST + timedelta(days=7)
    assert next_attempt(1, LAST, wait=timedelta(seconds=3)) == LAST + timedelta(minutes=15)


@given(st.integers(1, 10**6))
def test_never_sooner(count: int) -> None:
    """One more failure never brings the next attempt forward, and it stays within a quarter of a day."""
    assert LAST < next_attempt(count, LAST) <= next_attempt(count + 1, LAST) <= LAST + LONGEST
