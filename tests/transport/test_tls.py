"""What a port serves."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from cmscert.model.readings import ABSENT, Known, Unread
from cmscert.transport import tls
from cmscert.transport.tls import probe

RawServer = Callable[..., Awaitable[int]]
NOW = datetime.now(UTC)


class Issued:
    """A key and a certificate, signed by another of this class or by itself."""

    def __init__(self, name: str, issuer: Issued | None = None, *, old: bool = False) -> None:
        self.key = rsa.generate_private_key(65537, 1024) if old else ec.generate_private_key(ec.SECP256R1())  # noqa: S505 - old keys exist
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signer = issuer or self
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(signer.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(days=2))
            .not_valid_after(NOW - timedelta(days=1) if old else NOW + timedelta(days=1))
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
            )
            .sign(signer.key, hashes.SHA256())
        )

    @property
    def pem(self) -> bytes:
        """The certificate file."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The key file."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


@pytest.fixture(scope="module")
def chain() -> tuple[Issued, ...]:
    """Leaf, intermediate, root."""
    root = Issued("root")
    middle = Issued("middle", root)
    return Issued("leaf", middle), middle, root


def context_for(folder: Path, *served: Issued, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """Make a server's context that serves these certificates in this order."""
    (folder / "crt").write_bytes(b"".join(one.pem for one in served))
    (folder / "key").write_bytes(served[0].key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(folder / "crt", folder / "key")
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


async def listen(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Read what comes after the handshake: nothing may."""
    assert await reader.read() == b""


def names(reading: object) -> list[str | None]:
    """Common names of a chain that was read."""
    assert isinstance(reading, Known)
    return [certificate.common_name for certificate in reading.value]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_chain_as_served(
    raw_server: RawServer, tmp_path: Path, chain: tuple[Issued, ...], version: ssl.TLSVersion
) -> None:
    """The chain comes as the server sends it, leaf first, with what does not belong to it."""
    stray = Issued("stray")
    served = (chain[0], chain[1], stray, chain[2])
    port = await raw_server(listen, ssl=context_for(tmp_path, *served, version=version))
    reading = await probe("127.0.0.1", port, "join.example.com")
    assert names(reading) == ["leaf", "middle", "stray", "root"]
    assert reading.value[0].der == chain[0].certificate.public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_server_that_wants_a_client_certificate(
    raw_server: RawServer, tmp_path: Path, chain: tuple[Issued, ...], version: ssl.TLSVersion
) -> None:
    """The chain is read although the server refuses us for want of a client certificate, as C2W does."""
    context = context_for(tmp_path, *chain, version=version)
    context.verify_mode = ssl.CERT_REQUIRED
    (tmp_path / "ca").write_bytes(chain[2].pem)
    context.load_verify_locations(tmp_path / "ca")
    port = await raw_server(listen, ssl=context)
    assert names(await probe("127.0.0.1", port, "")) == ["leaf", "middle", "root"]


async def test_old_and_expired(raw_server: RawServer, tmp_path: Path) -> None:
    """An expired certificate with a small key is read like any other: it is to be reported."""
    port = await raw_server(listen, ssl=context_for(tmp_path, Issued("old", old=True)))
    assert names(await probe("127.0.0.1", port, "join.example.com")) == ["old"]


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("join.example.com", "join.example.com"),
        ("join.example.com.", "join.example.com"),
        ("127.0.0.1", None),
        ("::1", None),
        ("", None),
        ("büro.example", "xn--bro-hoa.example"),
        ("a" * 70, None),
    ],
)
async def test_server_name(
    raw_server: RawServer, tmp_path: Path, chain: tuple[Issued, ...], asked: str, sent: str | None
) -> None:
    """The server name goes out as SNI; an address or what is no host name does not."""
    context, seen = context_for(tmp_path, *chain), []
    context.sni_callback = lambda _socket, name, _context: seen.append(name)
    port = await raw_server(listen, ssl=context)
    assert names(await probe("127.0.0.1", port, asked))
    assert seen == [sent]


async def test_ipv6(raw_server: RawServer, tmp_path: Path, chain: tuple[Issued, ...]) -> None:
    """A port on an IPv6 address is read too."""
    with socket.socket(socket.AF_INET6) as trial:
        try:
            trial.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6 loopback")
    port = await raw_server(listen, host="::1", ssl=context_for(tmp_path, *chain))
    assert names(await probe("::1", port, "join.example.com")) == ["leaf", "middle", "root"]


async def test_closed_port(unused_port: int) -> None:
    """A port where nothing listens is absent, which is another reading than unread."""
    assert await probe("127.0.0.1", unused_port, "") == ABSENT


async def why(port: int, seconds: float = 5.0) -> str:
    """Return why a port could not be read."""
    reading = await probe("127.0.0.1", port, "join.example.com", timeout=seconds)
    assert isinstance(reading, Unread)
    return reading.why


async def test_unknown_name() -> None:
    """A name that cannot be resolved is unread."""
    assert isinstance(await probe("no-such-host.invalid", 443, ""), Unread)


async def test_not_tls(raw_server: RawServer) -> None:
    """A port that speaks something else is unread."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()

    assert "does not speak TLS" in await why(await raw_server(serve))


@pytest.mark.parametrize("polite", [True, False])
async def test_hangs_up(raw_server: RawServer, *, polite: bool) -> None:
    """A server that hangs up in the handshake is unread."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        if not polite:  # a reset instead of an end
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    assert "closed the connection" in await why(await raw_server(serve))


async def test_says_nothing(raw_server: RawServer) -> None:
    """A server that says nothing is given up in time."""

    async def serve(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    assert "did not finish a TLS handshake within 0.1 s" in await why(await raw_server(serve), 0.1)


async def test_drips(raw_server: RawServer) -> None:
    """A server that sends a byte now and then is given up in the same time."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in b"\x16\x03\x03\x40\x00" + bytes(10_000):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.01)

    assert "did not finish" in await why(await raw_server(serve), 0.2)


async def test_floods(raw_server: RawServer) -> None:
    """A server that sends without end is given up at a bound: here hello requests, which TLS says to ignore."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        while True:
            writer.write(b"\x16\x03\x03\x00\x04\x00\x00\x00\x00" * 1_000)
            await writer.drain()

    assert "sends more than a TLS handshake can hold" in await why(await raw_server(serve))


async def test_without_a_certificate(
    raw_server: RawServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, chain: tuple[Issued, ...]
) -> None:
    """A handshake that ends without a certificate is unread."""
    monkeypatch.setattr("OpenSSL.SSL.Connection.get_peer_cert_chain", lambda _: None)
    port = await raw_server(listen, ssl=context_for(tmp_path, *chain))
    assert "showed no certificate" in await why(port)


async def test_unreadable_certificate(
    raw_server: RawServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, chain: tuple[Issued, ...]
) -> None:
    """A certificate that TLS takes and we cannot read is unread, with the reason."""

    def refuse(_der: bytes) -> None:
        raise ValueError("odd version")

    monkeypatch.setattr("cmscert.transport.tls.parse_certificate", refuse)
    port = await raw_server(listen, ssl=context_for(tmp_path, *chain))
    assert (await why(port)).endswith("serves a certificate that cannot be read: odd version")


async def test_silent_ports_hold_up_no_other(
    raw_server: RawServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, chain: tuple[Issued, ...]
) -> None:
    """A port that says nothing gives its turn to the next one, whose own time begins with its turn."""
    monkeypatch.setattr(tls, "HANDSHAKES", 1)
    monkeypatch.setattr(tls, "TURN_SECONDS", 0.05)
    silent = await raw_server(listen)
    good = await raw_server(listen, ssl=context_for(tmp_path, *chain))
    waiting = [asyncio.ensure_future(probe("127.0.0.1", silent, "", timeout=0.5)) for _ in range(3)]
    await asyncio.sleep(0)
    shown = await probe("127.0.0.1", good, "")
    assert names(shown) == ["leaf", "middle", "root"]
    assert all(isinstance(each, Unread) for each in await asyncio.gather(*waiting))
