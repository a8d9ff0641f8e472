"""When to ask an issuer again that has failed: later each time, across runs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

FIRST: Final = timedelta(minutes=15)
LONGEST: Final = timedelta(hours=6)
_ENOUGH: Final = 10


def next_attempt(count: int, last: datetime, *, wait: timedelta | None = None) -> datetime:
    """Return when to try again after ``count`` failures in a row, the last one at ``last``.

    15 minutes, then twice as long each time, six hours at most; longer where the issuer asked to be left alone longer.
    """
    pause = min(FIRST * (1 << min(count - 1, _ENOUGH)), LONGEST)
    return last + max(pause, wait or pause)
