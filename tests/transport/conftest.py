"""A small SSH server that does what a test tells it: fixtures for the transport alone, no CMS knowledge."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncssh
import pytest

from cmscert.model.commands import Command, Effect
from cmscert.model.login import Login, SecretRef, Timeouts
from cmscert.model.secret import Secret
from cmscert.transport.ssh import Credentials, NodeSession, connect, load_known_hosts

PASSWORD = "correct horse"  # noqa: S105 - a throw-away password of a test server
SHORT = Timeouts(connect=5, login=5, answer=5, keepalive=30)


@dataclasses.dataclass
class Script:
    """What the server does; a test changes it at any time."""

    hostname: str = "cms1"
    greeting: tuple[bytes, ...] = ()  # pieces of text before the first prompt
    answers: dict[str, bytes] = dataclasses.field(default_factory=dict)
    errors: dict[str, bytes] = dataclasses.field(default_factory=dict)  # on stderr
    asks: dict[str, bytes] = dataclasses.field(default_factory=dict)  # question before the answer, in a shell
    silent: set[str] = dataclasses.field(default_factory=set)  # commands without an end
    cut: dict[str, int] = dataclasses.field(default_factory=dict)  # how often a command cuts the connection
    hold: dict[str, asyncio.Event] = dataclasses.field(default_factory=dict)  # commands that wait
    close_channel: set[str] = dataclasses.field(default_factory=set)  # commands that end their channel
    pieces: float = 0.0  # seconds between the pieces (split at NUL) of an answer in a shell
    echo: bool = True
    empty_line: bool = True  # an empty line brings the prompt again
    exec_channel: bool = True
    shell: bool = True
    pty: bool = True
    deny: int = 0  # commands to deny on channels that were opened
    swallow_opens: bool = False  # channel opens are neither accepted nor refused
    refuse: int = 0  # channel opens to refuse
    max_channels: int | None = None
    cut_opens: int = 0  # cut the connection at this many channel opens
    sftp: str = "same"  # same | apart | none
    files: dict[str, bytes] = dataclasses.field(default_factory=dict)
    folders: tuple[bytes, ...] = ()
    raw_names: tuple[bytes, ...] = ()  # more names that the list shows
    dot: bool = True  # "." can be listed
    full: bool = False
    truncate: int | None = None
    stat: bool = True
    short_reads: int | None = None
    slow_reads: float = 0.0  # seconds before each answer to a read
    sftp_silent: bool = False
    sftp_cut: int = 0  # cut the connection at this many file opens
    sftp_garbage: bool = False
    eof: set[str] = dataclasses.field(default_factory=set)  # commands that end their answer, not their channel
    undecided: set[str] = dataclasses.field(default_factory=set)  # commands whose channel ends before yes or no
    sftp_cut_start: int = 0  # cut the connection at this many starts of SFTP
    arrivals: dict[str, asyncio.Event] = dataclasses.field(default_factory=dict)
    seen: list[str] = dataclasses.field(default_factory=list)
    logins: int = 0
    open_channels: int = 0
    most_channels: int = 0
    sftp_starts: int = 0
    shell_starts: int = 0
    port: int = 0
    must_change: bool = False
    auth_methods: list[str] = dataclasses.field(default_factory=list)
    connections: list[asyncssh.SSHServerConnection] = dataclasses.field(default_factory=list)

    async def arrival(self, typed: str) -> None:
        """Wait until a command has come."""
        await self.arrivals.setdefault(typed, asyncio.Event()).wait()


class Files(asyncssh.SFTPServer):
    """An in-memory store."""

    def __init__(self, chan: asyncssh.SSHServerChannel[bytes], script: Script) -> None:
        super().__init__(chan)
        self._script = script
        self._conn = chan.get_connection()
        script.sftp_starts += 1

    async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> list[object]:  # noqa: ARG002 - the library's signature
        """Play the part of open."""
        if self._script.sftp_cut:
            self._script.sftp_cut -= 1
            self._conn.abort()
        if self._script.sftp_silent:
            await asyncio.Event().wait()
        name = path.decode().removeprefix("/")
        if name == "secret":
            raise asyncssh.SFTPPermissionDenied("no\x1b[31m way")
        if name == "odd":
            raise asyncssh.SFTPBadMessage("what?")
        if pflags & asyncssh.FXF_WRITE:
            self._script.files[name] = b""
        elif name not in self._script.files:
            raise asyncssh.SFTPNoSuchFile("no such file")
        return [name]

    async def read(self, file_obj: list[object], offset: int, size: int) -> bytes:
        """Play the part of read."""
        await asyncio.sleep(self._script.slow_reads)
        if self._script.sftp_garbage:
            self._conn.abort()
        content = self._script.files[str(file_obj[0])]
        return content[offset : offset + min(size, self._script.short_reads or size)]

    def write(self, file_obj: list[object], offset: int, data: bytes) -> int:
        """Play the part of write."""
        if self._script.full:
            raise asyncssh.SFTPFailure("No space left on device")
        name = str(file_obj[0])
        old = self._script.files[name].ljust(offset, b"\0")
        new = old[:offset] + data + old[offset + len(data) :]
        self._script.files[name] = new if self._script.truncate is None else new[: self._script.truncate]
        return len(data)

    def fstat(self, file_obj: list[object]) -> asyncssh.SFTPAttrs:
        """Play the part of fstat."""
        if not self._script.stat:
            raise asyncssh.SFTPOpUnsupported("no")
        return asyncssh.SFTPAttrs(size=len(self._script.files[str(file_obj[0])]))

    def close(self, file_obj: list[object]) -> None:
        """Nothing is kept open."""

    def remove(self, path: bytes) -> None:
        """Play the part of remove."""
        name = path.decode().removeprefix("/")
        if name not in self._script.files:
            raise asyncssh.SFTPNoSuchFile("no such file")
        del self._script.files[name]

    async def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:
        """Play the part of scandir."""
        if path == b"." and not self._script.dot:
            raise asyncssh.SFTPFailure("no")
        if self._script.sftp_silent:
            await asyncio.Event().wait()
        for name in [*(name.encode() for name in self._script.files), *self._script.raw_names]:
            yield asyncssh.SFTPName(name, attrs=asyncssh.SFTPAttrs(permissions=0o100644, size=1))
        for name in self._script.folders:
            yield asyncssh.SFTPName(name, attrs=asyncssh.SFTPAttrs(permissions=0o040755))


class Channel(asyncssh.SSHServerProcess):
    """A channel of the scripted server."""

    def __init__(self, script: Script, first: bool) -> None:  # noqa: FBT001 - private
        super().__init__(self._serve, lambda chan: Files(chan, script), 3, False)  # noqa: FBT003 - the library's
        self._script = script
        self._first = first

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        """Play the part of connection made."""
        super().connection_made(chan)
        self._script.open_channels += 1
        self._script.most_channels = max(self._script.most_channels, self._script.open_channels)

    def connection_lost(self, exc: Exception | None) -> None:
        """Play the part of connection lost."""
        self._script.open_channels -= 1
        super().connection_lost(exc)

    def exec_requested(self, command: str) -> bool:
        """Play the part of exec requested."""
        if command in self._script.undecided:
            self._script.seen.append(command)
            self.channel.close()
            return False
        if self._script.deny:
            self._script.deny -= 1
            return False
        return self._script.exec_channel

    def shell_requested(self) -> bool:
        """Play the part of shell requested."""
        return self._script.shell

    def pty_requested(self, term_type: str, term_size: object, term_modes: object) -> bool:  # noqa: ARG002 - the library's signature
        """Play the part of pty requested."""
        return self._script.pty

    def subsystem_requested(self, subsystem: str) -> bool:
        """Play the part of subsystem requested."""
        if self._script.sftp_cut_start:
            self._script.sftp_cut_start -= 1
            self.channel.get_connection().abort()
        return subsystem == "sftp" and (
            self._script.sftp == "same" or (self._script.sftp == "apart" and not self._first)
        )

    async def _serve(self, process: asyncssh.SSHServerProcess) -> None:
        with contextlib.suppress(asyncssh.Error, OSError):
            if process.command is None:
                self._script.shell_starts += 1
                await self._shell()
            elif await self._carry_out(process.command):
                process.exit(0)

    async def _carry_out(self, typed: str) -> bool:
        script = self._script
        script.seen.append(typed)
        script.arrivals.setdefault(typed, asyncio.Event()).set()
        if script.cut.get(typed):
            script.cut[typed] -= 1
            self.channel.get_connection().abort()
            return False
        if typed in script.hold:
            await script.hold[typed].wait()
        self.stderr.write(script.errors.get(typed, b""))
        for piece in script.answers.get(typed, b"Unknown command\r\n").split(b"\0"):
            self.stdout.write(piece)
            await asyncio.sleep(script.pieces)
        if typed in script.close_channel:
            self.channel.close()
            return False
        if typed in script.eof:
            self.stdout.write_eof()
        return typed not in script.silent | script.eof

    async def _shell(self) -> None:
        script = self._script
        prompt = f"{script.hostname}> ".encode()
        for piece in script.greeting:
            self.stdout.write(piece)
            await asyncio.sleep(0.05)
        self.stdout.write(prompt)
        while line := await self.stdin.readline():
            typed = line.decode().strip()
            if script.echo:
                self.stdout.write(typed.encode() + b"\r\n")
            if not typed:
                self.stdout.write(prompt if script.empty_line else b"")
                continue
            if question := script.asks.get(typed):
                script.seen.append(f"asked {typed}")
                self.stdout.write(question)
                given = (await self.stdin.readline()).strip()
                self.stdout.write(given + b"\r\n")
                if given != b"Y":
                    self.stdout.write(b"not confirmed\r\n" + prompt)
                    continue
            if not await self._carry_out(typed):
                await asyncio.Event().wait()
            self.stdout.write(prompt)


class Server(asyncssh.SSHServer):
    """The scripted server's side of one connection."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._conn: asyncssh.SSHServerConnection | None = None
        self._first = False

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Play the part of connection made."""
        self._conn = conn
        self._script.connections.append(conn)

    def auth_completed(self) -> None:
        """Play the part of auth completed."""
        self._script.logins += 1
        self._first = self._script.logins == 1

    def password_auth_supported(self) -> bool:
        """Play the part of password auth supported."""
        return True

    def validate_password(self, username: str, password: str) -> bool:
        """Play the part of validate password."""
        self._script.auth_methods.append("password")
        if self._script.must_change:
            raise asyncssh.PasswordChangeRequired("your password has expired")
        return username == "admin" and password == PASSWORD

    def session_requested(self) -> object:
        """Play the part of session requested."""
        script = self._script
        if script.cut_opens:
            script.cut_opens -= 1
            self._conn.abort()
            return False
        if script.refuse:
            script.refuse -= 1
            return False
        if script.max_channels is not None and script.open_channels >= script.max_channels:
            return False
        if script.swallow_opens:
            return self._conn.create_server_channel(encoding=None), self._never()
        return self._conn.create_server_channel(encoding=None), Channel(script, self._first)

    @staticmethod
    async def _never() -> None:
        await asyncio.Event().wait()


StartNode = Callable[..., Awaitable[Script]]
Script.channel_class = Channel
Script.server_class = Server


@pytest.fixture(scope="session")
def host_key() -> asyncssh.SSHKey:
    """The host key of every scripted server, unless a test gives another."""
    return asyncssh.generate_private_key("ssh-ed25519")


@pytest.fixture
async def start_node(host_key: asyncssh.SSHKey) -> AsyncIterator[StartNode]:
    """Give what starts scripted servers: it fills in ``port`` and passes options on to ``asyncssh.listen``."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(script: Script, **options: object) -> Script:
            options = {"server_host_keys": [host_key], "encoding": None, "host": "127.0.0.1"} | options
            acceptor = await asyncssh.listen(port=0, server_factory=lambda: Server(script), **options)

            async def stop() -> None:
                for conn in script.connections:
                    conn.abort()
                acceptor.close()
                await acceptor.wait_closed()

            stack.push_async_callback(stop)
            script.port = acceptor.get_port()
            return script

        yield start


