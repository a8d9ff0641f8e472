"""What a session can do, as protocols. Reading cannot write (law 1): ``observe`` is typed to ``ReadSession``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from cmscert.model.commands import Command, Reply
from cmscert.model.readings import Reading
from cmscert.pki.certificate import Certificate

Sink = Callable[[bytes], object]
"""Takes the next part of a file."""


class ReadSession(Protocol):
    """Reads one node. Safe to call from many tasks at once; the session paces itself."""

    @property
    def server(self) -> str:
        """The server's name in the inventory."""
        ...

    async def ask(self, command: Command) -> Reply:
        """Send a READ command and return the cleaned answer.

        Raises ValueError for a command that is not READ, NodeError when no answer could be had.
        """
        ...

    async def list_files(self) -> tuple[str, ...]:
        """Return the names in the node's flat store, sorted. Raises NodeError."""
        ...

    async def read_file(self, name: str) -> bytes | None:
        """Return a file's bytes, None when there is no such file. Raises NodeError; files over 1 MiB are refused."""
        ...

    async def read_tail(self, name: str, size: int) -> bytes | None:
        """Return at most the last ``size`` bytes of a file (``log`` supports it, [S1]); None when there is none."""
        ...

    async def fetch_file(self, name: str, sink: Sink) -> int | None:
        """Hand a file of any size to ``sink``, part by part and in order; return its bytes, None when there is none.

        Raises NodeError, and what ``sink`` raises.
        """
        ...


class WriteSession(ReadSession, Protocol):
    """Changes one node too. Nothing sent through these methods is ever retried by the transport."""

    async def do(self, command: Command) -> Reply:
        """Send a CHANGE command and return the cleaned answer. Raises NodeError."""
        ...

    async def put_file(self, name: str, data: bytes) -> None:
        """Upload a file, replacing one of the same name. Raises NodeError."""
        ...

    async def remove_file(self, name: str) -> None:
        """Remove a file; silently fine when it is not there. Raises NodeError."""
        ...


Probe = Callable[[str, int, str], Awaitable[Reading[tuple[Certificate, ...]]]]
"""(address, port, server name for SNI) to the chain as served, leaf first; Absent when the port is closed."""
