"""What a user gets for bad input: a message with server or file, what to do, the right code, and nothing sent."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

Cli = Callable[..., Any]
NOBODY = 65534
MakeRig = Callable[..., Any]


def port_of(made: Any) -> str:  # noqa: ANN401 - the rig of conftest
    """Return the SSH port of the lab's node as the inventory says it."""
    line = next(line for line in made.inventory.read_text().splitlines() if line.strip().startswith("port:"))
    if "22" not in line or line.strip() == "port: 22":
        line = [line for line in made.inventory.read_text().splitlines() if line.strip().startswith("port:")][-1]
    return line.split(":")[1].strip()


def told(ran: Any, code: int, *words: str) -> None:  # noqa: ANN401 - how a command line ended
    """Hold an ending against its code and the words that must be in it."""
    everything = ran.out + ran.err
    assert ran.code == code, everything
    assert [word for word in words if word not in everything] == []
    assert "Traceback" not in everything
    assert "hint:" in ran.err


def test_wrong_password(cli: Cli, rig: MakeRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong password is 4 and names the server."""
    made = rig()
    monkeypatch.setenv("CMS_PASSWORD", "wrong")

    told(cli("plan", made.inventory), 4, "cms", "password")


def test_missing_password(cli: Cli, rig: MakeRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is not set is 3, before anything is connected to."""
    made = rig(start=False)
    made.start()
    monkeypatch.delenv("CMS_PASSWORD")

    told(cli("plan", made.inventory), 3, "CMS_PASSWORD")


def test_changed_host_key(cli: Cli, rig: MakeRig) -> None:
    """Another host key than the known one is 4, and says how to look into it."""
    made, other = rig(), rig(scenario="wanted")
    mine, theirs = ((each.folder / "known_hosts").read_text().split() for each in (made, other))
    (made.folder / "known_hosts").write_text(f"{mine[0]} {' '.join(theirs[1:])}\n")

    told(cli("plan", made.inventory), 4, "cms", "has changed", "known_hosts")


def test_unknown_host_key(cli: Cli, rig: MakeRig) -> None:
    """A host key that is not known is 4: it is never learnt silently."""
    made = rig()
    (made.folder / "known_hosts").write_text("# nothing\n")

    told(cli("plan", made.inventory), 4, "cms", "is not in", "ssh-keyscan")
    assert (made.folder / "known_hosts").read_text() == "# nothing\n"


def test_closed_port(cli: Cli, rig: MakeRig) -> None:
    """Nobody listening is 4."""
    made = rig()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        made.edit((f"port: {port_of(made)}", f"port: {free.getsockname()[1]}"))

        told(cli("plan", made.inventory), 4, "cms", "127.0.0.1")


def test_unreachable_address(cli: Cli, rig: MakeRig) -> None:
    """An address that nothing answers at is 4 after the time-out of the inventory, not after minutes."""
    made = rig()
    made.edit(("address: 127.0.0.1", "address: 240.0.0.1"), ("  user: admin", "  user: admin\n  timeout: {connect: 1}"))

    told(cli("plan", made.inventory), 4, "cms", "240.0.0.1")


@pytest.fixture
def not_a_server() -> Iterator[int]:
    """Answer on a port with something that is not SSH."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def test_not_a_cms_at_the_other_end(cli: Cli, rig: MakeRig, not_a_server: int) -> None:
    """Something that is not a Meeting Server is 4."""
    made = rig()
    made.edit((f"port: {port_of(made)}", f"port: {not_a_server}"))

    told(cli("plan", made.inventory), 4, "cms")


def test_release_that_is_too_old(cli: Cli, rig: MakeRig) -> None:
    """A release before 2.9 is refused on paper."""
    made = rig()
    made.edit(("release: '3.12'", "release: '2.4'"))

    told(cli("validate", made.inventory), 3, "2.4", "release")


def test_service_that_the_release_does_not_know(cli: Cli, rig: MakeRig) -> None:
    """A service of another release is refused on paper, with its place."""
    made = rig()
    made.edit(("      webadmin:", "      xmpp: {certificate: all, bundle: corp}\n      webadmin:"))

    told(cli("validate", made.inventory), 3, "single.yaml", "xmpp", "3.12")


@pytest.fixture
def folder(rig: MakeRig) -> Any:  # noqa: ANN401 - the rig of conftest
    """A valid inventory with its material; nothing is started, so nothing can be sent."""
    made = rig("cluster.yaml", "wanted", start=False)
    source = Path(__file__).parents[2] / "inventories" / "cluster.yaml"
    made.inventory.write_text(source.read_text())
    (made.folder / "known_hosts").write_text("")
    return made


def test_key_of_another_certificate(cli: Cli, folder: Any) -> None:  # noqa: ANN401 - the rig of conftest
    """A key that does not belong to its certificate is 3 and names the place and the file."""
    (folder.folder / "pki" / "join.key").write_bytes((folder.folder / "pki" / "cluster.key").read_bytes())

    told(cli("plan", folder.inventory), 3, "join.crt", "the private key does not belong")


def test_half_a_chain(cli: Cli, folder: Any) -> None:  # noqa: ANN401 - the rig of conftest
    """A chain that lacks the issuer is 3 and says what is missing."""
    folder.edit(("corp: [pki/issuing-ca.crt, pki/root-ca.crt]", "corp: [pki/root-ca.crt]"))

    told(cli("plan", folder.inventory), 3, "join.crt", "full chain", "issuing-ca")


def expired_ca() -> bytes:
    """Make a self-signed CA that is over."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Expired Root")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=20))
        .not_valid_after(now - timedelta(days=10))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


