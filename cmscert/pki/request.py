"""Certificate requests (CSRs): made here, or read from wherever they were made and held against what was asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from cmscert.pki.armour import plain, refuse, scan
from cmscert.pki.der import Shape, shape
from cmscert.pki.facts import BENT, PublicKey, key_facts
from cmscert.pki.foreign import foreign
from cmscert.pki.keys import PrivateKey
from cmscert.pki.names import address_of, canonical, is_host
from cmscert.pki.rules import Finding
from cmscert.pki.signatures import digest_for

ATTRIBUTES: Final[Mapping[str, x509.ObjectIdentifier]] = MappingProxyType(
    {
        "C": NameOID.COUNTRY_NAME,
        "ST": NameOID.STATE_OR_PROVINCE_NAME,
        "L": NameOID.LOCALITY_NAME,
        "O": NameOID.ORGANIZATION_NAME,
        "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
        "CN": NameOID.COMMON_NAME,
        "emailAddress": NameOID.EMAIL_ADDRESS,
    }
)
"""What a subject may say, in the order in which it is written (widest first, as OpenSSL does)."""

LONGEST: Final[Mapping[str, int]] = MappingProxyType({"ST": 128, "L": 128, "O": 64, "OU": 64, "CN": 64})
"""Upper bounds of X.520, in characters."""

_LABELS: Final = frozenset({"CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"})
_COUNTRY: Final = re.compile(r"[A-Za-z]{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A certificate request as facts. ``subject``: RFC 4514; ``other_names``: SANs of kinds that CMS has no use for."""

    der: bytes = field(repr=False)
    subject: str = field(compare=False)
    attributes: tuple[tuple[str, str], ...] = field(compare=False)
    common_name: str | None = field(compare=False)
    spki_sha256: str = field(compare=False)
    key_type: str = field(compare=False)
    key_bits: int = field(compare=False)
    signature_holds: bool = field(compare=False)
    dns_names: tuple[str, ...] = field(compare=False, default=())
    ip_addresses: tuple[str, ...] = field(compare=False, default=())
    emails: tuple[str, ...] = field(compare=False, default=())
    other_names: tuple[str, ...] = field(compare=False, default=())

    @property
    def sans(self) -> tuple[str, ...]:
        """Every subject alternative name."""
        return (*self.dns_names, *self.ip_addresses, *self.emails, *self.other_names)


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedRequest:
    """What was asked for. ``attributes``: C, ST, L, O, OU, emailAddress; None leaves key type, size or key open."""

    common_name: str
    sans: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    key_type: str | None = None
    key_bits: int | None = None
    spki: str | None = None


def alternative_names(common_name: str, sans: Iterable[str]) -> tuple[str, ...]:
    """Return the names that a SAN must list: the common name first, each once.

    A common name that is no full host name or address and has no SANs beside it stands alone, without any SAN: the
    database client's ``postgres`` ([S2]).
    """
    names = tuple(sans)
    if not names and is_host(common_name) and "." not in common_name:
        return ()
    found: dict[str, str] = {}
    for name in (common_name, *names):
        found.setdefault(canonical(name), name)
    return tuple(found.values())


def make_request(
    key: PrivateKey, *, common_name: str, sans: Iterable[str] = (), attributes: Mapping[str, str] | None = None
) -> bytes:
    """Make a certificate request (PKCS#10, PEM) signed with a key.

    ``sans``: DNS names (with ``*.`` too), IP and e-mail addresses; the common name is always among them.
    ``attributes``: C, ST, L, O, OU, emailAddress. Raises ValueError that names everything that is wrong.
    """
    names = tuple(sans)
    faults = unrequestable(common_name, names, attributes)
    if faults:
        raise ValueError("; ".join(faults))
    subject = {**(attributes or {}), "CN": common_name}
    general = [general_name(name) for name in alternative_names(common_name, names)]
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(oid, subject[name]) for name, oid in ATTRIBUTES.items() if name in subject])
    )
    if general:
        builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=False)
    return builder.sign(key.signer(), digest_for(key.key_type, key.key_bits)).public_bytes(Encoding.PEM)


