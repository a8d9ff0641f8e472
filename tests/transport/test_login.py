"""Logging in, and what each way of failing says."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import asyncssh
import pytest

from cmscert.errors import HostKeyRefused, InputError, LoginRefused, NodeError, NotACms, Unreachable
from cmscert.model.login import Login
from cmscert.model.secret import Secret
from cmscert.transport.known_hosts import load_known_hosts
from cmscert.transport.ssh import Credentials, connect, connect_reader

if TYPE_CHECKING:
    from tests.transport.conftest import Relay, Script, SessionTo, StartNode

RawServer = Callable[..., Awaitable[int]]
PASSPHRASE = "open sesame"  # noqa: S105 - of keys that live for a test


async def fails(session_to: SessionTo, node: Script, error: type[NodeError], **changes: object) -> NodeError:
    """Try to log in, and return what was raised."""
    with pytest.raises(error) as caught:
        async with session_to(node, **changes):
            pass
    assert type(caught.value) is error
    assert caught.value.server == "core1"
    return caught.value


async def test_reader(node: Script, login_to: Callable[..., Login], credentials: Credentials) -> None:
    """A session for reading is opened the same way."""
    login = login_to(node)
    async with connect_reader(login, credentials, load_known_hosts(login.known_hosts)) as session:
        assert await session.list_files() == ()


async def test_wrong_password(node: Script, session_to: SessionTo) -> None:
    """A wrong password is a refused login; the password is in no text of the error, and is sent once."""
    error = await fails(session_to, node, LoginRefused, credentials=Credentials(password=Secret("wr0ng-secret")))
    assert error.message == "core1: 127.0.0.1 does not accept admin with this password"
    assert "locked or expired" in error.hint
    told: BaseException | None = error
    while told is not None:
        assert "wr0ng" not in f"{told!r} {told}"
        told = told.__cause__ or told.__context__
    assert node.auth_methods == ["password"]


async def test_expired_password(node: Script, session_to: SessionTo) -> None:
    """A password that the server wants to have changed is reported as expired, and not changed."""
    node.must_change = True
    error = await fails(session_to, node, LoginRefused)
    assert error.message == "core1: the password of admin has expired"


async def test_nothing_to_log_in_with(node: Script, session_to: SessionTo) -> None:
    """Without password, key or agent the server is not even called."""
    error = await fails(session_to, node, LoginRefused, credentials=Credentials())
    assert "no password, key or agent" in error.message
    assert node.connections == []


async def test_user_name_that_is_none(node: Script, session_to: SessionTo) -> None:
    """A user name that SSH does not allow is told as such."""
    error = await fails(session_to, node, LoginRefused, user="ad\x00min")
    assert "the log-in cannot be prepared" in error.message


def keyed(tmp_path: Path, key: asyncssh.SSHKey) -> dict[str, object]:
    """Write the public half where a server looks for it, and return the server's options."""
    file = tmp_path / "authorized_keys"
    file.write_bytes(key.export_public_key())
    return {"authorized_client_keys": str(file)}


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256"])
async def test_key(
    start_node: StartNode, script: type[Script], session_to: SessionTo, tmp_path: Path, kind: str
) -> None:
    """A login with a key that has a passphrase uses the key alone; no password is tried."""
    key = asyncssh.generate_private_key(kind)
    node = await start_node(script(), **keyed(tmp_path, key))
    sealed = key.export_private_key("pkcs8-pem", passphrase=PASSPHRASE)
    credentials = Credentials(key=Secret(sealed), key_passphrase=Secret(PASSPHRASE), password=Secret("x"))
    async with session_to(node, credentials=credentials, password=None) as session:
        assert await session.list_files() == ()
    assert node.auth_methods == []


async def test_other_key(start_node: StartNode, script: type[Script], session_to: SessionTo, tmp_path: Path) -> None:
    """A key that the server does not know is refused, with a hint at old releases."""
    node = await start_node(script(), **keyed(tmp_path, asyncssh.generate_private_key("ssh-ed25519")))
    key = Secret(asyncssh.generate_private_key("ssh-ed25519").export_private_key())
    error = await fails(session_to, node, LoginRefused, credentials=Credentials(key=key), password=None)
    assert "does not accept admin with this key" in error.message
    assert "ssh.legacy" in error.hint
    error = await fails(session_to, node, LoginRefused, credentials=Credentials(key=key), password=None, legacy=True)
    assert "ssh.legacy" not in error.hint


@pytest.mark.parametrize("passphrase", [None, "wrong"])
async def test_unreadable_key(node: Script, session_to: SessionTo, passphrase: str | None) -> None:
    """A wrong passphrase, or none, is found before the server is called."""
    sealed = asyncssh.generate_private_key("ssh-ed25519").export_private_key("pkcs8-pem", passphrase=PASSPHRASE)
    credentials = Credentials(key=Secret(sealed), key_passphrase=Secret(passphrase) if passphrase else None)
    error = await fails(session_to, node, LoginRefused, credentials=credentials)
    assert error.message == "core1: the login key cannot be read"
    assert node.connections == []


