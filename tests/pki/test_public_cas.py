from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cmscert.pki.public_cas import CLIENT_AUTH_HINT, longest_life

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("at", "days"),
    [
        (datetime(2019, 1, 1, tzinfo=UTC), None),
        (datetime(2026, 3, 15, tzinfo=UTC) - SECOND, 398),
        (datetime(2026, 3, 15, tzinfo=UTC), 200),
        (datetime(2027, 3, 15, tzinfo=UTC) - SECOND, 200),
        (datetime(2027, 3, 15, tzinfo=UTC), 100),
        (datetime(2029, 3, 15, tzinfo=UTC) - SECOND, 100),
        (datetime(2029, 3, 15, tzinfo=UTC), 47),
    ],
)
def test_lives(at: datetime, days: int | None) -> None:
    """Public CAs issue for 200, 100 and 47 days from the dates of ballot SC-081v3 on."""
    assert longest_life(at) == (None if days is None else timedelta(days=days))


def test_client_auth_hint() -> None:
    """The hint says since when, and what to do."""
    assert "2026-06-15" in CLIENT_AUTH_HINT
    assert "private CA" in CLIENT_AUTH_HINT
