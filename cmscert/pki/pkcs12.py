"""PKCS#12 containers, opened in one place for certificates and keys alike."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12
from cryptography.x509 import Certificate as LoadedCertificate
from cryptography.x509 import InvalidVersion

from cmscert.pki.armour import refuse
from cmscert.pki.certificate import Certificate, parse_certificate
from cmscert.pki.foreign import foreign
from cmscert.pki.rounds import check_rounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """What was in it: the certificate of the key first, and the key object of ``cryptography``."""

    certificates: tuple[Certificate, ...]
    key: object | None = field(repr=False)


def open_pkcs12(content: bytes, file: str, passphrase: bytes | None) -> Container:
    """Open a container; without a passphrase with the empty one. Raises InputError, never showing the passphrase."""
    check_rounds(content, file)
    opened = _opened(content, passphrase) or (None if passphrase else _opened(content, b""))
    if opened is None and passphrase:
        hint = "check the passphrase that the inventory refers to"
        raise refuse(
            file, "passphrase-wrong", "the passphrase does not open the PKCS#12 file, or it is damaged", hint=hint
        )
    if opened is None:
        hint = "give the passphrase by reference: {env}, {file}, {command} or {keyring}"
        raise refuse(file, "passphrase-missing", "the PKCS#12 file needs a passphrase, or it is damaged", hint=hint)
    main = () if opened.cert is None else (opened.cert.certificate,)
    others = tuple(entry.certificate for entry in opened.additional_certs)
    try:
        return Container(certificates=tuple(map(_facts, (*main, *others))), key=opened.key)
    except ValueError as error:
        raise refuse(file, "damaged-certificate", str(error)) from error


def _facts(loaded: LoadedCertificate) -> Certificate:
    return parse_certificate(loaded.public_bytes(Encoding.DER))


def _opened(content: bytes, passphrase: bytes | None) -> pkcs12.PKCS12KeyAndCertificates | None:
    try:
        with foreign():
            return pkcs12.load_pkcs12(content, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidVersion):
        return None