@pytest.fixture
async def node(start_node: StartNode) -> Script:
    """One scripted server that is up."""
    return await start_node(Script())


@pytest.fixture
def script() -> type[Script]:
    """The class of a server's script, for tests that start their own."""
    return Script


@pytest.fixture
def credentials() -> Credentials:
    """The right password."""
    return Credentials(password=Secret(PASSWORD))


@pytest.fixture
def known_hosts_file(tmp_path: Path, host_key: asyncssh.SSHKey) -> Callable[..., Path]:
    """Write a known_hosts file for a port: ``known_hosts_file(port, key=…)``."""

    def write(port: int, *, key: asyncssh.SSHKey = host_key, address: str = "127.0.0.1", extra: str = "") -> Path:
        file = tmp_path / f"known_hosts-{port}"
        file.write_text(f"{extra}[{address}]:{port} {key.export_public_key().decode()}")
        return file

    return write


@pytest.fixture
def login_to(known_hosts_file: Callable[..., Path]) -> Callable[..., Login]:
    """Make a Login for a scripted server: ``login_to(script, answer=0.5, legacy=True)``."""

    def make(script: Script, **changes: object) -> Login:
        limits = {name: changes.pop(name) for name in ("connect", "login", "answer", "keepalive") if name in changes}
        fields: dict[str, object] = {
            "server": "core1",
            "address": "127.0.0.1",
            "port": script.port,
            "user": "admin",
            "password": SecretRef(kind="env", value=("LAB",)),
            "timeouts": dataclasses.replace(SHORT, **limits),
        }
        fields |= changes
        if "known_hosts" not in fields:
            fields["known_hosts"] = str(known_hosts_file(fields["port"]))
        return Login(**fields)

    return make


