"""The issuer ``local_ca``: a private CA whose certificate and key are files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from cmscert.issue.issuers import Asked, Issued
from cmscert.pki.armour import refuse
from cmscert.pki.certificate import Certificate, parse_certificate
from cmscert.pki.chain import build_chain
from cmscert.pki.facts import load
from cmscert.pki.keys import PrivateKey, read_key
from cmscert.pki.pem import read_certificates
from cmscert.pki.request import alternative_names, general_name
from cmscert.pki.signatures import digest_for

LIFETIME: Final = timedelta(days=397)
BACKDATED: Final = timedelta(minutes=10)
"""Clocks of nodes are allowed to be five minutes wrong; a certificate must not begin in their future."""

_USAGES: Final = {"serverAuth": ExtendedKeyUsageOID.SERVER_AUTH, "clientAuth": ExtendedKeyUsageOID.CLIENT_AUTH}
_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalCa:
    """Signs at once. ``chain``: what is above the CA, as far as its file holds it."""

    name: str
    certificate: Certificate
    key: PrivateKey = field(repr=False)
    chain: tuple[Certificate, ...] = ()
    lifetime: timedelta = LIFETIME
    serial: Callable[[], int] = field(default=x509.random_serial_number, repr=False)

    async def obtain(self, asked: Asked) -> Issued:
        """Sign a request. Raises IssuerError when the CA has ended, or ends at once."""
        return await asyncio.to_thread(self._sign, asked)

    def _sign(self, asked: Asked) -> Issued:
        begin, end = self._period(asked)
        request = asked.request
        if not request.signature_holds:
            raise asked.fault(self.name, "the request is not signed with its own key", hint="make a new request")
        loaded = x509.load_der_x509_csr(request.der)
        authority = load(self.certificate.der)
        builder = x509.CertificateBuilder().subject_name(loaded.subject).issuer_name(authority.subject)
        builder = builder.public_key(loaded.public_key()).serial_number(self.serial())
        builder = builder.not_valid_before(begin).not_valid_after(end)
        for extension, critical in self._extensions(asked, loaded, authority):
            builder = builder.add_extension(extension, critical)
        signed = builder.sign(self.key.signer(), digest_for(self.key.key_type, self.key.key_bits))
        leaf = parse_certificate(signed.public_bytes(Encoding.DER))
        return Issued(chain=(leaf, self.certificate, *self.chain))

    def _period(self, asked: Asked) -> tuple[datetime, datetime]:
        at = asked.at.replace(microsecond=0)
        begin = max(at - BACKDATED, self.certificate.not_before)
        last = min(one.not_after for one in (self.certificate, *self.chain))
        end = min(begin + self.lifetime - _SECOND, last)
        if not begin <= at < end:
            ends = f"{self.certificate.not_before:%Y-%m-%d} to {last:%Y-%m-%d}"
            message = f"the CA {self.certificate.subject} and what is above it are valid from {ends}"
            raise asked.fault(self.name, message, hint="renew the CA first")
        return begin, end

    def _extensions(
        self, asked: Asked, request: x509.CertificateSigningRequest, authority: x509.Certificate
    ) -> list[tuple[x509.ExtensionType, bool]]:
        sans = _sans(asked, request)
        found: list[tuple[x509.ExtensionType, bool]] = [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_key_usage(asked.request.key_type), True),
            (x509.SubjectKeyIdentifier.from_public_key(request.public_key()), False),
            (_authority(authority), False),
        ]
        if asked.profile.ekus:
            found.append((x509.ExtendedKeyUsage([_oid(usage) for usage in asked.profile.ekus]), False))
        if sans:
            found.append((sans, False))
        return found


def load_local_ca(
    name: str,
    *,
    certificate: bytes,
    key: bytes,
    certificate_file: str,
    key_file: str,
    passphrase: bytes | None = None,
    lifetime: timedelta = LIFETIME,
) -> LocalCa:
    """Make the issuer from its files; the certificate's file may hold what is above it too. Raises InputError."""
    pile = read_certificates(certificate, file=certificate_file)
    private = read_key(key, file=key_file, passphrase=passphrase)
    authority = next((one for one in pile if one.spki_sha256 == private.spki_sha256), None)
    if authority is None:
        message = f"the private key does not belong to {pile[0].subject}"
        raise refuse(key_file, "key-mismatch", message, hint=f"name the key of {certificate_file}")
    signs = authority.key_usage is None or "keyCertSign" in authority.key_usage
    if not authority.is_ca or not signs:
        message = f"{authority.subject} is not a CA certificate, so nobody would take what it signs"
        raise refuse(certificate_file, "not-a-ca", message, hint="name the certificate of a CA")
    return LocalCa(
        name=name,
        certificate=authority,
        key=private,
        chain=build_chain(authority, pile),
        lifetime=lifetime,
    )


def _sans(asked: Asked, request: x509.CertificateSigningRequest) -> x509.SubjectAlternativeName | None:
    """Return the names that the request asks for; where it has a common name only, those of the inventory."""
    for extension in request.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            return extension.value
    names = alternative_names(asked.common_name, asked.sans)
    return x509.SubjectAlternativeName([general_name(name) for name in names]) if names else None


def _oid(usage: str) -> x509.ObjectIdentifier:
    return _USAGES.get(usage) or x509.ObjectIdentifier(usage)


def _key_usage(key_type: str) -> x509.KeyUsage:
    """RSA keys may also wrap a session key, as TLS 1.2 without forward secrecy does; EC keys cannot."""
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=key_type == "rsa",
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _authority(authority: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    for extension in authority.extensions:
        if isinstance(extension.value, x509.SubjectKeyIdentifier):
            return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(extension.value)
    public = authority.public_key()
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(public)  # type: ignore[arg-type]  # it has signed
