"""What public CAs may no longer issue, and from when on: private CAs are free of all of it.

CA/Browser Forum ballot SC-081v3 (lives), Chrome root programme (clientAuth).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

CLIENT_AUTH_ENDED: Final = datetime(2026, 6, 15, tzinfo=UTC)
"""Chrome's root programme has asked for hierarchies for servers alone since then; the CAs stopped shortly before."""

LONGEST_LIVES: Final[tuple[tuple[datetime, timedelta], ...]] = (
    (datetime(2020, 9, 1, tzinfo=UTC), timedelta(days=398)),
    (datetime(2026, 3, 15, tzinfo=UTC), timedelta(days=200)),
    (datetime(2027, 3, 15, tzinfo=UTC), timedelta(days=100)),
    (datetime(2029, 3, 15, tzinfo=UTC), timedelta(days=47)),
)
"""(from when on, the longest life of a certificate that is issued then), oldest first."""


def longest_life(at: datetime) -> timedelta | None:
    """Return the longest life of what a public CA issues at a moment (aware); None before there was any limit."""
    return next((life for since, life in reversed(LONGEST_LIVES) if since <= at), None)


CLIENT_AUTH_HINT: Final = (
    f"public CAs stopped issuing clientAuth by {CLIENT_AUTH_ENDED:%Y-%m-%d}: "
    "use a private CA where the service is a TLS client"
)
