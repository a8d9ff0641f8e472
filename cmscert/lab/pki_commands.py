"""``pki list``, ``inspect``, ``match``, ``verify``, ``csr``, ``selfsigned`` and ``sign`` (facts section 3)."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from cmscert.lab import material
from cmscert.lab.answers import Outcome, usage
from cmscert.lab.state import Machine

_BASENAME: Final = re.compile(r"[A-Za-z0-9_-]+")  # [S17]
_SHOWN: Final = (".key", ".cer", ".crt", ".pem", ".csr", ".der")
_BITS: Final = 2048  # [MEM] 3.2
_DAYS: Final = timedelta(days=365)
_PROGRESS: Final = ("..............", "......")  # T-10
_SUBJECT: Final = {
    "CN": NameOID.COMMON_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "L": NameOID.LOCALITY_NAME,
    "ST": NameOID.STATE_OR_PROVINCE_NAME,
    "C": NameOID.COUNTRY_NAME,
    "emailAddress": NameOID.EMAIL_ADDRESS,
}
_WORDINGS: Final = {  # the literal output is unknown (facts 10.1)
    "default": {
        "match": ("Key and certificate pair match", "Key and certificate pair do not match"),
        "verify": ("certificate verified against CA bundle", "certificate could not be verified against CA bundle"),
    },
    "terse": {"match": ("match", "mismatch"), "verify": ("OK", "failed")},
    "odd": {"match": ("result: 0", "result: 1"), "verify": ("result: 0", "result: 1")},
}

Request = tuple[x509.Name, x509.SubjectAlternativeName | None]


async def run(machine: Machine, words: Sequence[str]) -> Outcome:
    """Answer a command that starts with ``pki``."""
    match list(words[1:]):
        case ["csr", basename, *attributes]:
            return await _csr(machine, basename, attributes)
        case ["selfsigned", basename, *attributes]:
            return await _selfsigned(machine, basename, attributes)
        case other:
            return _reading(machine, other)


def _reading(machine: Machine, words: Sequence[str]) -> Outcome:
    match words:
        case ["list"]:
            return Outcome(lines=["User supplied certificates and keys:", *filter(_is_material, machine.files)])  # T-11
        case ["inspect", name]:
            return _needing(machine, (name,), lambda: _inspect(machine.files[name]))
        case ["match", key, certificate]:
            return _needing(machine, (key, certificate), lambda: _match(machine, key, certificate))
        case ["verify", certificate, *bundles] if bundles:
            return _needing(machine, (certificate, *bundles), lambda: _verify(machine, certificate, bundles))
        case ["sign", request, authority]:
            names = (f"{request}.csr", f"{authority}.key", f"{authority}.crt")
            return _needing(machine, names, lambda: _sign(machine, request, authority))
    return usage("pki", "list|inspect|match|verify|csr|selfsigned|sign", "...")


def _is_material(name: str) -> bool:
    return name.endswith(_SHOWN)


def _needing(machine: Machine, names: Sequence[str], answer: Callable[[], Outcome]) -> Outcome:
    missing = [name for name in names if name not in machine.files]
    if missing:
        return Outcome(lines=[f"{name}: no such file" for name in missing])
    try:
        return answer()
    except (material.UnreadableError, ValueError, TypeError):
        return Outcome(lines=["Error reading file"])


def _inspect(content: bytes) -> Outcome:  # [MEM] 3.1
    lines = ["Checking ssh public keys...not found", "Checking user configured certificates and keys...found"]
    if b"PRIVATE KEY" in content:
        return Outcome(lines=[*lines, "File contains a PEM encoded private key"])
    if b"CERTIFICATE REQUEST" in content:
        return Outcome(lines=[*lines, "File contains a PEM encoded certificate request"])
    certificate = material.certificates(content)[0]
    return Outcome(
        lines=[
            *lines,
            "File contains a PEM encoded certificate",
            "Certificate:",
            "    Data:",
            "        Version: 3 (0x2)",
            f"        Serial Number: {certificate.serial_number} (0x{certificate.serial_number:x})",
            f"        Issuer: {certificate.issuer.rfc4514_string()}",
            "        Validity",
            f"            Not Before: {certificate.not_valid_before_utc:%b %e %H:%M:%S %Y} GMT",
            f"            Not After : {certificate.not_valid_after_utc:%b %e %H:%M:%S %Y} GMT",
            f"        Subject: {certificate.subject.rfc4514_string()}",
        ],
    )


def _said(machine: Machine, what: str, *, good: bool) -> Outcome:
    yes, no = _WORDINGS[machine.spec.switches.match_wording][what]
    return Outcome(lines=[yes if good else no])


def _match(machine: Machine, key: str, certificate: str) -> Outcome:
    return _said(machine, "match", good=material.fits(machine.files[key], machine.files[certificate]))


def _verify(machine: Machine, certificate: str, bundles: Sequence[str]) -> Outcome:
    leaf, *presented = material.certificates(machine.files[certificate])
    ends = [part for bundle in bundles for part in material.certificates(machine.files[bundle])]
    return _said(machine, "verify", good=material.chains_to(leaf, presented, ends))


def _request(attributes: Sequence[str]) -> Request | None:
    """Read ``CN:value subjectAltName:a,b``; None for an unknown attribute, a missing CN or a wrong country."""
    subject: list[x509.NameAttribute[str]] = []
    alternatives: x509.SubjectAlternativeName | None = None
    try:
        for attribute in attributes:
            name, _, value = attribute.partition(":")
            if name == "subjectAltName":
                alternatives = x509.SubjectAlternativeName([_general_name(part) for part in value.split(",")])
            else:
                subject.append(x509.NameAttribute(_SUBJECT[name], value))
    except (KeyError, ValueError):
        return None
    if not any(part.oid == NameOID.COMMON_NAME for part in subject):
        return None  # [S17] CN is mandatory
    return x509.Name(subject), alternatives


def _general_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.RFC822Name(text) if "@" in text else x509.DNSName(text)


async def _new_key() -> tuple[RSAPrivateKey, bytes]:
    key = await asyncio.to_thread(generate_private_key, 65537, _BITS)
    return key, key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def _stored(machine: Machine, files: dict[str, bytes]) -> Callable[[], None]:
    """Write files. A key that a service uses takes that service down at once, as the TechNote warns."""

    def effect() -> None:
        used = {service for name in files if name.endswith(".key") for service in machine.users_of(name)}
        machine.files.update(files)
        for service in sorted(used):
            machine.take_down(service)

    return effect


async def _csr(machine: Machine, basename: str, attributes: Sequence[str]) -> Outcome:
    request = _request(attributes)
    if request is None or not _BASENAME.fullmatch(basename):
        return usage("pki csr <key/cert basename> <CN:value> [OU:<value>] [O:<value>] [ST:<value>] [C:<value>]")
    subject, alternatives = request
    key, key_file = await _new_key()
    builder = x509.CertificateSigningRequestBuilder(subject)
    if alternatives is not None:
        builder = builder.add_extension(alternatives, critical=False)
    signed = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    return Outcome(
        lines=[
            *_PROGRESS,
            f"Created key file {basename}.key and CSR {basename}.csr",
            f"CSR file {basename}.csr ready for download via SFTP",
        ],
        effect=_stored(machine, {f"{basename}.key": key_file, f"{basename}.csr": signed}),
    )


async def _selfsigned(machine: Machine, basename: str, attributes: Sequence[str]) -> Outcome:
    request = _request(attributes)
    if request is None or not _BASENAME.fullmatch(basename):
        return usage("pki selfsigned <key/cert basename> <CN:value> ...")
    subject, alternatives = request
    key, key_file = await _new_key()
    now = machine.clock()
    builder = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), now, now + _DAYS)
        # no extended key usage: [S18]
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    if alternatives is not None:
        builder = builder.add_extension(alternatives, critical=False)
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    return Outcome(
        lines=[*_PROGRESS, f"Created key file {basename}.key and certificate {basename}.crt"],
        effect=_stored(machine, {f"{basename}.key": key_file, f"{basename}.crt": certificate}),
    )


def _sign(machine: Machine, request: str, authority: str) -> Outcome:
    csr = x509.load_pem_x509_csr(machine.files[f"{request}.csr"])
    issuer = material.certificates(machine.files[f"{authority}.crt"])[0]
    if not material.fits(machine.files[f"{authority}.key"], machine.files[f"{authority}.crt"]):
        return Outcome(lines=[f"{authority}.key does not belong to {authority}.crt"])
    key = load_pem_private_key(machine.files[f"{authority}.key"], None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(key, RSAPrivateKey)
    now = machine.clock()
    builder = x509.CertificateBuilder(
        issuer.subject, csr.subject, csr.public_key(), x509.random_serial_number(), now, now + _DAYS
    )
    for extension in csr.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    return Outcome(
        lines=[f"Created certificate {request}.crt"],
        effect=_stored(machine, {f"{request}.crt": certificate}),
    )
