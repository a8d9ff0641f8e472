"""How many channels a node is given at once. A node "has problems with too fast channel creations" ([S1])."""

from __future__ import annotations

import asyncio
from types import TracebackType

PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6)
"""Seconds before each further try of a refused channel; [S1] waits 0.1 s and tries once more."""


class Pace:
    """A limit on open channels that grows while the node accepts and halves when it refuses.

    Starts small, doubles per round until the first refusal, then grows by one per round. An OpenSSH server allows ten
    sessions per connection; eight leave room for files and a shell.
    """

    def __init__(self, *, first: int = 2, most: int = 8) -> None:
        self._limit = float(first)
        self._most = most
        self._refused_once = False
        self._room = asyncio.Event()
        self.busy = 0

    @property
    def limit(self) -> int:
        """Channels allowed at once, at least one."""
        return int(self._limit)

    async def __aenter__(self) -> None:
        """Wait for a free place and take it."""
        while self.busy >= self.limit:
            self._room.clear()
            await self._room.wait()
        self.busy += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the place back."""
        self.busy -= 1
        self._room.set()

    def accepted(self) -> None:
        """Count a channel that the node opened."""
        growth = 1 / self._limit if self._refused_once else 1.0
        self._limit = min(float(self._most), self._limit + growth)
        self._room.set()

    def refused(self) -> None:
        """Count a channel that the node refused."""
        self._refused_once = True
        self._limit = max(1.0, self._limit / 2)
