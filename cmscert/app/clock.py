"""The moment: a module of its own, so that what never meets a server loads no sessions for it."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the moment."""
    return datetime.now(UTC)
