"""Certificates that several test files of this folder share."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from cmscert.pki.certificate import Certificate, parse_certificate
from cmscert.pki.der import children, element
from cmscert.testing.ca import CA_USAGE, Issued, ThrowAwayCa

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
CA_FLAG = x509.BasicConstraints(ca=True, path_length=None)
SIGNS_NOTHING = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A chain to judge, and what the verdict is: a part of the reason, or None where the chain holds."""

    leaf: Certificate
    intermediates: tuple[Certificate, ...]
    roots: tuple[Certificate, ...]
    broken: str | None = None
    unusual: str | None = None
    purpose: Literal["client", "server"] | None = None
    at: datetime = NOW


@pytest.fixture(scope="session")
def now() -> datetime:
    """A moment at which the throw-away certificates are valid."""
    return NOW


@pytest.fixture(scope="session")
def root() -> ThrowAwayCa:
    """A root."""
    return ThrowAwayCa.root("Example Root CA")


@pytest.fixture(scope="session")
def issuing(root: ThrowAwayCa) -> ThrowAwayCa:
    """A CA below the root."""
    return root.intermediate("Example Issuing CA")


@pytest.fixture(scope="session")
def node(issuing: ThrowAwayCa) -> Issued:
    """A server certificate."""
    return issuing.issue("core1.example.com", ("core1.example.com", "10.0.0.11"))


@pytest.fixture(scope="session")
def rsa_node(issuing: ThrowAwayCa) -> Issued:
    """A server certificate with an RSA key."""
    return issuing.issue("core2.example.com", ("core2.example.com",), key="rsa")


def sequence(content: bytes) -> bytes:
    """Wrap DER elements into a SEQUENCE."""
    length = len(content)
    count = (length.bit_length() + 7) // 8
    return (
        b"\x30" + (bytes([length]) if length < 128 else bytes([128 + count]) + length.to_bytes(count, "big")) + content
    )


@pytest.fixture(scope="session")
def as_version_1() -> Callable[[ThrowAwayCa, ThrowAwayCa], ThrowAwayCa]:
    """Return a function that makes an X.509 version 1 copy of a CA, signed by another: no extensions at all."""

    def convert(ca: ThrowAwayCa, signer: ThrowAwayCa) -> ThrowAwayCa:
        tbs = x509.load_der_x509_certificate(ca.certificate.der).tbs_certificate_bytes
        outer = element(tbs, 0)
        assert outer is not None
        parts = children(tbs, outer, 7)
        signed = sequence(tbs[parts[0].end : parts[-1].end])
        assert isinstance(signer.key_pair, ec.EllipticCurvePrivateKey)
        signature = b"\0" + signer.key_pair.sign(signed, ec.ECDSA(SHA256()))
        algorithm = tbs[parts[1].end : parts[2].end]
        der = sequence(signed + algorithm + b"\x03" + bytes([len(signature)]) + signature)
        return dataclasses.replace(ca, certificate=parse_certificate(der))

    return convert


