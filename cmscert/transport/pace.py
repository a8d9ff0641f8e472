"""How many channels a node is given at once. A node "has problems with too fast channel creations" ([S1])."""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType

PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6)
"""Seconds before each further try of a refused channel; [S1] waits 0.1 s and tries once more."""


class Pace:
    """A limit on open channels that grows while the node accepts and halves when it refuses.

    Starts small, doubles per round until the first refusal, then grows by one per round. A node that refuses twice
    beside the same number of channels is not asked for more than that again. An OpenSSH server allows ten sessions per
    connection; eight leave room for files and a shell.
    """

    def __init__(self, *, first: int = 2, most: int = 8) -> None:
        self._limit = float(first)
        self._most = most
        self._full: int | None = None
        self._refused_once = False
        self._queue: deque[asyncio.Future[None]] = deque()
        self._outside: deque[asyncio.Future[None]] = deque()
        self.busy = 0
        self.open = 0

    @property
    def narrow(self) -> bool:
        """Whether the node has shown that it opens one channel at a time, files aside."""
        return self._most == 1

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
        """Count a channel that the node opened, until it has ``left``."""
        self.open += 1
        growth = 1 / self._limit if self._refused_once else 1.0
        self._limit = min(float(self._most), self._limit + growth)
        self._admit()

    def refused(self, beside: int = 0) -> None:
        """Count a channel that the node refused; ``beside``: how many were open when it was asked for."""
        self._refused_once = True
        self._limit = max(1.0, self._limit / 2)
        others = max(beside, self.open)
        if not others:
            return
        if self._full is not None and others <= self._full:
            self._most = others
        self._full = others if self._full is None else min(self._full, others)
        # One beside one is asked for again at once: a hurry that passes, or a narrow node, shows right away.
        self._limit = min(self._limit, others) if others > 1 or self.narrow else 2.0

    def left(self) -> None:
        """Count a channel that has ended."""
        self.open -= 1
        while self._outside:
            waiting = self._outside.popleft()
            if not waiting.done():
                waiting.set_result(None)

    async def make_room(self, pause: float) -> None:
        """Let something else than commands, which the node has refused, have the place of one of them.

        Waits until one has ended, or ``pause`` seconds where none is under way.
        """
        if not self.open:
            await asyncio.sleep(pause)
            return
        self._most = max(1, min(self._most, self.open - 1))
        self._limit = min(self._limit, self._most)
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._outside.append(waiting)
        await waiting
