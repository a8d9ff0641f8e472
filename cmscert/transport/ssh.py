"""A session with one node: SSH and SFTP, for the whole run, with what is retried and what never is.

Reading is retried once on a new connection. A change is sent once; only where it is certain that its first byte was
never sent (the node opened no channel for it) is it sent on a new connection.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import TypeVar

from cmscert.errors import ConnectionLost, NotACms, UnexpectedAnswer
from cmscert.mmp.replies import clean
from cmscert.model.commands import Command, Effect, Reply
from cmscert.model.login import Login
from cmscert.transport.credentials import Credentials
from cmscert.transport.faults import gone_silent, late, lost, lost_in_change, too_long, unexpected
from cmscert.transport.intake import Intake
from cmscert.transport.known_hosts import KnownHosts, load_known_hosts
from cmscert.transport.line import DeniedError, Line, LostError, RefusedError
from cmscert.transport.login import log_in
from cmscert.transport.pace import PAUSES
from cmscert.transport.session import ReadSession, Sink, WriteSession
from cmscert.transport.shell import OTHER_QUESTION, Shell, open_shell
from cmscert.transport.store import Store

__all__ = ["Credentials", "KnownHosts", "NodeSession", "connect", "connect_reader", "load_known_hosts"]

T = TypeVar("T")


@asynccontextmanager
async def connect(login: Login, credentials: Credentials, known_hosts: KnownHosts) -> AsyncIterator[WriteSession]:
    """Log in to a node, and out at the end. Raises NodeError. How many log in at a time is the caller's business."""
    session = NodeSession(login, credentials, known_hosts)
    try:
        await session.open()
        yield session
    finally:
        await session.close()


@asynccontextmanager
async def connect_reader(login: Login, credentials: Credentials, known_hosts: KnownHosts) -> AsyncIterator[ReadSession]:
    """Log in to a node for reading only. Raises NodeError. A node that stops answering is given up at once."""
    session = NodeSession(login, credentials, known_hosts, patient=False)
    try:
        await session.open()
        yield session
    finally:
        await session.close()


class _NarrowError(Exception):
    """The node opens one channel at a time: a shell is quicker."""


