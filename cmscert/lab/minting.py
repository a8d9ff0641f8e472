"""Makes keys and certificates for the lab; every CA it makes is marked, so that the lab knows its own."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cmscert.errors import LabError
from cmscert.lab.sketch import KeyType

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
MARK: Final = "cmscert lab"
_CURVES: Final = {None: ec.SECP256R1(), 256: ec.SECP256R1(), 384: ec.SECP384R1(), 521: ec.SECP521R1()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A CA that can sign. ``chain``: itself first, root last."""

    certificate: x509.Certificate
    key: Key = field(repr=False)
    chain: tuple[x509.Certificate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A leaf certificate with its key. ``chain``: issuer first, root last; empty for a self-signed leaf."""

    certificate: x509.Certificate
    key: Key = field(repr=False)
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def leaf_pem(self) -> bytes:
        """The leaf alone."""
        return pem([self.certificate])

    @property
    def full_chain_pem(self) -> bytes:
        """Leaf, intermediates, root."""
        return pem([self.certificate, *self.chain])

    @property
    def key_pem(self) -> bytes:
        """PKCS#8, not encrypted."""
        return key_pem(self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """Validity of a certificate; aware UTC, cut to whole seconds."""

    not_before: datetime
    not_after: datetime


def new_key(kind: KeyType, bits: int | None = None) -> Key:
    """Make a key: RSA 2048 or EC P-256, unless another size is asked for. Raises LabError for a size that is none."""
    if kind == "ec" and bits in _CURVES:
        return ec.generate_private_key(_CURVES[bits])
    try:
        if kind == "rsa":
            return rsa.generate_private_key(public_exponent=65537, key_size=bits or 2048)
    except ValueError:
        pass
    raise LabError(
        f"the lab cannot make {kind} keys of {bits} bits", hint="leave the bits out, or ask for a usual size"
    )


def is_key(key: Key, kind: KeyType, bits: int | None) -> bool:
    """Tell whether a key is of a kind and, unless that is open, of a size."""
    return isinstance(key, rsa.RSAPrivateKey) == (kind == "rsa") and bits in (None, key.key_size)


def key_pem(key: Key) -> bytes:
    """Write a key as PKCS#8 PEM, not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def pem(certificates: Iterable[x509.Certificate]) -> bytes:
    """Write certificates one after the other; one line end after the last block."""
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


def read_key(data: bytes) -> Key | None:
    """Read a key that the lab can sign with; None when it is none. An RSA key's full check would take 37 ms."""
    try:
        key = serialization.load_pem_private_key(data, None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError):
        return None
    return key if isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) else None


def read_certificate(data: bytes) -> x509.Certificate | None:
    """Read the only certificate of a file; None when it holds none or several."""
    try:
        certificates = x509.load_pem_x509_certificates(data)
    except ValueError:
        return None
    return certificates[0] if len(certificates) == 1 else None


def made_here(certificate: x509.Certificate) -> bool:
    """Tell whether the lab issued a certificate."""
    return any(part.value == MARK for part in certificate.issuer.get_attributes_for_oid(NameOID.ORGANIZATION_NAME))


def same_key(certificate: x509.Certificate, key: Key) -> bool:
    """Tell whether a certificate belongs to a key."""
    return certificate.public_key() == key.public_key()


def issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Tell whether a certificate names an issuer and carries its signature."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the SAN's entries as text."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return tuple(str(entry.value) for entry in extension.value)


def plain(name: str) -> str:
    """Write a name the way ``names_of`` returns it: addresses in their shortest form."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


def common_name_of(certificate: x509.Certificate) -> str | None:
    """Return the subject's CN."""
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else None


def make_authority(name: str, *, key: Key, signer: Authority | None, life: Life) -> Authority:
    """Make a CA certificate for a key: signed by ``signer``, or by itself when there is none."""
    subject = _subject(name, marked=True)
    chain = () if signer is None else signer.chain
    issuer = subject if signer is None else signer.certificate.subject
    signing_key = key if signer is None else signer.key
    certificate = (
        _builder(subject, issuer, key, life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(signs=True, enciphers=False), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()), critical=False)
        .sign(signing_key, hashes.SHA256())
    )
    return Authority(certificate=certificate, key=key, chain=(certificate, *chain))


def make_identity(
    common_name: str, sans: Iterable[str], *, key: Key, authority: Authority | None, life: Life
) -> Identity:
    """Make a leaf certificate with both EKUs ([S9], [S18], [S19]); without an authority it signs itself.

    Raises LabError when a name cannot stand in a certificate.
    """
    try:
        subject = _subject(common_name, marked=authority is None)
        entries = [_san(name) for name in dict.fromkeys(map(plain, sans))]
    except ValueError as error:
        raise LabError(
            f"{common_name!r} and its names cannot stand in a certificate: {error}",
            hint="names are ASCII, a common name has at most 64 characters",
        ) from error
    signing_key = key if authority is None else authority.key
    issuer = subject if authority is None else authority.certificate.subject
    builder = (
        _builder(subject, issuer, key, life)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs=False, enciphers=isinstance(key, rsa.RSAPrivateKey)), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()), critical=False)
    )
    if entries:
        builder = builder.add_extension(x509.SubjectAlternativeName(entries), critical=False)
    chain = () if authority is None else authority.chain
    return Identity(certificate=builder.sign(signing_key, hashes.SHA256()), key=key, chain=chain)


def _builder(subject: x509.Name, issuer: x509.Name, key: Key, life: Life) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(life.not_before.replace(microsecond=0))
        .not_valid_after(life.not_after.replace(microsecond=0))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _subject(common_name: str, *, marked: bool) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if marked:
        parts.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, MARK))
    return x509.Name(parts)


def _san(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    return x509.RFC822Name(name) if "@" in name else x509.DNSName(name)


def _key_usage(*, signs: bool, enciphers: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=enciphers,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )
