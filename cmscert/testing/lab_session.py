"""Sessions to simulated nodes in memory, with trouble on the way: cut, late, untrue, or the process ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from cmscert.errors import NodeError, StoreRefused
from cmscert.lab.grammar import split, starts
from cmscert.lab.node import CutError
from cmscert.mmp.replies import clean
from cmscert.model.commands import Command, Effect, Reply
from cmscert.testing.memory_session import ANSWER_SECONDS, ORIGIN, Killed, MemorySession
from cmscert.transport.faults import late, lost, lost_in_change

T = TypeVar("T")

Kind = Literal["cut-before", "cut-after", "silent", "failure", "lie", "garbage", "kill-before", "kill-after"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What happens to the ``nth`` line, counted from 1 over all servers, that starts with ``line``; once.

    Lines are those that are typed; transfers are ``put NAME``, ``get NAME`` and ``rm NAME``. A silent or garbled
    command is carried out, one that fails or lies is not; transfers only know cuts, silence and kills.
    """

    line: str
    nth: int
    kind: Kind


@dataclass(slots=True, kw_only=True)
class Wire:
    """What all sessions of one process share.

    ``dead``: the process has ended, nothing is sent any more. ``sent``: every change that left, by server; ``leaves``
    is called with each, before. ``watch`` is called after everything that happens.
    """

    troubles: list[Trouble] = field(default_factory=list)
    dead: bool = False
    sent: list[tuple[str, str]] = field(default_factory=list)
    met: list[Trouble] = field(default_factory=list)
    leaves: Callable[[str, str], object] = lambda _server, _line: None
    watch: Callable[[], object] = lambda: None
    _counts: dict[Trouble, int] = field(default_factory=dict)

    def alive(self) -> None:
        """Raise Killed when the process has ended."""
        if self.dead:
            raise Killed

    def kill(self) -> Killed:
        """End the process."""
        self.dead = True
        return Killed()

    def meets(self, line: str) -> Kind | None:
        """Return the trouble that a line runs into."""
        self.alive()
        words, found = split(line), None
        for trouble in self.troubles:
            if trouble not in self.met and starts(words, trouble.line):
                self._counts[trouble] = self._counts.get(trouble, 0) + 1
                if found is None and self._counts[trouble] == trouble.nth:
                    self.met.append(trouble)
                    found = trouble
        return found.kind if found is not None else None


@dataclass(slots=True, kw_only=True)
class LabSession(MemorySession):
    """A session that runs into the troubles of its wire, which may be replaced."""

    wire: Wire

    def alive(self) -> None:
        """Raise Killed when the process has ended."""
        self.wire.alive()

    async def put_file(self, name: str, data: bytes) -> None:
        """Keep a file, unless the store is full."""

        def put() -> None:
            if self.node.faults.store_full:
                raise StoreRefused(self.server, f"{name} cannot be written: no space left")
            self.keep(name, data)

        await self.moved(f"put {name}", put, changes=True)

    async def told(self, command: Command) -> Reply:
        """Type a command. Raises NodeError, Killed."""
        started = asyncio.get_running_loop().time()
        changes = command.effect is Effect.CHANGE
        kind = self.wire.meets(command.typed)
        if kind in ("failure", "lie"):
            text = b"FAILURE: it is refused\n" if kind == "failure" else b""
            await self._pass()
        else:
            silence = late(self.server, command, ANSWER_SECONDS)
            text = await self._through(
                kind, command.typed, lambda: self._carried_out(command), changes=changes, silence=silence
            )
            text = b"%%% noise %%%" if kind == "garbage" else text
        seconds = asyncio.get_running_loop().time() - started
        return Reply(command=command, text=clean(text), seconds=seconds)

    async def _carried_out(self, command: Command) -> bytes:
        return await self.typed(command, lambda answer: self.node.carry_out(command.typed, ORIGIN, answer))

    async def moved(self, what: str, work: Callable[[], T], *, changes: bool = False) -> T:
        """Do something to the store. Raises NodeError, Killed."""

        async def moved() -> T:
            if self.node.faults.down:
                raise CutError
            return work()

        silence = lost(self.server, what)
        return await self._through(self.wire.meets(what), what, moved, changes=changes, silence=silence)

    async def _through(
        self, kind: Kind | None, what: str, work: Callable[[], Awaitable[T]], *, changes: bool, silence: NodeError
    ) -> T:
        cut = lost_in_change(self.server, what, started=True) if changes else lost(self.server, what)
        await self._pass()
        if changes:
            self.wire.leaves(self.server, what)
            self.wire.sent.append((self.server, what))
        if kind == "cut-before":
            raise cut
        if kind == "kill-before":
            raise self.wire.kill()
        try:
            done = await work()
        except CutError as error:
            raise cut from error
        self.wire.watch()
        self.wire.alive()
        if kind == "kill-after":
            raise self.wire.kill()
        if kind == "cut-after":
            raise cut
        if kind == "silent":
            await asyncio.sleep(ANSWER_SECONDS)
            raise silence
        return done

    async def _pass(self) -> None:
        """Let others come in between, as they do on a real connection."""
        await asyncio.sleep(0)
        self.wire.alive()
