"""What arrives on one channel: bytes in order of arrival, stdout and stderr alike ([S1]), never too many."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import asyncssh

ANSWER_LIMIT = 1 << 20
"""Bytes of one answer (1 MiB)."""


class Intake(asyncssh.SSHClientSession[bytes]):
    """Collects a channel's bytes and wakes the one task that reads them; calls ``opened`` when the node opened it."""

    def __init__(self, opened: Callable[[], object] = bool) -> None:
        self._tell = opened
        self.text = bytearray()
        self.opened = False  # the node opened the channel: what was asked for may have started
        self.eof = False  # the node said that the answer ends here
        self.closed = False
        self.cut = False  # ended by an error
        self.overflown = False
        self._fresh = False
        self._sleeper: asyncio.Future[None] | None = None
        self._channel: asyncssh.SSHClientChannel[bytes]

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        """Take the channel, before the command is sent on it."""
        self._channel = chan
        self.opened = True
        self._tell()

    def data_received(self, data: bytes, datatype: int | None) -> None:  # noqa: ARG002 - the library's signature
        """Keep what came; more than an answer can be closes the channel."""
        self.text += data
        if len(self.text) > ANSWER_LIMIT:
            self.overflown = True
            self.close()
        self._wake(fresh=True)

    def eof_received(self) -> bool:
        """End the answer; False lets the library end our side too."""
        self.eof = True
        self._wake(fresh=True)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """End the answer; without an error the channel was closed, by the node after its answer or by us."""
        self.closed = True
        self.cut = exc is not None
        self._wake(fresh=True)

    @property
    def ended(self) -> bool:
        """Nothing more will come."""
        return self.eof or self.closed or self.overflown

    async def more(self, patience: float | None) -> bool:
        """Wait for something new; False when ``patience`` seconds pass in silence (None: no limit)."""
        if not self._fresh:
            loop = asyncio.get_running_loop()
            self._sleeper = loop.create_future()
            timer = loop.call_later(patience, self._wake) if patience is not None else None
            try:
                await self._sleeper
            finally:
                if timer is not None:
                    timer.cancel()
        fresh, self._fresh = self._fresh, False
        return fresh

    def _wake(self, *, fresh: bool = False) -> None:
        self._fresh = self._fresh or fresh
        if self._sleeper is not None and not self._sleeper.done():
            self._sleeper.set_result(None)

    async def whole(self) -> bytes:
        """Return everything, once the node has ended the answer."""
        while not self.ended:
            await self.more(None)
        return bytes(self.text)

    def forget(self) -> None:
        """Drop what has come so far: the next byte begins a new answer."""
        self.text.clear()

    def send(self, typed: str) -> None:
        """Type a line. Enter is a line feed: a terminal and a pipe both take it (fact 1.4, [INF])."""
        with contextlib.suppress(OSError):  # the channel ends just now: the reader is about to see it
            self._channel.write(typed.encode() + b"\n")

    def close(self) -> None:
        """Give the channel up; the node's own end of it is not waited for."""
        self.closed = True
        self._wake(fresh=True)
        self._channel.abort()
