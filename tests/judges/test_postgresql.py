"""PostgreSQL judges database material: the server inside CMS is one, and asks for the same things (facts 5.5, 5.6)."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from cmscert.cli.main import main
from cmscert.pki.certificate import Certificate
from cmscert.pki.keys import PrivateKey, read_key
from cmscert.pki.pem import read_certificates
from cmscert.planning.file_names import file_bytes
from cmscert.testing.ca import AT, Issued, ThrowAwayCa, make_key

pytestmark = pytest.mark.judge("postgresql")

CLUSTER = Path(__file__).parents[2] / "inventories" / "cluster.yaml"
PROGRAMS = Path("/usr/lib/postgresql")
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "shared_buffers": "1MB",
    "max_connections": "10",
    "ssl": "on",
    "ssl_cert_file": "server.crt",
    "ssl_key_file": "server.key",
    "ssl_ca_file": "ca.crt",
    # With 1.3 a client believes that it is connected before it is refused, and often does not learn why.
    "ssl_max_protocol_version": "TLSv1.2",
}
RULES = "hostssl all postgres 127.0.0.1/32 cert clientcert=verify-full\n"
WHO = "select current_user, client_dn from pg_stat_ssl where pid = pg_backend_pid()"


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A certificate and its key, as this tool puts them on a server: the leaf alone, and PKCS#8."""

    leaf: Certificate
    key: PrivateKey = field(repr=False)

    @classmethod
    def of(cls, issued: Issued) -> Pair:
        """Read a throw-away certificate and its key."""
        return cls(leaf=issued.certificate, key=issued.key)

    @classmethod
    def read(cls, folder: Path, name: str) -> Pair:
        """Read two files."""
        certificate, key = (folder / f"{name}.{ending}" for ending in ("crt", "key"))
        (leaf,) = read_certificates(certificate.read_bytes(), file=str(certificate))
        return cls(leaf=leaf, key=read_key(key.read_bytes(), file=str(key)))


@dataclass(frozen=True, kw_only=True)
class Set:
    """What the five files of a database node hold."""

    server: Pair
    client: Pair
    ca: tuple[Certificate, ...]