def unrequestable(
    common_name: str, sans: Iterable[str] = (), attributes: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Return everything that keeps ``make_request`` from making a request."""
    faults = subject_faults({**(attributes or {}), "CN": common_name})
    for name in alternative_names(common_name, sans):
        try:
            general_name(name)
        except ValueError:
            faults.append(f"{name!r} is neither a DNS name, an IP address nor an e-mail address")
    return tuple(faults)


def subject_faults(subject: Mapping[str, str]) -> list[str]:
    """Return everything that is wrong with the attributes of a subject."""
    faults = [f"{name} is not an attribute that a request may have" for name in subject if name not in ATTRIBUTES]
    faults += [f"{name} is empty" for name, value in subject.items() if not value.strip()]
    faults += [
        f"{name} is longer than {LONGEST[name]} characters"
        for name, value in subject.items()
        if len(value) > LONGEST.get(name, len(value))
    ]
    if not _COUNTRY.fullmatch(subject.get("C", "XX")):
        faults.append("C is a country code of two letters")
    return faults


def general_name(name: str) -> x509.GeneralName:
    """Return a name as it stands in a SAN, typed by its form. Raises ValueError for what is no such name."""
    text = canonical(name)
    if "@" in text:
        return x509.RFC822Name(text)
    address = address_of(text)
    if address is not None:
        return x509.IPAddress(address)
    if not text or not is_host(text) or re.search(r"[^a-z0-9._*-]|\.\.|^\.", text):
        raise ValueError(name)
    return x509.DNSName(text)


def read_request(content: bytes, *, file: str) -> Request:
    """Read the one request of a file, PEM or DER. ``file`` is a name for messages only. Raises InputError."""
    blocks = scan(plain(content, file))
    der = content
    if blocks:
        block = next((block for block in blocks if block.label in _LABELS), None)
        if block is None:
            raise refuse(file, "no-request", f"the file holds {blocks[0].label}, not a certificate request")
        if block.wrong is not None:
            raise refuse(file, "damaged-block", block.wrong, line=block.line, hint="fetch or make the request again")
        der = block.content
    elif shape(content) is not Shape.REQUEST:
        raise refuse(file, "no-request", "the file is neither PEM nor DER: no certificate request was found in it")
    try:
        with foreign():
            return _facts(der)
    except (*BENT, x509.InvalidVersion):
        message = "the certificate request is damaged, or its key is of a kind that is not supported"
        raise refuse(file, "damaged-request", message, hint="fetch or make the request again") from None


def _facts(der: bytes) -> Request:
    loaded = x509.load_der_x509_csr(der)
    key = loaded.public_key()
    if not isinstance(key, PublicKey):
        raise TypeError(type(key).__name__)
    kind, bits, spki = key_facts(key)
    by_oid = {oid: name for name, oid in ATTRIBUTES.items()}
    attributes = tuple((by_oid.get(one.oid, one.oid.dotted_string), str(one.value)) for one in loaded.subject)
    sans = next((one.value for one in loaded.extensions if isinstance(one.value, x509.SubjectAlternativeName)), ())
    named: dict[type[x509.GeneralName], list[str]] = {x509.DNSName: [], x509.IPAddress: [], x509.RFC822Name: []}
    others: list[str] = []
    for name in sans:
        named.get(type(name), others).append(str(name.value))
    return Request(
        der=der,
        subject=loaded.subject.rfc4514_string(),
        attributes=attributes,
        common_name=next((value for name, value in reversed(attributes) if name == "CN"), None),
        spki_sha256=spki,
        key_type=kind,
        key_bits=bits,
        signature_holds=loaded.is_signature_valid,
        dns_names=tuple(named[x509.DNSName]),
        ip_addresses=tuple(named[x509.IPAddress]),
        emails=tuple(named[x509.RFC822Name]),
        other_names=tuple(others),
    )


def request_signature(request: Request, _: WantedRequest) -> Finding | None:
    """``request-signature``: it is not signed with its own key, so nobody proved to have that key."""
    return None if request.signature_holds else _error("request-signature", "its own signature does not hold")


def request_key(request: Request, wanted: WantedRequest) -> Finding | None:
    """``request-key``: another kind or size of key."""
    found = (request.key_type, request.key_bits)
    if found == (wanted.key_type or request.key_type, wanted.key_bits or request.key_bits):
        return None
    asked = " ".join(str(part) for part in (wanted.key_type, wanted.key_bits) if part)
    return _error("request-key", f"its key is {request.key_type} {request.key_bits}, wanted is {asked}")


def request_spki(request: Request, wanted: WantedRequest) -> Finding | None:
    """``request-spki``: it was made for another key."""
    if wanted.spki is None or wanted.spki == request.spki_sha256:
        return None
    return _error("request-spki", "it was made for another private key")


def request_subject(request: Request, wanted: WantedRequest) -> Finding | None:
    """``request-subject``: another common name, or other attributes."""
    subject = {**wanted.attributes, "CN": wanted.common_name}
    found = dict(request.attributes)
    wrong = [name for name in ATTRIBUTES if name in subject and subject[name] != found.get(name)]
    if not wrong:
        return None
    parts = [f"{name} is {found.get(name, 'missing')}, wanted is {subject[name]}" for name in wrong]
    return _error("request-subject", f"its subject differs: {', '.join(parts)}")


def request_country(request: Request, _: WantedRequest) -> Finding | None:
    """``request-country``: C is the two-letter ISO code ([S17])."""
    country = dict(request.attributes).get("C")
    if country is None or _COUNTRY.fullmatch(country):
        return None
    return _error("request-country", f"its country (C) is {country}, not a code of two letters")


def request_names(request: Request, wanted: WantedRequest) -> Finding | None:
    """``request-names``: it lacks names, or asks for names that nobody wanted: a CA would sign those too."""
    asked = {canonical(name): name for name in (wanted.common_name, *wanted.sans)}
    found = {canonical(name): name for name in request.sans}
    needed = {canonical(name) for name in wanted.sans}
    parts = []
    if lacking := [name for key, name in asked.items() if key in needed and key not in found]:
        parts.append(f"it lacks {', '.join(lacking)}")
    if more := [name for key, name in found.items() if key not in asked]:
        parts.append(f"it also asks for {', '.join(more)}")
    return _error("request-names", "; ".join(parts)) if parts else None


def request_san_lacks_cn(request: Request, _: WantedRequest) -> Finding | None:
    """``request-san-lacks-cn``: a SAN that is given lists the CN too; XMPP clients refuse it otherwise ([S17])."""
    name = request.common_name
    if name is None or not request.sans or canonical(name) in map(canonical, request.sans):
        return None
    return _error("request-san-lacks-cn", f"the subject alternative names do not list the common name {name}")


REQUEST_RULES: Final[tuple[Callable[[Request, WantedRequest], Finding | None], ...]] = (
    request_signature,
    request_key,
    request_spki,
    request_subject,
    request_country,
    request_names,
    request_san_lacks_cn,
)


def request_faults(request: Request, wanted: WantedRequest) -> tuple[Finding, ...]:
    """Run every rule of requests."""
    return tuple(finding for rule in REQUEST_RULES if (finding := rule(request, wanted)) is not None)


def _error(reason: str, message: str) -> Finding:
    return Finding(reason=reason, severity="error", message=message)