SessionTo = Callable[..., contextlib.AbstractAsyncContextManager[NodeSession]]


@pytest.fixture
def session_to(login_to: Callable[..., Login], credentials: Credentials) -> SessionTo:
    """Give what connects to a scripted server; fields of Login and its time limits can be changed."""

    @contextlib.asynccontextmanager
    async def open_session(script: Script, **changes: object) -> AsyncIterator[NodeSession]:
        given = changes.pop("credentials", credentials)
        login = login_to(script, **changes)
        async with connect(login, given, load_known_hosts(login.known_hosts)) as session:
            yield session

    return open_session


@pytest.fixture
def read() -> Callable[..., Command]:
    """Make a command that reads."""
    return lambda typed, **more: Command(typed=typed, effect=Effect.READ, **more)


@pytest.fixture
def change() -> Callable[..., Command]:
    """Make a command that changes."""
    return lambda typed, **more: Command(typed=typed, effect=Effect.CHANGE, **more)


class Relay:
    """A TCP relay that can freeze (bytes go nowhere) or cut."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._flow = asyncio.Event()
        self._flow.set()
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.accepted = 0

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def freeze(self) -> None:
        """Hand on nothing more."""
        self._flow.clear()

    def thaw(self) -> None:
        """Hand on again; what was held back goes first."""
        self._flow.set()

    def cut(self) -> None:
        """End all connections."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def stop(self) -> None:
        """End everything."""
        self.cut()
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._writers.append(writer)
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers.append(other_writer)
        for source, sink in ((reader, other_writer), (other_reader, writer)):
            task = asyncio.ensure_future(self._pump(source, sink))
            self._tasks.add(task)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while part := await source.read(65536):
                await self._flow.wait()
                sink.write(part)
                await sink.drain()
        sink.transport.abort()


