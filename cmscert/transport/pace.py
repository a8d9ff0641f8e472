"""How many channels a node is given at once. A node "has problems with too fast channel creations" ([S1])."""

from __future__ import annotations

import asyncio
from collections import deque
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
        self._queue: deque[asyncio.Future[None]] = deque()
        self.busy = 0

    @property
    def limit(self) -> int:
        """Channels allowed at once, at least one."""
        return int(self._limit)

    async def __aenter__(self) -> None:
        """Wait for a free place, in the order of asking, and take it."""
        ticket: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(ticket)
        self._admit()
        try:
            await ticket
        except asyncio.CancelledError:
            if not ticket.cancelled():  # called in and cancelled at the same moment
                self._leave()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the place back."""
        self._leave()

    def _leave(self) -> None:
        self.busy -= 1
        self._admit()

    def _admit(self) -> None:
        """Call in as many as there are places: each is woken once, not all at every change."""
        while self._queue and self.busy < self.limit:
            ticket = self._queue.popleft()
            if not ticket.done():
                self.busy += 1
                ticket.set_result(None)

    def accepted(self) -> None:
        """Count a channel that the node opened."""
        growth = 1 / self._limit if self._refused_once else 1.0
        self._limit = min(float(self._most), self._limit + growth)
        self._admit()

    def refused(self) -> None:
        """Count a channel that the node refused."""
        self._refused_once = True
        self._limit = max(1.0, self._limit / 2)