@pytest.fixture(scope="session")
def scenarios(
    root: ThrowAwayCa,
    issuing: ThrowAwayCa,
    node: Issued,
    as_version_1: Callable[[ThrowAwayCa, ThrowAwayCa], ThrowAwayCa],
) -> dict[str, Scenario]:
    """Chains with their verdicts, judged by us and by OpenSSL alike."""
    bare = ThrowAwayCa.root("Bare", extensions=[(CA_FLAG, False)])
    flagless = ThrowAwayCa.root("Flagless", extensions=[(CA_USAGE, True)])
    nothing = ThrowAwayCa.root("Nothing", extensions=[(x509.SubjectKeyIdentifier(b"1" * 20), False)])
    mute = ThrowAwayCa.root("Mute", extensions=[(CA_FLAG, True), (SIGNS_NOTHING, True)])
    first = as_version_1(made := ThrowAwayCa.root("First"), made)
    below_first = as_version_1(made := root.intermediate("Below"), root)
    weak = ThrowAwayCa.root("Weak", key=rsa.generate_private_key(65537, 1024))  # noqa: S505 - weak on purpose
    edwards = ThrowAwayCa.root("Edwards", key=ed25519.Ed25519PrivateKey.generate())
    short = root.intermediate("Short", path_length=0)
    under_short = short.intermediate("Under Short")
    old = root.intermediate("Old", not_after=datetime(2025, 1, 1, tzinfo=UTC))
    late = issuing.issue("late", not_before=datetime(2027, 1, 1, tzinfo=UTC))
    server = issuing.issue("server", ("server",), ("serverAuth",))
    anything = issuing.issue("any", ("any",), ("2.5.29.37.0",))
    limit = x509.NameConstraints(permitted_subtrees=[x509.DNSName("example.com")], excluded_subtrees=None)
    limited = ThrowAwayCa.root("Limited", extensions=[(CA_FLAG, True), (CA_USAGE, True), (limit, True)])
    loose = ThrowAwayCa.root("Loose", extensions=[(CA_FLAG, True), (limit, True)])
    odd = issuing.issue("odd", extra=[(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"), True)])
    clients = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CLIENT_AUTH])
    client_ca = root.intermediate("Clients", extensions=[(CA_FLAG, True), (CA_USAGE, True), (clients, False)])
    namesake = ThrowAwayCa.root("Example Root CA")
    shouting = dataclasses.replace(root, subject=_upper(root.subject))
    again = issuing.intermediate("Example Issuing CA")  # self-issued: does not count for the path length

    def below(ca: ThrowAwayCa, **verdict: object) -> Scenario:
        leaf = ca.issue("leaf.example.com", ("leaf.example.com",), None)
        return Scenario(leaf=leaf.certificate, intermediates=ca.full_chain[:-1], roots=ca.full_chain[-1:], **verdict)  # type: ignore[arg-type]  # a table

    outside = limited.issue("out", ("leaf.other.net",)).certificate
    return {
        "three levels": Scenario(leaf=node.certificate, intermediates=node.chain[:1], roots=node.chain[1:]),
        "for servers": below(issuing, purpose="server"),
        "for clients": Scenario(
            leaf=node.certificate, intermediates=node.chain, roots=node.chain[1:], purpose="client"
        ),
        "a leaf that is trusted itself": Scenario(leaf=root.certificate, intermediates=(), roots=(root.certificate,)),
        "no intermediate": Scenario(
            leaf=node.certificate,
            intermediates=(),
            roots=node.chain[1:],
            broken="CN=core1.example.com was issued by CN=Example Issuing CA, which is missing",
        ),
        "no root": Scenario(
            leaf=node.certificate,
            intermediates=node.chain[:1],
            roots=(),
            broken="CN=Example Issuing CA was issued by CN=Example Root CA, which is missing",
        ),
        "root not trusted": Scenario(
            leaf=node.certificate, intermediates=node.chain, roots=(), broken="self-signed and not among the trusted"
        ),
        "root of the same name": Scenario(
            leaf=node.certificate,
            intermediates=node.chain[:1],
            roots=(namesake.certificate,),
            broken="another one of that",
        ),
        "two roots of the same name": Scenario(
            leaf=node.certificate, intermediates=node.chain[:1], roots=(namesake.certificate, root.certificate)
        ),
        "name in capitals": below(shouting, unusual=""),
        "expired intermediate": below(old, broken="CN=Old expired on 2025-01-01"),
        "leaf of the future": Scenario(
            leaf=late.certificate, intermediates=late.chain, roots=late.chain[1:], broken="not valid before 2027-01-01"
        ),
        "server only, wanted as client": Scenario(
            leaf=server.certificate,
            intermediates=server.chain,
            roots=server.chain[1:],
            purpose="client",
            broken="CN=server is not for clientAuth",
        ),
        "any usage, wanted as server": Scenario(
            leaf=anything.certificate,
            intermediates=anything.chain,
            roots=anything.chain[1:],
            purpose="server",
            broken="CN=any is not for serverAuth",
        ),
        "CA for clients, wanted as server": below(
            client_ca, purpose="server", broken="CN=Clients is not for serverAuth"
        ),
        "CA for clients, wanted as client": below(client_ca, purpose="client"),
        "root without key usage": below(bare, unusual="2.5.29"),
        "root without CA flag": below(flagless, unusual="no basicConstraints"),
        "root without anything": below(nothing, broken="CN=Nothing is not a CA certificate"),
        "root that may not sign": below(mute, broken="CN=Mute is not a CA certificate"),
        "version 1 root": below(first, unusual="X509v3"),
        "version 1 intermediate": below(below_first, broken="CN=Below is not a CA certificate"),
        "leaf as a CA": below(
            dataclasses.replace(
                root, certificate=node.certificate, key_pair=node.key_pair, subject=_name(node), chain=node.chain
            ),
            broken="CN=core1.example.com is not a CA certificate",
        ),
        "RSA 1024 root": below(weak, unusual="too weak"),
        "Ed25519 root": below(edwards, unusual="Forbidden public key"),
        "path length 0 with a CA below": below(
            under_short, broken="CN=Short allows 0 CA certificates below it, here are 1"
        ),
        "path length 0 with a leaf below": below(short),
        "a CA that issued to itself": below(again),
        "name constraint kept": below(limited),
        "name constraint kept, sloppy root": below(loose, unusual="2.5.29.15"),
        "name constraint violated": Scenario(
            leaf=outside, intermediates=(), roots=(limited.certificate,), broken="name constraints"
        ),
        "unknown critical extension": Scenario(
            leaf=odd.certificate, intermediates=odd.chain, roots=odd.chain[1:], broken="1.2.3.4"
        ),
    }


def _upper(name: x509.Name) -> x509.Name:
    return x509.Name([x509.NameAttribute(one.oid, f"  {str(one.value).upper()} ") for one in name])


def _name(issued: Issued) -> x509.Name:
    return x509.load_der_x509_certificate(issued.certificate.der).subject


@pytest.fixture
def openssl(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run OpenSSL in a fresh folder. Keyword arguments are files: ``leaf=b"..."`` is written to ``leaf``."""

    def run(*arguments: str, **files: bytes) -> subprocess.CompletedProcess[str]:
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
        command = ["openssl", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)

    return run


@pytest.fixture(scope="session")
def subtests_of() -> Callable[[dict[str, Scenario], Callable[[Scenario], None]], None]:
    """Return a function that runs a check over a table and reports every case that fails, by name."""

    def run(table: dict[str, Scenario], check: Callable[[Scenario], None]) -> None:
        wrong: list[str] = []
        for name, case in table.items():
            try:
                check(case)
            except AssertionError as error:
                wrong.append(f"{name}: {error}")
        assert not wrong, "\n".join(wrong)

    return run
