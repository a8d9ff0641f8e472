"""Bad input gets a message with its place and what to do; nothing is sent when anything is wrong on paper."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from cmscert.lab import minting
from cmscert.lab.minting import Life

Cli = Callable[..., Any]
NOBODY = 65534


class Desk:
    """A copy of an inventory and its material that reaches the shared fleet, to spoil."""

    def __init__(self, bench: Any, folder: Path) -> None:  # noqa: ANN401 - the bench of conftest
        self.bench = bench
        self.folder = folder
        shutil.copytree(bench.folder, folder)
        self.inventory = folder / bench.inventory.name
        self.node = next(iter(bench.fleet.nodes.values()))
        self.before = {name: len(node.history) for name, node in bench.fleet.nodes.items()}

    def edit(self, *changes: tuple[str, str]) -> None:
        """Change the inventory."""
        text = self.inventory.read_text()
        for old, new in changes:
            assert old in text, f"{old!r} is not in\n{text}"
            text = text.replace(old, new)
        self.inventory.write_text(text)

    def line(self, text: str) -> int:
        """Return the number of the first line that holds a text."""
        return next(at for at, line in enumerate(self.inventory.read_text().splitlines(), start=1) if text in line)

    def sent(self) -> list[str]:
        """Return everything that reached any node since the desk was made."""
        return [line for name, node in self.bench.fleet.nodes.items() for line in node.history[self.before[name] :]]

    def changed(self) -> dict[str, list[str]]:
        """Return what reached any node and changes something."""
        found: dict[str, list[str]] = self.bench.since(self.before)
        return found


@pytest.fixture(scope="module")
def single(shared_bench: Callable[..., Any]) -> Any:  # noqa: ANN401 - the bench of conftest
    """One server with old certificates; no test of this module changes it."""
    return shared_bench("single.yaml", "aged")


@pytest.fixture(scope="module")
def cluster(shared_bench: Callable[..., Any]) -> Any:  # noqa: ANN401 - the bench of conftest
    """Six servers with old certificates; no test of this module changes them."""
    return shared_bench("cluster.yaml", "aged")


@pytest.fixture
def desk(single: Any, tmp_path: Path) -> Desk:  # noqa: ANN401 - the bench of conftest
    """A desk before the single server."""
    return Desk(single, tmp_path / "desk")


@pytest.fixture
def cluster_desk(cluster: Any, tmp_path: Path) -> Desk:  # noqa: ANN401 - the bench of conftest
    """A desk before the cluster."""
    return Desk(cluster, tmp_path / "desk")


def refused_on_paper(cli: Cli, desk: Desk, *parts: str) -> None:
    """Hold that every command ends with 3 and names each part, and that no node hears of it."""
    for words in (["validate"], ["plan"], ["apply", "--yes"], ["drift"], ["status"]):
        ran = cli(words[0], desk.inventory, *words[1:])
        assert ran.code == 3, (words, ran)
        assert [part for part in parts if part not in ran.err] == [], ran.err
        assert ran.out == ""
    assert desk.sent() == []
    assert not (desk.folder / ".cmscert").exists()


def refused_on_the_wire(cli: Cli, desk: Desk, *parts: str, env: dict[str, str] | None = None) -> None:
    """Hold that every command that connects ends with 4 and names each part, and that nothing changes."""
    for words in (["plan"], ["drift"], ["status"]):
        ran = cli(words[0], desk.inventory, *words[1:], env=env)
        assert ran.code == 4, (words, ran)
        assert [part for part in parts if part not in ran.err] == [], ran.err
        assert "hint: " in ran.err
    ran = cli("apply", desk.inventory, "--yes", env=env)
    assert ran.code == 4, ran
    assert parts[0] in ran.err
    assert desk.changed() == {}


def test_wrong_password(cli: Cli, desk: Desk) -> None:
    """A password that is not accepted is 4, names server and user, and where to look."""
    refused_on_the_wire(
        cli, desk, "cms: 127.0.0.1 does not accept admin", "check ssh.user", env={"CMS_PASSWORD": "no such word"}
    )
    assert desk.sent() == []


def test_password_that_is_not_there(cli: Cli, desk: Desk) -> None:
    """A secret reference that leads nowhere is 3 and names the variable; nothing is connected to."""
    desk.edit(("CMS_PASSWORD", "NO_SUCH_VARIABLE"))
    for words in (["plan"], ["apply", "--yes"], ["drift"], ["status"]):
        ran = cli(words[0], desk.inventory, *words[1:])
        assert ran.code == 3, ran
        assert "NO_SUCH_VARIABLE is not set" in ran.err
        assert "export NO_SUCH_VARIABLE" in ran.err
    assert desk.sent() == []


def test_plain_password(cli: Cli, desk: Desk) -> None:
    """A password in the inventory itself is refused with its line, and is not repeated."""
    desk.edit(("    env: CMS_PASSWORD", "    hunter2-in-plain"))
    refused_on_paper(cli, desk, f"single.yaml:{desk.line('hunter2')}:", "ssh.password")
    assert "hunter2" not in cli("validate", desk.inventory).err


def test_host_key_changed(cli: Cli, desk: Desk) -> None:
    """A host key that differs from the known one is 4, shows both fingerprints, and what to do once it is proven."""
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
    (desk.folder / "known_hosts").write_text(f"[127.0.0.1]:{desk.node.ssh_port} {other}\n")
    refused_on_the_wire(
        cli, desk, "cms: the host key of 127.0.0.1", "has changed", "SHA256:", "ssh-keygen -R", "ssh-keyscan"
    )
    assert desk.sent() == []


def test_host_key_unknown(cli: Cli, desk: Desk) -> None:
    """A host key that is not listed is 4 and never learnt."""
    (desk.folder / "known_hosts").write_text("")
    refused_on_the_wire(cli, desk, "cms: the host key of 127.0.0.1", "is not in", "known_hosts", "SHA256:")
    assert (desk.folder / "known_hosts").read_text() == ""
    assert desk.sent() == []


def test_known_hosts_missing(cli: Cli, desk: Desk) -> None:
    """A known_hosts file that is not there is 3, and nothing is connected to."""
    (desk.folder / "known_hosts").unlink()
    ran = cli("plan", desk.inventory)

    assert (ran.code, "known_hosts" in ran.err, "ssh-keyscan" in ran.err) == (3, True, True)
    assert desk.sent() == []


@contextmanager
def silent_port() -> Iterator[int]:
    """A port whose queue is full: nobody takes another connection, as behind a firewall that drops."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.settimeout(0)
            each.connect_ex(listener.getsockname())
        try:
            yield listener.getsockname()[1]
        finally:
            for each in waiting:
                each.close()


