"""A session that writes down what it is asked while a run goes on: read-backs, polls, listings (law 6).

What a step types is written down by its ``Scribe`` before it is sent, so a step takes the session behind this one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import TypeVar

from cmscert.errors import JournalError, NodeError
from cmscert.model.commands import Command, Reply
from cmscert.model.events import Asked, Event
from cmscert.observe.asking import why
from cmscert.observe.files import is_key
from cmscert.transport.session import Sink, WriteSession

LONGEST = 8_000
"""Characters of an answer that are written down; status screens have some hundred."""

T = TypeVar("T")


class NotedSession:
    """Hands everything on to a session; every question is written down with its answer, or why there was none.

    ``emit`` raises JournalError when the event cannot be written. ``clock``: aware UTC. Nobody waits for a disk here:
    a question changes nothing, and is on disk with the next thing that does.
    """

    def __init__(self, session: WriteSession, *, emit: Callable[[Event], None], clock: Callable[[], datetime]) -> None:
        self.behind = session
        self._emit = emit
        self._clock = clock

    @property
    def server(self) -> str:
        """The server's name in the inventory."""
        return self.behind.server

    async def ask(self, command: Command) -> Reply:
        """Send a READ command."""
        return await self._noted(command.typed, self.behind.ask(command), lambda reply: reply.shown)

    async def list_files(self) -> tuple[str, ...]:
        """Return the names in the store."""
        return await self._noted("sftp ls", self.behind.list_files(), "\n".join)

    async def read_file(self, name: str) -> bytes | None:
        """Return a file's bytes; written down are their number and, unless it is a key, their hash."""
        return await self._noted(f"sftp get {name}", self.behind.read_file(name), lambda got: _bytes(name, got))

    async def read_tail(self, name: str, size: int) -> bytes | None:
        """Return the end of a file."""
        reading = self.behind.read_tail(name, size)
        return await self._noted(f"sftp get {name} (its end)", reading, lambda got: _bytes(name, got))

    async def fetch_file(self, name: str, sink: Sink) -> int | None:
        """Fetch a file of any size: a step does that, and writes it down."""
        return await self.behind.fetch_file(name, sink)

    async def do(self, command: Command) -> Reply:
        """Send a CHANGE command: a step does that, and writes it down before."""
        return await self.behind.do(command)

    async def put_file(self, name: str, data: bytes) -> None:
        """Upload a file: a step does that, and writes it down before."""
        await self.behind.put_file(name, data)

    async def remove_file(self, name: str) -> None:
        """Remove a file: a step does that, and writes it down before."""
        await self.behind.remove_file(name)

    async def _noted(self, typed: str, asked: Awaitable[T], show: Callable[[T], str]) -> T:
        begun = self._clock()
        try:
            answer = await asked
        except NodeError as error:
            self._note(typed, f"(no answer: {why(error)})", begun)
            raise
        self._note(typed, show(answer), begun)
        return answer

    def _note(self, typed: str, shown: str, begun: datetime) -> None:
        at = self._clock()
        seconds = max(0.0, (at - begun).total_seconds())
        cut = shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}\n(and {len(shown) - LONGEST} characters more)"
        self._emit(Asked(at=at, server=self.server, typed=typed, shown=cut, seconds=seconds))


def noted(
    sessions: Mapping[str, WriteSession], *, emit: Callable[[Event], None], clock: Callable[[], datetime]
) -> dict[str, WriteSession]:
    """Put a session that writes down questions in front of each."""
    return {name: NotedSession(session, emit=emit, clock=clock) for name, session in sessions.items()}


def behind(session: WriteSession) -> WriteSession:
    """Return the session that a step types on: what it sends, it writes down itself."""
    return session.behind if isinstance(session, NotedSession) else session


async def at_once() -> None:
    """Wait for nothing: every event is on disk as soon as it is passed on."""


class Written:
    """Passes events on until one cannot be written; from then on nothing is, so nothing is sent either."""

    def __init__(self, emit: Callable[[Event], None], on_disk: Callable[[], Awaitable[None]] = at_once) -> None:
        self._emit = emit
        self._on_disk = on_disk
        self._broken: JournalError | None = None

    def __call__(self, event: Event) -> None:
        """Pass an event on. Raises JournalError."""
        if self._broken is not None:
            raise self._broken
        try:
            self._emit(event)
        except JournalError as error:
            self._broken = error
            raise

    async def on_disk(self) -> None:
        """Return when all events that were passed on so far are on disk. Raises JournalError."""
        if self._broken is not None:
            raise self._broken
        try:
            await self._on_disk()
        except JournalError as error:
            self._broken = error
            raise


def _bytes(name: str, got: bytes | None) -> str:
    if got is None:
        return "(there is no such file)"
    size = f"{len(got)} bytes"
    return size if is_key(name) else f"{size}, sha256 {hashlib.sha256(got).hexdigest()}"
