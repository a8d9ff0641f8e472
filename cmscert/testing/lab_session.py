"""Sessions to simulated nodes in memory, with trouble on the way: cut, late, untrue, or the process ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Literal, TypeVar

from cmscert.errors import NodeError, StoreRefused
from cmscert.lab.grammar import split, starts
from cmscert.lab.node import CutError, LabNode
from cmscert.mmp.replies import clean
from cmscert.model.commands import Command, Effect, Reply
from cmscert.transport.faults import late, lost, lost_in_change, unexpected
from cmscert.transport.session import Sink
from cmscert.transport.shell import QUESTION, UNWORDED_QUESTION, YES

T = TypeVar("T")

Kind = Literal["cut-before", "cut-after", "silent", "failure", "lie", "garbage", "kill-before", "kill-after"]
ANSWER_SECONDS: Final = 60.0
ORIGIN: Final = "memory:0"
PART: Final = 64


class Killed(BaseException):
    """The process ended, without a word more. No code may take it for an error that it can deal with."""


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
class LabSession:
    """Implements ``ReadSession`` and ``WriteSession`` on a node that was never started. ``wire`` may be replaced."""

    node: LabNode
    wire: Wire

    @property
    def server(self) -> str:
        """The node's name."""
        return self.node.name

    async def ask(self, command: Command) -> Reply:
        """Send a READ command. Raises ValueError for others, NodeError, Killed."""
        if command.effect is not Effect.READ:
            raise ValueError(f"{command} is no READ command")
        return await self._told(command)

    async def do(self, command: Command) -> Reply:
        """Send a CHANGE command. Raises ValueError for others, NodeError, Killed."""
        if command.effect is not Effect.CHANGE:
            raise ValueError(f"{command} is no CHANGE command")
        return await self._told(command)

    async def list_files(self) -> tuple[str, ...]:
        """Return the names in the store."""
        return await self._moved("ls", lambda: tuple(sorted({*self.node.files, "log", "live.json"})))

    async def read_file(self, name: str) -> bytes | None:
        """Return a file's bytes."""
        return await self._moved(f"read {name}", lambda: self._content(name))

    async def read_tail(self, name: str, size: int) -> bytes | None:
        """Return the end of a file."""
        content = await self._moved(f"read {name}", lambda: self._content(name))
        return None if content is None else content[-size:]

    async def fetch_file(self, name: str, sink: Sink) -> int | None:
        """Hand a file on in parts."""
        content = await self._moved(f"get {name}", lambda: self._content(name))
        for start in range(0, len(content or b""), PART):
            self.wire.alive()
            sink((content or b"")[start : start + PART])
        return None if content is None else len(content)

    async def put_file(self, name: str, data: bytes) -> None:
        """Keep a file, unless the store is full."""

        def put() -> None:
            if self.node.faults.store_full:
                raise StoreRefused(self.server, f"{name} cannot be written: no space left")
            self.node.note_transfer(f"put {name}")
            self.node.files[name] = data

        await self._moved(f"put {name}", put, changes=True)

    async def remove_file(self, name: str) -> None:
        """Forget a file."""

        def remove() -> None:
            self.node.note_transfer(f"rm {name}")
            self.node.files.pop(name, None)

        await self._moved(f"rm {name}", remove, changes=True)

    def _content(self, name: str) -> bytes | None:
        return self.node.log_file() if name == "log" else self.node.files.get(name)

    async def _told(self, command: Command) -> Reply:
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
        """Type it as a shell does, with a capital Y for the questions that a shell answers."""
        asked: list[str] = []

        async def answer(question: str) -> str | None:
            known = QUESTION.search(question) or UNWORDED_QUESTION.search(question.rpartition("\n")[2])
            if command.confirms and known:
                return YES
            asked.append(question)
            return None

        text = await self.node.carry_out(command.typed, ORIGIN, answer)
        if asked:
            raise unexpected(self.server, command, asked[0])
        return text

    async def _moved(self, what: str, work: Callable[[], T], *, changes: bool = False) -> T:
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
