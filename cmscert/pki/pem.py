"""Certificates in and out of files: PEM, DER, PKCS#7 and PKCS#12 in, exact PEM out."""

from __future__ import annotations

import base64
from collections.abc import Iterable

from cmscert.errors import Fault, InputError
from cmscert.pki.armour import Block, plain, refuse, scan
from cmscert.pki.certificate import Certificate, parse_certificate
from cmscert.pki.der import Shape, element, shape
from cmscert.pki.foreign import foreign

CERTIFICATE_LABELS = frozenset({"CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"})
CONTAINER_LABELS = frozenset({"PKCS7", "PKCS #7 SIGNED DATA", "CMS"})
NOT_A_CERTIFICATE = {
    Shape.REQUEST: "a certificate request (CSR), not the certificate that a CA made of it",
    Shape.KEY: "a private key, not a certificate",
    Shape.ENCRYPTED_KEY: "a private key, not a certificate",
    Shape.PUBLIC_KEY: "a bare public key, not a certificate",
}
LINE = 64


def read_certificates(content: bytes, *, file: str, passphrase: bytes | None = None) -> tuple[Certificate, ...]:
    """Read every certificate of a file, in the order of the file, duplicates kept.

    Takes PEM (any line ends, byte order mark, text and keys around, no line end between blocks), one DER certificate,
    PKCS#7 (PEM or DER) and PKCS#12 (``passphrase``: its own; the certificate of the key comes first). A PKCS#12 file
    is opened with the empty passphrase when none is given. ``file`` is a name for messages only.
    Raises InputError with a fault for every block that is wrong; one without any certificate is wrong, too.
    """
    text = plain(content, file)
    blocks = scan(text)
    if blocks:
        return _from_blocks(blocks, file)
    if shape(content) is not Shape.UNKNOWN:
        return _from_der(content, file, passphrase)
    raise _nothing_found(text, file)


def to_pem(certificates: Iterable[Certificate]) -> bytes:
    """Write certificates as PEM: LF, each block complete, exactly one line end after the last ([S7])."""
    return b"".join(map(_armoured, certificates))


def _armoured(certificate: Certificate) -> bytes:
    encoded = base64.b64encode(certificate.der)
    lines = (encoded[at : at + LINE] for at in range(0, len(encoded), LINE))
    return b"\n".join((b"-----BEGIN CERTIFICATE-----", *lines, b"-----END CERTIFICATE-----", b""))


def _from_blocks(blocks: tuple[Block, ...], file: str) -> tuple[Certificate, ...]:
    found: list[Certificate] = []
    faults: list[Fault] = []
    for block in blocks:
        if block.wrong is not None:
            faults.append(Fault(file=file, line=block.line, reason="damaged-block", message=block.wrong))
        elif block.label in CERTIFICATE_LABELS | CONTAINER_LABELS:
            try:
                found.extend(_decode(block))
            except ValueError as error:
                faults.append(Fault(file=file, line=block.line, reason="damaged-certificate", message=str(error)))
    if faults:
        raise InputError(faults, hint="export the file again and compare its size with the source")
    if not found:
        raise _only_others(blocks, file)
    return tuple(found)


def _decode(block: Block) -> tuple[Certificate, ...]:
    if shape(block.content) is Shape.PKCS7:
        return _from_pkcs7(block.content)
    # OpenSSL's TRUSTED CERTIFICATE is a certificate with trust settings behind it.
    outer = element(block.content, 0) if block.label == "TRUSTED CERTIFICATE" else None
    return (parse_certificate(block.content[: outer.end] if outer else block.content),)


def _only_others(blocks: tuple[Block, ...], file: str) -> InputError:
    first = blocks[0]
    if any(block.is_key for block in blocks):
        found, reason = NOT_A_CERTIFICATE[Shape.KEY], "key-not-certificate"
    elif first.label.endswith("CERTIFICATE REQUEST"):
        found, reason = NOT_A_CERTIFICATE[Shape.REQUEST], "request-not-certificate"
    else:
        found, reason = f"{first.label}, not a certificate", "no-certificate"
    return refuse(file, reason, f"the file holds {found}", line=first.line, hint="name the file with the certificate")


def _from_der(content: bytes, file: str, passphrase: bytes | None) -> tuple[Certificate, ...]:
    kind = shape(content)
    if kind is Shape.PKCS12:
        from cmscert.pki.pkcs12 import open_pkcs12

        certificates = open_pkcs12(content, file, passphrase).certificates
        if certificates:
            return certificates
        raise refuse(file, "no-certificate", "the PKCS#12 file holds no certificate")
    if kind in NOT_A_CERTIFICATE:
        reason = "request-not-certificate" if kind is Shape.REQUEST else "key-not-certificate"
        raise refuse(
            file, reason, f"the file holds {NOT_A_CERTIFICATE[kind]}", hint="name the file with the certificate"
        )
    try:
        return _from_pkcs7(content) if kind is Shape.PKCS7 else (parse_certificate(content),)
    except ValueError as error:
        raise refuse(file, "damaged-certificate", str(error)) from error


def _from_pkcs7(content: bytes) -> tuple[Certificate, ...]:
    """Return what a PKCS#7 container holds (Windows exports chains as ``.p7b``); raises ValueError."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
    from cryptography.x509 import InvalidVersion

    try:
        with foreign():
            loaded = pkcs7.load_der_pkcs7_certificates(content)
    except (ValueError, UnsupportedAlgorithm, InvalidVersion) as error:
        raise ValueError("the PKCS#7 container is damaged or holds no certificates") from error
    if not loaded:
        raise ValueError("the PKCS#7 container holds no certificates")
    return tuple(parse_certificate(certificate.public_bytes(Encoding.DER)) for certificate in loaded)


def _nothing_found(text: bytes, file: str) -> InputError:
    if b"BEGIN CERT" in text:
        message = (
            "the lines around the certificate are damaged: they must read -----BEGIN CERTIFICATE-----, five hyphens"
        )
        return refuse(file, "damaged-block", message, hint="export the file again as Base-64 encoded X.509")
    return refuse(
        file,
        "no-certificate",
        "the file is neither PEM nor DER: no certificate was found in it",
        hint="export the certificate as Base-64 encoded X.509 (.cer, .crt or .pem)",
    )
