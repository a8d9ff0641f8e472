"""One logged-in SSH connection: opens channels, and tells "not started" from "may have started" when that fails."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import asyncssh
from asyncssh.constants import OPEN_REQUEST_PTY_FAILED, OPEN_REQUEST_SESSION_FAILED

from cmscert.transport.intake import Intake
from cmscert.transport.pace import Pace

CLOSE_SECONDS = 1.0
TERMINAL = "vt100"
TERMINAL_SIZE = (4096, 24)  # wide: a line editor that wraps would break up the echo


class RefusedError(Exception):
    """The node did not open the channel: nothing was started, asking again is safe.

    ``beside``: how many channels were open when this one was asked for.
    """

    def __init__(self, beside: int = 0) -> None:
        super().__init__()
        self.beside = beside


class DeniedError(Exception):
    """The node opened the channel and denies this use of it (command, shell or SFTP): nothing was started."""


class LostError(Exception):
    """The connection or the channel ended. ``started``: what was asked for may have been carried out."""

    def __init__(self, *, started: bool) -> None:
        super().__init__()
        self.started = started


class Line:
    """A connection and the pace that suits it."""

    def __init__(self, connection: asyncssh.SSHClientConnection, went_silent: Callable[[], bool] = bool) -> None:
        self._connection = connection
        self._went_silent = went_silent
        self._dropped = False  # the library notices a moment later
        self.pace = Pace()

    @property
    def closed(self) -> bool:
        """The connection is known to be gone."""
        return self._dropped or self._connection.is_closed()

    @property
    def silent(self) -> bool:
        """The connection ended because the node had not answered for longer than it may."""
        return self._went_silent()

    async def open(self, command: str | None, opened: Callable[[], object] = bool) -> Intake:
        """Open a channel and run a command on it, or a shell with a terminal when ``command`` is None.

        ``opened`` is called as soon as the node has opened the channel.
        Raises RefusedError, DeniedError, LostError.
        """
        intake = Intake(opened)
        beside = self.pace.open
        terminal = None if command is not None else TERMINAL
        try:
            await self._connection.create_session(
                lambda: intake, command=command, term_type=terminal, term_size=TERMINAL_SIZE, encoding=None
            )
        except asyncssh.ChannelOpenError as error:
            raise self._judge(error, intake, beside) from error
        except (asyncssh.Error, OSError, ValueError) as error:
            self.abort()
            raise LostError(started=intake.opened) from error
        return intake

    async def sftp(self) -> asyncssh.SFTPClient:
        """Start SFTP. Raises RefusedError, DeniedError, LostError."""
        try:
            return await self._connection.start_sftp_client(path_encoding=None)
        except asyncssh.ChannelOpenError as error:
            raise self._judge(error, None, 0) from error
        except (asyncssh.Error, OSError, ValueError) as error:
            if not self.closed:
                raise DeniedError from error
            raise LostError(started=False) from error

    def _judge(self, error: asyncssh.ChannelOpenError, intake: Intake | None, beside: int) -> Exception:
        """Say what a failed open means; the library uses one class, and answers "denied" for a connection that ended.

        A channel that the node closed before it said yes or no may have run the command.
        """
        opened = intake is not None and intake.opened
        if self.closed or error.reason == "SSH connection closed":
            self._dropped = True
            return LostError(started=opened)
        if intake is not None and intake.closed:
            return LostError(started=True)
        if error.code in (OPEN_REQUEST_SESSION_FAILED, OPEN_REQUEST_PTY_FAILED):
            return DeniedError(error.reason)
        return RefusedError(beside)

    def abort(self) -> None:
        """Drop the connection without a word: it hangs or talks nonsense."""
        self._dropped = True
        self._connection.abort()

    async def close(self) -> None:
        """Log out; a peer that does not follow within a second is dropped."""
        self._dropped = True
        self._connection.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._connection.wait_closed()
        self._connection.abort()
