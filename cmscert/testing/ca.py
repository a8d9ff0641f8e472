"""A throw-away CA for tests: real certificates, made in memory, with names and dates that are the same every time.

>>> root = ThrowAwayCa.root("Example Root")
>>> issuing = root.intermediate("Example Issuing CA")
>>> node = issuing.issue("core1.example.com", sans=("core1.example.com", "10.0.0.11"))
>>> [certificate.common_name for certificate in node.full_chain]
['core1.example.com', 'Example Issuing CA', 'Example Root']

Keys are EC P-256, for speed, unless ``key="rsa"`` is asked for. Everything starts at ``AT`` and lasts for decades
unless said otherwise, so that real programs accept it by their own clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from ipaddress import ip_address
from itertools import count
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cmscert.pki.certificate import Certificate, parse_certificate
from cmscert.pki.keys import PrivateKey, read_key
from cmscert.pki.pem import to_pem

AT = datetime(2024, 1, 1, tzinfo=UTC)
YEAR = timedelta(days=365)
USAGES = {"serverAuth": ExtendedKeyUsageOID.SERVER_AUTH, "clientAuth": ExtendedKeyUsageOID.CLIENT_AUTH}
KeyPair = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
KeyWish = Literal["ec", "rsa"] | KeyPair
Extra = Sequence[tuple[x509.ExtensionType, bool]]
CA_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def make_key(wish: KeyWish = "ec") -> KeyPair:
    """Return a new key pair (RSA 2048 or EC P-256), or the one given."""
    if wish == "ec":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(65537, 2048) if wish == "rsa" else wish


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A certificate with its key. ``chain``: its issuers in order, root last; empty for a self-signed one."""

    certificate: Certificate
    key_pair: KeyPair = field(repr=False)
    chain: tuple[Certificate, ...] = ()

    @cached_property
    def certificate_pem(self) -> bytes:
        """The certificate alone, as PEM."""
        return to_pem((self.certificate,))

    @cached_property
    def key_pem(self) -> bytes:
        """The private key as unencrypted PKCS#8 PEM."""
        return self.key_pair.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @cached_property
    def key(self) -> PrivateKey:
        """The private key as ``cmscert.pki`` reads it."""
        return read_key(self.key_pem, file="throw-away.key")

    @property
    def full_chain(self) -> tuple[Certificate, ...]:
        """The certificate and its issuers, root last."""
        return (self.certificate, *self.chain)

    @cached_property
    def full_chain_pem(self) -> bytes:
        """The certificate and its issuers as PEM."""
        return to_pem(self.full_chain)

    @cached_property
    def chain_pem(self) -> bytes:
        """The issuers alone as PEM: the CA bundle that goes with the certificate."""
        return to_pem(self.chain)