def program(name: str) -> str:
    """Return the path of one of PostgreSQL's programs, of the newest release installed."""
    newest = max(PROGRAMS.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    return str(newest.with_name(name))


@dataclass(kw_only=True)
class Server:
    """A PostgreSQL of its own in a folder of its own; root starts it as the package's user, who must own its files."""

    folder: Path
    ca: tuple[Certificate, ...]
    port: int = 0
    _count: int = 0

    @cached_property
    def user(self) -> pwd.struct_passwd:
        """The user that it runs as, never root: it would refuse."""
        return pwd.getpwnam("postgres") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())

    @property
    def how(self) -> dict[str, Any]:
        """How its programs are started: in its folder, in English, without a way to ask, as its user."""
        environment = {"LC_ALL": "C", "HOME": str(self.folder), "PATH": "/usr/bin:/bin"}
        how: dict[str, Any] = {"cwd": self.folder, "env": environment, "stdin": subprocess.DEVNULL, "text": True}
        if os.geteuid() == 0:
            how |= {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": ()}
        return how

    def run(self, *words: object) -> subprocess.CompletedProcess[str]:
        """Run one of its programs."""
        command = [program(str(words[0])), *map(str, words[1:])]
        return subprocess.run(command, capture_output=True, check=False, timeout=60, **self.how)

    def write(self, name: str, content: bytes) -> Path:
        """Write a file that only its user can read, as PostgreSQL demands of keys."""
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_bytes(content)
        os.chown(path, self.user.pw_uid, self.user.pw_gid)
        return path

    def psql(self, client: Pair | None, *, mode: str = "verify-ca") -> subprocess.CompletedProcess[str]:
        """Connect as postgres and ask who is there; the client trusts the same CA as the server."""
        self._count += 1
        words = {"host": "127.0.0.1", "port": self.port, "user": "postgres", "dbname": "postgres", "sslmode": mode}
        words["sslrootcert"] = self.write(f"{self._count}-ca.crt", file_bytes(self.ca))
        if client is not None:
            words["sslcert"] = self.write(f"{self._count}.crt", file_bytes((client.leaf,)))
            words["sslkey"] = self.write(f"{self._count}.key", client.key.pem())
        return self.run("psql", "-X", "-w", "-At", "-c", WHO, " ".join(f"{key}={word}" for key, word in words.items()))


@contextmanager
def standing(material: Set) -> Iterator[Server]:
    """Start a server that holds some material; stop and remove it whatever happens."""
    server = Server(folder=Path(tempfile.mkdtemp(prefix="cmscert-judge-")), ca=material.ca)
    os.chown(server.folder, server.user.pw_uid, server.user.pw_gid)
    try:
        made = server.run("initdb", "-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N", "--locale=C")
        assert made.returncode == 0, made.stderr
        server.write("data/server.crt", file_bytes((material.server.leaf,)))
        server.write("data/server.key", material.server.key.pem())
        server.write("data/ca.crt", file_bytes(material.ca))
        server.write("data/pg_hba.conf", RULES.encode())
        with started(server):
            yield server
    finally:
        shutil.rmtree(server.folder)


@contextmanager
def started(server: Server) -> Iterator[None]:
    """Start it on a free port, as a child that is stopped and reaped; another program may take that port first."""
    for _ in range(5):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            server.port = free.getsockname()[1]
        lines = [f"{key} = '{word}'\n" for key, word in (SETTINGS | {"port": str(server.port)}).items()]
        server.write("data/postgresql.conf", "".join(lines).encode())
        command = [program("postgres"), "-D", "data"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **server.how) as process:
            assert process.stderr is not None
            try:
                said = []
                for line in process.stderr:
                    said.append(line)
                    if "ready to accept connections" in line:
                        yield
                        return
            finally:
                process.send_signal(signal.SIGQUIT)  # stop at once
    raise AssertionError("".join(said))


@pytest.fixture(scope="module")
def authority() -> ThrowAwayCa:
    """Give a database CA with a root above it."""
    return ThrowAwayCa.root("Database Root").intermediate("dbca")


def throw_away(authority: ThrowAwayCa) -> Set:
    """Make material with throw-away CAs: two tiers, RSA keys, a server certificate without any SAN."""
    server = authority.issue("core1.example.com", eku=("serverAuth",), key=make_key("rsa"))
    client = authority.issue("postgres", eku=("clientAuth",), key=make_key("rsa"))
    return Set(server=Pair.of(server), client=Pair.of(client), ca=authority.bundle)


def lab_pki(folder: Path) -> Set:
    """Make the material of the shipped cluster as a user of the lab does."""
    shutil.copy(CLUSTER, folder)
    assert main(["lab", "pki", str(folder / CLUSTER.name)]) == 0
    pki = folder / "pki"
    ca = read_certificates((pki / "dbca.crt").read_bytes(), file="dbca.crt")
    return Set(server=Pair.read(pki, "dbserver"), client=Pair.read(pki, "dbclient"), ca=ca)


@pytest.fixture(scope="module")
def material(authority: ThrowAwayCa) -> Set:
    """Give throw-away material."""
    return throw_away(authority)


@pytest.fixture(scope="module")
def server(material: Set) -> Iterator[Server]:
    """Give a server with throw-away material."""
    with standing(material) as server:
        yield server


def test_the_right_pair_connects(server: Server, material: Set) -> None:
    """Material as it is put on servers makes a connection as postgres, both ends proven by certificate."""
    told = server.psql(material.client)

    assert told.stdout.strip() == "postgres|/CN=postgres", told.stderr


def test_the_material_of_the_lab_connects(tmp_path: Path) -> None:
    """So does what ``cmscert lab pki`` makes for the shipped cluster."""
    material = lab_pki(tmp_path)
    with standing(material) as server:
        told = server.psql(material.client)

        assert told.stdout.strip().startswith("postgres|"), told.stderr
        assert "/CN=postgres" in told.stdout


REFUSED: dict[str, tuple[Callable[[ThrowAwayCa], Issued], str]] = {
    "the typo seen in the wild": (
        lambda ca: ca.issue("postgrest"),
        'certificate authentication failed for user "postgres"',
    ),
    "another CA": (lambda _: ThrowAwayCa.root("dbca").issue("postgres"), "alert unknown ca"),
    "expired": (
        lambda ca: ca.issue("postgres", not_after=AT + timedelta(days=90)),
        "alert certificate expired",
    ),
    "a certificate for servers only": (
        lambda ca: ca.issue("postgres", eku=("serverAuth",)),
        "alert unsupported certificate",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_wrong_client_is_refused(server: Server, authority: ThrowAwayCa, what: str) -> None:
    """What the inventory's rules call an error, PostgreSQL refuses, and says why."""
    make, why = REFUSED[what]
    told = server.psql(Pair.of(make(authority)))

    assert told.returncode == 2
    assert why in told.stderr


def test_a_client_without_certificate_is_refused(server: Server) -> None:
    """Nobody gets in by trust or by password."""
    assert "connection requires a valid client certificate" in server.psql(None).stderr


def test_everything_above_must_stand_in_the_ca(material: Set) -> None:
    """Servers get leaves alone, so with a CA file of the root without the issuing CA nobody trusts anybody."""
    with standing(replace(material, ca=material.ca[-1:])) as server:
        assert "certificate verify failed" in server.psql(material.client).stderr


def test_names_of_servers_do_not_count(server: Server, material: Set) -> None:
    """A server certificate needs no SAN because its name is not compared (T-53: verify-ca); verify-full refuses."""
    told = server.psql(material.client, mode="verify-full")

    assert 'server certificate for "core1.example.com" does not match host name "127.0.0.1"' in told.stderr
