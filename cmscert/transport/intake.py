"""What arrives on one channel: bytes in order of arrival, stdout and stderr alike ([S1]), never too many."""

from __future__ import annotations

import asyncio

import asyncssh

ANSWER_LIMIT = 1 << 20
"""Bytes of one answer (1 MiB)."""


class Intake(asyncssh.SSHClientSession[bytes]):
    """Collects a channel's bytes and wakes the one task that reads them."""

    def __init__(self) -> None:
        self.text = bytearray()
        self.opened = False  # the node opened the channel: what was asked for may have started
        self.eof = False  # the node said that the answer ends here
        self.closed = False
        self.cut = False  # ended by an error
        self.overflown = False
        self._news = asyncio.Event()
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        """Take the channel, before the command is sent on it."""
        self._channel = chan
        self.opened = True

    def data_received(self, data: bytes, datatype: int | None) -> None:  # noqa: ARG002 - the library's signature
        """Keep what came; more than an answer can be closes the channel."""
        self.text += data
        if len(self.text) > ANSWER_LIMIT:
            self.overflown = True
            self.close()
        self._news.set()

    def eof_received(self) -> bool:
        """End the answer; False lets the library end our side too."""
        self.eof = True
        self._news.set()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """End the answer; without an error the channel was closed, by the node after its answer or by us."""
        self.closed = True
        self.cut = exc is not None
        self._news.set()

    @property
    def ended(self) -> bool:
        """Nothing more will come."""
        return self.eof or self.closed or self.overflown

    async def more(self, patience: float | None) -> bool:
        """Wait for something new; False when ``patience`` seconds pass in silence (None: no limit)."""
        try:
            async with asyncio.timeout(patience):
                await self._news.wait()
        except TimeoutError:
            return False
        self._news.clear()
        return True

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
        if self._channel is not None and not self.ended:
            self._channel.write(typed.encode() + b"\n")

    def close(self) -> None:
        """Give the channel up."""
        if self._channel is not None:
            self._channel.abort()
