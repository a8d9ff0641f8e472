"""How a person ends a run early."""

from __future__ import annotations

import asyncio


class Stop:
    """First ``soft()``, then ``hard()``. Both are called in the event loop's own thread (a signal handler of the loop).

    Soft: steps in hand are finished and verified (or taken back), no further step starts. Hard: nothing more is sent;
    what was in hand is looked at once, and named when it cannot be proven done.
    """

    def __init__(self) -> None:
        self._soft = False
        self._hard = asyncio.Event()

    @property
    def is_soft(self) -> bool:
        """Whether no further step may start."""
        return self._soft

    @property
    def is_hard(self) -> bool:
        """Whether everything ends now."""
        return self._hard.is_set()

    def soft(self) -> None:
        """Finish what is in hand, start nothing more."""
        self._soft = True

    def hard(self) -> None:
        """End now."""
        self._soft = True
        self._hard.set()

    async def until_hard(self) -> None:
        """Return when everything has to end."""
        await self._hard.wait()
