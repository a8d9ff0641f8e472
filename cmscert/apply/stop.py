"""How a person ends a run early."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Stop:
    """First ``soft()``, then ``hard()``. Both are called in the event loop's own thread (a signal handler of the loop).

    Soft: steps in hand are finished and verified (or taken back), no further step starts. Hard: nothing more is sent;
    what was in hand is looked at once, and named when it cannot be proven done.
    """

    def __init__(self) -> None:
        self._soft = False
        self._hard = asyncio.Event()
        self._lapse: Callable[[], str | None] | None = None
        self.why: str | None = None

    @property
    def is_soft(self) -> bool:
        """Whether no further step may start."""
        if not self._soft and self._lapse is not None and (why := self._lapse()) is not None:
            self.soft(why)
        return self._soft

    def soft_when(self, lapse: Callable[[], str | None]) -> None:
        """Ask before every step; a reason ends the run softly. A machine that slept has missed its timers."""
        self._lapse = lapse

    @property
    def is_hard(self) -> bool:
        """Whether everything ends now."""
        return self._hard.is_set()

    def soft(self, why: str | None = None) -> None:
        """Finish what is in hand, start nothing more. ``why``: None when a person wants it so."""
        self._soft = True
        self.why = self.why or why

    def hard(self) -> None:
        """End now."""
        self._soft = True
        self._hard.set()

    async def until_hard(self) -> None:
        """Return when everything has to end."""
        await self._hard.wait()