def test_address_unreachable(cli: Cli, desk: Desk) -> None:
    """An address from which nothing comes back is 4 after the inventory's time-out."""
    with silent_port() as port:
        desk.edit((f"port: {desk.node.ssh_port}", f"port: {port}\n      timeout: {{connect: 0.3}}"))
        refused_on_the_wire(cli, desk, f"cms: no TCP connection to 127.0.0.1 port {port} within 0.3 s", "firewall")


def test_address_unknown(cli: Cli, desk: Desk) -> None:
    """A name that nobody knows is 4 and named."""
    desk.edit(("address: 127.0.0.1", "address: nowhere.invalid"))
    refused_on_the_wire(cli, desk, "cms: the name nowhere.invalid is unknown", "DNS")


def test_port_closed(cli: Cli, desk: Desk) -> None:
    """A closed port is 4 and told in the system's own words."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    desk.edit((f"port: {desk.node.ssh_port}", f"port: {port}"))
    refused_on_the_wire(cli, desk, f"cms: no TCP connection to 127.0.0.1 port {port}: connection refused", "address")


def test_not_ssh_at_the_other_end(cli: Cli, desk: Desk) -> None:
    """A port that speaks something else is 4 and told as such."""

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n")
        await writer.drain()
        writer.close()

    server = desk.bench.do(asyncio.start_server(greet, "127.0.0.1", 0))
    try:
        port = server.sockets[0].getsockname()[1]
        desk.edit((f"port: {desk.node.ssh_port}", f"port: {port}"))
        refused_on_the_wire(
            cli, desk, f"cms: 127.0.0.1 port {port} does not speak SSH", "check the address and the port"
        )
    finally:
        desk.bench.do(_closed(server))
    assert desk.sent() == []


class PlainShell(asyncssh.SSHServer):
    """An SSH server that is no CMS."""

    def begin_auth(self, username: str) -> bool:
        """Ask everybody for a password."""
        return bool(username)

    def password_auth_supported(self) -> bool:
        """Take passwords."""
        return True

    def validate_password(self, username: str, password: str) -> bool:
        """Know one user."""
        return (username, password) == ("admin", "lab")


async def plain_shell(process: asyncssh.SSHServerProcess[str]) -> None:
    """Answer as a shell of an operating system does."""
    words = (process.command or "sh").split()
    process.stderr.write(f"sh: 1: {words[0]}: not found\n")
    process.exit(127)


def test_not_a_cms_at_the_other_end(cli: Cli, desk: Desk) -> None:
    """An SSH server that is the shell of some other machine is 4 and told as no CMS; nothing but questions is sent."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    asked: list[str] = []

    async def note(process: asyncssh.SSHServerProcess[str]) -> None:
        asked.append(process.command or "")
        await plain_shell(process)

    async def start() -> asyncssh.SSHAcceptor:
        return await asyncssh.create_server(
            PlainShell, "127.0.0.1", 0, server_host_keys=[key], process_factory=note, sftp_factory=True
        )

    server = desk.bench.do(start())
    try:
        port = server.get_port()
        (desk.folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {key.export_public_key().decode()}")
        desk.edit((f"port: {desk.node.ssh_port}", f"port: {port}"))
        refused_on_the_wire(cli, desk, "cms: something answers, but not with the command line of a Meeting Server")
    finally:
        desk.bench.do(_closed(server))
    assert asked
    assert {words.split()[0] for words in asked} <= {"version", "date", "user", "pki", *desk.node.machine.services}
    assert not [words for words in asked if {"certs", "enable", "disable", "restart", "trust"} & set(words.split())]


async def _closed(server: asyncssh.SSHAcceptor | asyncio.Server) -> None:
    server.close()
    await server.wait_closed()
    await asyncio.sleep(0)


def test_release_other_than_declared(cli: Cli, desk: Desk) -> None:
    """A server of another release than the inventory says is shown, and refused with 7 by name."""
    desk.edit(("release: '3.12'", "release: '3.9'"))
    shown = cli("plan", desk.inventory)
    ran = cli("apply", desk.inventory, "--yes")

    assert (shown.code, "release-differs" in shown.out) == (0, True)
    assert ran.code == 7
    assert "cms: the inventory says release 3.9, the server says 3.12" in ran.err
    assert "--allow release-differs" in ran.err
    assert desk.changed() == {}


def test_release_too_old(cli: Cli, desk: Desk) -> None:
    """A release that has no such slots is 3, with the line of each of them and the release they came with."""
    desk.edit(("release: '3.12'", "release: '2.4'"))
    refused_on_paper(cli, desk, f"single.yaml:{desk.line('https:')}:", "webbridge3 is not known to release 2.4", "2.9")


def test_release_that_the_server_is_too_old_for(cli: Cli, desk: Desk) -> None:
    """Where only the server tells that it is too old, the plan shows it, and apply is refused with 7."""
    desk.edit(("    release: '3.12'\n", ""))
    desk.node.spec.release = "2.4"
    try:
        ran = cli("apply", desk.inventory, "--yes")
    finally:
        desk.node.spec.release = "3.12"

    assert ran.code == 7, ran
    assert "release 2.4 does not know it" in ran.err
    assert desk.changed() == {}


def test_service_not_known_to_the_declared_release(cli: Cli, desk: Desk) -> None:
    """A service that ended before the declared release is 3, with its line."""
    desk.edit(("      turn:\n", "      xmpp: {certificate: all, bundle: corp}\n      turn:\n"))
    refused_on_paper(cli, desk, f"single.yaml:{desk.line('xmpp:')}:7", "xmpp is not known to release 3.12", "2.9")


def test_service_not_known_to_the_server(cli: Cli, desk: Desk) -> None:
    """Without a declared release the server's own word counts: refused with 7, and nothing lifts it."""
    desk.edit(
        ("    release: '3.12'\n", ""),
        ("      turn:\n", "      xmpp: {certificate: all, bundle: corp}\n      turn:\n"),
    )
    for more in ([], ["--allow", "no-such-service"]):
        ran = cli("apply", desk.inventory, "--yes", *more)
        assert ran.code == 7, ran
        assert "cms: xmpp: release 3.12 does not know it" in ran.err
    assert desk.changed() == {}


def test_key_of_another_certificate(cli: Cli, desk: Desk) -> None:
    """A key that belongs to another certificate is 3, with the certificate's line and its file."""
    (desk.folder / "pki" / "cms.key").write_bytes(minting.key_pem(minting.new_key("rsa")))
    refused_on_paper(
        cli, desk, f"single.yaml:{desk.line('  all:')}:3", "cms.crt", "private key does not belong to the certificate"
    )


def test_half_a_chain(cli: Cli, cluster_desk: Desk) -> None:
    """A bundle without the issuing CA is 3 and names the certificate that is missing."""
    cluster_desk.edit(("  - pki/issuing-ca.crt\n", ""))
    refused_on_paper(
        cli, cluster_desk, f"cluster.yaml:{cluster_desk.line('  cluster:')}:3", "cluster.crt", "CN=issuing-ca (lab)"
    )


def test_bundle_without_a_root(cli: Cli, cluster_desk: Desk) -> None:
    """A bundle that ends before its root is 3."""
    cluster_desk.edit(("  - pki/root-ca.crt\n", ""))
    refused_on_paper(cli, cluster_desk, "cluster.yaml:", "root")


def test_expired_bundle(cli: Cli, desk: Desk) -> None:
    """A CA that has expired and that the chain leads over is 3, with the certificate's line and the CA's day."""
    ended = expired_authority()
    now = datetime.now(UTC)
    key = minting.new_key("ec")
    names = [x509.DNSName(name) for name in ("cms.example.com", "join.example.com")]
    leaf = (
        x509.CertificateBuilder(ended.certificate.subject, x509.Name([CN]), key.public_key(), 7)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=99))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(ended.key, hashes.SHA256())
    )
    (desk.folder / "pki" / "root-ca.crt").write_bytes(minting.pem([ended.certificate]))
    (desk.folder / "pki" / "cms.crt").write_bytes(minting.pem([leaf]))
    (desk.folder / "pki" / "cms.key").write_bytes(minting.key_pem(key))
    day = f"{ended.certificate.not_valid_after_utc:%Y-%m-%d}"
    refused_on_paper(cli, desk, f"single.yaml:{desk.line('  all:')}:3", "expired CA", "expired on", day)


