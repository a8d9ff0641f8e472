"""From DER to facts: the one place that asks ``cryptography`` what is in a certificate."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cmscert.pki.certificate import Certificate
from cmscert.pki.der import element, public_key_bytes
from cmscert.pki.foreign import foreign

EKU_NAMES = {
    ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth",
    ExtendedKeyUsageOID.CLIENT_AUTH: "clientAuth",
    ExtendedKeyUsageOID.CODE_SIGNING: "codeSigning",
    ExtendedKeyUsageOID.EMAIL_PROTECTION: "emailProtection",
    ExtendedKeyUsageOID.TIME_STAMPING: "timeStamping",
    ExtendedKeyUsageOID.OCSP_SIGNING: "OCSPSigning",
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE: "anyExtendedKeyUsage",
}
# RFC 5280, 4.2.1.3, in the order of the bits.
KEY_USAGES = (
    ("digital_signature", "digitalSignature"),
    ("content_commitment", "nonRepudiation"),
    ("key_encipherment", "keyEncipherment"),
    ("data_encipherment", "dataEncipherment"),
    ("key_agreement", "keyAgreement"),
    ("key_cert_sign", "keyCertSign"),
    ("crl_sign", "cRLSign"),
)
KEY_TYPES: dict[str, str] = {
    "1.2.840.113549.1.1.1": "rsa",
    "1.2.840.113549.1.1.10": "rsa",
    "1.2.840.10045.2.1": "ec",
    "1.2.840.10040.4.1": "dsa",
}
PublicKey = (
    rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey | dsa.DSAPublicKey
)
PUBLIC_KEYS = (
    (rsa.RSAPublicKey, "rsa"),
    (ec.EllipticCurvePublicKey, "ec"),
    (ed25519.Ed25519PublicKey, "ed25519"),
    (ed448.Ed448PublicKey, "ed448"),
    (dsa.DSAPublicKey, "dsa"),
)
BENT = (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, UnsupportedAlgorithm)
EDWARDS_BITS = {"ed25519": 256, "ed448": 456}


@lru_cache(maxsize=8192)
def load(der: bytes) -> x509.Certificate:
    """Parse DER, or raise ValueError."""
    return x509.load_der_x509_certificate(der)


@lru_cache(maxsize=8192)
def public_key(der: bytes) -> PublicKey | None:
    """Return the public key of a certificate, or None when this algorithm or curve cannot be loaded."""
    try:
        key = load(der).public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, PublicKey) else None


def key_facts(key: PublicKey) -> tuple[str, int, str]:
    """Return type, bits and the SHA-256 (hex) of the SubjectPublicKeyInfo, encoded anew so that two forms compare."""
    kind = next(name for kind, name in PUBLIC_KEYS if isinstance(key, kind))
    bits = int(getattr(key, "key_size", 0)) or EDWARDS_BITS[kind]
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return kind, bits, hashlib.sha256(spki).hexdigest()


def certificate_facts(der: bytes) -> Certificate:
    """Read every fact of one DER certificate; raises ValueError with one sentence."""
    with foreign():
        try:
            loaded = load(der)
        except (ValueError, TypeError, x509.InvalidVersion) as error:
            cut = der.startswith(b"0\x82") and element(der, 0) is None
            message = "the certificate is cut short" if cut else "these bytes are not an X.509 certificate"
            raise ValueError(message) from error
        try:
            return _facts(der, loaded)
        except BENT as error:
            raise ValueError(f"the certificate is damaged or not conforming to X.509: {_brief(error)}") from error


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:120]


def _facts(der: bytes, loaded: x509.Certificate) -> Certificate:
    key = public_key(der)
    if key is not None:
        key_type, key_bits, spki = key_facts(key)
    else:
        oid = loaded.public_key_algorithm_oid.dotted_string
        key_type, key_bits = KEY_TYPES.get(oid, oid), 0
        spki = hashlib.sha256(public_key_bytes(loaded.tbs_certificate_bytes)).hexdigest()
    extensions = {type(extension.value): extension.value for extension in loaded.extensions}
    san = extensions.get(x509.SubjectAlternativeName)
    basic = extensions.get(x509.BasicConstraints)
    subject, issuer = loaded.subject, loaded.issuer
    return Certificate(
        der=der,
        sha256=hashlib.sha256(der).hexdigest(),
        spki_sha256=spki,
        subject=subject.rfc4514_string(),
        issuer=issuer.rfc4514_string(),
        common_name=_common_name(subject),
        issuer_common_name=_common_name(issuer),
        serial=loaded.serial_number,
        not_before=loaded.not_valid_before_utc,
        not_after=loaded.not_valid_after_utc,
        dns_names=_alternative(san, x509.DNSName),
        ip_addresses=_alternative(san, x509.IPAddress),
        emails=_alternative(san, x509.RFC822Name),
        uris=_alternative(san, x509.UniformResourceIdentifier),
        key_type=key_type,
        key_bits=key_bits,
        signature_hash=_signature_hash(loaded),
        ekus=_ekus(extensions.get(x509.ExtendedKeyUsage)),
        key_usage=_key_usage(extensions.get(x509.KeyUsage)),
        is_ca=isinstance(basic, x509.BasicConstraints) and basic.ca,
        path_length=basic.path_length if isinstance(basic, x509.BasicConstraints) else None,
        self_issued=subject == issuer,
    )


def _common_name(name: x509.Name) -> str | None:
    # The last one is the most specific, and the one that OpenSSL compares.
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[-1].value) if found else None


def _alternative(san: x509.ExtensionType | None, kind: type[x509.GeneralName]) -> tuple[str, ...]:
    if not isinstance(san, x509.SubjectAlternativeName):
        return ()
    return tuple(str(name.value) for name in san if isinstance(name, kind))


def _ekus(usage: x509.ExtensionType | None) -> tuple[str, ...] | None:
    if not isinstance(usage, x509.ExtendedKeyUsage):
        return None
    return tuple(EKU_NAMES.get(oid, oid.dotted_string) for oid in usage)


def _key_usage(usage: x509.ExtensionType | None) -> tuple[str, ...] | None:
    if not isinstance(usage, x509.KeyUsage):
        return None
    return tuple(name for attribute, name in KEY_USAGES if getattr(usage, attribute))


def _signature_hash(loaded: x509.Certificate) -> str | None:
    try:
        algorithm = loaded.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return None
    return algorithm.name if algorithm else None