def test_expired_bundle(cli: Cli, folder: Any) -> None:  # noqa: ANN401 - the rig of conftest
    """A bundle with an expired member is 3 and says which."""
    (folder.folder / "pki" / "dbca.crt").write_bytes(expired_ca())

    told(cli("plan", folder.inventory), 3, "dbca", "expired")


def test_folder_instead_of_a_file(cli: Cli, folder: Any) -> None:  # noqa: ANN401 - the rig of conftest
    """A folder where a certificate should be is 3."""
    (folder.folder / "pki" / "join.crt").unlink()
    (folder.folder / "pki" / "join.crt").mkdir()

    told(cli("plan", folder.inventory), 3, "join.crt", "director")


def test_folder_instead_of_an_inventory(cli: Cli, tmp_path: Path) -> None:
    """A folder where the inventory should be is 3."""
    assert cli("plan", tmp_path).code == 3


def test_file_without_permission(cli: Cli, folder: Any) -> None:  # noqa: ANN401 - the rig of conftest
    """A file that cannot be read is 3."""
    with tempfile.TemporaryDirectory() as place:
        copied = Path(place) / "fleet"
        shutil.copytree(folder.folder, copied)
        for path in (Path(place), copied, *copied.rglob("*")):
            path.chmod(0o755)
        cli("validate", copied / folder.inventory.name)  # loads every module that another user might not reach
        (copied / "pki" / "join.key").chmod(0)
        with stopped_by_permissions():
            ran = cli("validate", copied / folder.inventory.name)

    told(ran, 3, "join.key", "permission")


@contextmanager
def stopped_by_permissions() -> Iterator[None]:
    """Be somebody whom permissions stop: root reads every file."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


def test_certificate_where_a_key_should_be(cli: Cli, folder: Any) -> None:  # noqa: ANN401 - the rig of conftest
    """A key in the place of a certificate is 3, and the key does not show."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder.folder / "pki" / "join.crt").write_bytes(pem)
    ran = cli("plan", folder.inventory)

    told(ran, 3, "join.crt")
    assert pem.splitlines()[1].decode() not in ran.out + ran.err


def test_all_faults_are_told_at_once(cli: Cli, folder: Any) -> None:  # noqa: ANN401 - the rig of conftest
    """Three faults in three places are three lines."""
    folder.edit(("callbridge:\n", "calbridge:\n"), ("interface: a", "interfaces: a"))
    ran = cli("validate", folder.inventory)

    told(ran, 3, "calbridge", "interfaces")
    assert "faults" in ran.err


def test_one_of_several_servers_is_away(cli: Cli, rig: MakeRig) -> None:
    """Plan and drift report what they could read and exit with 4; apply shows the plan and refuses with 4."""
    made = rig("cluster.yaml", "wanted", start=False)
    made.spec("edge2").faults.reject_password = True
    made.start()

    for command in ("plan", "drift", "status"):
        told(cli(command, made.inventory), 4, "edge2", "Not read, so this is incomplete")
    told(cli("apply", made.inventory, "--yes"), 4, "edge2", "unread-server", "--allow")