def test_expired_certificate_beside_the_chain(cli: Cli, desk: Desk) -> None:
    """An expired CA that no chain leads over is told with its bundle's line, and stops nobody unless strict."""
    (desk.folder / "pki" / "old.crt").write_bytes(minting.pem([expired_authority().certificate]))
    desk.edit(("  corp:\n  - pki/root-ca.crt", "  corp:\n  - pki/root-ca.crt\n  - pki/old.crt"))
    ran = cli("validate", desk.inventory)

    assert ran.code == 0
    assert f"single.yaml:{desk.line('  corp:')}:3" in "".join(ran.out.split())
    assert "expired CA" in ran.out
    desk.edit(("servers:\n", "policy:\n  profile: strict\nservers:\n"))
    refused_on_paper(cli, desk, f"single.yaml:{desk.line('  corp:')}:3", "expired CA")


CN = x509.NameAttribute(NameOID.COMMON_NAME, "cms.example.com")


def expired_authority() -> minting.Authority:
    """Make a root that ended a month ago."""
    now = datetime.now(UTC)
    life = Life(not_before=now - timedelta(days=900), not_after=now - timedelta(days=30))
    return minting.make_authority("expired CA", key=minting.new_key("rsa"), signer=None, life=life)


def test_directory_instead_of_a_file(cli: Cli, desk: Desk) -> None:
    """A directory where a certificate should be is 3, with the place that names it."""
    (desk.folder / "pki" / "cms.crt").unlink()
    (desk.folder / "pki" / "cms.crt").mkdir()
    refused_on_paper(cli, desk, f"single.yaml:{desk.line('certificate: pki/cms.crt')}:", "is a directory")


