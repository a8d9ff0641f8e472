"""The SSH side of a node, on asyncssh: logins, channels, and the faults that happen before a command."""

from __future__ import annotations

import asyncio
import hmac
from typing import Final

import asyncssh
from asyncssh.channel import SSHChannel

from cmscert.lab import shell
from cmscert.lab.node import LabNode
from cmscert.lab.store import Store

_SFTP_VERSION: Final = 3
_OLD: Final = {
    "kex_algs": ["diffie-hellman-group14-sha1"],
    "signature_algs": ["ssh-rsa"],
}


class _Session(asyncssh.SSHServerProcess[bytes]):
    """A channel of a node."""

    def __init__(self, login: _Login) -> None:
        super().__init__(self._serve, login.store, _SFTP_VERSION, False)  # noqa: FBT003 - asyncssh takes it by place
        self._login = login
        self._task: asyncio.Task[None] | None = None

    async def _serve(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        self._task = asyncio.current_task()
        await shell.serve(self._login.node, process)

    def shell_requested(self) -> bool:
        self._login.spoke = True
        return True

    def exec_requested(self, command: str) -> bool:  # noqa: ARG002 - asyncssh passes it
        self._login.spoke = True
        return self._login.node.switches.exec_channel

    def subsystem_requested(self, subsystem: str) -> bool:
        if self._login.spoke and not self._login.node.switches.sftp_same_connection:
            return False
        return subsystem == "sftp"

    def connection_lost(self, exc: Exception | None) -> None:
        self._login.channels -= 1
        super().connection_lost(exc)
        if self._task is not None:
            self._task.cancel()


class _Login(asyncssh.SSHServer):
    """A connection to a node."""

    def __init__(self, server: SshServer) -> None:
        self._server = server
        self.node = server.node
        self.connection: asyncssh.SSHServerConnection | None = None
        self.channels = 0
        self.spoke = False

    def store(self, channel: SSHChannel[bytes]) -> Store:
        assert isinstance(channel, asyncssh.SSHServerChannel)
        return Store(channel, self.node)

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self.connection = conn
        self._server.connections.add(conn)
        if self.node.faults.down:
            conn.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncssh calls it with the reason
        assert self.connection is not None
        self._server.connections.discard(self.connection)

    def begin_auth(self, username: str) -> bool:  # noqa: ARG002 - every user has to log in
        keys = self.node.spec.authorized_keys
        if keys:
            assert self.connection is not None
            self.connection.set_authorized_keys(asyncssh.import_authorized_keys(keys))
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        spec = self.node.spec
        good = hmac.compare_digest(password.encode(), spec.password.encode())
        return username == spec.user and good and not spec.faults.reject_password

    def session_requested(self) -> tuple[asyncssh.SSHServerChannel[bytes], _Session]:
        self._server.opens += 1
        faults = self.node.faults
        limit = self.node.switches.max_channels
        refused = faults.refuse_channels > 0
        if refused:
            faults.refuse_channels -= 1
        if faults.refuse_every and self._server.opens % faults.refuse_every == 0:
            refused = True
        if limit is not None and self.channels >= limit:
            refused = True
        if refused:  # facts 1.3: "acano has problems with too fast channel creations"
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, "too many channels")
        self.channels += 1
        assert self.connection is not None
        return self.connection.create_server_channel(encoding=None), _Session(self)


class SshServer:
    """Listens for one node."""

    def __init__(self, node: LabNode) -> None:
        self.node = node
        self.port = 0
        self.opens = 0
        self.connections: set[asyncssh.SSHServerConnection] = set()
        old = node.switches.old_algorithms
        self._key = asyncssh.generate_private_key("ssh-rsa" if old else "ssh-ed25519")
        self._acceptor: asyncssh.SSHAcceptor | None = None

    @property
    def host_key(self) -> str:
        """The public host key in OpenSSH form, without a comment."""
        return self._key.export_public_key("openssh").decode().strip()

    async def start(self) -> None:
        """Start to listen. Raises OSError."""
        spec = self.node.spec
        self._acceptor = await asyncssh.listen(
            spec.bind,
            spec.ssh_port,
            server_factory=lambda: _Login(self),
            server_host_keys=[self._key],
            encoding=None,
            line_editor=False,
            allow_scp=False,
            **(_OLD if spec.switches.old_algorithms else {}),
        )
        self.port = self._acceptor.get_port()

    async def stop(self) -> None:
        """End every connection and stop listening."""
        if self._acceptor is None:
            return
        self._acceptor.close()
        for connection in tuple(self.connections):
            connection.abort()
            await connection.wait_closed()
        await self._acceptor.wait_closed()
        self._acceptor = None