@dataclass(frozen=True, kw_only=True)
class ThrowAwayCa(Issued):
    """A certificate authority that makes others. Serial numbers count from 1 per CA."""

    subject: x509.Name
    _serials: count[int] = field(default_factory=lambda: count(1), repr=False)

    @classmethod
    def root(
        cls,
        name: str = "Example Root CA",
        *,
        at: datetime = AT,
        not_after: datetime | None = None,
        key: KeyWish = "ec",
        extensions: Extra | None = None,
    ) -> ThrowAwayCa:
        """Make a root. ``extensions``: exactly these instead of those of a well-made CA."""
        pair, subject = make_key(key), _name(name)
        period = (at, not_after or at + 30 * YEAR)
        wanted = _ca_extensions(pair, None) if extensions is None else extensions
        made = _sign(subject, pair, (subject, pair), period, 1, wanted)
        return cls(certificate=made, key_pair=pair, subject=subject, _serials=count(2))

    @property
    def bundle(self) -> tuple[Certificate, ...]:
        """This CA and what is above it: the CA bundle for what it issues."""
        return self.full_chain

    @property
    def bundle_pem(self) -> bytes:
        """The bundle as PEM."""
        return self.full_chain_pem

    def intermediate(
        self,
        name: str = "Example Issuing CA",
        *,
        at: datetime = AT,
        not_after: datetime | None = None,
        key: KeyWish = "ec",
        path_length: int | None = None,
        extensions: Extra | None = None,
    ) -> ThrowAwayCa:
        """Make a CA below this one; give another CA's ``key_pair`` and name to cross-sign it."""
        pair, subject = make_key(key), _name(name)
        period = (at, not_after or at + 25 * YEAR)
        wanted = _ca_extensions(pair, self.key_pair, path_length) if extensions is None else extensions
        made = _sign(subject, pair, (self.subject, self.key_pair), period, next(self._serials), wanted)
        return ThrowAwayCa(certificate=made, key_pair=pair, subject=subject, chain=self.full_chain)

    def issue(
        self,
        common_name: str | None,
        sans: Iterable[str] = (),
        eku: Iterable[str] | None = ("serverAuth", "clientAuth"),
        *,
        not_before: datetime = AT,
        not_after: datetime | None = None,
        key: KeyWish = "ec",
        extra: Extra = (),
    ) -> Issued:
        """Make an end-entity certificate.

        ``sans``: DNS names, IP addresses, e-mail addresses and URIs, told apart by their form; none leaves the
        extension out. ``eku``: short names or dotted OIDs; None leaves it out. ``extra``: (extension, critical) pairs.
        """
        pair, subject = make_key(key), _name(common_name)
        wanted = [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (x509.SubjectKeyIdentifier.from_public_key(pair.public_key()), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key_pair.public_key()), False),
            *_leaf_extensions(tuple(sans), eku),
            *extra,
        ]
        period = (not_before, not_after or not_before + 20 * YEAR)
        issuer = (self.subject, self.key_pair)
        made = _sign(subject, pair, issuer, period, next(self._serials), wanted)
        return Issued(certificate=made, key_pair=pair, chain=self.full_chain)


def self_signed(
    common_name: str,
    sans: Iterable[str] = (),
    *,
    not_before: datetime = AT,
    not_after: datetime | None = None,
    key: KeyWish = "ec",
) -> Issued:
    """Make a certificate as ``pki selfsigned`` would: no CA, and no extended key usage ([S18])."""
    pair, subject = make_key(key), _name(common_name)
    period = (not_before, not_after or not_before + 20 * YEAR)
    made = _sign(subject, pair, (subject, pair), period, 1, _leaf_extensions(tuple(sans), None))
    return Issued(certificate=made, key_pair=pair)


def _name(common_name: str | None) -> x509.Name:
    return x509.Name([] if common_name is None else [x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _sign(
    subject: x509.Name,
    pair: KeyPair,
    issuer: tuple[x509.Name, KeyPair],
    period: tuple[datetime, datetime],
    serial: int,
    extensions: Extra,
) -> Certificate:
    builder = x509.CertificateBuilder().subject_name(subject).public_key(pair.public_key()).serial_number(serial)
    builder = builder.issuer_name(issuer[0]).not_valid_before(period[0]).not_valid_after(period[1])
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    edwards = isinstance(issuer[1], ed25519.Ed25519PrivateKey)
    signed = builder.sign(issuer[1], None if edwards else SHA256())
    return parse_certificate(signed.public_bytes(Encoding.DER))


def _ca_extensions(pair: KeyPair, above: KeyPair | None, path_length: int | None = None) -> Extra:
    known = [
        (x509.BasicConstraints(ca=True, path_length=path_length), True),
        (CA_USAGE, True),
        (x509.SubjectKeyIdentifier.from_public_key(pair.public_key()), False),
    ]
    if above is not None:
        known.append((x509.AuthorityKeyIdentifier.from_issuer_public_key(above.public_key()), False))
    return known


def _leaf_extensions(sans: tuple[str, ...], eku: Iterable[str] | None) -> list[tuple[x509.ExtensionType, bool]]:
    found: list[tuple[x509.ExtensionType, bool]] = []
    if sans:
        found.append((x509.SubjectAlternativeName(list(map(_general, sans))), False))
    if eku is not None:
        usages = [USAGES.get(usage) or x509.ObjectIdentifier(usage) for usage in eku]
        found.append((x509.ExtendedKeyUsage(usages), False))
    return found


def _general(name: str) -> x509.GeneralName:
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    if "@" in name:
        return x509.RFC822Name(name)
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
