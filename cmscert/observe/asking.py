"""One look at one node: nothing is asked twice, and what cannot be read says why (law 2)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from cmscert.errors import NodeError
from cmscert.model.commands import Command, Reply
from cmscert.model.readings import Known, Reading, Unread
from cmscert.transport.session import ReadSession

T = TypeVar("T")


def why(error: NodeError) -> str:
    """Say what went wrong without the server's name: whoever shows it names the server."""
    return error.message.removeprefix(f"{error.server}: ")


async def attempt(reading: Awaitable[T]) -> Known[T] | Unread:
    """Turn a NodeError into the reading that it is."""
    try:
        return Known(await reading)
    except NodeError as error:
        return Unread(why(error))


async def together(*readings: Coroutine[object, object, T]) -> list[T]:
    """Run all at once and return their results in order; the first error ends the others."""
    tasks = [asyncio.ensure_future(reading) for reading in readings]
    await finish(*tasks)
    return [task.result() for task in tasks]


async def finish(*tasks: asyncio.Task[Any]) -> None:
    """Wait for tasks of any kind; the first error ends the others."""
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """An answer and our clock in the middle of its round trip (aware UTC)."""

    reply: Reply
    moment: datetime


class Ear:
    """Asks each command once, however many want to know.

    ``clock`` returns aware UTC; it is looked at when an answer has come.
    """

    def __init__(self, session: ReadSession, clock: Callable[[], datetime]) -> None:
        self._session = session
        self._clock = clock
        self._answers: dict[str, asyncio.Task[Known[Heard] | Unread]] = {}

    def asked(self, command: Command) -> asyncio.Task[Known[Heard] | Unread]:
        """Ask a READ command, unless it is asked already; return the task that has the answer in the end."""
        task = self._answers.get(command.typed)
        if task is None:
            task = self._answers[command.typed] = asyncio.ensure_future(self._attempt(command))
        return task

    async def hear(self, command: Command) -> Known[Heard] | Unread:
        """Return the answer to a READ command; Unread when none could be had."""
        return await self.asked(command)

    async def text(self, command: Command) -> Reading[str]:
        """Return the text of the answer to a READ command."""
        return (await self.texts(command))[0]

    async def texts(self, *commands: Command) -> tuple[Reading[str], ...]:
        """Return the texts of the answers to READ commands, which are asked at once."""
        tasks = [self.asked(command) for command in commands]
        heard = [await task for task in tasks]
        return tuple(Known(each.value.reply.text) if isinstance(each, Known) else each for each in heard)

    def answers(self) -> tuple[Known[Heard] | Unread, ...]:
        """Return all answers that have come so far."""
        return tuple(task.result() for task in self._answers.values() if task.done())

    async def _attempt(self, command: Command) -> Known[Heard] | Unread:
        # One coroutine for the task: a second one inside would never be awaited when the task ends before it starts.
        return await attempt(self._ask(command))

    async def _ask(self, command: Command) -> Heard:
        reply = await self._session.ask(command)
        # The wait for a turn on the connection is not in ``seconds``, so the middle is counted back from the end.
        return Heard(reply=reply, moment=self._clock() - timedelta(seconds=reply.seconds / 2))
