"""A server that wishes us ill: it cannot fill our memory, hold us up, write files, draw on the terminal, or phish."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
import subprocess
import sys
import threading
import time
import unicodedata
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh
import click
import pytest
from asyncssh.packet import Byte, String, UInt32

from cmscert.cli import main as console
from cmscert.errors import StoreRefused
from cmscert.model.login import Login
from cmscert.model.secret import Secret
from cmscert.testing.ca import ThrowAwayCa
from cmscert.transport import store
from cmscert.transport.ssh import Credentials, connect, load_known_hosts

CA = ThrowAwayCa.root("Nodes CA")
LEAF = CA.issue("a.example.com", sans=("a.example.com",))
NASTY = b"\x1b]0;owned\x07\x1b[2J\x1b[31mred\x9b31m\x08\x08\rover\xe2\x80\xaeright to left\xe2\x81\xa6\xff\xfe\x00 end"
BASE_MB = 110
ABOVE_MB = 200
OPENDIR, INIT = 11, 1
CONNECTIONS: list[asyncssh.SSHServerConnection] = []
INVENTORY = """
version: 1
fleet: nodes
ssh: {user: admin, known_hosts: known_hosts, timeout: {answer: 2, login: 4, keepalive: 4}}
bundles: {corp: [ca.crt]}
certificates:
  all: {common_name: a.example.com, chain: corp, files: {certificate: a.crt, key: a.key}}
servers:
"""
SERVER = """
  {name}: {{address: 127.0.0.1, fqdn: {name}.example.com, release: "3.9",
    ssh: {{port: {port}, password: {{env: {variable}}}}}, services: {{webadmin: {{certificate: all, bundle: corp}}}}}}
"""


@dataclass
class Malice:
    """What a server does; the rest it does as a server that is empty."""

    answer: Callable[[str, asyncssh.SSHServerProcess[bytes]], Any] = lambda _command, process: process.exit(0)
    names: Callable[[], AsyncIterator[asyncssh.SFTPName]] | None = None
    raw: bytes | None = None  # sent in place of SFTP
    read: Callable[[int, int], bytes] | None = None
    size: int = 1
    error: bytes = b""
    banner: str = ""
    challenges: int = 0
    opens: bool = False  # opens channels of its own
    passwords: list[str] = field(default_factory=list)
    counted: int = 0
    opened: list[str] = field(default_factory=list)
    typed: list[str] = field(default_factory=list)
    port: int = 0


class _Files(asyncssh.SFTPServer):
    def __init__(self, chan: asyncssh.SSHServerChannel[bytes], malice: Malice) -> None:
        super().__init__(chan)
        self._malice = malice

    async def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:  # noqa: ARG002 - the library's signature
        if self._malice.error:
            raise asyncssh.SFTPFailure(self._malice.error.decode("utf-8", "replace"))
        if self._malice.names is None:
            yield entry(b"a.crt")
            yield entry(b"a.key")
            return
        async for name in self._malice.names():
            self._malice.counted += 1
            yield name

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:  # noqa: ARG002 - the library's signature
        if self._malice.error:
            raise asyncssh.SFTPFailure(self._malice.error.decode("utf-8", "replace"))
        return [path]

    def read(self, file_obj: object, offset: int, size: int) -> bytes:  # noqa: ARG002 - the library's signature
        return self._malice.read(offset, size) if self._malice.read else b"x"[offset:]

    def fstat(self, file_obj: object) -> asyncssh.SFTPAttrs:  # noqa: ARG002 - the library's signature
        return asyncssh.SFTPAttrs(size=self._malice.size)

    def close(self, file_obj: object) -> None:
        """Nothing is kept open."""


class _Raw(asyncssh.SSHServerSession[bytes]):
    """Takes the place of SFTP and sends bytes as they are."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._heard = b""
        self._chan: Any = None

    def connection_made(self, chan: Any) -> None:  # noqa: ANN401 - the library's own
        self._chan = chan

    def subsystem_requested(self, subsystem: str) -> bool:
        return subsystem == "sftp"

    def session_started(self) -> None:
        self._chan.write(String(Byte(2) + UInt32(3)))

    def data_received(self, data: bytes, datatype: int | None) -> None:  # noqa: ARG002 - the library's signature
        """Give a handle for a folder, and for everything else what was prepared, as the answer to what was asked."""
        self._heard += data
        while len(self._heard) >= 4 and len(self._heard) >= 4 + int.from_bytes(self._heard[:4], "big"):
            size = 4 + int.from_bytes(self._heard[:4], "big")
            kind, number = self._heard[4], self._heard[5:9]
            self._heard = self._heard[size:]
            with contextlib.suppress(OSError):
                if kind == OPENDIR:
                    self._chan.write(String(Byte(102) + number + String(b"handle")))
                elif kind != INIT:
                    self._chan.write(self._raw.replace(b"NUMB", number, 1))


