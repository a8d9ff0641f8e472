"""What sessions to simulated nodes in memory have in common: what they move and type, whatever breaks on the way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from cmscert.lab.node import LabNode
from cmscert.model.commands import Command, Effect, Reply
from cmscert.transport.faults import unexpected
from cmscert.transport.session import Sink
from cmscert.transport.shell import QUESTION, UNWORDED_QUESTION, YES

T = TypeVar("T")

ANSWER_SECONDS: Final = 60.0
ORIGIN: Final = "memory:0"
PART: Final = 1024
"""Bytes of a file that are handed on at once."""


class Killed(BaseException):
    """The process ended, without a word more. No code may take it for an error that it can deal with."""


@dataclass(slots=True, kw_only=True)
class MemorySession(ABC):
    """Implements ``ReadSession`` and ``WriteSession`` on a node that was never started."""

    node: LabNode

    @property
    def server(self) -> str:
        """The node's name."""
        return self.node.name

    @abstractmethod
    def alive(self) -> None:
        """Raise Killed when the process that holds the session has ended."""

    @abstractmethod
    async def told(self, command: Command) -> Reply:
        """Type a command. Raises NodeError, Killed."""

    @abstractmethod
    async def moved(self, what: str, work: Callable[[], T], *, changes: bool = False) -> T:
        """Do something to the store; ``what``: ``ls``, ``get NAME`` or ``rm NAME``. Raises NodeError, Killed."""

    @abstractmethod
    async def put_file(self, name: str, data: bytes) -> None:
        """Keep a file. Raises NodeError, Killed."""

    async def ask(self, command: Command) -> Reply:
        """Send a READ command. Raises ValueError for others, NodeError, Killed."""
        if command.effect is not Effect.READ:
            raise ValueError(f"{command} is no READ command")
        return await self.told(command)

    async def do(self, command: Command) -> Reply:
        """Send a CHANGE command. Raises ValueError for others, NodeError, Killed."""
        if command.effect is not Effect.CHANGE:
            raise ValueError(f"{command} is no CHANGE command")
        return await self.told(command)

    async def list_files(self) -> tuple[str, ...]:
        """Return the names in the store."""
        return await self.moved("ls", lambda: tuple(sorted({*self.node.files, "log", "live.json"})))

    async def read_file(self, name: str) -> bytes | None:
        """Return a file's bytes."""
        return await self.moved(f"get {name}", lambda: self._content(name))

    async def read_tail(self, name: str, size: int) -> bytes | None:
        """Return the end of a file."""
        content = await self.read_file(name)
        return None if content is None else content[-size:]

    async def fetch_file(self, name: str, sink: Sink) -> int | None:
        """Hand a file on in parts."""
        content = await self.read_file(name)
        for start in range(0, len(content or b""), PART):
            self.alive()
            sink((content or b"")[start : start + PART])
        return None if content is None else len(content)

    async def remove_file(self, name: str) -> None:
        """Forget a file."""

        def remove() -> None:
            self.node.note_transfer(f"rm {name}")
            self.node.files.pop(name, None)

        await self.moved(f"rm {name}", remove, changes=True)

    def keep(self, name: str, data: bytes) -> None:
        """Put a file into the store, whatever else happens."""
        self.node.note_transfer(f"put {name}")
        self.node.files[name] = data

    async def typed(self, command: Command, carry_out: Callable[[Answer], Awaitable[bytes]]) -> bytes:
        """Type it as a shell does, with a capital Y for the questions that a shell answers.

        Raises UnexpectedAnswer when something else was asked.
        """
        asked: list[str] = []

        async def answer(question: str) -> str | None:
            known = QUESTION.search(question) or UNWORDED_QUESTION.search(question.rpartition("\n")[2])
            if command.confirms and known:
                return YES
            asked.append(question)
            return None

        text = await carry_out(answer)
        if asked:
            raise unexpected(self.server, command, asked[0])
        return text

    def _content(self, name: str) -> bytes | None:
        return self.node.log_file() if name == "log" else self.node.files.get(name)


Answer = Callable[[str], Awaitable[str | None]]
"""What a shell answers to a question of the node; None leaves it open."""