@pytest.mark.judge("openssh-client")
async def test_key_in_openssh_format(node: Script, session_to: SessionTo, tmp_path: Path) -> None:
    """An encrypted key in OpenSSH's own format is read, or the message says how to convert it."""
    file = tmp_path / "id"
    made = await asyncio.create_subprocess_exec("ssh-keygen", "-q", "-t", "ed25519", "-N", PASSPHRASE, "-f", str(file))
    assert await made.wait() == 0
    credentials = Credentials(key=Secret(file.read_bytes()), key_passphrase=Secret(PASSPHRASE))
    error = await fails(session_to, node, LoginRefused, credentials=credentials, password=None)
    assert ("ssh-keygen -p -m PKCS8" in error.hint) or ("does not accept admin with this key" in error.message)


@pytest.mark.judge("openssh-client")
async def test_agent(
    start_node: StartNode, script: type[Script], session_to: SessionTo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the login allows it, the keys of the SSH agent are used, and no others."""
    socket = tmp_path / "agent"
    agent = await asyncio.create_subprocess_exec("ssh-agent", "-D", "-a", str(socket), stdout=asyncio.subprocess.PIPE)
    try:
        assert str(socket) in (await agent.stdout.readline()).decode()
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        key = asyncssh.generate_private_key("ssh-ed25519")
        node = await start_node(script(), **keyed(tmp_path, key))
        error = await fails(session_to, node, LoginRefused, credentials=Credentials(), password=None, agent=True)
        assert error.message == "core1: the SSH agent holds no key"
        async with asyncssh.connect_agent(str(socket)) as client:
            await client.add_keys([key])
        async with session_to(node, credentials=Credentials(), password=None, agent=True) as session:
            assert await session.list_files() == ()
    finally:
        agent.kill()
        await agent.communicate()


async def test_no_agent(node: Script, session_to: SessionTo) -> None:
    """An agent that does not run is told as such."""
    error = await fails(session_to, node, LoginRefused, credentials=Credentials(), agent=True)
    assert error.message == "core1: no SSH agent answers"


async def test_unknown_host_key(node: Script, session_to: SessionTo, tmp_path: Path, host_key: asyncssh.SSHKey) -> None:
    """A host key that is not listed is refused with its fingerprint and the command that lists it."""
    empty = tmp_path / "known_hosts"
    empty.write_text("# nobody\n\n")
    error = await fails(session_to, node, HostKeyRefused, known_hosts=str(empty))
    assert f"is not in {empty}; it offers ssh-ed25519 {host_key.get_fingerprint()}" in error.message
    assert f"ssh-keyscan -p {node.port} 127.0.0.1 >> {empty}" in error.hint
    assert node.auth_methods == []


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256"])
async def test_changed_host_key(
    node: Script, session_to: SessionTo, known_hosts_file: Callable[..., Path], host_key: asyncssh.SSHKey, kind: str
) -> None:
    """A host key other than the listed one, of whatever kind, is refused with both fingerprints."""
    listed = asyncssh.generate_private_key(kind)
    file = known_hosts_file(node.port, key=listed)
    error = await fails(session_to, node, HostKeyRefused, known_hosts=str(file))
    assert "has changed" in error.message
    assert host_key.get_fingerprint() in error.message
    assert listed.get_fingerprint() in error.message
    assert f"ssh-keygen -R '[127.0.0.1]:{node.port}'" in error.hint


async def test_revoked_host_key(
    node: Script, session_to: SessionTo, known_hosts_file: Callable[..., Path], host_key: asyncssh.SSHKey
) -> None:
    """A host key that is marked as revoked is refused although it is listed too."""
    revoked = f"@revoked * {host_key.export_public_key().decode()}"
    error = await fails(session_to, node, HostKeyRefused, known_hosts=str(known_hosts_file(node.port, extra=revoked)))
    assert "revoked" in error.message


async def test_host_key_by_authority(
    start_node: StartNode, script: type[Script], session_to: SessionTo, tmp_path: Path, host_key: asyncssh.SSHKey
) -> None:
    """A host certificate of a listed authority is accepted."""
    authority = asyncssh.generate_private_key("ssh-ed25519")
    certificate = authority.generate_host_certificate(host_key, "cms1", principals=["127.0.0.1"])
    node = await start_node(script(), server_host_keys=[(host_key, certificate)])
    file = tmp_path / "known_hosts"
    file.write_text(f"@cert-authority * {authority.export_public_key().decode()}")
    async with session_to(node, known_hosts=str(file)) as session:
        assert await session.list_files() == ()


OLD = {
    "kex_algs": ["diffie-hellman-group14-sha1"],
    "signature_algs": ["ssh-rsa"],
}


async def test_old_algorithms(
    start_node: StartNode, script: type[Script], session_to: SessionTo, known_hosts_file: Callable[..., Path]
) -> None:
    """A server with nothing but group14-sha1 and ssh-rsa is accepted only where the login says legacy, silently."""
    old_key = asyncssh.generate_private_key("ssh-rsa")
    node = await start_node(script(), server_host_keys=[old_key], **OLD)
    known = str(known_hosts_file(node.port, key=old_key))
    error = await fails(session_to, node, NodeError, known_hosts=known)
    assert "no SSH algorithm that is accepted here" in error.message
    assert "ssh.legacy: true" in error.hint
    async with session_to(node, known_hosts=known, legacy=True) as session:
        assert await session.list_files() == ()


async def test_ciphers(node: Script, session_to: SessionTo) -> None:
    """AES-GCM is asked for first: it costs half of what the library's own first choice does."""
    async with session_to(node):
        assert node.connections[0].get_extra_info("send_cipher") == "aes128-gcm@openssh.com"


async def test_closed_port(node: Script, session_to: SessionTo, unused_port: int) -> None:
    """A port where nothing listens is unreachable."""
    error = await fails(session_to, node, Unreachable, port=unused_port)
    assert error.message == f"core1: no TCP connection to 127.0.0.1 port {unused_port}: connection refused"


@pytest.mark.parametrize("address", ["no-such-host.invalid", "a" * 70 + ".example", ".."])
async def test_unknown_name(node: Script, session_to: SessionTo, address: str) -> None:
    """An address that cannot be resolved is told as such."""
    error = await fails(session_to, node, Unreachable, address=address)
    assert f"the name {address} is unknown" in error.message


async def test_connect_limit(node: Script, session_to: SessionTo, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that does not answer is given up after the time for connecting."""

    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("cmscert.transport.login.dial", never)
    error = await fails(session_to, node, Unreachable, connect=0.05)
    assert "no TCP connection to 127.0.0.1 port" in error.message
    assert "within 0.05 s" in error.message


async def test_server_that_says_nothing(node: Script, session_to: SessionTo, raw_server: RawServer) -> None:
    """A port that takes the connection and says nothing is given up after the time for the log-in."""

    async def serve(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    error = await fails(session_to, node, Unreachable, port=await raw_server(serve), login=0.1)
    assert "took the connection but said nothing within 0.1 s" in error.message


async def test_log_in_that_hangs(
    node: Script, session_to: SessionTo, relay_to: Callable[[int], Awaitable[Relay]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An SSH server that stops in the middle of the log-in is given up after the same time."""
    relay = await relay_to(node.port)
    check = type(node).server_class.validate_password

    def freeze(server: object, username: str, password: str) -> bool:
        relay.freeze()
        return bool(check(server, username, password))

    monkeypatch.setattr(type(node).server_class, "validate_password", freeze)
    error = await fails(session_to, node, Unreachable, port=relay.port, login=0.5)
    assert "did not finish the log-in within 0.5 s" in error.message


async def test_web_server(node: Script, session_to: SessionTo, raw_server: RawServer) -> None:
    """A port that answers in another language is not a CMS."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    error = await fails(session_to, node, NotACms, port=await raw_server(serve))
    assert "does not speak SSH as a CMS does" in error.message


@pytest.mark.parametrize(
    "words",
    [b"x" * 100_000, b"line\r\n" * 5_000, b"SSH-1.5-old\r\n", b"SSH-2.0-\xff\xfe\r\n", b"SSH-2.0-x\r\n" + b"\xff" * 99],
)
async def test_garbage_at_the_port(node: Script, session_to: SessionTo, raw_server: RawServer, words: bytes) -> None:
    """Garbage, endless greetings, SSH 1 and broken packets are not a CMS."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        await writer.drain()
        await reader.read()

    await fails(session_to, node, NotACms, port=await raw_server(serve), login=2)


@pytest.mark.parametrize("words", [b"", b"Exceeded MaxStartups\r\n", b"SSH-2.0-OpenSSH_9.9\r\n"])
async def test_busy_server(node: Script, session_to: SessionTo, raw_server: RawServer, words: bytes) -> None:
    """An SSH server that hangs up, as OpenSSH does beyond MaxStartups, is unreachable, and may be tried again."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        await writer.drain()
        await reader.readline()
        writer.close()

    error = await fails(session_to, node, Unreachable, port=await raw_server(serve))
    assert "closed the connection during the log-in" in error.message
    assert "too many connections" in error.hint


async def test_too_many_tries(node: Script, session_to: SessionTo, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that ends the connection for too many tries has refused the login, whatever code it gives."""

    def end(*_: object) -> bool:
        raise asyncssh.ProtocolError("Too many authentication failures")

    monkeypatch.setattr(type(node).server_class, "validate_password", end)
    await fails(session_to, node, LoginRefused)


async def test_nothing_of_this_machine_is_used(
    node: Script, session_to: SessionTo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the user's SSH configuration nor the user's keys play a part."""
    home = tmp_path / ".ssh"
    home.mkdir()
    (home / "config").write_text("Host *\n  Port 1\n  User nobody\n  HostKeyAlias other\n  ProxyCommand false\n")
    (home / "id_rsa").write_text("not a key")
    monkeypatch.setenv("HOME", str(tmp_path))
    async with session_to(node) as session:
        assert await session.list_files() == ()


async def test_log_lines(node: Script, session_to: SessionTo, caplog: pytest.LogCaptureFixture) -> None:
    """The SSH library says nothing into our log below a warning, however talkative that is set."""
    caplog.set_level(logging.DEBUG)
    async with session_to(node) as session:
        await session.list_files()
    assert [record for record in caplog.records if record.name.startswith("asyncssh")] == []


async def test_own_settings_of_the_library_log(node: Script, session_to: SessionTo) -> None:
    """Who has set the library's log level keeps it."""
    logger = logging.getLogger("asyncssh")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        async with session_to(node):
            assert logger.level == logging.ERROR
    finally:
        logger.setLevel(before)


async def test_frozen_log_out(node: Script, session_to: SessionTo, relay_to: Callable[[int], Awaitable[Relay]]) -> None:
    """A node that freezes does not hold up the end of the session."""
    relay = await relay_to(node.port)
    async with asyncio.timeout(5), session_to(node, port=relay.port):
        relay.freeze()


def test_known_hosts_are_read_once(tmp_path: Path, host_key: asyncssh.SSHKey) -> None:
    """The same file gives the same object, until it changes."""
    file = tmp_path / "known_hosts"
    file.write_text(f"a {host_key.export_public_key().decode()}")
    first = load_known_hosts(file)
    assert load_known_hosts(str(file)) is first
    assert (len(first.keys("a", "", 22)[0]), len(first.keys("b", "", 22)[0])) == (1, 0)
    file.write_text(f"a,b {host_key.export_public_key().decode()}")
    assert len(load_known_hosts(file).keys("b", "", 22)[0]) == 1


@pytest.mark.parametrize(
    "line", ["onlyonefield", "@marker x ssh-rsa AAAA", "|1|bad ssh-rsa AAAA", "|9|YQ==|YQ== {key}"]
)
def test_known_hosts_line(tmp_path: Path, host_key: asyncssh.SSHKey, line: str) -> None:
    """A line that is none is named by file and number."""
    file = tmp_path / "known_hosts"
    key = host_key.export_public_key().decode().strip()
    file.write_text("# comment\n" + line.replace("{key}", key).replace("ssh-rsa AAAA", key) + "\n")
    with pytest.raises(InputError) as caught:
        load_known_hosts(file)
    assert str(caught.value) == f"{file}:2: not a known_hosts line"


def test_known_hosts_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file and a folder are input errors with the next step."""
    for path, why in ((tmp_path / "none", "no such file"), (tmp_path, "is a directory")):
        with pytest.raises(InputError, match=why) as caught:
            load_known_hosts(path)
        assert "ssh-keyscan" in caught.value.hint


async def test_standard_port_in_messages(tmp_path: Path, host_key: asyncssh.SSHKey) -> None:
    """On port 22 the commands in the hints name the bare address."""
    from cmscert.transport.known_hosts import refused

    file = tmp_path / "known_hosts"
    file.write_text(f"10.0.0.1 {asyncssh.generate_private_key('ssh-ed25519').export_public_key().decode()}")
    login = Login(server="core1", address="10.0.0.1", user="admin", known_hosts=str(file))
    error = refused(login, load_known_hosts(file), "10.0.0.1", host_key)
    assert f"ssh-keygen -R 10.0.0.1 -f {file}" in error.hint


@pytest.mark.parametrize("module", ["session", "credentials", "known_hosts", "tls", "pace", "tcp"])
def test_light_modules(module: str) -> None:
    """What others import for its types does not load the SSH library, which takes 0.28 s."""
    code = f"import sys, cmscert.transport.{module}; sys.exit('asyncssh' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_session_that_never_opened(
    node: Script, login_to: Callable[..., Login], tmp_path: Path, credentials: Credentials
) -> None:
    """A login that fails leaves no connection behind."""
    empty = tmp_path / "empty"
    empty.write_text("")
    with pytest.raises(HostKeyRefused):
        async with connect(login_to(node, known_hosts=str(empty)), credentials, load_known_hosts(empty)):
            pass
    await node.connections[0].wait_closed()