class _Server(asyncssh.SSHServer):
    def __init__(self, malice: Malice) -> None:
        self._malice = malice
        self._asked = 0
        self._conn: Any = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._conn = conn
        CONNECTIONS.append(conn)

    def begin_auth(self, username: str) -> bool:  # noqa: ARG002 - the library's signature
        if self._malice.banner:
            self._conn.send_auth_banner(self._malice.banner)
        return True

    def password_auth_supported(self) -> bool:
        return not self._malice.challenges

    def kbdint_auth_supported(self) -> bool:
        return bool(self._malice.challenges)

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> Any:  # noqa: ANN401, ARG002 - the library's signature
        return self._challenge()

    def _challenge(self) -> Any:  # noqa: ANN401 - the library's own
        self._asked += 1
        prompts = [("Password of server a:", False), ("Passphrase of your key:", True), ("\x1b[2JPassword:", False)]
        prompts = prompts[: 1 if self._asked == 1 else 3]
        return ("please", NASTY.decode("utf-8", "replace"), "", prompts)

    def validate_kbdint_response(self, username: str, responses: Any) -> Any:  # noqa: ANN401, ARG002 - the library's signature
        self._malice.passwords.extend(responses)
        return self._challenge() if self._asked < self._malice.challenges else False

    def validate_password(self, username: str, password: str) -> bool:  # noqa: ARG002 - the library's signature
        self._malice.passwords.append(password)
        return True

    def auth_completed(self) -> None:
        if self._malice.opens:
            asyncio.get_running_loop().create_task(self._visit())

    async def _visit(self) -> None:
        for name, way in (
            ("agent", self._conn.open_agent_connection),
            ("x11", lambda: self._conn.create_x11_connection(lambda: None, "127.0.0.1", 6000)),
            ("port", lambda: self._conn.create_connection(asyncssh.SSHTCPSession, "127.0.0.1", 22)),
        ):
            try:
                await way()
            except (asyncssh.Error, OSError, AttributeError, ValueError):
                continue
            self._malice.opened.append(name)

    def session_requested(self) -> Any:  # noqa: ANN401 - the library's own
        if self._malice.raw is not None and self._malice.typed:
            return self._conn.create_server_channel(encoding=None), _Raw(self._malice.raw)
        process: Any = asyncssh.SSHServerProcess(self._serve, lambda chan: _Files(chan, self._malice), 3, False)  # noqa: FBT003 - the library takes it by place
        return self._conn.create_server_channel(encoding=None), process

    async def _serve(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        self._malice.typed.append(str(process.command))
        with contextlib.suppress(asyncssh.Error, OSError):
            done = self._malice.answer(str(process.command), process)
            if asyncio.iscoroutine(done):
                await done


def entry(name: bytes, permissions: int = 0o100644) -> asyncssh.SFTPName:
    """Make an entry of a directory."""
    return asyncssh.SFTPName(name, attrs=asyncssh.SFTPAttrs(permissions=permissions, size=1))


@dataclass
class Ran:
    """How a command ended, all that it said, its seconds, and its megabytes at most."""

    code: int
    said: str
    seconds: float
    megabytes: float


def _peaks(process: subprocess.Popen[bytes]) -> Iterator[float]:
    """Look at the most memory that a process has had, until it ends; the kernel keeps count."""
    status = Path(f"/proc/{process.pid}/status")
    while process.returncode is None:
        with contextlib.suppress(OSError):
            found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
            yield float(found[1]) / 1024 if found else 0.0
        time.sleep(0.02)


class Ground:
    """Servers in a thread, an inventory that names them, and the program as a user starts it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "inventory"
        self.folder.mkdir()
        self._key = asyncssh.generate_private_key("ssh-ed25519")
        self._acceptors: list[asyncssh.SSHAcceptor] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.inventory = self.folder / "inventory.yaml"
        self.passwords: dict[str, str] = {}
        self.text = INVENTORY
        for name, content in (("ca.crt", CA.certificate_pem), ("a.crt", LEAF.certificate_pem), ("a.key", LEAF.key_pem)):
            (self.folder / name).write_bytes(content)

    def add(self, name: str, malice: Malice) -> Malice:
        """Start a server and add it to the inventory."""
        acceptor = asyncio.run_coroutine_threadsafe(self._listen(malice), self._loop).result(10)
        self._acceptors.append(acceptor)
        malice.port = acceptor.get_port()
        variable = f"PASSWORD_OF_{name.upper()}"
        self.passwords[variable] = f"Canary-of-{name}-81d3f0"
        self.text += SERVER.format(name=name, port=malice.port, variable=variable)
        self.inventory.write_text(self.text)
        with (self.folder / "known_hosts").open("a") as stream:
            stream.write(f"[127.0.0.1]:{malice.port} {self._key.export_public_key().decode()}")
        return malice

    async def _listen(self, malice: Malice) -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=lambda: _Server(malice),
            server_host_keys=[self._key],
            encoding=None,
            line_editor=False,
            window=1 << 22,
        )

    def run(self, *words: str) -> Ran:
        """Run a command to its end."""
        began = time.monotonic()
        around = {**os.environ, "TMPDIR": str(self.folder.parent), **self.passwords}
        command = [sys.executable, "-m", "cmscert", words[0], str(self.inventory), *words[1:]]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        with subprocess.Popen(command, env=around, **pipes) as process:
            peaks = [0.0]
            watcher = threading.Thread(target=lambda: peaks.extend(_peaks(process)))
            watcher.start()
            said = process.communicate(timeout=100)[0].decode()
            watcher.join()
        return Ran(process.returncode, said, time.monotonic() - began, max(peaks))

    def stop(self) -> None:
        """Stop the servers."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _end(self) -> None:
        for acceptor in self._acceptors:
            acceptor.close()
        for connection in CONNECTIONS:
            connection.abort()
            await connection.wait_closed()
        CONNECTIONS.clear()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    """Give a place for servers to stand on."""
    made = Ground(tmp_path)
    yield made
    made.stop()


def obeyed(text: str) -> list[str]:
    """Return the characters of a text that a terminal may act on, or that turn or hide what is near."""
    return [char for char in text if char != "\n" and unicodedata.category(char) in {"Cc", "Cf", "Zl", "Zp"}]


async def _endless(_command: str, process: asyncssh.SSHServerProcess[bytes]) -> None:
    for _ in range(4096):
        process.stdout.write(b"x" * 65_536)
        await process.stdout.drain()


async def _dripping(_command: str, process: asyncssh.SSHServerProcess[bytes]) -> None:
    for _ in range(600):
        process.stdout.write(b"x")
        await asyncio.sleep(0.1)


def _screens(_command: str, process: asyncssh.SSHServerProcess[bytes]) -> None:
    words = b"Enabled : true\r\nKey file : a.key\r\nCertificate file : a.crt\r\nversion 3.9\r\nstatus : " + NASTY
    process.stdout.write(words + b"\r\n")
    process.exit(0)


async def _endless_names() -> AsyncIterator[asyncssh.SFTPName]:
    for number in range(10_000_000):
        yield entry(b"file-%d.crt" % number)


async def _endless_folders() -> AsyncIterator[asyncssh.SFTPName]:
    for number in range(10_000_000):
        yield entry(b"folder-%d" % number, 0o040755)


async def _long_names() -> AsyncIterator[asyncssh.SFTPName]:
    for number in range(10_000):
        yield entry(b"%d" % number + b"x" * 30_000)


async def _nasty_names() -> AsyncIterator[asyncssh.SFTPName]:
    for name in (NASTY, b"../../etc/passwd", b"..", b"", b"a/b", "\u202ea.crt".encode(), b"a.crt", b"a\nb.crt"):
        yield entry(name)


def _paths(_command: str, process: asyncssh.SSHServerProcess[bytes]) -> None:
    process.stdout.write(b"Enabled : true\r\nKey file : ../../../k.key\r\nCertificate file : /tmp/c.crt\r\n3.9\r\n")
    process.exit(0)


NAME = String(b"") + String(b"") + UInt32(0)
PACKET = String(Byte(104) + b"NUMB" + UInt32(340_000) + NAME * 340_000)  # 4 MB, as large as the library takes

MALICE: dict[str, Malice] = {
    "an endless answer": Malice(answer=_endless),
    "an answer that drips": Malice(answer=_dripping),
    "no answer": Malice(answer=lambda _command, _process: asyncio.sleep(60)),
    "an endless list of files": Malice(answer=_screens, names=_endless_names),
    "an endless list of folders": Malice(answer=_screens, names=_endless_folders),
    "a list of long names": Malice(answer=_screens, names=_long_names),
    "a list that is one packet": Malice(answer=_screens, raw=PACKET),
    "a packet without end": Malice(answer=_screens, raw=b"\xff\xff\xff\xff" + b"x" * 65_536),
    "no SFTP at all": Malice(answer=_screens, raw=NASTY * 100),
    "an endless file": Malice(answer=_screens, read=lambda _offset, size: b"x" * size, size=1 << 60),
    "more than was asked for": Malice(answer=_screens, read=lambda _offset, _size: b"x" * 3_000_000, size=0),
    "names that draw": Malice(answer=_screens, names=_nasty_names),
    "names with paths": Malice(answer=_paths, names=_nasty_names),
    "errors that draw": Malice(answer=_screens, error=NASTY),
    "a banner that draws": Malice(answer=_screens, banner=NASTY.decode("utf-8", "replace") * 100),
    "questions for passwords": Malice(challenges=50),
}


@pytest.mark.unwatched
@pytest.mark.slow
def test_every_malice_at_once(ground: Ground) -> None:
    """Whatever servers do: an end in a few seconds, below 200 MB, in words that no terminal acts on, and no file."""
    for number, malice in enumerate(MALICE.values()):
        ground.add(f"m{number}", malice)
    before = set(ground.folder.parent.rglob("*"))
    status = ground.run("status", "-v")
    plan = ground.run("plan", "--format", "json", "--log-format", "json", "-v", "--save", str(ground.folder / "p.json"))
    after = set(ground.folder.parent.rglob("*")) - before

    assert (status.code, plan.code) == (4, 4), plan.said
    for ran in (status, plan):
        assert obeyed(ran.said) == []
        assert "owned" not in ran.said
        assert "Canary" not in ran.said
        assert "cmscert-bug" not in ran.said
        assert ran.seconds < 60
        assert ran.megabytes < BASE_MB + ABOVE_MB
    assert after == {ground.folder / "p.json"}
    assert obeyed((ground.folder / "p.json").read_text()) == []
    assert all(malice.typed for name, malice in MALICE.items() if not malice.challenges), MALICE
    for number, malice in enumerate(MALICE.values()):
        assert set(malice.passwords) <= {f"Canary-of-m{number}-81d3f0", ""}
    for said in (
        "longer than 1 MiB",
        "within 2 s",
        "is larger than 1 MiB",
        "cannot be understood",
        "no plain file name",
    ):
        assert said in " ".join(status.said.split()), said
    listed = [each.counted for each in MALICE.values() if each.names is not None]
    assert all(0 < count < 200_000 for count in listed), listed


def test_nothing_is_applied_to_such_servers(ground: Ground) -> None:
    """What could not be read is not changed; names with paths in them lead to no file on this machine."""
    for number, malice in enumerate((Malice(answer=_paths, names=_nasty_names), Malice(answer=_screens))):
        ground.add(f"m{number}", malice)
    before = set(ground.folder.parent.rglob("*"))
    ran = ground.run("apply", "--yes", "-v")
    after = set(ground.folder.parent.rglob("*")) - before

    assert ran.code in (4, 7), ran.said
    assert obeyed(ran.said) == []
    assert {path for path in after if ".cmscert" not in path.parts} == set()


def test_a_server_is_told_its_own_password_only(ground: Ground) -> None:
    """Each server gets the password that the inventory names for it, also when it asks for another's by name."""
    first, second = ground.add("a", Malice(answer=_screens, opens=True)), ground.add("b", Malice(challenges=3))
    ran = ground.run("status")

    assert ran.code == 4, ran.said
    assert set(first.passwords) == {"Canary-of-a-81d3f0"}
    assert set(second.passwords) == {"Canary-of-b-81d3f0"}
    assert first.typed
    assert first.opened == []  # nor can it come back over the connection: an agent's channel, a window's, a port's


def _formats() -> list[tuple[str, str]]:
    """Every form of every command that reads servers."""
    found = []
    for name in ("plan", "drift", "status"):
        command = console.cmscert.get_command(click.Context(console.cmscert), name)
        assert command is not None
        form = next(each for each in command.params if "--format" in each.opts)
        assert isinstance(form.type, click.Choice)
        found += [(name, str(choice)) for choice in form.type.choices]
    return found


def test_reports_of_every_form_draw_and_run_nothing(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text, JSON, Markdown, HTML and the rest: a subject, a file name or an answer stays text in each of them."""
    name = "\x1b[2J\u202e<script>alert(1)</script>|a\n# b"
    subject = ThrowAwayCa.root(name)
    content = subject.issue("a.example.com").certificate_pem + subject.certificate_pem
    size = len(content)
    ground.add("a", Malice(answer=_screens, names=_nasty_names, read=lambda at, _size: content[at:], size=size))
    ground.add("b", Malice(answer=_screens, names=_nasty_names, error=NASTY + b"<script>alert(2)</script>"))
    for variable, word in ground.passwords.items():
        monkeypatch.setenv(variable, word)
    shown = ""
    for word, form in _formats():
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = console.main([word, str(ground.inventory), "--format", form])
        assert code in (0, 4, 5, 6), err.getvalue()
        assert obeyed(out.getvalue() + err.getvalue()) == [], (word, form)
        if form in ("html", "markdown", "junit"):
            assert "<script>alert" not in out.getvalue(), (word, form)
        shown += out.getvalue()
    assert "alert(1)" in shown


async def test_names_that_no_file_of_ours_has_are_not_kept() -> None:
    """Names of thirty kilobytes are dropped as they come; folders count towards the limit on names, too."""

    class Listing:
        def __init__(self, names: Callable[[], AsyncIterator[asyncssh.SFTPName]]) -> None:
            self.scandir = lambda _folder: names()

    assert await store._names_in(Listing(_nasty_names), b".") != []
    assert await store._names_in(Listing(_long_names), b".") == []
    for endless in (_endless_names, _endless_folders):
        with pytest.raises(asyncssh.SFTPBadMessage):
            await store._names_in(Listing(endless), b".")


async def test_a_backup_without_end(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is handed on to disk has an end, too, whatever size the server tells."""
    malice = ground.add("a", Malice(read=lambda _offset, size: b"x" * size, size=1 << 60))
    monkeypatch.setattr(store, "FETCH_LIMIT", 5_000_000)
    login = Login(server="a", address="127.0.0.1", port=malice.port, user="admin", known_hosts="")
    credentials = Credentials(password=Secret("x"))
    known = load_known_hosts(ground.folder / "known_hosts")
    came = 0

    def take(part: bytes) -> None:
        nonlocal came
        came += len(part)

    async with connect(login, credentials, known) as session:
        with pytest.raises(StoreRefused, match="was not fetched"):
            await session.fetch_file("backup.bak", take)
    assert came <= 5_000_000
