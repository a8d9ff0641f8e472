"""Certificates and keys as the node reads them: plain PEM blocks, one after the other (facts section 6)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

_BLOCK = re.compile(
    rb"^-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----[ \r]*\n.*?\n-----END (?:X509 |TRUSTED )?CERTIFICATE-----[ \r]*$",
    re.MULTILINE | re.DOTALL,
)
_CACHED = 4096


class UnreadableError(ValueError):
    """A file does not hold what it should."""


@lru_cache(_CACHED)
def certificates(content: bytes) -> tuple[x509.Certificate, ...]:
    """Return the certificates of a file, in its order. Raises UnreadableError.

    A marker counts only on a line of its own, so two blocks without a line end between them spoil the file, as they do
    for OpenSSL. DER is taken for a single certificate [MEM].
    """
    found = _BLOCK.findall(content)
    if any(block.count(b"-----BEGIN ") > 1 for block in found):
        raise UnreadableError("a marker does not stand on a line of its own")
    try:
        blocks = [x509.load_pem_x509_certificate(block) for block in found]
        if not blocks:
            blocks = [x509.load_der_x509_certificate(content)]
    except (ValueError, TypeError) as error:
        raise UnreadableError(str(error)) from error
    return tuple(blocks)


@lru_cache(_CACHED)
def key_pem(content: bytes) -> bytes:
    """Return an unencrypted key as PEM. Raises UnreadableError."""
    return _key(content)[0]


@lru_cache(_CACHED)
def _key(content: bytes) -> tuple[bytes, bytes]:
    try:
        key = load_pem_private_key(content, None, unsafe_skip_rsa_key_validation=True)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return private, key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, TypeError) as error:
        raise UnreadableError(str(error)) from error


def fits(key: bytes, certificate_file: bytes) -> bool:
    """Tell whether a key belongs to the first certificate of a file. Raises UnreadableError."""
    leaf = certificates(certificate_file)[0]
    return _key(key)[1] == leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def der(certificate: x509.Certificate) -> bytes:
    """Return the bytes of a certificate."""
    return certificate.public_bytes(Encoding.DER)


def signed_by(child: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Tell whether one certificate is signed by another."""
    return _signed_by(der(child), der(issuer))


@lru_cache(_CACHED)
def _signed_by(child: bytes, issuer: bytes) -> bool:
    try:
        x509.load_der_x509_certificate(child).verify_directly_issued_by(x509.load_der_x509_certificate(issuer))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def is_root(certificate: x509.Certificate) -> bool:
    """Tell whether a certificate is signed by itself."""
    return certificate.subject == certificate.issuer and signed_by(certificate, certificate)


def chains_to(leaf: x509.Certificate, pile: Iterable[x509.Certificate], ends: Sequence[x509.Certificate]) -> bool:
    """Tell whether a path of signatures leads from a leaf through the pile to a root that stands in ``ends``."""
    pool = [*pile, *ends]
    reached = [leaf]
    seen: set[bytes] = set()
    while reached:
        step = reached.pop()
        if der(step) in seen:
            continue
        seen.add(der(step))
        if step in ends and is_root(step):
            return True
        reached.extend(issuer for issuer in pool if signed_by(step, issuer))
    return False


def is_full_chain(chain: Sequence[x509.Certificate]) -> bool:
    """Tell whether a file starts with the entity certificate and ends with the root, without a gap ([S20])."""
    return is_root(chain[-1]) and all(signed_by(chain[at], chain[at + 1]) for at in range(len(chain) - 1))


def names(certificate: x509.Certificate) -> set[str]:
    """Return the CN and the DNS names and addresses of the SAN, in lower case (C2W takes either, [S25])."""
    found = {
        str(attribute.value).lower()
        for attribute in certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    }
    try:
        sans = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return found
    return found | {str(name.value).lower() for name in sans}


def answers_to(certificate: x509.Certificate, host: str) -> bool:
    """Tell whether a certificate is for a host; a wildcard stands for one label."""
    wanted = host.lower()
    return wanted in names(certificate) or "*." + wanted.partition(".")[2] in names(certificate)