def test_inventory_that_is_a_directory(cli: Cli, desk: Desk) -> None:
    """A directory where the inventory should be is 3."""
    desk.inventory.unlink()
    desk.inventory.mkdir()
    refused_on_paper(cli, desk, "single.yaml")


def test_missing_file(cli: Cli, desk: Desk) -> None:
    """A certificate that is not there is 3, with the place that names it."""
    (desk.folder / "pki" / "cms.crt").unlink()
    refused_on_paper(cli, desk, f"single.yaml:{desk.line('certificate: pki/cms.crt')}:", "pki/cms.crt")


@contextmanager
def not_as_root() -> Iterator[None]:
    """Give up root's rights for a while, as root reads everything."""
    me = os.geteuid()
    if me == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(me)


def test_file_without_permission(cli: Cli, single: Any) -> None:  # noqa: ANN401 - the bench of conftest
    """A key that may not be read is 3, with the place that names it."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        desk = Desk(single, Path(place) / "desk")
        for path in (desk.folder, *desk.folder.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        assert cli("validate", desk.inventory).code == 0
        (desk.folder / "pki" / "cms.key").chmod(0o000)
        with not_as_root():
            ran = cli("validate", desk.inventory)
            planned = cli("plan", desk.inventory)
        assert (ran.code, planned.code) == (3, 3)
        assert f"single.yaml:{desk.line('key: pki/cms.key')}:" in ran.err
        assert "permission" in ran.err.lower()
        assert desk.sent() == []


def test_several_faults_at_once(cli: Cli, desk: Desk) -> None:
    """All faults are told at once, each with its place."""
    (desk.folder / "pki" / "cms.crt").unlink()
    desk.edit(("fleet: single", "fleet: single\npolicy: {keep_revision: 2}"), ("c2w: corp", "c2w: crop"))
    refused_on_paper(cli, desk, "did you mean keep_revisions", "crop", "cms.crt", "3 faults")