@pytest.fixture
async def relay_to() -> AsyncIterator[Callable[[int], Awaitable[Relay]]]:
    """Put a relay in front of a port."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(port: int) -> Relay:
            relay = Relay(port)
            await relay.start()
            stack.push_async_callback(relay.stop)
            return relay

        yield start


@pytest.fixture
async def raw_server() -> AsyncIterator[Callable[..., Awaitable[int]]]:
    """Start a TCP server from a coroutine function (reader, writer); returns its port."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(serve: Callable[..., Awaitable[None]], **options: object) -> int:
            tasks: set[asyncio.Task[None]] = set()

            async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                tasks.add(asyncio.current_task())
                try:
                    await serve(reader, writer)
                except (OSError, asyncio.CancelledError):
                    pass
                finally:
                    writer.transport.abort()

            server = await asyncio.start_server(one, **({"host": "127.0.0.1", "port": 0} | options))

            async def stop() -> None:
                server.close()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

            stack.push_async_callback(stop)
            return int(server.sockets[0].getsockname()[1])

        yield start


@pytest.fixture
def unused_port() -> int:
    """A port where nothing listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture(autouse=True)
def no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the agent of whoever runs it."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused channels are asked for again at once."""
    monkeypatch.setattr("cmscert.transport.ssh.PAUSES", (0.001,) * 5)
    monkeypatch.setattr("cmscert.transport.store.PAUSES", (0.001,) * 5)
