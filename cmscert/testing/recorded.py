"""A session that plays a script, and fails on everything that the script does not tell."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from cmscert.errors import NodeError
from cmscert.model.commands import Command, Effect, Reply
from cmscert.transport.session import Sink

Told = str | NodeError | Callable[[], "str | Awaitable[str]"]
"""An answer: the text, the error to raise, or a function for what depends on the moment or never comes."""

Script = Mapping[str, Told | Sequence[Told]] | Callable[[str], Told | None]
"""By command as typed: one answer for every time, or several, one for each time. A function returns None if untold."""

Kind = Literal["ask", "do", "list", "read", "tail", "fetch", "put", "remove"]

PART = 16
"""Bytes that ``fetch_file`` hands on at a time: few, so that small files come in several parts too."""


class NotTold(AssertionError):
    """A recorded session was asked for something that its script does not tell."""


@dataclass(kw_only=True, eq=False)
class RecordedSession:
    """Implements ``ReadSession`` and ``WriteSession`` from a script; opens no connection.

    ``script``: answers to commands. ``store``: the node's files, or the errors to raise for them; None means that the
    script tells nothing about files. ``listing``: an error to raise instead of listing the store.
    ``on_put``: takes name and bytes and returns the bytes that the node keeps; ``on_remove``: takes the name. Both may
    raise ``NodeError``; without them every upload or removal is untold.
    ``seconds``: how long an answer is said to have taken. ``heard``: everything asked for, in order.
    """

    server: str
    script: Script = field(default_factory=dict)
    store: dict[str, bytes | NodeError] | None = None
    listing: NodeError | None = None
    on_put: Callable[[str, bytes], bytes | Awaitable[bytes]] | None = None
    on_remove: Callable[[str], None] | None = None
    seconds: float = 0.0
    heard: list[tuple[Kind, str]] = field(default_factory=list)
    _times: dict[str, int] = field(default_factory=dict)

    async def ask(self, command: Command) -> Reply:
        """Answer a READ command from the script. Raises ValueError for others, NotTold, or the error of the script."""
        return await self._answer("ask", command, Effect.READ)

    async def do(self, command: Command) -> Reply:
        """Answer a CHANGE command from the script. Raises ValueError for others, NotTold, or the script's error."""
        return await self._answer("do", command, Effect.CHANGE)

    async def list_files(self) -> tuple[str, ...]:
        """Return the names in the store, sorted."""
        await self._hear("list", "")
        if self.listing is not None:
            raise self.listing
        return tuple(sorted(self._files()))

    async def read_file(self, name: str) -> bytes | None:
        """Return a file of the store, None when there is no such file."""
        await self._hear("read", name)
        return self._kept(name)

    async def read_tail(self, name: str, size: int) -> bytes | None:
        """Return the end of a file of the store, None when there is no such file."""
        await self._hear("tail", name)
        kept = self._kept(name)
        return None if kept is None else kept[-size:]

    async def fetch_file(self, name: str, sink: Sink) -> int | None:
        """Hand a file of the store on in parts, None when there is no such file."""
        await self._hear("fetch", name)
        kept = self._kept(name)
        if kept is None:
            return None
        for start in range(0, len(kept), PART):
            sink(kept[start : start + PART])
        return len(kept)

    async def put_file(self, name: str, data: bytes) -> None:
        """Keep what ``on_put`` returns."""
        await self._hear("put", name)
        if self.on_put is None:
            raise NotTold(f"{self.server} was not told about the upload of {name}")
        kept = self.on_put(name, data)
        self._files()[name] = await kept if inspect.isawaitable(kept) else kept

    async def remove_file(self, name: str) -> None:
        """Forget a file when ``on_remove`` agrees."""
        await self._hear("remove", name)
        if self.on_remove is None:
            raise NotTold(f"{self.server} was not told about the removal of {name}")
        self.on_remove(name)
        self._files().pop(name, None)

    def typed(self, kind: Kind) -> tuple[str, ...]:
        """Return what was heard of one kind, in order."""
        return tuple(what for heard, what in self.heard if heard == kind)

    async def _hear(self, kind: Kind, what: str) -> None:
        self.heard.append((kind, what))
        await asyncio.sleep(0)  # others may come in between, as they do on a real connection

    async def _answer(self, kind: Literal["ask", "do"], command: Command, effect: Effect) -> Reply:
        if command.effect is not effect:
            raise ValueError(f"{command.typed} is not a {effect} command")
        await self._hear(kind, command.typed)
        told = self._told(command.typed)
        if isinstance(told, NodeError):
            raise told
        text = told if isinstance(told, str) else told()
        return Reply(command=command, text=await text if inspect.isawaitable(text) else text, seconds=self.seconds)

    def _told(self, typed: str) -> Told:
        told = self.script(typed) if callable(self.script) else self.script.get(typed)
        if isinstance(told, Sequence) and not isinstance(told, str):
            times = self._times.get(typed, 0)
            self._times[typed] = times + 1
            told = told[times] if times < len(told) else None
        if told is None:
            raise NotTold(f"{self.server} was not told what to answer to {typed!r}")
        return told

    def _files(self) -> dict[str, bytes | NodeError]:
        if self.store is None:
            raise NotTold(f"{self.server} was not told what its store holds")
        return self.store

    def _kept(self, name: str) -> bytes | None:
        kept = self._files().get(name)
        if isinstance(kept, NodeError):
            raise kept
        return kept
