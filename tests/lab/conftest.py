"""A throw-away CA and one-node fleets for the tests of the lab."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncssh
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from cmscert.lab.fleet import LabFleet
from cmscert.lab.node import LabNode
from cmscert.lab.spec import NodeSpec

_DAY = timedelta(days=1)
_ORIGIN = "10.140.249.233:63290"


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


@dataclass(kw_only=True)
class Pair:
    """A key and its certificate, as objects and as the files that hold them."""

    private: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def key(self) -> bytes:
        """The key file."""
        return self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def pem(self) -> bytes:
        """The certificate file."""
        return _pem(self.certificate)

    @property
    def der(self) -> bytes:
        """The certificate as it travels in TLS."""
        return self.certificate.public_bytes(Encoding.DER)


@dataclass(kw_only=True)
class Authority:
    """A root and an issuing CA."""

    root: Pair
    issuing: Pair
    bundle: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.bundle = self.issuing.pem + self.root.pem

    def mint(self, name: str, *, sans: tuple[str, ...] = (), expired: bool = False) -> Pair:
        """Issue a certificate."""
        return _mint(name, self.issuing, sans=sans, expired=expired)

    def chain(self, pair: Pair) -> bytes:
        """Return a certificate file with the full chain."""
        return pair.pem + self.bundle


def _mint(
    name: str, issuer: Pair | None, *, ca: bool = False, sans: tuple[str, ...] = (), expired: bool = False
) -> Pair:
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        issuer.certificate.subject if issuer else subject,
        subject,
        private.public_key(),
        x509.random_serial_number(),
        now - 10 * _DAY,
        now - _DAY if expired else now + 90 * _DAY,
    ).add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    if sans:
        names = x509.SubjectAlternativeName([x509.DNSName(san) for san in sans])
        builder = builder.add_extension(names, critical=False)
    signer = issuer.private if issuer else private
    return Pair(private=private, certificate=builder.sign(signer, hashes.SHA256()))


def _authority(name: str) -> Authority:
    root = _mint(f"{name} root", None, ca=True)
    return Authority(root=root, issuing=_mint(f"{name} issuing", root, ca=True))


@pytest.fixture(scope="session")
def authority() -> Authority:
    """The CA that the lab's certificates come from."""
    return _authority("lab")


@pytest.fixture(scope="session")
def stranger() -> Authority:
    """A CA that nobody trusts."""
    return _authority("strange")


StartNode = Callable[..., Awaitable[LabNode]]


@pytest.fixture
async def start_node() -> AsyncIterator[StartNode]:
    """Start a fleet of one node from fields of NodeSpec; it is stopped after the test."""
    async with AsyncExitStack() as stack:

        async def start(**fields: Any) -> LabNode:  # noqa: ANN401 - whatever NodeSpec takes
            given = {"name": "core1", "hostname": "cms01", "address": "10.0.0.11", "fqdn": "core1.example.com"} | fields
            fleet = await stack.enter_async_context(LabFleet([NodeSpec(**given)]))
            return fleet.node(given["name"])

        yield start


TypeLine = Callable[..., Awaitable[str]]


@pytest.fixture
def typed() -> TypeLine:
    """Carry out lines on a node without SSH; the answer of the last is returned, dialogues are answered in turn."""

    async def run(node: LabNode, *lines: str, replies: tuple[str, ...] = ()) -> str:
        waiting = list(replies)
        asked: list[str] = []

        async def ask(question: str) -> str | None:
            asked.append(question)
            return waiting.pop(0) if waiting else None

        answer = b""
        for line in lines:
            answer = await node.carry_out(line, _ORIGIN, ask)
        return answer.decode()

    return run


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """Wait for a condition that nothing announces; the test's own time limit ends a vain wait."""

    async def wait(condition: Callable[[], bool]) -> None:
        while not condition():  # noqa: ASYNC110 - the conditions are states of several objects
            await asyncio.sleep(0.001)

    return wait


@pytest.fixture
async def login() -> AsyncIterator[Callable[..., Awaitable[asyncssh.SSHClientConnection]]]:
    """Log in to a node with its password; the connection is closed after the test."""
    opened: list[asyncssh.SSHClientConnection] = []

    async def connect(node: LabNode, **options: Any) -> asyncssh.SSHClientConnection:  # noqa: ANN401 - asyncssh's own
        given = {"username": "admin", "password": "lab", "known_hosts": None, "client_keys": None} | options
        connection = await asyncssh.connect("127.0.0.1", node.ssh_port, config=None, agent_path=None, **given)
        opened.append(connection)
        return connection

    yield connect
    for connection in opened:
        connection.abort()
        await connection.wait_closed()