class NodeSession:
    """Implements ``WriteSession``. One connection, opened again when it has ended and something is to be sent.

    ``patient``: also when it ended because the node stopped answering.
    """

    def __init__(
        self, login: Login, credentials: Credentials, known_hosts: KnownHosts, *, patient: bool = True
    ) -> None:
        self._patient = patient
        self._login = login
        self._credentials = credentials
        self._known_hosts = known_hosts
        self._open_line: Line | None = None
        self._line_lock = asyncio.Lock()
        self._commands_denied = False
        self._commands_work = False
        self._shell_works = True
        self._shell: Shell | None = None
        self._shell_lock = asyncio.Lock()
        self._turns = asyncio.Lock()
        self._seconds = login.timeouts.answer
        self._store = Store(login.server, seconds=self._seconds, shared=self._line, second=self._log_in)
        self._finished = False

    @property
    def server(self) -> str:
        """The server's name in the inventory."""
        return self._login.server

    async def open(self) -> None:
        """Log in now, so that a refusal shows before anything else."""
        await self._line()

    async def close(self) -> None:
        """Log out. Nothing can be sent any more."""
        self._finished = True
        await self._store.close()
        if self._open_line is not None:
            await self._open_line.close()

    async def ask(self, command: Command) -> Reply:
        """Send a READ command; once more on a new connection when the first one ends. Raises ValueError, NodeError."""
        if command.effect is not Effect.READ:
            raise ValueError(f"'{command}' changes the server: ask takes commands that read")
        return await self._reading(f"'{command}'", lambda: self._send(command))

    async def do(self, command: Command) -> Reply:
        """Send a CHANGE command, once. Raises ValueError, NodeError."""
        if command.effect is not Effect.CHANGE:
            raise ValueError(f"'{command}' changes nothing: do takes commands that change")
        return await self._changing(f"'{command}'", lambda: self._send(command))

    async def list_files(self) -> tuple[str, ...]:
        """Return the names in the node's flat store, sorted. Raises NodeError."""
        return await self._reading("the list of files", self._store.names)

    async def read_file(self, name: str) -> bytes | None:
        """Return a file's bytes, None when there is no such file. Raises NodeError."""
        return await self._reading(f"reading {name}", lambda: self._store.read(name))

    async def read_tail(self, name: str, size: int) -> bytes | None:
        """Return at most the last ``size`` bytes of a file, None when there is none. Raises NodeError."""
        return await self._reading(f"reading the end of {name}", lambda: self._store.tail(name, size))

    async def fetch_file(self, name: str, sink: Sink) -> int | None:
        """Hand a file of any size on, part by part; on a new connection it goes on where the first one ended."""
        came = 0

        def took(part: bytes) -> None:
            nonlocal came
            sink(part)
            came += len(part)

        there = await self._reading(f"fetching {name}", lambda: self._store.fetch(name, took, start=came))
        return came if there else None

    async def put_file(self, name: str, data: bytes) -> None:
        """Upload a file, replacing one of the same name. Raises NodeError."""
        await self._changing(f"writing {name}", lambda: self._store.put(name, data))

    async def remove_file(self, name: str) -> None:
        """Remove a file; silently fine when it is not there. Raises NodeError."""
        await self._changing(f"removing {name}", lambda: self._store.remove(name))

    async def _reading(self, what: str, attempt: Callable[[], Awaitable[T]]) -> T:
        try:
            return await attempt()
        except LostError as error:
            if self._given_up:
                raise gone_silent(self.server, what) from error
            try:
                return await attempt()
            except LostError as error:
                raise lost(self.server, what) from error

    async def _changing(self, what: str, attempt: Callable[[], Awaitable[T]]) -> T:
        try:
            return await attempt()
        except LostError as error:
            if error.started:
                raise lost_in_change(self.server, what, started=True) from error
        try:
            return await attempt()
        except LostError as error:
            raise lost_in_change(self.server, what, started=error.started) from error

    async def _line(self) -> Line:
        async with self._line_lock:
            if self._open_line is None or self._open_line.closed:
                self._open_line = await self._log_in()
            return self._open_line

    @property
    def _given_up(self) -> bool:
        lines = (self._open_line, self._store.line)
        return not self._patient and any(line is not None and line.silent for line in lines)

    async def _log_in(self) -> Line:
        if self._finished:
            raise ConnectionLost(self.server, "the session is closed", hint="open a new one")
        if self._given_up:
            raise gone_silent(self.server, "an earlier question")
        return await log_in(self._login, self._credentials, self._known_hosts)

    async def _send(self, command: Command) -> Reply:
        """Send a command the way that this node and this command need."""
        if not command.typed.isprintable():
            raise ValueError("a command line holds a control character")
        began = time.monotonic()
        text: str | None = None
        if not command.confirms and not self._commands_denied:
            try:
                text = await self._as_commands(command)
            except DeniedError:
                self._commands_denied = True
        if text is None:
            text = await self._by_shell(command)
        return Reply(command=command, text=text, seconds=time.monotonic() - began)

    async def _as_commands(self, command: Command) -> str:
        try:
            return await self._by_channel(command)
        except _NarrowError:
            return await self._one_by_one(command)

    async def _by_channel(self, command: Command) -> str:
        """Run a command on a channel of its own; stdout and stderr are the answer, the exit status is not ([S1])."""

        async def run(line: Line) -> str:
            if line.pace.narrow and self._shell_works and command.effect is Effect.READ:
                raise _NarrowError
            try:
                text = await self._exec(line, command)
            except DeniedError as error:
                if self._commands_work or line.pace.busy > 1:  # busy, not unable: it counts sessions, not channels
                    raise RefusedError(line.pace.open) from error
                raise
            self._commands_work = True
            return text

        return await self._paced(command, run)

    async def _one_by_one(self, command: Command) -> str:
        """Type a command into a shell: where one channel is open at a time, each of its own costs a round trip more."""
        async with self._turns:
            if self._shell_works:
                try:
                    return await self._by_shell(command)
                except NotACms:
                    self._shell_works = False
        return await self._by_channel(command)

    async def _by_shell(self, command: Command) -> str:
        async with self._shell_lock:
            if self._shell is None or self._shell.closed:
                try:
                    self._shell = await self._paced(command, self._new_shell)
                except DeniedError as error:
                    raise NotACms(
                        self.server,
                        "it logs the user in but gives no command line",
                        hint="check the address, and that the user is an administrator of the MMP",
                    ) from error
            return await self._shell.ask(command, seconds=self._seconds)

    async def _new_shell(self, line: Line) -> Shell:
        return await open_shell(self.server, line, seconds=self._login.timeouts.login)

    async def _paced(self, command: Command, use: Callable[[Line], Awaitable[T]]) -> T:
        """Open a channel again while the node refuses it: nothing has been sent by then.

        Beside commands under way it waits for the place of one of them, else for a pause that grows.
        """
        pauses = iter(PAUSES)
        while True:
            line = await self._line()
            async with line.pace:
                try:
                    return await use(line)
                except RefusedError as error:
                    line.pace.refused(error.beside)
            if line.pace.open:
                continue
            pause = next(pauses, None)
            if pause is None:
                raise self._no_channel(command)
            self._give_way(busy=pause > PAUSES[0])
            await asyncio.sleep(pause)

    def _no_channel(self, command: Command) -> UnexpectedAnswer:
        return UnexpectedAnswer(
            self.server,
            f"it refused a channel for '{command}' {len(PAUSES) + 1} times; the command was not sent",
            hint="it has too many sessions open: end some, then try again",
        )

    def _give_way(self, *, busy: bool) -> None:
        """A node that refuses the only command under way may count our idle shell or file session."""
        if self._shell is not None and not self._shell.closed and not self._shell_lock.locked():
            self._shell.close()
        else:
            self._store.give_way(busy=busy)

    async def _exec(self, line: Line, command: Command) -> str:
        intake: Intake | None = None
        places = ExitStack()

        def opened() -> None:
            line.pace.accepted()
            places.callback(line.pace.left)

        try:
            async with asyncio.timeout(self._seconds):
                intake = await line.open(command.typed, opened)
                raw = await intake.whole()
        except TimeoutError as error:
            if intake is None:
                line.abort()  # a channel that is neither opened nor refused: the node hangs
                raise late(self.server, command, self._seconds) from error
            text = clean(bytes(intake.text))
            if OTHER_QUESTION.search(text.rstrip().rpartition("\n")[2]):
                raise unexpected(self.server, command, text) from error
            raise late(self.server, command, self._seconds) from error
        finally:
            places.close()
            if intake is not None and not intake.ended:
                intake.close()
        if intake.overflown:
            raise too_long(self.server, command)
        if not intake.eof and (intake.cut or line.closed):
            raise LostError(started=True)
        return clean(raw)
