"""A wire between a client and a node that takes its time, and can go dead."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial

PART = 65_536


class Wire:
    """Listens beside a node and hands on what comes, each way half of ``delay`` seconds later.

    ``dead`` is asked before anything is handed on: True swallows it, and all that follows, while connections stay.
    """

    def __init__(self, host: str, port: int, *, delay: float, dead: Callable[[], bool] = lambda: False) -> None:
        self._place = (host, port)
        self._half = delay / 2
        self._dead = dead
        self._server: asyncio.Server | None = None

    async def open(self) -> int:
        """Listen; return the port."""
        self._server = await asyncio.start_server(self._take, self._place[0], 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(2 * self._half)  # the connection itself is a round trip
        there, back = await asyncio.open_connection(*self._place)
        await asyncio.gather(self._carry(loop, reader, back), self._carry(loop, there, writer))

    async def _carry(
        self, loop: asyncio.AbstractEventLoop, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while part := await reader.read(PART):
                loop.call_later(self._half, partial(self._write, writer, part))
        loop.call_later(self._half, writer.close)

    def _write(self, writer: asyncio.StreamWriter, part: bytes) -> None:
        if not self._dead() and not writer.is_closing():
            writer.write(part)
